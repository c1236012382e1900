/** The ioctls about interrupts: every errno, GSI routing, MSIs, irqfds with and without resampling, chip state. */

import { describe, expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { eventfdFromFile } from '../../../src/linux/core/eventfd.ts';
import { EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, EINTR, EINVAL, ENXIO, EPERM } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { Bench, User } from './bench.ts';

const BAD_POINTER = 0x10;

const make = () => new Bench({ irqchip: true });
const line = (bench: Bench, irq: number, level: number) =>
  bench.qemu.pass(bench.vmFd, uapi.KVM_IRQ_LINE, uapi.kvm_irq_level, { irq, level });
const lineStatus = (bench: Bench, irq: number, level: number) => {
  expect(bench.qemu.pass(bench.vmFd, uapi.KVM_IRQ_LINE_STATUS, uapi.kvm_irq_level, { irq, level })).toBe(0);
  return bench.qemu.answer(uapi.kvm_irq_level).irq | 0;
};

describe('without controllers in the kernel', () => {
  const bench = new Bench();
  const { qemu, vmFd, vcpuFd } = bench;
  test.each([
    ['KVM_IRQ_LINE', () => line(bench, 1, 1), -ENXIO],
    ['KVM_IRQ_LINE_STATUS', () => qemu.pass(vmFd, uapi.KVM_IRQ_LINE_STATUS, uapi.kvm_irq_level, {}), -ENXIO],
    ['KVM_GET_IRQCHIP', () => qemu.pass(vmFd, uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, {}), -ENXIO],
    ['KVM_SET_IRQCHIP', () => qemu.pass(vmFd, uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, {}), -ENXIO],
    ['KVM_SIGNAL_MSI', () => qemu.pass(vmFd, uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, {}), -EINVAL],
    ['KVM_SET_GSI_ROUTING', () => qemu.pass(vmFd, uapi.KVM_SET_GSI_ROUTING, uapi.kvm_irq_routing, {}), -EINVAL],
    ['KVM_IRQFD', () => qemu.pass(vmFd, uapi.KVM_IRQFD, uapi.kvm_irqfd, {}), -EINVAL],
    ['KVM_REINJECT_CONTROL', () => qemu.pass(vmFd, uapi.KVM_REINJECT_CONTROL, uapi.kvm_reinject_control, {}), -ENXIO],
    ['KVM_GET_LAPIC', () => qemu.ioctl(vcpuFd, uapi.KVM_GET_LAPIC, qemu.scratch), -EINVAL],
    ['KVM_SET_LAPIC', () => qemu.pass(vcpuFd, uapi.KVM_SET_LAPIC, uapi.kvm_lapic_state, {}), -EINVAL],
    [
      'a state other than RUNNABLE',
      () => qemu.pass(vcpuFd, uapi.KVM_SET_MP_STATE, uapi.kvm_mp_state, { mp_state: 3 }),
      -EINVAL,
    ],
    ['KVM_CREATE_IRQCHIP after a vCPU', () => qemu.ioctl(vmFd, uapi.KVM_CREATE_IRQCHIP), -EINVAL],
    [
      'KVM_INTERRUPT of vector 256',
      () => qemu.pass(vcpuFd, uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 256 }),
      -EINVAL,
    ],
    ['KVM_INTERRUPT', () => qemu.pass(vcpuFd, uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 0x20 }), 0],
    ['KVM_INTERRUPT again', () => qemu.pass(vcpuFd, uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 0x21 }), -EEXIST],
  ])('%s', (_name, call, result) => {
    expect(call()).toBe(result);
  });
});

describe('with them', () => {
  test('KVM_CREATE_IRQCHIP and KVM_CREATE_PIT2: EEXIST the second time; KVM_INTERRUPT is ENXIO', () => {
    const bench = make();
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_IRQCHIP)).toBe(-EEXIST);
    const pit = () => bench.qemu.pass(bench.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, { flags: 1 });
    expect([pit(), pit()]).toEqual([0, -EEXIST]);
    expect(bench.qemu.pass(bench.vmFd, uapi.KVM_REINJECT_CONTROL, uapi.kvm_reinject_control, {})).toBe(0);
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 0x20 })).toBe(-ENXIO);
  });

  test('KVM_IRQ_LINE_STATUS: -1 masked everywhere, 1 delivered, 0 coalesced', () => {
    const bench = make();
    expect(lineStatus(bench, 20, 1)).toBe(-1);
    expect(lineStatus(bench, 5, 1)).toBe(1);
    expect(lineStatus(bench, 5, 0)).toBe(2);
    expect(lineStatus(bench, 5, 1)).toBe(0);
    expect(lineStatus(bench, 4000, 1)).toBe(-1);
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_IRQ_LINE, BAD_POINTER)).toBe(-EFAULT);
  });

  test('chip state comes back as it was set; other chips are EINVAL', () => {
    const bench = make();
    const get = (chip_id: number) => bench.qemu.pass(bench.vmFd, uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id });
    expect(get(3)).toBe(-EINVAL);
    expect(bench.qemu.pass(bench.vmFd, uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, { chip_id: 3 })).toBe(-EINVAL);
    for (const chip_id of [0, 1, 2]) {
      expect(get(chip_id)).toBe(0);
      const { chip } = bench.qemu.answer(uapi.kvm_irqchip);
      chip[chip_id === 2 ? 24 : 2] = 0x5a;
      expect(bench.qemu.pass(bench.vmFd, uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, { chip_id, chip })).toBe(0);
      get(chip_id);
      expect(bench.qemu.answer(uapi.kvm_irqchip).chip).toEqual(chip);
    }
  });

  test('KVM_GET/SET_LAPIC: 1 KiB of registers, version 0x50014', () => {
    const bench = make();
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_LAPIC, bench.qemu.scratch)).toBe(0);
    const { regs } = bench.qemu.answer(uapi.kvm_lapic_state);
    expect(new DataView(regs.buffer).getUint32(0x30, true)).toBe(0x50014);
    regs[0x80] = 0x70;
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_LAPIC, uapi.kvm_lapic_state, { regs })).toBe(0);
    bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_LAPIC, bench.qemu.scratch);
    expect(bench.qemu.answer(uapi.kvm_lapic_state).regs[0x80]).toBe(0x70);
  });

  test('vCPU events: what is queued comes back; nonsense is EINVAL', () => {
    const bench = make();
    const set = (events: object) =>
      bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, events);
    expect(set({ flags: 0x40 })).toBe(-EINVAL);
    expect(set({ exception_injected: 1, exception_nr: 2 })).toBe(-EINVAL);
    expect(set({ exception_injected: 1, exception_nr: 14, exception_has_error_code: 1, exception_error_code: 6 })).toBe(
      0,
    );
    bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_NMI);
    bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_VCPU_EVENTS, bench.qemu.scratch);
    expect(bench.qemu.answer(uapi.kvm_vcpu_events)).toMatchObject({
      exception_injected: 1,
      exception_nr: 14,
      exception_error_code: 6,
      nmi_pending: 1,
    });
  });

  test('inputs that KVM_SET_IRQCHIP says are high are raised, and told', () => {
    // ioapic.c: kvm_ioapic_inject_all
    const bench = make();
    const { qemu, vmFd, events } = bench;
    bench.listen('kvm_ioapic_set_irq');
    const chip = uapi.kvm_ioapic_state.encode({ irr: 0x30 });
    const chip_id = uapi.KVM_IRQCHIP_IOAPIC;
    expect(qemu.pass(vmFd, uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, { chip_id, chip })).toBe(0);
    expect(events).toHaveLength(2);
  });

  test('what selects a register of the I/O APIC is kept as user space has set it, and selects nothing there', () => {
    const { qemu, vmFd } = make();
    const chip = new Uint8Array(uapi.kvm_ioapic_state.size);
    new DataView(chip.buffer).setUint32(uapi.kvm_ioapic_state.offsets.ioregsel, 0xdf00_0010, true);
    const chip_id = uapi.KVM_IRQCHIP_IOAPIC;
    expect(qemu.pass(vmFd, uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, { chip_id, chip })).toBe(0);
    expect(qemu.pass(vmFd, uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id })).toBe(0);
    const got = uapi.kvm_ioapic_state.read(new DataView(qemu.answer(uapi.kvm_irqchip).chip.slice().buffer));
    expect(got.ioregsel).toBe(0xdf00_0010);
  });

  test('an application processor waits: EAGAIN until INIT and SIPI have come', () => {
    const bench = make();
    const second = bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_VCPU, 1);
    expect(bench.qemu.ioctl(second, uapi.KVM_RUN)).toBe(-EAGAIN);
    const send = (deliveryMode: number, vector: number) =>
      bench.vm.irqchip!.send({
        vector,
        deliveryMode,
        logical: false,
        destination: 1,
        levelTriggered: false,
        assert: true,
        shorthand: 0,
      });
    expect(send(6, 0x10)).toBe(1);
    expect(bench.qemu.ioctl(second, uapi.KVM_RUN)).toBe(-EAGAIN);
    send(5, 0);
    send(6, 0x10);
    bench.qemu.ioctl(second, uapi.KVM_GET_MP_STATE, bench.qemu.scratch);
    expect(bench.qemu.answer(uapi.kvm_mp_state).mp_state).toBe(0);
    expect(bench.vm.vcpus[1]!.cpu.segment('cs')).toMatchObject({ selector: 0x1000, base: 0x10000n });
  });
});

describe('what waits until the vCPU is looked at', () => {
  const state = ({ qemu, vcpuFd }: Bench) => {
    qemu.ioctl(vcpuFd, uapi.KVM_GET_MP_STATE, qemu.scratch);
    return qemu.answer(uapi.kvm_mp_state).mp_state;
  };
  const setState = ({ qemu, vcpuFd }: Bench, mp_state: number) =>
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_MP_STATE, uapi.kvm_mp_state, { mp_state })).toBe(0);

  test('KVM_SET_BOOT_CPU_ID: the processor of that number runs, hears the PIC, and says that it is the one', () => {
    const boot = (bench: Bench) => expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_BOOT_CPU_ID, 1)).toBe(0);
    const bench = new Bench({ irqchip: true, prepare: boot });
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_RUN)).toBe(-EAGAIN);
    const second = bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_VCPU, 1);
    expect(bench.qemu.ioctl(second, uapi.KVM_GET_MP_STATE, bench.qemu.scratch)).toBe(0);
    expect(bench.qemu.answer(uapi.kvm_mp_state).mp_state).toBe(uapi.KVM_MP_STATE_RUNNABLE);
    expect(bench.qemu.ioctl(second, uapi.KVM_GET_SREGS, bench.qemu.scratch)).toBe(0);
    expect(bench.qemu.answer(uapi.kvm_sregs).apic_base).toBe(0xfee00900n);
    expect(bench.vm.vcpus.map(({ lapic }) => lapic!.listensToPic)).toEqual([false, true]);
  });

  test('an INIT that KVM_SET_VCPU_EVENTS says to wait: KVM_GET_VCPU_EVENTS tells of it, KVM_GET_MP_STATE has it done', () => {
    const bench = make();
    const { qemu, vcpuFd } = bench;
    setState(bench, uapi.KVM_MP_STATE_HALTED);
    qemu.pass(vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, { rbx: 7n });
    const events = { flags: uapi.KVM_VCPUEVENT_VALID_SMM, smi: Uint8Array.of(0, 0, 0, 1) };
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, events)).toBe(0);
    qemu.ioctl(vcpuFd, uapi.KVM_GET_VCPU_EVENTS, qemu.scratch);
    expect([...qemu.answer(uapi.kvm_vcpu_events).smi]).toEqual([0, 0, 0, 1]);
    expect(state(bench)).toBe(uapi.KVM_MP_STATE_RUNNABLE);
    qemu.ioctl(vcpuFd, uapi.KVM_GET_REGS, qemu.scratch);
    expect(qemu.answer(uapi.kvm_regs)).toMatchObject({ rbx: 0n, rip: 0xfff0n });
  });

  test('KVM_MP_STATE_SIPI_RECEIVED is a start-up message that waits, at the page KVM_SET_VCPU_EVENTS says', () => {
    const bench = make();
    const { qemu, vcpuFd } = bench;
    const events = { flags: uapi.KVM_VCPUEVENT_VALID_SIPI_VECTOR, sipi_vector: 0x12 };
    qemu.pass(vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, events);
    setState(bench, uapi.KVM_MP_STATE_SIPI_RECEIVED);
    expect(state(bench)).toBe(uapi.KVM_MP_STATE_RUNNABLE);
    expect(bench.cpu.segment('cs')).toMatchObject({ selector: 0x1200, base: 0x12000n });
  });

  test('who waits for a start-up message is not woken by an NMI', () => {
    const bench = make();
    setState(bench, uapi.KVM_MP_STATE_INIT_RECEIVED);
    bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_NMI);
    expect(bench.enter()).toBe(-EINTR);
    expect(state(bench)).toBe(uapi.KVM_MP_STATE_INIT_RECEIVED);
  });

  test('KVM_SET_SREGS of the boot processor as it begins lets it run', () => {
    const bench = make();
    const { qemu, vcpuFd } = bench;
    setState(bench, uapi.KVM_MP_STATE_HALTED);
    const sregs = () => {
      qemu.ioctl(vcpuFd, uapi.KVM_GET_SREGS, qemu.scratch);
      return qemu.answer(uapi.kvm_sregs);
    };
    const cs = { ...sregs().cs, selector: 0xf000, base: 0xffff0000n, l: 0 };
    const realMode = { ...sregs(), cs, cr0: 0x10n, efer: 0n };
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, realMode)).toBe(0);
    expect(state(bench)).toBe(uapi.KVM_MP_STATE_HALTED);
    qemu.pass(vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, { rip: 0xfff0n });
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, realMode)).toBe(0);
    expect(state(bench)).toBe(uapi.KVM_MP_STATE_RUNNABLE);
  });
});

describe('KVM_SIGNAL_MSI', () => {
  const signal = (bench: Bench, value: object) => bench.qemu.pass(bench.vmFd, uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, value);
  /** Software-enable the local APIC of vCPU 0. */
  const enabled = () => {
    const bench = make();
    bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_LAPIC, bench.qemu.scratch);
    const { regs } = bench.qemu.answer(uapi.kvm_lapic_state);
    regs[0xf1] = 1;
    regs[0xd3] = 2;
    bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_LAPIC, uapi.kvm_lapic_state, { regs });
    return bench;
  };
  test.each([
    ['to APIC 0', { address_lo: 0xfee00000, data: 0x41 }, 1],
    ['to all', { address_lo: 0xfeeff000, data: 0x41 }, 1],
    ['to a logical destination that it has', { address_lo: 0xfee06004, data: 0x41 }, 1],
    // kvm_irq_delivery_to_apic_fast: the map of local APICs knows that nobody is there.
    ['to one that it has not', { address_lo: 0xfee05004, data: 0x41 }, 0],
    ['to APIC 7', { address_lo: 0xfee07000, data: 0x41 }, 0],
    [
      'with the upper half of an address, which nobody looks at',
      { address_hi: 0x700, address_lo: 0xfee00000, data: 0x41 },
      1,
    ],
    ['with unknown flags', { address_lo: 0xfee00000, data: 0x41, flags: 2 }, -EINVAL],
  ])('%s', (_name, msi, result) => {
    expect(signal(enabled(), msi)).toBe(result);
  });

  test('to a logical destination where no APIC has any: -1, seen as EPERM', () => {
    expect(signal(make(), { address_lo: 0xfee01004, data: 0x41 })).toBe(-EPERM);
  });

  test('an APIC that is off in software takes nothing: 0', () => {
    expect(signal(make(), { address_lo: 0xfee00000, data: 0x41 })).toBe(0);
  });

  test('the event', () => {
    const bench = enabled();
    bench.listen('kvm_msi_set_irq,kvm_apic_accept_irq');
    signal(bench, { address_lo: 0xfee0200c, data: 0x4141 });
    expect(bench.events).toEqual([
      'kvm_msi_set_irq: dst 2 vec 65 (LowPrio|logical|edge|rh)',
      'kvm_apic_accept_irq: apicid 0 vec 65 (LowPrio|edge)',
    ]);
  });
});

describe('KVM_SET_GSI_ROUTING', () => {
  const set = (bench: Bench, entries: readonly object[], header: object = {}) => {
    const { size } = uapi.kvm_irq_routing_entry;
    const bytes = new Uint8Array(uapi.kvm_irq_routing.size + entries.length * size);
    bytes.set(uapi.kvm_irq_routing.encode({ nr: entries.length, ...header }));
    for (const [index, entry] of entries.entries())
      bytes.set(uapi.kvm_irq_routing_entry.encode(entry), uapi.kvm_irq_routing.size + index * size);
    bench.qemu.user.memory.write(bench.qemu.scratch, bytes);
    return bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_GSI_ROUTING, bench.qemu.scratch);
  };
  const chip = (gsi: number, number: number, pin: number, more = {}) => ({
    gsi,
    type: 1,
    u: new Uint8Array(Uint32Array.of(number, pin, 0, 0, 0, 0, 0, 0).buffer),
    ...more,
  });
  const msi = (gsi: number, data: number, more = {}) => ({
    gsi,
    type: 2,
    u: new Uint8Array(Uint32Array.of(0xfee00000, 0, data, 0, 0, 0, 0, 0).buffer),
    ...more,
  });
  test.each([
    ['nothing', [], {}, 0],
    ['flags of the table', [], { flags: 1 }, -EINVAL],
    ['more than 4096 entries', [], { nr: 4097 }, -EINVAL],
    ['entries that are not there', [], { nr: 4096 }, -EFAULT],
    ['a pin of each chip', [chip(5, 0, 5), chip(6, 1, 7), chip(7, 2, 23)], {}, 0],
    ['GSI 4096', [chip(4096, 0, 0)], {}, -EINVAL],
    ['PIC pin 8', [chip(0, 0, 8)], {}, -EINVAL],
    ['IOAPIC pin 24', [chip(0, 2, 24)], {}, -EINVAL],
    ['chip 3', [chip(0, 3, 0)], {}, -EINVAL],
    ['type 3', [chip(0, 0, 0, { type: 3 })], {}, -EINVAL],
    ['flags of an entry', [chip(0, 0, 0, { flags: 1 })], {}, -EINVAL],
    ['a GSI to two chips', [chip(5, 0, 5), chip(5, 2, 5)], {}, 0],
    ['a GSI to one chip twice', [chip(5, 2, 5), chip(5, 2, 6)], {}, -EINVAL],
    ['an MSI', [msi(40, 0x31)], {}, 0],
    ['an MSI with devid', [msi(40, 0x31, { flags: 1 })], {}, 0],
    ['an MSI with unknown flags', [msi(40, 0x31, { flags: 2 })], {}, -EINVAL],
    ['two MSIs of one GSI', [msi(40, 0x31), msi(40, 0x32)], {}, -EINVAL],
    ['an MSI that shares a GSI', [chip(5, 0, 5), msi(5, 0x31)], {}, -EINVAL],
  ])('%s: %i', (_name, entries, header, result) => {
    expect(set(make(), entries, header)).toBe(result);
  });

  test('a GSI sets its inputs in the order of the entries; of two GSIs that lead to an input the last is its', () => {
    // irqchip.c: kvm_set_irq, setup_routing_entry
    const bench = make();
    bench.listen('kvm_pic_set_irq,kvm_ioapic_set_irq,kvm_ack_irq');
    const order = () => bench.events.splice(0).map((text) => text.slice(0, text.indexOf(':')));
    line(bench, 5, 1);
    expect(order()).toEqual(['kvm_ioapic_set_irq', 'kvm_pic_set_irq']);
    expect(set(bench, [chip(5, 0, 5), chip(5, 2, 5), chip(6, 2, 6), chip(30, 2, 6)])).toBe(0);
    line(bench, 5, 1);
    expect(order()).toEqual(['kvm_pic_set_irq', 'kvm_ioapic_set_irq']);
    const acknowledged: number[] = [];
    for (const gsi of [6, 30]) bench.vm.irqchip!.addNotifier({ gsi, acknowledged: () => acknowledged.push(gsi) });
    bench.vm.irqchip!.ioapic.write(0xfec00000, Uint8Array.of(0x10 + 2 * 6));
    bench.vm.irqchip!.ioapic.write(0xfec00010, Uint8Array.of(0x61, 0x80, 0, 0));
    bench.vm.irqchip!.ioapic.served(0x61, true);
    expect(acknowledged).toEqual([30]);
  });

  test('replaces the whole table; a refused one leaves the old', () => {
    const bench = make();
    expect(set(bench, [msi(0, 0x31)])).toBe(0);
    bench.listen('kvm_set_irq,kvm_msi_set_irq,kvm_pic_set_irq');
    line(bench, 1, 1);
    expect(bench.events).toEqual(['kvm_set_irq: gsi 1 level 1 source 0']);
    expect(set(bench, [chip(0, 9, 9)])).toBe(-EINVAL);
    line(bench, 0, 1);
    expect(bench.events.at(-1)).toBe('kvm_msi_set_irq: dst 0 vec 49 (Fixed|physical|edge)');
  });
});

describe('KVM_IRQFD', () => {
  const set = (bench: Bench, fd: number, gsi: number, flags = 0, resamplefd = 0) =>
    bench.qemu.pass(bench.vmFd, uapi.KVM_IRQFD, uapi.kvm_irqfd, { fd, gsi, flags, resamplefd });
  const eventfd = (bench: Bench, initial = 0) => bench.qemu.user.syscalls.eventfd(initial, 0x800);
  const signal = (bench: Bench, fd: number) => {
    bench.qemu.user.memory.write(bench.qemu.scratch, new Uint8Array(BigUint64Array.of(1n).buffer));
    expect(bench.qemu.user.syscalls.write(fd, bench.qemu.scratch, 8)).toBe(8);
  };
  const counter = (bench: Bench, fd: number) => {
    const result = bench.qemu.user.syscalls.read(fd, (bench.qemu.scratch + 64) as Hva, 8);
    return result === 8 ? bench.qemu.user.memory.read((bench.qemu.scratch + 64) as Hva, 1)[0] : result;
  };

  test('errnos', () => {
    const bench = make();
    const fd = eventfd(bench);
    expect(set(bench, fd, 5, 4)).toBe(-EINVAL);
    expect(set(bench, 99, 5)).toBe(-EBADF);
    expect(set(bench, bench.kvmFd, 5)).toBe(-EINVAL);
    expect(set(bench, fd, 5, 2, 99)).toBe(-EBADF);
    expect(set(bench, fd, 5, 2, bench.kvmFd)).toBe(-EINVAL);
    expect(set(bench, fd, 5)).toBe(0);
    expect(set(bench, fd, 6)).toBe(-EBUSY);
    expect(set(bench, fd, 6, 1)).toBe(0);
    expect(set(bench, fd, 6)).toBe(-EBUSY);
    expect(set(bench, fd, 5, 1)).toBe(0);
    expect(set(bench, fd, 6)).toBe(0);
    expect(set(bench, eventfd(bench), 100_000)).toBe(0);
  });

  test('a signal is a pulse, and KVM takes the counter; what was there before is told, and stays there until the next signal', () => {
    const bench = make();
    bench.listen('kvm_set_irq');
    const fd = eventfd(bench, 3);
    set(bench, fd, 9);
    expect(bench.events).toEqual(['kvm_set_irq: gsi 9 level 1 source 0', 'kvm_set_irq: gsi 9 level 0 source 0']);
    expect(counter(bench, fd)).toBe(3);
    signal(bench, fd);
    expect(bench.events).toHaveLength(4);
    expect(counter(bench, fd)).toBe(-EAGAIN);
    set(bench, fd, 9, 1);
    signal(bench, fd);
    set(bench, fd, 9);
    set(bench, fd, 9, 1);
    expect(counter(bench, fd)).toBe(-EAGAIN);
    bench.qemu.user.syscalls.close(fd);
    expect(set(bench, eventfd(bench), 9)).toBe(0);
  });

  test('a signal that is a message goes to the local APIC at once, without a line that rises and falls', () => {
    // eventfd.c: irqfd_wakeup; irq_comm.c: kvm_arch_set_irq_inatomic
    const bench = make();
    const routing = uapi.kvm_irq_routing.encode({ nr: 2 });
    const entries = [0xfee0_0000, 0xfeef_f000].map((address, index) => {
      const u = new Uint8Array(32);
      u.set(new Uint8Array(Uint32Array.of(address, 0, 0x31).buffer));
      return uapi.kvm_irq_routing_entry.encode({ gsi: 40 + index, type: 2, u });
    });
    const { memory } = bench.qemu.user;
    memory.write(bench.qemu.scratch, Uint8Array.of(...routing, ...entries[0]!, ...entries[1]!));
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_GSI_ROUTING, bench.qemu.scratch)).toBe(0);
    bench.listen('kvm_set_irq,kvm_msi_set_irq');
    const [one, all] = [eventfd(bench), eventfd(bench)];
    set(bench, one, 40);
    set(bench, all, 41);
    signal(bench, one);
    expect(bench.events).toEqual(['kvm_msi_set_irq: dst 0 vec 49 (Fixed|physical|edge)']);
    signal(bench, all);
    expect(bench.events.slice(1)).toEqual([
      'kvm_msi_set_irq: dst ff vec 49 (Fixed|physical|edge)',
      'kvm_set_irq: gsi 41 level 1 source 0',
      'kvm_msi_set_irq: dst ff vec 49 (Fixed|physical|edge)',
      'kvm_set_irq: gsi 41 level 0 source 0',
    ]);
  });

  test('an eventfd that is an irqfd already leaves the line of its resampler low', () => {
    const bench = make();
    const fd = eventfd(bench);
    set(bench, fd, 9);
    bench.listen('kvm_set_irq');
    expect(set(bench, fd, 11, 2, eventfd(bench))).toBe(-EBUSY);
    expect(bench.events).toEqual(['kvm_set_irq: gsi 11 level 0 source 1']);
  });

  test('resampling: the line stays high until the end of interrupt, then every user is asked', () => {
    const bench = make();
    const [first, second, resampleA, resampleB] = [0, 0, 0, 0].map(() => eventfd(bench)) as [
      number,
      number,
      number,
      number,
    ];
    set(bench, first, 11, 2, resampleA);
    set(bench, second, 11, 2, resampleB);
    bench.listen('kvm_set_irq');
    signal(bench, first);
    expect(bench.events).toEqual(['kvm_set_irq: gsi 11 level 1 source 1']);
    bench.kernel.current = bench.qemu.process;
    const { pic } = bench.vm.irqchip!;
    pic.acknowledge();
    pic.ports(1).write!(0xa0, Uint8Array.of(0x20));
    expect(bench.events.at(-1)).toBe('kvm_set_irq: gsi 11 level 0 source 1');
    expect([counter(bench, resampleA), counter(bench, resampleB)]).toEqual([1, 1]);
    const asked: string[] = [];
    for (const [name, fd] of Object.entries({ first: resampleA, second: resampleB }))
      eventfdFromFile(bench.qemu.process.files.get(fd)!)!.addWaiter(() => asked.push(name));
    pic.ports(0).write!(0x20, Uint8Array.of(0x20));
    signal(bench, second);
    pic.acknowledge();
    pic.ports(1).write!(0xa0, Uint8Array.of(0x20));
    // The newest is asked first (list_add_rcu).
    expect(asked).toEqual(['second', 'first']);
  });
});

test('the second process: its VM, its interrupts', () => {
  const bench = make();
  const other = new User(bench.kernel, 'other');
  expect(
    other.ioctl(other.process.files.install(bench.qemu.process.files.get(bench.vmFd)!.get()), uapi.KVM_CREATE_IRQCHIP),
  ).toBe(-5);
});
