/** The module vgpu: `modprobe vgpu api=6.1 trap_mmio=y`, which are the defaults; `api=5.10` is the seed's interface. */

import type { Kernel } from '../../core/kernel.ts';
import type { ModuleRegistry } from '../../core/modules.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { ParentDevice } from '../parent-device.ts';
import { VgpuParentOps } from './parent-ops.ts';
import { TYPE } from './type.ts';
import { VgpuDriver } from './vfio-ops.ts';

/** Make vgpu loadable. */
export function registerVgpu(modules: ModuleRegistry<Kernel>): void {
  let parent: ParentDevice | undefined;
  modules.register({
    name: 'vgpu',
    parameters: { api: 'string', trap_mmio: 'boolean' },
    init(kernel, { api = '6.1', trap_mmio = true }) {
      const trapsMmio = trap_mmio === true;
      if (api === '6.1') parent = ParentDevice.ofDriver(kernel, new VgpuDriver(kernel, trapsMmio), [TYPE]);
      else if (api === '5.10') parent = ParentDevice.ofOps(kernel, new VgpuParentOps(kernel, trapsMmio));
      else return kernel.refuse(EINVAL, `api is 6.1 or 5.10, not ${api}`);
      return parent.add();
    },
    exit: () => parent?.remove(),
  });
}
