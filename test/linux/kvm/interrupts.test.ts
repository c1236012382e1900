/** Interrupts from the in-kernel controllers to the model's CPU: when they arrive, in which order, with which events. */

import { describe, expect, test } from 'vitest';
import { EventStream, matchingEvents } from '../../../src/event.ts';
import { HaltPolling, MOST_POLLING } from '../../../src/linux/kvm/halt-polling.ts';
import { IOAPIC_BASE, Ioapic } from '../../../src/linux/kvm/ioapic.ts';
import { VcpuStats } from '../../../src/linux/kvm/vcpu-stats.ts';
import { EINTR, EINVAL } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Host } from '../../qemu/bench.ts';
import { Guest } from './guest.ts';

/** Switch the local APIC on and set the PIC's vectors to 0x20 and 0x28, all inputs open. */
const APIC_ON = 'mov ebx, 0xfee00000\n mov dword [rbx + 0xf0], 0x1ff\n';
const port = (at: number, value: number) => `mov dx, ${at}\n mov al, ${value}\n out dx, al\n`;
const PIC_ON = [
  [0x20, 0x11],
  [0x21, 0x20],
  [0x21, 0x04],
  [0x21, 0x01],
  [0xa0, 0x11],
  [0xa1, 0x28],
  [0xa1, 0x02],
  [0xa1, 0x01],
  [0x21, 0],
  [0xa1, 0],
]
  .map(([at, value]) => port(at!, value!))
  .join('');
/** Ask user space: the tests act while the guest stands at this OUT. */
const STOP = 'out 0x80, al\n';
/** Bring the pages that an interrupt needs in, with vector 0x30. */
const TOUCH = 'int 0x30\n';
const SLEEP = '.end: hlt\n jmp .end\n';

const msi = (guest: Guest, vector: number, more = {}) =>
  guest.qemu.pass(guest.vmFd, uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, { address_lo: 0xfee00000, data: vector, ...more });

describe('the PIC', () => {
  test('a level interrupt behind the slave: the events of the captures, in the order of KVM’s own routing table', () => {
    const levels = port(0x4d1, 0x08);
    const guest = new Guest(`${PIC_ON}${levels}${TOUCH}${STOP}sti\n${SLEEP}`, 'pic');
    guest.resume();
    guest.listen('kvm_set_irq,kvm_pic_set_irq,kvm_ioapic_set_irq,kvm_inj_virq,kvm_ack_irq');
    expect(guest.setLine(11, 1)).toBe(0);
    guest.events.push('--');
    const ack = guest.vm.irqchip!.addNotifier({ gsi: 11, acknowledged: () => guest.vm.irqchip!.setIrq(0, 11, false) });
    expect(guest.resume()).toBe(-EINTR);
    ack();
    expect(guest.taken).toEqual([0x30, 0x2b]);
    expect(guest.events).toEqual([
      'kvm_set_irq: gsi 11 level 1 source 0',
      'kvm_ioapic_set_irq: pin 11 dst 0 vec 0 (Fixed|physical|edge|masked)',
      'kvm_pic_set_irq: chip 1 pin 3 (level)',
      '--',
      'kvm_inj_virq: IRQ 0x2b',
      'kvm_ack_irq: irqchip PIC slave pin 11',
      'kvm_set_irq: gsi 11 level 0 source 0',
      'kvm_ioapic_set_irq: pin 11 dst 0 vec 0 (Fixed|physical|edge|masked)',
      'kvm_pic_set_irq: chip 1 pin 3 (level)',
      'kvm_ack_irq: irqchip PIC master pin 2',
    ]);
  });

  test('an edge comes once however long the line stays high; a level as long as it does', () => {
    const guest = new Guest(`${PIC_ON}${STOP}sti\n nop\n nop\n cli\n${STOP}sti\n nop\n nop\n cli\n${STOP}`, 'pic');
    guest.resume();
    guest.setLine(3, 1);
    guest.resume();
    expect(guest.taken).toEqual([0x23]);
    guest.resume();
    expect(guest.taken).toEqual([0x23]);
  });

  test('priorities: input 0 before input 7, the slave’s at the place of input 2', () => {
    const guest = new Guest(`${PIC_ON}${STOP}sti\n${SLEEP}`, 'pic');
    guest.resume();
    for (const gsi of [7, 8, 3, 1]) {
      guest.setLine(gsi, 1);
      guest.setLine(gsi, 0);
    }
    guest.resume();
    expect(guest.taken).toEqual([0x21, 0x28, 0x23, 0x27]);
  });
});

describe('the right moment', () => {
  test('not before STI, and not in its shadow: the instruction after it runs first', () => {
    const guest = new Guest(`${APIC_ON}${TOUCH}${STOP}nop\n sti\n mov byte [0x7100], 1\n nop\n cli\n${STOP}`);
    guest.resume();
    expect(msi(guest, 0x41)).toBe(1);
    guest.listen('kvm_exit,kvm_inj_virq');
    guest.resume();
    const lines = guest.events.map((line) => line.replace(/ info1.*/, ''));
    expect(lines[0]).toMatch(/^kvm_exit: vcpu 0 reason INTERRUPT_WINDOW/);
    expect(lines[1]).toBe('kvm_inj_virq: IRQ 0x41');
    expect(guest.taken).toEqual([0x30, 0x41]);
    // RIP of the window: behind the store.
    const window = BigInt(/rip 0x([0-9a-f]+)/.exec(lines[0]!)![0].slice(4));
    expect(guest.bytes(Number(window) - 8, 8)).toEqual([0xc6, 0x04, 0x25, 0, 0x71, 0, 0, 1]);
  });

  test('not in the shadow of MOV SS', () => {
    const guest = new Guest(`${APIC_ON}mov eax, 0x18\n${STOP}sti\n mov ss, eax\n mov byte [0x7100], 1\n cli\n${STOP}`);
    guest.resume();
    msi(guest, 0x41);
    guest.resume();
    expect(guest.bytes(0x7100, 1)).toEqual([1]);
  });

  test('CR8 holds back what is not more urgent; lowering it lets it in at once', () => {
    const lower = 'mov eax, 3\n mov cr8, rax\n nop\n';
    const guest = new Guest(`${APIC_ON}mov eax, 4\n mov cr8, rax\n sti\n${STOP}nop\n${STOP}${lower}${STOP}`);
    guest.resume();
    msi(guest, 0x41);
    guest.resume();
    expect(guest.taken).toEqual([]);
    guest.listen('kvm_exit');
    guest.resume();
    expect(guest.taken).toEqual([0x41]);
    expect(guest.events[0]).toMatch(/reason TPR_BELOW_THRESHOLD/);
  });

  test('a more urgent interrupt comes into the handler of a lesser; a lesser waits for its EOI', () => {
    // The handler of the test does not end interrupts; the guest does it later by hand.
    const end = 'mov ebx, 0xfee000b0\n mov dword [rbx], 0\n nop\n';
    const guest = new Guest(
      `${APIC_ON}sti\n${STOP}nop\n${STOP}nop\n${STOP}nop\n${STOP}${end}${STOP}${end}${STOP}`,
      'none',
    );
    guest.resume();
    msi(guest, 0x51);
    guest.resume();
    msi(guest, 0x45);
    guest.resume();
    expect(guest.taken).toEqual([0x51]);
    msi(guest, 0x62);
    guest.resume();
    expect(guest.taken).toEqual([0x51, 0x62]);
    guest.resume();
    expect(guest.taken).toEqual([0x51, 0x62]);
    guest.listen('kvm_eoi');
    guest.resume();
    expect(guest.taken).toEqual([0x51, 0x62, 0x45]);
    expect(guest.events).toEqual(['kvm_eoi: apicid 0 vector 81']);
  });

  test('an exception of the same instruction goes first: the interrupt waits for its handler', () => {
    const guest = new Guest(`${APIC_ON}${TOUCH}${STOP}sti\n ud2\n`);
    guest.resume();
    msi(guest, 0x41);
    guest.vm.instructionLimit = guest.vm.retired + 200;
    guest.resume();
    expect(guest.taken[1]).toBe(6);
  });
});

describe('NMIs', () => {
  const nmi = (guest: Guest, times: number) => {
    for (let i = 0; i < times; i++) expect(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_NMI)).toBe(0);
  };

  test('two come one after the other, a third is lost', () => {
    // x86.c: process_nmi
    const guest = new Guest(`${STOP}nop\n${STOP}`, 'none');
    guest.resume();
    nmi(guest, 3);
    guest.resume();
    expect(guest.taken).toEqual([2, 2]);
  });

  test('while one is served another waits for its IRET; it ends a halt of the handler’s only when it comes in the midst of it', () => {
    const guest = new Guest(`${STOP}hlt\n${STOP}mov rsp, 0x20000\n push 0x18\n push 0x20000\n push 2\n push 0x10\n\
lea rax, [rel .on]\n push rax\n iretq\n.on: nop\n${STOP}`);
    guest.resume();
    const masked = { nmi_masked: 1 };
    expect(guest.qemu.pass(guest.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, masked)).toBe(0);
    nmi(guest, 2);
    expect(guest.resume()).toBe(-EINTR);
    nmi(guest, 1);
    expect([guest.resume(), guest.exitReason, guest.taken]).toEqual([0, run.KVM_EXIT_IO, []]);
    guest.resume();
    expect(guest.taken).toEqual([2]);
  });
});

describe('a halted vCPU', () => {
  test('sleeps in the kernel until an interrupt comes; without one user space gets its turn', () => {
    const guest = new Guest(`${APIC_ON}sti\n hlt\n${STOP}`);
    expect(guest.resume()).toBe(-EINTR);
    expect(guest.exitReason).toBe(run.KVM_EXIT_INTR);
    expect(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_MP_STATE, guest.qemu.scratch)).toBe(0);
    expect(guest.qemu.answer(uapi.kvm_mp_state).mp_state).toBe(uapi.KVM_MP_STATE_HALTED);
    msi(guest, 0x33);
    expect(guest.resume()).toBe(0);
    expect(guest.exitReason).toBe(run.KVM_EXIT_IO);
    expect(guest.taken).toEqual([0x33]);
  });

  test('with interrupts off nothing wakes it but an NMI', () => {
    const guest = new Guest(`${APIC_ON}hlt\n${STOP}`);
    guest.resume();
    msi(guest, 0x33);
    expect(guest.resume()).toBe(-EINTR);
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_NMI);
    expect(guest.resume()).toBe(0);
    expect(guest.taken).toEqual([2]);
  });

  test('the APIC timer wakes it: virtual time has passed, no instruction has', () => {
    const timer = 'mov dword [rbx + 0x320], 0x40\n mov dword [rbx + 0x3e0], 0xb\n mov dword [rbx + 0x380], 5000000\n';
    const guest = new Guest(`${APIC_ON}${timer}sti\n hlt\n cli\n${STOP}`);
    guest.listen('kvm_vcpu_wakeup');
    const before = guest.kernel.clock.now;
    expect(guest.resume()).toBe(0);
    expect(guest.taken).toEqual([0x40]);
    expect(guest.kernel.clock.now - before).toBeGreaterThanOrEqual(5_000_000);
    expect(guest.vm.retired).toBeLessThan(100);
    expect(guest.events[0]).toMatch(/^kvm_vcpu_wakeup: wait time 49999\d\d ns, polling valid$/);
  });

  test('short halts are polled, for longer and longer; a long one ends that', () => {
    // kvm_main.c: grow_halt_poll_ns, shrink_halt_poll_ns
    const halt = (ticks: number) => `mov dword [rbx + 0x380], ${ticks}\n sti\n hlt\n cli\n`;
    const timer = 'mov dword [rbx + 0x320], 0x40\n mov dword [rbx + 0x3e0], 0xb\n';
    const guest = new Guest(
      `${APIC_ON}${timer}${[15000, 15000, 15000, 30000, 1000000, 15000].map(halt).join('')}${STOP}`,
    );
    guest.listen('kvm_vcpu_wakeup,kvm_halt_poll_ns');
    expect(guest.resume()).toBe(0);
    expect(guest.events.map((line) => line.replace(/\d+(?=\d{3} ns)/, (digits) => `${digits}…`))).toEqual([
      'kvm_halt_poll_ns: vcpu 0: halt_poll_ns 10000 (grow 0)',
      expect.stringMatching(/wait time 14…/),
      'kvm_halt_poll_ns: vcpu 0: halt_poll_ns 20000 (grow 10000)',
      expect.stringMatching(/wait time 14…/),
      expect.stringMatching(/poll time 14…/),
      'kvm_halt_poll_ns: vcpu 0: halt_poll_ns 40000 (grow 20000)',
      expect.stringMatching(/wait time 29…/),
      'kvm_halt_poll_ns: vcpu 0: halt_poll_ns 0 (shrink 40000)',
      expect.stringMatching(/wait time 999…/),
      'kvm_halt_poll_ns: vcpu 0: halt_poll_ns 10000 (grow 0)',
      expect.stringMatching(/wait time 14…/),
    ]);
    const { stats } = guest.vm.vcpus[0] as unknown as { readonly stats: VcpuStats };
    expect([stats.halt_attempted_poll, stats.halt_successful_poll, stats.halt_wakeup]).toEqual([4, 1, 5]);
    expect(stats.halt_poll_fail_ns).toBe(10_000 + 20_000 + 40_000);
  });
});

test('the time of polling grows past its limit, which is kept when it is used; KVM_CAP_HALT_POLL sets another, or ends it', () => {
  // kvm_main.c: kvm_vcpu_halt
  const told: string[] = [];
  const stream = new EventStream(() => 0n);
  stream.subscribe(matchingEvents('kvm_halt_poll_ns'), ({ event, fields }) => told.push(event.text(fields as never)));
  const stats = new VcpuStats();
  let most = MOST_POLLING;
  const halts = new HaltPolling(stream, 0, stats, () => most);
  for (let halt = 0; halt < 7; halt++) halts.ended(199_999, true);
  expect(told.at(-1)).toBe('vcpu 0: halt_poll_ns 320000 (grow 160000)');
  expect(stats.halt_successful_poll).toBe(1);
  most = 0;
  halts.ended(5, false);
  expect([told.length, stats.halt_attempted_poll, stats.halt_wakeup]).toEqual([6, 6, 6]);
  const guest = new Guest('hlt');
  const limit = (arg0: bigint) =>
    guest.qemu.pass(guest.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, { cap: KVM_CAP.HALT_POLL, arg0 });
  expect([limit(1n << 32n), limit(5000n), guest.vm.haltPollLimit]).toEqual([-EINVAL, 0, 5000]);
});

describe('timers', () => {
  test('the APIC timer, periodic, interrupts a busy guest at the instruction of its deadline', () => {
    const timer = 'mov dword [rbx + 0x320], 0x20040\n mov dword [rbx + 0x3e0], 0xb\n mov dword [rbx + 0x380], 300000\n';
    const spin = '.spin: cmp dword [0x7000], 3\n jne .spin\n';
    const guest = new Guest(`${APIC_ON}${timer}sti\n${spin}${STOP}`);
    guest.resume();
    expect(guest.taken).toEqual([0x40, 0x40, 0x40]);
    expect(guest.vm.retired).toBeGreaterThan(900_000);
    expect(guest.vm.retired).toBeLessThan(900_200);
  });

  test('the PIT, 1000 Hz through the PIC: three ticks while halted', () => {
    const pit = `${port(0x43, 0x34)}${port(0x40, 1193 & 0xff)}${port(0x40, 1193 >> 8)}`;
    const wait = '.wait: hlt\n cmp dword [0x7000], 3\n jne .wait\n';
    const guest = new Guest(`${PIC_ON}${pit}sti\n${wait}cli\n${STOP}`, 'pic');
    expect(guest.qemu.pass(guest.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {})).toBe(0);
    expect(guest.resume()).toBe(0);
    expect(guest.taken).toEqual([0x20, 0x20, 0x20]);
    expect(guest.kernel.clock.now).toBeGreaterThan(2_999_000);
    expect(guest.kernel.clock.now).toBeLessThan(3_010_000);
  });

  test('a periodic timer that is masked lets the guest sleep for ever, and the model end', () => {
    const guest = new Guest(`${port(0x21, 0xff)}${port(0x43, 0x34)}${port(0x40, 0)}${port(0x40, 1)}sti\n hlt\n`);
    guest.qemu.pass(guest.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {});
    expect(guest.resume()).toBe(-EINTR);
  });
});

describe('inter-processor interrupts and the I/O APIC', () => {
  test('a self-IPI by shorthand and by physical destination', () => {
    const ipi =
      'mov dword [rbx + 0x300], 0x44055\n nop\n mov dword [rbx + 0x310], 0\n mov dword [rbx + 0x300], 0x56\n nop\n';
    const guest = new Guest(`${APIC_ON}sti\n${ipi}${STOP}`);
    guest.listen('kvm_apic_ipi,kvm_apic_accept_irq');
    guest.resume();
    expect(guest.taken).toEqual([0x55, 0x56]);
    expect(guest.events.slice(0, 2)).toEqual([
      'kvm_apic_ipi: dst 0 vec 85 (Fixed|physical|assert|edge|self)',
      'kvm_apic_accept_irq: apicid 0 vec 85 (Fixed|edge)',
    ]);
  });

  test('a level-triggered input: once until its EOI, and again while the line is high', () => {
    const entry = 'mov ecx, 0xfec00000\n mov dword [rcx], 0x10 + 2 * 19\n mov dword [rcx + 0x10], 0x8061\n';
    const guest = new Guest(`${APIC_ON}${entry}${STOP}sti\n nop\n nop\n nop\n cli\n${STOP}`);
    guest.resume();
    guest.listen('kvm_ioapic_set_irq,kvm_eoi,kvm_ack_irq');
    guest.setLine(19, 1);
    expect(guest.events).toEqual(['kvm_ioapic_set_irq: pin 19 dst 0 vec 97 (Fixed|physical|level)']);
    let acks = 0;
    guest.vm.irqchip!.addNotifier({
      gsi: 19,
      acknowledged: () => {
        if (++acks === 3) guest.setLine(19, 0);
      },
    });
    guest.kernel.current = guest.qemu.process;
    guest.resume();
    expect(guest.taken).toEqual([0x61, 0x61, 0x61]);
    expect(guest.events.slice(1, 3)).toEqual(['kvm_eoi: apicid 0 vector 97', 'kvm_ack_irq: irqchip IOAPIC pin 19']);
  });

  test('a line that never falls: after 10000 ends of interrupt in a row the next waits for a hundredth of a second', () => {
    // ioapic.c: IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT
    const { kernel, stream } = new Host();
    const told: string[] = [];
    stream.subscribe(matchingEvents('kvm_ioapic_delayed_eoi_inj'), ({ event, fields }) =>
      told.push(event.text(fields as never)),
    );
    let sent = 0;
    const ioapic = new Ioapic(stream, kernel.clock, {
      send: () => ++sent,
      acknowledged: () => undefined,
      watched: () => false,
      masked: () => undefined,
    });
    ioapic.write(IOAPIC_BASE, Uint8Array.of(0x10 + 2 * 19));
    ioapic.write(IOAPIC_BASE + 0x10, Uint8Array.of(0x61, 0x80, 0, 0));
    ioapic.setIrq(19, 0, true);
    for (let i = 0; i < 9999; i++) ioapic.served(0x61, true);
    expect([sent, told, kernel.clock.nextDeadline]).toEqual([10_000, [], Number.POSITIVE_INFINITY]);
    ioapic.served(0x61, true);
    expect([sent, told]).toEqual([10_000, ['dst 0 vec 97 (Fixed|physical|level)']]);
    expect(kernel.clock.sleep()).toBe(true);
    expect([sent, kernel.clock.now]).toEqual([10_001, 10_000_000]);
    for (let i = 0; i < 10_000; i++) ioapic.served(0x61, true);
    ioapic.destroy();
    expect(kernel.clock.nextDeadline).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('interrupts from user space, without controllers in the kernel', () => {
  test('KVM_INTERRUPT is delivered, and the window is announced when asked for', () => {
    const guest = new Guest(`${STOP}nop\n sti\n nop\n nop\n${STOP}`, 'none', { irqchip: false });
    guest.resume();
    guest.run.setUint8(run.RUN_REQUEST_INTERRUPT_WINDOW, 1);
    expect(guest.resume()).toBe(0);
    expect(guest.exitReason).toBe(run.KVM_EXIT_IRQ_WINDOW_OPEN);
    expect(guest.run.getUint8(run.RUN_READY_FOR_INTERRUPT_INJECTION)).toBe(1);
    guest.run.setUint8(run.RUN_REQUEST_INTERRUPT_WINDOW, 0);
    expect(guest.qemu.pass(guest.vcpuFd, uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 0x77 })).toBe(0);
    expect(guest.resume()).toBe(0);
    expect(guest.taken).toEqual([0x77]);
  });
});

test('an access to the local APIC is MMIO without a look at the page that was MMIO last', () => {
  // x86.c: vcpu_is_mmio_gpa
  const guest = new Guest(`${APIC_ON}mov eax, [rbx + 0x30]\n mov eax, [rbx + 0x30]\n${STOP}`, 'lapic');
  guest.listen('vcpu_match_mmio,kvm_apic');
  guest.resume();
  expect(guest.events).toHaveLength(3);
});

test('the local vector table keeps of what a guest writes what apic_lvt_mask says: delivery status and remote IRR too', () => {
  const entries = [0x320, 0x330, 0x340, 0x350, 0x360, 0x370];
  const writes = entries.map((at) => `mov dword [rbx + ${at}], -1\n`).join('');
  const guest = new Guest(`${APIC_ON}${writes}${STOP}${SLEEP}`, 'lapic');
  guest.resume();
  expect(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_LAPIC, guest.qemu.scratch)).toBe(0);
  const { regs } = guest.qemu.answer(uapi.kvm_lapic_state);
  const view = new DataView(regs.buffer, regs.byteOffset);
  expect(entries.map((at) => view.getUint32(at, true).toString(16))).toEqual([
    '310ff',
    '117ff',
    '117ff',
    '1f7ff',
    '1f7ff',
    '110ff',
  ]);
});
