/** The VM ioctls about interrupts (arch/x86/kvm/x86.c: kvm_arch_vm_ioctl; virt/kvm/kvm_main.c: kvm_vm_ioctl). */

import { getStruct } from '../core/uaccess.ts';
import { EEXIST, EINVAL, ENXIO, EPERM } from '../uapi/errno.ts';
import {
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_GET_IRQCHIP,
  KVM_IRQ_LINE,
  KVM_IRQ_LINE_STATUS,
  KVM_IRQFD,
  KVM_MSI_VALID_DEVID,
  KVM_PIT_SPEAKER_DUMMY,
  KVM_REINJECT_CONTROL,
  KVM_SET_GSI_ROUTING,
  KVM_SET_IRQCHIP,
  KVM_SIGNAL_MSI,
  kvm_irq_level,
  kvm_irq_routing,
  kvm_irqchip,
  kvm_irqfd,
  kvm_msi,
  kvm_pit_config,
  kvm_reinject_control,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { IoctlTable } from './ioctl-table.ts';
import { readRouting } from './irq-routing.ts';
import { type Irqchip, USERSPACE_SOURCE } from './irqchip.ts';
import type { Vm } from './vm.ts';

/** Add the rows to the VM's table. */
export const interruptIoctls = (table: IoctlTable<Vm>): IoctlTable<Vm> =>
  table
    .plain(KVM_CREATE_IRQCHIP, createIrqchip)
    .takes(KVM_IRQ_LINE, kvm_irq_level, (vm, line) => {
      const status = setLine(vm, line);
      return typeof status === 'number' ? status : 0;
    })
    .updates(KVM_IRQ_LINE_STATUS, kvm_irq_level, (vm, line) => setLine(vm, line))
    .copies(KVM_GET_IRQCHIP, KVM_SET_IRQCHIP)
    .updates(KVM_GET_IRQCHIP, kvm_irqchip, (vm, asked) =>
      withIrqchip(vm, (irqchip) => {
        const state = irqchip.state(asked.chip_id);
        if (typeof state === 'number') return noSuchChip(vm, asked.chip_id);
        // The rest of the union stays as user space had it.
        asked.chip.set(state);
        return asked;
      }),
    )
    .takes(KVM_SET_IRQCHIP, kvm_irqchip, (vm, state) =>
      withIrqchip(vm, (irqchip) => (irqchip.setState(state) < 0 ? noSuchChip(vm, state.chip_id) : 0)),
    )
    .plain(KVM_SET_GSI_ROUTING, setRouting)
    .takes(KVM_SIGNAL_MSI, kvm_msi, (vm, { address_lo, data, flags }) => {
      const { irqchip, kernel } = vm;
      if (irqchip === undefined) return kernel.refuse(EINVAL, 'an MSI needs in-kernel interrupt controllers');
      if (flags & ~KVM_MSI_VALID_DEVID) return kernel.refuse(EINVAL, 'unknown flags of an MSI');
      const reached = irqchip.sendMsi(address_lo, data);
      // -1 leaves the kernel as it is, and user space takes it for EPERM.
      return reached < 0 ? kernel.refuse(EPERM, 'no processor has the destination of the MSI') : reached;
    })
    .takes(KVM_IRQFD, kvm_irqfd, (vm, args) => vm.irqfds.set(args))
    .takes(KVM_CREATE_PIT2, kvm_pit_config, (vm, { flags }) => {
      if (vm.pit !== undefined) return vm.kernel.refuse(EEXIST, 'the VM has a PIT');
      return vm.createPit((flags & KVM_PIT_SPEAKER_DUMMY) !== 0);
    })
    .takes(KVM_REINJECT_CONTROL, kvm_reinject_control, (vm, { pit_reinject }) => {
      if (vm.pit === undefined) return vm.kernel.refuse(ENXIO, 'the VM has no PIT');
      vm.pit.reinject = pit_reinject !== 0;
      return 0;
    });

function createIrqchip(vm: Vm): number {
  if (vm.irqchip !== undefined) return vm.kernel.refuse(EEXIST, 'the VM has its interrupt controllers');
  if (vm.vcpus.length > 0)
    return vm.kernel.refuse(
      EINVAL,
      'interrupt controllers are made before the first vCPU, which gets its local APIC then',
    );
  return vm.createIrqchip();
}

/** kvm_vm_ioctl_irq_line: the outcome stands where the number stood. */
function setLine(vm: Vm, { irq, level }: StructOf<typeof kvm_irq_level>): StructOf<typeof kvm_irq_level> | number {
  return withIrqchip(vm, (irqchip) => ({ irq: irqchip.setIrq(USERSPACE_SOURCE, irq, level !== 0), level }));
}

function setRouting(vm: Vm, argument: number): number {
  const header = getStruct(vm.kernel, kvm_irq_routing, argument);
  if (typeof header === 'number') return header;
  const { irqchip, kernel } = vm;
  if (irqchip === undefined) return kernel.refuse(EINVAL, 'routing needs in-kernel interrupt controllers');
  const table = readRouting(kernel, header, argument + kvm_irq_routing.size);
  if (typeof table === 'number') return table;
  irqchip.routing = table;
  return 0;
}

function withIrqchip<T>(vm: Vm, work: (irqchip: Irqchip) => T): T | number {
  if (vm.irqchip === undefined) return vm.kernel.refuse(ENXIO, 'the VM has no in-kernel interrupt controllers');
  return work(vm.irqchip);
}

const noSuchChip = (vm: Vm, chip: number) =>
  vm.kernel.refuse(EINVAL, `interrupt chip ${chip} is not 0, 1 (PIC) or 2 (IOAPIC)`);
