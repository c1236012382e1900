/** The tracepoints of the in-kernel interrupt controllers (arch/x86/kvm/trace.h, include/trace/events/kvm.h of Linux 6.1). */

import { event } from '../../event.ts';

const hex = (value: number | bigint) => value.toString(16);

/** kvm_deliver_mode. */
const DELIVERY_MODES = ['Fixed', 'LowPrio', 'SMI', 'Res3', 'NMI', 'INIT', 'SIPI', 'ExtINT'] as const;
/** kvm_apic_dst_shorthand. */
const SHORTHANDS = ['dst', 'self', 'all', 'all-but-self'] as const;
/** Offsets of local APIC registers by name (kvm_apic_symbol, what is not listed prints as a number). */
const APIC_REGISTERS: Readonly<Record<number, string>> = {
  32: 'APIC_ID',
  48: 'APIC_LVR',
  128: 'APIC_TASKPRI',
  144: 'APIC_ARBPRI',
  160: 'APIC_PROCPRI',
  176: 'APIC_EOI',
  192: 'APIC_RRR',
  208: 'APIC_LDR',
  224: 'APIC_DFR',
  240: 'APIC_SPIV',
  256: 'APIC_ISR',
  384: 'APIC_TMR',
  512: 'APIC_IRR',
  640: 'APIC_ESR',
  768: 'APIC_ICR',
  784: 'APIC_ICR2',
  800: 'APIC_LVTT',
  816: 'APIC_LVTTHMR',
  832: 'APIC_LVTPC',
  848: 'APIC_LVT0',
  864: 'APIC_LVT1',
  880: 'APIC_LVTERR',
  896: 'APIC_TMICT',
  912: 'APIC_TMCCT',
  992: 'APIC_TDCR',
};
const mode = (bits: number) => DELIVERY_MODES[bits & 7]!;

export const kvmSetIrq = event(
  'kvm_set_irq',
  'kvm',
  { gsi: 'u32', level: 's32', source: 's32' },
  (e) => `gsi ${e.gsi} level ${e.level} source ${e.source}`,
  'A GSI changes level; source 0 is user space, 1 irqfds with resampling, others were requested.',
);

export const kvmPicSetIrq = event(
  'kvm_pic_set_irq',
  'kvm',
  { chip: 'u8', pin: 'u8', level: 'bool', masked: 'bool', coalesced: 'bool' },
  (e) =>
    `chip ${e.chip} pin ${e.pin} (${e.level ? 'level' : 'edge'}${e.masked ? '|masked' : ''})` +
    (e.coalesced ? ' (coalesced)' : ''),
  'An input of the interrupt controllers 8259A changes.',
);

/** An entry of the I/O APIC's table. */
function redirection(entry: bigint): string {
  const low = Number(BigInt.asUintN(32, entry));
  const kind = `${mode(low >> 8)}|${low & (1 << 11) ? 'logical' : 'physical'}|${low & (1 << 15) ? 'level' : 'edge'}`;
  return `dst ${hex(entry >> 56n)} vec ${low & 0xff} (${kind}${low & (1 << 16) ? '|masked' : ''})`;
}

export const kvmIoapicSetIrq = event(
  'kvm_ioapic_set_irq',
  'kvm',
  { entry: 'u64', pin: 'u8', coalesced: 'bool' },
  (e) => `pin ${e.pin} ${redirection(e.entry)}${e.coalesced ? ' (coalesced)' : ''}`,
  'An input of the I/O APIC changes.',
);

export const kvmMsiSetIrq = event(
  'kvm_msi_set_irq',
  'kvm',
  { address: 'u64', data: 'u32' },
  (e) => {
    const low = Number(BigInt.asUintN(32, e.address));
    const destination = BigInt((low >>> 12) & 0xff) | ((e.address >> 32n) & 0xffffff00n);
    return (
      `dst ${hex(destination)} vec ${e.data & 0xff} (${mode(e.data >> 8)}|${low & 4 ? 'logical' : 'physical'}|` +
      `${e.data & (1 << 15) ? 'level' : 'edge'}${low & 8 ? '|rh' : ''})`
    );
  },
  'A message-signalled interrupt is sent.',
);

export const kvmApic = event(
  'kvm_apic',
  'kvm',
  { write: 'bool', register: 'u32', value: 'u64' },
  (e) =>
    `apic_${e.write ? 'write' : 'read'} ${APIC_REGISTERS[e.register] ?? `0x${hex(e.register)}`} = 0x${hex(e.value)}`,
  'The guest reads or writes a register of its local APIC.',
);

export const kvmApicIpi = event(
  'kvm_apic_ipi',
  'kvm',
  { command: 'u32', destination: 'u32' },
  (e) =>
    `dst ${hex(e.destination)} vec ${e.command & 0xff} (${mode(e.command >> 8)}|` +
    `${e.command & (1 << 11) ? 'logical' : 'physical'}|${e.command & (1 << 14) ? 'assert' : 'de-assert'}|` +
    `${e.command & (1 << 15) ? 'level' : 'edge'}|${SHORTHANDS[(e.command >> 18) & 3]!})`,
  'A local APIC sends an interrupt to others.',
);

export const kvmApicAcceptIrq = event(
  'kvm_apic_accept_irq',
  'kvm',
  { apicid: 'u32', deliveryMode: 'u8', level: 'bool', vector: 'u8' },
  (e) => `apicid ${hex(e.apicid)} vec ${e.vector} (${mode(e.deliveryMode)}|${e.level ? 'level' : 'edge'})`,
  'A local APIC takes an interrupt in.',
);

export const kvmEoi = event(
  'kvm_eoi',
  'kvm',
  { apicid: 'u32', vector: 's32' },
  (e) => `apicid ${hex(e.apicid)} vector ${e.vector}`,
  'The guest tells its local APIC that it has served an interrupt.',
);

export const kvmAckIrq = event(
  'kvm_ack_irq',
  'kvm',
  { chip: 'string', pin: 'u8' },
  (e) => `irqchip ${e.chip} pin ${e.pin}`,
  'An interrupt of a controller has been served: who waits for that hears of it.',
);

export const kvmInjVirq = event(
  'kvm_inj_virq',
  'kvm',
  { vector: 'u8', soft: 'bool', reinjected: 'bool' },
  (e) => `${e.soft ? 'Soft/INTn' : 'IRQ'} 0x${hex(e.vector)}${e.reinjected ? ' [reinjected]' : ''}`,
  'An interrupt is given to the guest at this entry.',
);

export const kvmVcpuWakeup = event(
  'kvm_vcpu_wakeup',
  'kvm',
  { nanoseconds: 's64', waited: 'bool' },
  (e) => `${e.waited ? 'wait' : 'poll'} time ${e.nanoseconds} ns, polling valid`,
  'A halted vCPU runs again: its thread had slept, or looked for an interrupt itself.',
);

export const kvmHaltPollNs = event(
  'kvm_halt_poll_ns',
  'kvm',
  { vcpu: 'u32', nanoseconds: 'u32', grow: 'bool', before: 'u32' },
  (e) => `vcpu ${e.vcpu}: halt_poll_ns ${e.nanoseconds} (${e.grow ? 'grow' : 'shrink'} ${e.before})`,
  'How long a halted vCPU looks for an interrupt before its thread sleeps: longer after a short halt, not at all after a long one.',
);

export const kvmIoapicDelayedEoiInj = event(
  'kvm_ioapic_delayed_eoi_inj',
  'kvm',
  { entry: 'u64' },
  (e) => redirection(e.entry),
  'A line of the I/O APIC asked again after each of 10000 ends of interrupt: the next comes a hundredth of a second later.',
);
