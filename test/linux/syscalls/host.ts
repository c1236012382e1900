/** The host on which random system calls are made: every kind of device that VFIO takes, a VM that must not notice, a process. */

import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { expect } from 'vitest';
import { plugIn } from '../../../src/cli/physical-devices.ts';
import { registerMtty } from '../../../src/linux/drivers/mtty.ts';
import { initMdev } from '../../../src/linux/mdev/core.ts';
import * as iommufd from '../../../src/linux/uapi/iommufd.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import { O_WRONLY } from '../../../src/linux/uapi/syscalls.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';
import { initVfio } from '../../../src/linux/vfio/init.ts';
import { User } from '../kvm/bench.ts';
import { Guest } from '../kvm/guest.ts';
import { Caller } from './caller.ts';

const COPIER = '0000:06:0d.0';
const MTTY = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
const SATA = 'ee300000.sata';
/** In the order of their groups. */
const DEVICES = [COPIER, SATA, MTTY];
/** Instructions that each VM may run; nothing that is called here may take for ever. */
const INSTRUCTIONS = 20_000;
export const GUEST_BYTES = 0x40000;
const DIRTY_RING_BYTES = 4096n;

/** The guest of the process that calls: ports, registers of nothing, pages that it touches first. */
const RESTLESS = `mov ebx, 0xfebc0000\n mov esi, 0xfee00000\n mov edi, 0x400000
.again: mov dx, 0x20\n in al, dx\n out 0x80, al\n mov [rbx], eax\n mov eax, [rbx + 4]\n mov [rsi + 0x80], eax
 mov [rdi], eax\n add edi, 4096\n and edi, 0x7fffff\n mov dx, 0x1000\n out dx, eax\n cpuid\n mov ebx, 0xfebc0000\n jmp .again`;
/** The other's: it counts, and shows each number. */
const COUNTING = 'mov ebx, 0x20000\n.again: inc dword [rbx]\n mov eax, [rbx]\n out 0x80, al\n jmp .again';

/** How far the process has come before the calls: what can be chosen only before a VM has a vCPU, and whose way VFIO's devices have gone. */
export const machine = fc.record({
  irqchip: fc.boolean(),
  dirtyRing: fc.boolean(),
  road: fc.constantFrom('none' as const, 'container' as const, 'iommufd' as const),
});
type Machine = typeof machine extends fc.Arbitrary<infer M> ? M : never;

/** VFIO's two ways to a device, gone to their end. */
const roads = {
  container({ qemu }: Guest): void {
    const [container, ...groups] = opened(qemu, /^\/dev\/vfio\/(vfio|\d+)$/);
    for (const group of groups) expect(joined(qemu, group, container!)).toBe(0);
    expect(qemu.ioctl(container!, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU)).toBe(0);
    for (const [i, name] of DEVICES.entries()) {
      qemu.user.memory.write(qemu.scratch, new TextEncoder().encode(`${name}\0`));
      expect(qemu.ioctl(groups[i]!, vfio.VFIO_GROUP_GET_DEVICE_FD, qemu.scratch)).toBeGreaterThan(0);
    }
  },
  iommufd({ qemu }: Guest): void {
    const [iommu, ...devices] = opened(qemu, /^\/dev\/(iommu|vfio\/devices\/.*)$/);
    const { size } = iommufd.iommu_ioas_alloc;
    expect(qemu.pass(iommu!, iommufd.IOMMU_IOAS_ALLOC, iommufd.iommu_ioas_alloc, { size })).toBe(0);
    const pt_id = qemu.answer(iommufd.iommu_ioas_alloc).out_ioas_id;
    for (const device of devices) {
      const bind = { argsz: vfio.vfio_device_bind_iommufd.size, iommufd: iommu! };
      expect(qemu.pass(device, vfio.VFIO_DEVICE_BIND_IOMMUFD, vfio.vfio_device_bind_iommufd, bind)).toBe(0);
      const attach = { argsz: vfio.vfio_device_attach_iommufd_pt.size, pt_id };
      expect(qemu.pass(device, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, vfio.vfio_device_attach_iommufd_pt, attach)).toBe(0);
    }
  },
};

function joined({ user, scratch }: User, group: number, container: number): number {
  user.memory.write(scratch, Uint8Array.of(container));
  return user.syscalls.ioctl(group, vfio.VFIO_GROUP_SET_CONTAINER.number, scratch);
}

/** The process's descriptors of the files whose paths match, the node that all share first. */
function opened({ process: { files } }: User, paths: RegExp): number[] {
  const fds = files.open().filter((fd) => paths.test(files.get(fd)!.path));
  return fds.sort((a, b) => Number(/\d$/.test(files.get(a)!.path)) - Number(/\d$/.test(files.get(b)!.path)) || a - b);
}

/** A host with its devices given to VFIO, a VM that counts, and a process that calls. */
export function boot({ irqchip, dirtyRing, road }: Machine) {
  const other = new Guest(COUNTING);
  const { kernel, module } = other;
  initVfio(kernel);
  initMdev(kernel);
  registerMtty(kernel.modules);
  plugIn(kernel, [`copier@${COPIER}`, 'sata@ee300000']);
  const admin = new User(kernel, 'admin');
  const { syscalls, memory } = admin.user;
  for (const [name, parameters] of [
    ['vfio_pci', ''],
    ['vfio_platform', 'reset_required=0'],
    ['mtty', ''],
  ] as const)
    expect(syscalls.init_module(name, parameters)).toBe(0);
  for (const [path, text] of [
    [`/sys/bus/pci/devices/${COPIER}/driver_override`, 'vfio-pci'],
    ['/sys/bus/pci/drivers_probe', COPIER],
    [`/sys/bus/platform/devices/${SATA}/driver_override`, 'vfio-platform'],
    [`/sys/bus/platform/devices/${SATA}/driver/unbind`, SATA],
    ['/sys/bus/platform/drivers_probe', SATA],
    ['/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create', MTTY],
  ] as const) {
    memory.write(admin.scratch, new TextEncoder().encode(text));
    const fd = syscalls.open(path, O_WRONLY);
    expect(syscalls.write(fd, admin.scratch, text.length), path).toBe(text.length);
    syscalls.close(fd);
  }
  const nodes = ['/dev/vfio', '/dev/vfio/devices'].flatMap((folder) => {
    const entries = syscalls.readdir(folder);
    assert(typeof entries !== 'number', folder);
    return entries.filter(({ name }) => /\d$/.test(name)).map(({ name }) => `${folder}/${name}`);
  });
  expect(nodes).toHaveLength(6);
  admin.process.exit();
  kernel.hugePages.ofSize(21)!.resize(2);
  expect(other.resume()).toBe(0);
  const held = () => ({ pages: kernel.pages.used, pinned: kernel.pages.pinned });
  // Reading allocates pages: before they are counted.
  const contents = other.bytes(0, GUEST_BYTES);
  const before = held();
  module.instructionLimit = INSTRUCTIONS;
  const guest = new Guest(RESTLESS, 'none', {
    host: { kernel, module },
    irqchip,
    prepare: ({ qemu, vmFd }) => {
      const ring = { cap: KVM_CAP.DIRTY_LOG_RING, arg0: DIRTY_RING_BYTES };
      if (dirtyRing) expect(qemu.pass(vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, ring)).toBe(0);
    },
  });
  // A device whose group is open has no node of its own for anybody, and the other way round.
  const ways = nodes.filter((node) => (road === 'iommufd') === node.startsWith('/dev/vfio/devices/'));
  const caller = new Caller(guest, ['/dev/kvm', '/dev/vfio/vfio', '/dev/iommu', ...ways], nodes, DEVICES);
  if (road !== 'none') roads[road](guest);
  return { other, contents, caller, before, held, end: () => guest.qemu.process.exit() };
}
