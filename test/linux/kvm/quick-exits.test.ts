/**
 * Exits that are served where translated code stands, or in the CPU's loop: any user space sees what it sees of a guest whose exits all return,
 * whatever it does between two KVM_RUNs, and so does the guest.
 */

import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { matchingEvents } from '../../../src/event.ts';
import type { Eagerness } from '../../../src/hardware/vcpu/translation.ts';
import { EBADF, EINTR } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import {
  KVM_EXIT_IO,
  KVM_EXIT_IO_IN,
  KVM_EXIT_MMIO,
  RUN_APIC_BASE,
  RUN_CR8,
  RUN_EXIT_REASON,
  RUN_IF_FLAG,
  RUN_IMMEDIATE_EXIT,
  RUN_IO_DIRECTION,
  RUN_MMIO_DATA,
  RUN_MMIO_IS_WRITE,
  RUN_MMIO_LEN,
  RUN_MMIO_PHYS_ADDR,
  RUN_READY_FOR_INTERRUPT_INJECTION,
  RUN_REQUEST_INTERRUPT_WINDOW,
  RUN_VALID_REGS,
} from '../../../src/linux/uapi/kvm-run.ts';
import type { VmmProcess } from '../../../src/linux/uapi/syscalls.ts';
import type { BenchOptions } from './bench.ts';
import { Guest } from './guest.ts';

const EAGER: Eagerness = { threshold: 2, eager: true };
const ROUNDS = 160;
/** Guest memory: a page of a second slot, and a counter that the guest keeps. */
const PAGE = 0x100_0000;
/** The last two bytes of it: behind them is none. */
const END_OF_PAGE = PAGE + 4094;
const COUNTER = 0x40_0000;
const SIGNALLED = 0x3000;
/** Where the guest says that it is done. */
const END = 0xf4;
/** Registers in memory: user space's in several pages, an ioeventfd's, and where a slot comes and goes. */
const MMIO = 0xd000_0000;
const MMIO_SIGNALLED = 0xd000_2000;
const FAST_SIGNALLED = 0xd000_3000;
const SOMETIMES_RAM = 0xd000_4000;
/** The guest's entry for the gigabyte in which these are, and the bit of it that says in which it is instead. */
const GIGABYTE_ENTRY = 0x3000 + 3 * 8;
const OTHER_GIGABYTE = 0x4000_0000;
const CODE_PATCH = 'patched: add r9d, 1\n';

/** Instructions of the guest's loop: ports of the kernel's and of user space's, and what is between them. */
const STEPS = [
  ...[0x1000, 0x21, 0x7e, 0x2000, 0x3f8, SIGNALLED, 0x43].flatMap((port) => [
    `mov edx, ${port}\n out dx, al\n`,
    `mov edx, ${port}\n in al, dx\n add r8, rax\n`,
  ]),
  'mov edx, 0x2004\n out dx, ax\n',
  'mov edx, 0x2004\n out dx, eax\n',
  'mov edx, 0x2004\n in ax, dx\n add r8w, ax\n',
  'mov edx, 0x2004\n in eax, dx\n add r8, rax\n',
  'in al, 0x61\n xor r8, rax\n',
  'out 0x80, al\n',
  `inc dword [${COUNTER}]\n`,
  `add byte [${PAGE}], 3\n`,
  `mov eax, [${PAGE}]\n`,
  `mov [${END_OF_PAGE}], ecx\n`,
  'add rax, rcx\n',
  'sub eax, 77\n adc r10d, 0\n',
  'inc r11d\n',
  'cmp r8d, r9d\n setc al\n',
  'sti\n',
  'cli\n',
  'pushf\n pop r12\n',
  'mov eax, 2\n mov cr8, rax\n',
  'mov rbx, cr8\n add r8, rbx\n',
  ...[MMIO, MMIO + 0x1ffe, MMIO_SIGNALLED, FAST_SIGNALLED, SOMETIMES_RAM].flatMap((address) => {
    const at = `mov ebx, 0x${address.toString(16)}\n`;
    return [
      `${at} mov [rbx], cl\n`,
      `${at} mov [rbx], r8d\n`,
      `${at} mov eax, [rbx]\n add r8, rax\n`,
      `${at} mov rax, [rbx + 3]\n add r8, rax\n`,
      `${at} add [rbx], eax\n adc r9d, 0\n`,
      `${at} xchg [rbx], rax\n`,
      `${at} push qword [rbx]\n pop qword [rbx + 4]\n`,
      `${at} mov rdi, rbx\n mov esi, ecx\n mov ecx, 3\n rep stosw\n mov ecx, esi\n`,
      `${at} mov rsi, rbx\n mov edi, ${COUNTER}\n movsd\n`,
    ];
  }),
  // The local APIC, where there is one: its task priority, an interrupt to itself, the end of one.
  'mov ebx, 0xfee00080\n mov dword [rbx], 0x30\n',
  'mov ebx, 0xfee00300\n mov dword [rbx], 0x44051\n',
  'mov ebx, 0xfee000b0\n mov dword [rbx], 0\n',
  'mov ebx, 0xfee00020\n mov eax, [rbx]\n add r8, rax\n',
  // All of these elsewhere, or back, and no INVLPG.
  `xor dword [${GIGABYTE_ENTRY}], ${OTHER_GIGABYTE}\n`,
  `and byte [${GIGABYTE_ENTRY}], 0x9f\n`,
  // Code that is written while it runs.
  'mov [patched + 3], cl\n',
  'xor ebp, ebp\n mov ebp, [rsp]\n',
];

const program = (steps: readonly string[]) =>
  `mov ecx, ${ROUNDS}\nnext: ${steps.join('')} ${CODE_PATCH} dec ecx\n jnz next\n mov edx, ${END}\n out dx, al\n`;

type Action = (guest: PatchedGuest) => void;
const syscallsOf = (guest: Guest) => guest.qemu.user.syscalls;

/** What user space does between two KVM_RUNs; mostly nothing. */
const ACTIONS: Readonly<Record<string, Action>> = {
  nothing: () => {},
  'an edge on a line': (guest) => {
    guest.setLine(4, 1);
    guest.setLine(4, 0);
  },
  'another register': (guest) => {
    assert.equal(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch), 0);
    const regs = guest.qemu.answer(uapi.kvm_regs);
    assert.equal(guest.qemu.pass(guest.vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, { ...regs, r13: regs.r13 + 5n }), 0);
  },
  'an immediate exit': ({ run }) => run.setUint8(RUN_IMMEDIATE_EXIT, 1),
  'an interrupt window': ({ run }) => run.setUint8(RUN_REQUEST_INTERRUPT_WINDOW, 1),
  'another task priority': ({ run }) => run.setBigUint64(RUN_CR8, (run.getBigUint64(RUN_CR8, true) + 1n) & 7n, true),
  'an interrupt': (guest) => void guest.qemu.pass(guest.vcpuFd, uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 0x40 }),
  'register sets': ({ run }) => run.setBigUint64(RUN_VALID_REGS, 1n, true),
  'a slot away and back': (guest) => {
    guest.setSlot(1, PAGE, 0, guest.page);
    guest.setSlot(1, PAGE, 4096, guest.page);
  },
  'a slot that comes or goes': (guest) => {
    guest.isRam = !guest.isRam;
    guest.setSlot(2, SOMETIMES_RAM, guest.isRam ? 4096 : 0, guest.page);
  },
  "another entry of the guest's tables": (guest) => {
    const at = (guest.ram + GIGABYTE_ENTRY) as Hva;
    const entry = guest.qemu.user.memory.read(at, 4);
    guest.qemu.user.memory.write(
      at,
      Uint8Array.from(entry, (byte, i) => byte ^ (i === 3 ? 0x40 : 0)),
    );
  },
  'a dirty log': (guest) => {
    guest.setSlot(1, PAGE, 4096, guest.page, uapi.KVM_MEM_LOG_DIRTY_PAGES);
  },
  ...Object.fromEntries(
    [1, 2, 3, 5, 500].map((after): [string, Action] => [
      `a timer after ${after} ns`,
      (guest) => void syscallsOf(guest).timer_settime(guest.kernel.clock.now + after),
    ]),
  ),
  'a timer after some time': (guest) => {
    const { now } = guest.kernel.clock;
    syscallsOf(guest).timer_settime(now + 100 + (now % 41));
  },
  'time that passes': (guest) => guest.kernel.clock.pass(1000),
  'an ioeventfd': (guest) => {
    const fd = syscallsOf(guest).eventfd(0, 0);
    const args = { addr: BigInt(SIGNALLED), len: 1, fd, flags: uapi.KVM_IOEVENTFD_FLAG_PIO };
    guest.qemu.pass(guest.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, args);
    const { addr: _, flags: __, ...memory } = args;
    guest.qemu.pass(guest.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, { ...memory, addr: BigInt(MMIO_SIGNALLED) });
    const fast = { ...memory, len: 0, addr: BigInt(FAST_SIGNALLED) };
    guest.qemu.pass(guest.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, fast);
  },
  'code through its own memory': (guest) => {
    guest.qemu.user.memory.write((guest.ram + guest.patchAt) as Hva, Uint8Array.of(9));
  },
  'a KVM_RUN of its own': (guest) => {
    guest.run.setUint8(RUN_IMMEDIATE_EXIT, 0);
    guest.own.push(guest.resume());
  },
  'a KVM_RUN of its own, which a timer ends': (guest) => {
    guest.run.setUint8(RUN_IMMEDIATE_EXIT, 0);
    syscallsOf(guest).timer_settime(guest.kernel.clock.now + 2);
    guest.own.push(guest.resume());
  },
  'a listener that comes or goes': (guest) => {
    if (guest.unsubscribe === undefined)
      guest.unsubscribe = guest.kernel.stream.subscribe(
        matchingEvents('kvm_pio,kvm_mmio,kvm_exit,kvm_entry,kvm_userspace_exit'),
        () => void guest.heard++,
      );
    else {
      guest.unsubscribe();
      guest.unsubscribe = undefined;
    }
  },
};

/** How the CPU runs its code; `returning` has each exit return, which is what the others are compared with. */
const TIERS = {
  returning: { returns: true },
  interpreted: {},
  translated: { eagerness: EAGER },
} satisfies Record<string, BenchOptions>;
type Tier = keyof typeof TIERS;

/** What was seen of a guest, and of how many KVM_RUNs. */
function play(text: string, actions: readonly string[], irqchip: boolean, tier: Tier, limit?: number) {
  const guest = new PatchedGuest(text, { irqchip, ...TIERS[tier] });
  const process = guest.qemu.user as VmmProcess;
  const { run, kernel } = guest;
  if (limit !== undefined) guest.vm.instructionLimit = limit;
  const calls = vi.spyOn(process.syscalls, 'ioctl');
  const seen: unknown[] = [];
  let runs = 0;
  kernel.schedule(guest.qemu.process, () =>
    process.ioctlLoop(guest.vcpuFd, uapi.KVM_RUN.number, 0, (result) => {
      runs++;
      const reason = run.getUint32(RUN_EXIT_REASON, true);
      seen.push([
        result,
        reason,
        run.getUint8(RUN_IF_FLAG),
        run.getUint8(RUN_READY_FOR_INTERRUPT_INJECTION),
        run.getBigUint64(RUN_CR8, true),
        run.getBigUint64(RUN_APIC_BASE, true),
        kernel.clock.now,
        guest.heard,
      ]);
      run.setUint8(RUN_IMMEDIATE_EXIT, 0);
      run.setUint8(RUN_REQUEST_INTERRUPT_WINDOW, 0);
      run.setBigUint64(RUN_VALID_REGS, 0n, true);
      if (result === -EINTR && guest.kernel.current.pendingSignal === 'SIGXCPU') return false;
      if (result === -EINTR) process.syscalls.rt_sigtimedwait(false);
      else if (result < 0) return false;
      if (result === 0 && reason === KVM_EXIT_IO) {
        seen.push(run.getUint32(RUN_IO_DIRECTION, true), [...guest.pioData.subarray(0, 4)]);
        if (run.getUint8(RUN_IO_DIRECTION) === KVM_EXIT_IO_IN) guest.pioData.fill(runs, 0, 4);
        if (run.getUint16(RUN_IO_DIRECTION + 2, true) === END) return false;
      }
      if (result === 0 && reason === KVM_EXIT_MMIO) {
        const length = run.getUint32(RUN_MMIO_LEN, true);
        const data = Array.from({ length }, (_, i) => run.getUint8(RUN_MMIO_DATA + i));
        const write = run.getUint8(RUN_MMIO_IS_WRITE) !== 0;
        seen.push(run.getBigUint64(RUN_MMIO_PHYS_ADDR, true), length, write ? data : 'read');
        if (!write) for (let i = 0; i < length; i++) run.setUint8(RUN_MMIO_DATA + i, runs + i);
      }
      const action = actions[runs % actions.length]!;
      // With the local APIC in user space a halted vCPU is not woken by it.
      if (irqchip || action !== 'an edge on a line') ACTIONS[action]!(guest);
      return runs < 1500;
    }),
  );
  assert.equal(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch), 0);
  guest.unsubscribe?.();
  const vcpu = guest.vm.vcpus[0]! as unknown as { readonly stats: object };
  const state = {
    seen,
    runs,
    regs: guest.qemu.answer(uapi.kvm_regs),
    stats: { ...vcpu.stats },
    retired: guest.cpu.retired,
    taken: guest.taken,
    own: guest.own,
    counter: guest.bytes(COUNTER, 4),
    page: guest.qemu.user.memory.read(guest.page, 16),
    log: guest.kernel.log.lines.filter((line) => line.includes('WARNING')),
  };
  return { state, calls: calls.mock.calls.filter(([, request]) => request === uapi.KVM_RUN.number).length };
}

/** A guest with one more page, of which it is known where its patched instruction is. */
class PatchedGuest extends Guest {
  readonly patchAt: number;
  readonly page: Hva;
  /** The page is also at {@link SOMETIMES_RAM}. */
  isRam = false;
  /** Events that a listener was told of. */
  heard = 0;
  /** Results of KVM_RUNs beside the loop's. */
  readonly own: number[] = [];
  unsubscribe: (() => void) | undefined;
  constructor(text: string, options: BenchOptions) {
    super(text, options.irqchip ? 'lapic' : 'none', options);
    this.page = this.qemu.map(4096);
    assert.equal(this.setSlot(1, PAGE, 4096, this.page), 0);
    const from = 0x8000;
    const bytes = this.bytes(from, 4096);
    const at = bytes.findIndex((_, i) => bytes[i] === 0x41 && bytes[i + 1] === 0x83 && bytes[i + 2] === 0xc1);
    assert(at >= 0);
    this.patchAt = from + at + 3;
  }
}

describe('exits served where they are met', () => {
  const actions = Object.keys(ACTIONS);
  const quiet = Array.from({ length: 30 }, () => 'nothing');
  const ports = [0x2000, 0x1000, SIGNALLED].flatMap((port) => [
    `mov edx, ${port}\n out dx, al\n`,
    `mov edx, ${port}\n in al, dx\n add r8, rax\n`,
  ]);
  const registers = [MMIO, MMIO_SIGNALLED, FAST_SIGNALLED, SOMETIMES_RAM].flatMap((address) => [
    `mov ebx, ${address}\n mov [rbx], al\n`,
    'mov eax, [rbx]\n add r8, rax\n',
  ]);
  const roads = { ports, registers: [...registers, `mov [${END_OF_PAGE}], ecx\n`] };
  const between = ['sti\n', 'mov rbx, cr8\n add r8, rbx\n', `add byte [${PAGE}], 3\n`];

  for (const [name, accesses] of Object.entries(roads))
    test.each(actions)(`${name}; user space does this between some exits: %s`, (action) => {
      const text = program([...accesses, ...between]);
      for (const irqchip of [false, true]) {
        const returning = play(text, [...quiet, action], irqchip, 'returning');
        const interpreted = play(text, [...quiet, action], irqchip, 'interpreted');
        const translated = play(text, [...quiet, action], irqchip, 'translated');
        expect(interpreted.state).toEqual(returning.state);
        expect(translated.state).toEqual(returning.state);
        expect(returning.calls).toBe(returning.state.runs + returning.state.own.length);
        expect(translated.calls).toBeLessThan(returning.calls);
        if (name === 'registers') expect(interpreted.calls).toBeLessThan(returning.calls);
      }
    });

  test('the vCPU is closed between two exits', () => {
    for (const accesses of Object.values(roads)) {
      const results = (['returning', 'interpreted', 'translated'] as const).map((tier) => {
        const guest = new PatchedGuest(program([...accesses, ...between]), { irqchip: false, ...TIERS[tier] });
        const process = guest.qemu.user as VmmProcess;
        const seen: number[] = [];
        process.ioctlLoop(guest.vcpuFd, uapi.KVM_RUN.number, 0, (result) => {
          if (seen.push(result) === 100) process.syscalls.close(guest.vcpuFd);
          return result === 0;
        });
        return seen;
      });
      expect(results[1]).toEqual(results[0]);
      expect(results[2]).toEqual(results[0]);
      expect(results[0]!.at(-1)).toBe(-EBADF);
    }
  });

  test.each(Object.entries(roads))(
    'the instructions that a guest may retire are used up at any of the %s',
    (_, accesses) => {
      const text = program(accesses);
      for (let limit = 2000; limit < 2032; limit++) {
        const returning = play(text, quiet, true, 'returning', limit);
        for (const tier of ['interpreted', 'translated'] as const)
          expect(play(text, quiet, true, tier, limit).state).toEqual(returning.state);
        expect(returning.state.retired).toBe(limit);
      }
    },
  );

  test('user space and the guest see what they see where all exits return', () => {
    const served = { interpreted: 0, translated: 0 };
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...STEPS), { minLength: 1, maxLength: 8 }),
        fc.array(
          fc.oneof(
            { weight: 6, arbitrary: fc.constant('nothing') },
            { weight: 1, arbitrary: fc.constantFrom(...actions) },
          ),
          { minLength: 1, maxLength: 40 },
        ),
        fc.boolean(),
        (steps, doings, irqchip) => {
          const text = program(steps);
          const { state } = play(text, doings, irqchip, 'returning');
          for (const tier of ['interpreted', 'translated'] as const) {
            const quick = play(text, doings, irqchip, tier);
            expect(quick.state).toEqual(state);
            served[tier] += quick.state.runs - quick.calls;
          }
        },
      ),
      {
        numRuns: Number(process.env['GVM_KVM_CASES'] ?? 25),
        ...(process.env['GVM_SEED'] && { seed: Number(process.env['GVM_SEED']) }),
      },
    );
    // Or nothing of this has been tried.
    expect(served.interpreted).toBeGreaterThan(300);
    expect(served.translated).toBeGreaterThan(500);
  });
});
