/**
 * Where message-signalled interrupts are written: a device's dword to 0xfeexxxxx becomes an interrupt (SDM vol. 3, 11.11;
 * hw/i386/kvm/apic.c: kvm_apic_mem_write). The vCPU's own accesses to its local APIC do not come here: KVM serves them.
 */

import { MiB } from '../../../address.ts';
import type { KvmIrqchip } from '../../accel/kvm/irqchip.ts';
import { type MemoryRegion, type MemoryRegionOps, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';

const APIC_DEFAULT_ADDRESS = 0xfee0_0000;

/** Add the window to `memory`. */
export function addMsiWindow(topology: MemoryTopology, memory: MemoryRegion, irqchip: KvmIrqchip): void {
  const ops: MemoryRegionOps = {
    read: () => -1,
    write: (offset, _size, value) => irqchip.signalMsi(APIC_DEFAULT_ADDRESS + offset, value),
    valid: sizes(0, 0),
    impl: sizes(0, 0),
  };
  memory.addSubregion(APIC_DEFAULT_ADDRESS, topology.io('kvm-apic-msi', MiB(1), ops), 0x1000);
}
