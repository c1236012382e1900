/**
 * The parameters of kvm_intel in /sys/module: eptad and pml, Y or N (arch/x86/kvm/vmx/vmx.c). A VM keeps what it was made
 * with.
 *
 * Fidelity: Linux reads them when the module is loaded; kvm_intel is built in here, so they may be written.
 */

import type { Kernel } from '../core/kernel.ts';
import { EINVAL } from '../uapi/errno.ts';
import type { EptFeatures } from './vm.ts';

const NAMES = [
  ['eptad', 'accessedDirty'],
  ['pml', 'modificationLog'],
] as const;

/** kstrtobool, as far as Y, N, 1 and 0. */
const switches: ReadonlyMap<string, boolean> = new Map([
  ['Y', true],
  ['y', true],
  ['1', true],
  ['N', false],
  ['n', false],
  ['0', false],
]);

/** Make /sys/module/kvm_intel/parameters for `module`. */
export function addParameters(module: { readonly kernel: Kernel; features: EptFeatures }): void {
  const { sysfs } = module.kernel;
  sysfs.directory('/sys/module/kvm_intel');
  sysfs.directory('/sys/module/kvm_intel/parameters');
  for (const [name, feature] of NAMES) {
    sysfs.attribute(`/sys/module/kvm_intel/parameters/${name}`, {
      mode: 0o644,
      show: () => `${module.features[feature] ? 'Y' : 'N'}\n`,
      store: (text) => {
        const on = switches.get(text.trim());
        if (on === undefined) return module.kernel.refuse(EINVAL, `${name} is Y or N`);
        const chosen = { ...module.features, [feature]: on };
        // The log records dirty bits being set: without them there is none.
        module.features = { ...chosen, modificationLog: chosen.modificationLog && chosen.accessedDirty };
        return text.length;
      },
    });
  }
}
