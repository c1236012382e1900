/**
 * Events whose delivery an EPT violation cuts short: the CPU tells them in the IDT-vectoring field, KVM gives them back
 * (arch/x86/kvm/vmx/vmx.c: vmx_complete_interrupts, __vmx_handle_exit; SDM vol. 3C §28.2.4).
 */

import { describe, expect, test } from 'vitest';
import { matchingEvents } from '../../../src/event.ts';
import { EPT_QUALIFICATION, EXIT_REASON } from '../../../src/hardware/vcpu/exit.ts';
import { EINVAL } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Bench } from './bench.ts';
import { Guest } from './guest.ts';

const STOP = 'out 0x80, al\n';

const regs = (guest: Guest) => {
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
  return guest.qemu.answer(uapi.kvm_regs);
};
const events = (guest: Guest) => {
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_VCPU_EVENTS, guest.qemu.scratch);
  return guest.qemu.answer(uapi.kvm_vcpu_events);
};
const vectoring = (lines: readonly string[]) =>
  lines.filter((line) => line.includes('reason EPT_VIOLATION')).map((line) => /info2 (0x[0-9a-f]+)/.exec(line)![1]);
const injections = (lines: readonly string[]) => lines.filter((line) => line.startsWith('kvm_inj'));

describe('an event meets pages that the EPT does not map yet', () => {
  test('int n: a software interrupt of two bytes', () => {
    const guest = new Guest(`${STOP}int 0x31\n${STOP}`, 'none');
    guest.resume();
    guest.listen('kvm_exit,kvm_inj_virq');
    guest.resume();
    expect(guest.taken).toEqual([0x31]);
    expect(vectoring(guest.events)).toContain('0x0000000080000431');
    expect(injections(guest.events)).toContain('kvm_inj_virq: Soft/INTn 0x31 [reinjected]');
  });

  test('int3: a software exception of one byte; the next instruction is where it returns', () => {
    const guest = new Guest(`${STOP}int3\n inc esi\n${STOP}`, 'none');
    guest.resume();
    guest.listen('kvm_exit,kvm_inj_exception');
    guest.resume();
    expect(guest.taken).toEqual([3]);
    expect(regs(guest).rsi).toBe(1n);
    expect(vectoring(guest.events)).toContain('0x0000000080000603');
    expect(injections(guest.events)).toContain('kvm_inj_exception: #BP [reinjected]');
  });

  test('a fault pushes its own rip, and RF', () => {
    const frame = `mov rax, [rsp - 40]\n lea rcx, [rel again]\n sub rax, rcx\n mov rdx, [rsp - 24]\n`;
    // The handler counts at 0x7000: the second time the division is by 1.
    const guest = new Guest(`${STOP}xor edx, edx\n mov eax, 7\nagain: div dword [0x7000]\n${frame}${STOP}`, 'none');
    guest.resume();
    guest.listen('kvm_exit,kvm_inj_exception');
    guest.resume();
    expect(guest.taken).toEqual([0]);
    expect(vectoring(guest.events)).toContain('0x0000000080000300');
    expect(injections(guest.events)).toContain('kvm_inj_exception: #DE [reinjected]');
    expect(regs(guest)).toMatchObject({ rax: 0n, rdx: 0x10046n });
  });

  test('a page fault keeps its error code and CR2, and is one', () => {
    const guest = new Guest(`${STOP}mov rax, [0xffffffff80000000]\n${STOP}`, 'none');
    guest.resume();
    guest.listen('kvm_exit,kvm_inj_exception');
    guest.vm.instructionLimit = guest.vm.retired + 60;
    guest.resume();
    expect(guest.taken[0]).toBe(14);
    expect(injections(guest.events)).toContain('kvm_inj_exception: #PF (0x0) [reinjected]');
    expect(guest.cpu.control(2)).toBe(0xffffffff80000000n);
  });

  test('a single step is a trap that cannot be had again', () => {
    const guest = new Guest(`${STOP}push 0x102\n popfq\n inc esi\n push 2\n popfq\n${STOP}`, 'none');
    guest.resume();
    guest.listen('kvm_exit,kvm_inj_exception');
    guest.resume();
    // After inc, push and popf.
    expect(guest.taken).toEqual([1, 1, 1]);
    expect(regs(guest).rsi).toBe(1n);
    expect(injections(guest.events)[0]).toBe('kvm_inj_exception: #DB [reinjected]');
  });

  test('an NMI blocks no other while it is not delivered', () => {
    const guest = new Guest(`${STOP}nop\n${STOP}`, 'none');
    guest.resume();
    guest.listen('kvm_exit');
    expect(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_NMI)).toBe(0);
    guest.resume();
    expect(guest.taken).toEqual([2]);
    expect(vectoring(guest.events)).toContain('0x0000000080000202');
    expect(events(guest)).toMatchObject({ nmi_masked: 0, nmi_injected: 0 });
  });

  test('a stack in MMIO: KVM gives up, and says what it could not deliver', () => {
    const guest = new Guest(`mov rsp, 0xfebc1000\n xor edx, edx\n div edx\n`, 'none');
    guest.resume();
    expect(guest.exitReason).toBe(run.KVM_EXIT_INTERNAL_ERROR);
    expect(guest.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(run.KVM_INTERNAL_ERROR_DELIVERY_EV);
    expect(guest.run.getUint32(run.RUN_INTERNAL_NDATA, true)).toBe(5);
    const data = (index: number) => guest.run.getBigUint64(run.RUN_INTERNAL_DATA + 8 * index, true);
    // #DE, EPT_MISCONFIG, the qualification of the EPT violation before it, the address, the processor.
    expect([0, 1, 2, 3, 4].map(data)).toEqual([0x80000300n, 49n, 0x182n, 0xfebc0ff8n, 0n]);
  });

  test('int3 with its stack in MMIO cannot be emulated', () => {
    const guest = new Guest(`mov rsp, 0xfebc1000\n int3\n`, 'none');
    guest.resume();
    expect(guest.exitReason).toBe(run.KVM_EXIT_INTERNAL_ERROR);
    expect(guest.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(run.KVM_INTERNAL_ERROR_EMULATION);
    // All that the decoder has fetched (emulate.c: __do_insn_fetch_bytes): 15 bytes, the first of them INT3.
    expect([0, 8, 9].map((at) => guest.run.getUint8(run.RUN_INTERNAL_DATA + at))).toEqual([1, 15, 0xcc]);
    expect(events(guest).exception_injected).toBe(1);
  });

  test('… and with KVM_CAP_EXIT_ON_EMULATION_FAILURE user space alone hears of it', () => {
    const guest = new Guest(`mov rsp, 0xfebc1000\n int3\n`, 'none');
    const set = (arg0: bigint) => {
      const cap = { cap: KVM_CAP.EXIT_ON_EMULATION_FAILURE, arg0 };
      return guest.qemu.pass(guest.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, cap);
    };
    expect([set(2n), set(1n)]).toEqual([-EINVAL, 0]);
    guest.resume();
    expect(guest.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(run.KVM_INTERNAL_ERROR_EMULATION);
    expect(events(guest).exception_injected).toBe(0);
  });

  test('an exception that leaves the guest while another event is delivered is an internal error', () => {
    // vmx.c: handle_exception_nmi
    const bench = new Bench();
    bench.enter((cpu) => {
      cpu.exit.idtVectoring = 0x80000306;
      cpu.exit.interruption = 0x80000301;
      return EXIT_REASON.EXCEPTION_NMI;
    });
    expect(bench.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(run.KVM_INTERNAL_ERROR_SIMUL_EX);
    const data = (index: number) => bench.run.getBigUint64(run.RUN_INTERNAL_DATA + 8 * index, true);
    expect([0, 1, 2, 3].map(data)).toEqual([0x80000306n, 0x80000301n, 0n, 0n]);
  });

  test('an instruction that KVM emulates and that faults: KVM injects the exception, once', () => {
    const guest = new Guest(`mov ebx, 0xfebc0000\n xor edx, edx\n div dword [rbx]\n`, 'none');
    guest.listen('kvm_inj_exception');
    guest.resume();
    expect(guest.exitReason).toBe(run.KVM_EXIT_MMIO);
    guest.run.setUint32(run.RUN_MMIO_DATA, 0, true);
    guest.resume();
    guest.run.setUint32(run.RUN_MMIO_DATA, 1, true);
    expect(guest.taken).toEqual([0]);
    expect(guest.events.filter((line) => !line.includes('reinjected'))).toEqual(['kvm_inj_exception: #DE']);
  });

  test('iret from an NMI that an EPT violation cuts short leaves NMIs blocked', () => {
    // The return frame lies on a page that nobody has touched; the CPU meets it by IRET.
    const guest = new Guest(`${STOP}mov rsp, 0x200000\n iretq\n`, 'none');
    guest.resume();
    const blocked = { nmi_masked: 1 };
    expect(guest.qemu.pass(guest.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, blocked)).toBe(0);
    const { cpu } = guest.vm.vcpus[0]!;
    const seen: string[] = [];
    guest.kernel.stream.subscribe(matchingEvents('kvm_exit'), () =>
      seen.push(`${cpu.exit.reason} ${cpu.exit.qualification & 0x1000} ${cpu.interruptibility}`),
    );
    guest.kernel.stream.subscribe(matchingEvents('kvm_entry'), () => seen.push(`entry ${cpu.interruptibility}`));
    guest.vm.instructionLimit = guest.vm.retired + 20;
    guest.resume();
    const first = seen.indexOf(`${EXIT_REASON.EPT_VIOLATION} ${EPT_QUALIFICATION.NMI_UNBLOCKING} 0`);
    expect(first).toBeGreaterThan(0);
    expect(seen[first + 1]).toBe('entry 8');
  });
});

describe('code where no memory is', () => {
  const emulationError = (guest: Guest) => ({
    exit: guest.exitReason,
    suberror: guest.run.getUint32(run.RUN_INTERNAL_SUBERROR, true),
    // Flags (no instruction bytes), the exit's reason and qualification.
    data: [0, 1, 2].map((index) => guest.run.getBigUint64(run.RUN_INTERNAL_DATA + 8 * index, true)),
  });
  const failed = (reason: bigint, qualification: bigint) => ({
    exit: run.KVM_EXIT_INTERNAL_ERROR,
    suberror: run.KVM_INTERNAL_ERROR_EMULATION,
    data: [0n, reason, qualification],
  });

  test('MMIO: KVM cannot fetch from there', () => {
    const guest = new Guest('mov eax, 0xfebc0000\n jmp rax\n', 'none');
    guest.resume();
    expect(emulationError(guest)).toEqual(failed(48n, 0x184n));
    expect(regs(guest).rip).toBe(0xfebc0000n);
  });

  test('MMIO that was read before, so that its entry is known', () => {
    const guest = new Guest('mov eax, 0xfebc0000\n mov ecx, [rax]\n jmp rax\n', 'none');
    guest.resume();
    expect(guest.exitReason).toBe(run.KVM_EXIT_MMIO);
    guest.resume();
    expect(emulationError(guest)).toEqual(failed(49n, 0n));
  });

  test('an instruction whose second page is MMIO', () => {
    // RAM ends at 16 MiB: `mov eax, imm32` begins two bytes before.
    const guest = new Guest('mov byte [0xfffffe], 0xb8\n mov eax, 0xfffffe\n jmp rax\n', 'none');
    guest.resume();
    expect(emulationError(guest)).toMatchObject({ exit: run.KVM_EXIT_INTERNAL_ERROR, suberror: 1 });
    expect(regs(guest).rip).toBe(0xfffffen);
  });
});

describe('KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS', () => {
  test('shadows of STI and MOV SS', () => {
    const guest = new Guest(`mov ecx, ss\n sti\n out 0x80, al\n cli\n mov ss, ecx\n out 0x80, al\n ${STOP}`, 'none');
    guest.resume();
    expect(events(guest).interrupt_shadow).toBe(2);
    guest.resume();
    expect(events(guest).interrupt_shadow).toBe(1);
    guest.resume();
    expect(events(guest).interrupt_shadow).toBe(0);
  });

  test('an interrupt that was injected comes where KVM_SET_VCPU_EVENTS puts it', () => {
    const guest = new Guest(`${STOP}nop\n${STOP}`, 'none');
    guest.resume();
    const injected = { interrupt_injected: 1, interrupt_nr: 0x44, flags: uapi.KVM_VCPUEVENT_VALID_SHADOW };
    expect(guest.qemu.pass(guest.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, injected)).toBe(0);
    expect(events(guest)).toMatchObject({ interrupt_injected: 1, interrupt_nr: 0x44 });
    guest.resume();
    expect(guest.taken).toEqual([0x44]);
    expect(events(guest)).toMatchObject({ interrupt_injected: 0 });
  });
});
