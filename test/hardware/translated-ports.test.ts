/** Port accesses of hot code: translated and interpreted, the guest is left at the same place for the same reason, and taken up again. */

import { describe, expect, test } from 'vitest';
import { EXIT_REASON, IO_QUALIFICATION } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { PrivilegeMachine, TSS, USER } from './privilege-machine.ts';

const HOT: Eagerness = { threshold: 2, eager: false };
const EXITS = 400;
const IOPL_3 = 0x3002n;

/** A program in privilege 3 that may use ports. */
function inUser(code: string, eagerness?: Eagerness): PrivilegeMachine {
  const machine = new PrivilegeMachine('nop');
  if (eagerness !== undefined) machine.cpu.translate(eagerness);
  machine.enterUser(code);
  machine.cpu.rflags = IOPL_3;
  return machine;
}

/** What can be seen at an exit. */
const seen = ({ cpu }: PrivilegeMachine) => ({
  ...cpu.exit,
  rip: cpu.rip,
  retired: cpu.retired,
  rflags: cpu.rflags,
  registers: Array.from({ length: 16 }, (_, each) => cpu.register(each)),
});

/** Answer the access as a hypervisor does: IN yields a count. */
function complete({ cpu }: PrivilegeMachine, count: number): void {
  const { qualification } = cpu.exit;
  if ((qualification & IO_QUALIFICATION.IN) !== 0)
    cpu.setRegister(0, (cpu.register(0) & ~0xffn) | BigInt(count & 0xff));
  cpu.skipInstruction();
}

describe('port accesses in translated code', () => {
  for (const access of [
    'out dx, al',
    'out dx, ax',
    'out dx, eax',
    'out 0x80, al',
    'out 0xfe, eax',
    'in al, dx',
    'in ax, dx',
    'in eax, dx',
    'in al, 0x80',
    'in eax, 0xff',
    'rep outsb',
  ])
    test(`${access}: both tiers leave at the same places with the same state`, () => {
      const code = `mov esi, ${USER}
        mov edx, 0xfff0
again:  add rbx, rax
        mov ecx, 3
        ${access}
        inc edx
        sub r8, 1
        jmp again`;
      const [interpreted, translated] = [inUser(code), inUser(code, HOT)];
      for (let count = 0; count < EXITS; count++) {
        expect(interpreted.cpu.run(1e9)).toBe(EXIT_REASON.IO_INSTRUCTION);
        expect(translated.cpu.run(1e9)).toBe(EXIT_REASON.IO_INSTRUCTION);
        expect(seen(translated)).toEqual(seen(interpreted));
        complete(interpreted, count);
        complete(translated, count);
      }
      expect(translated.cpu.translation!.regions).toBeGreaterThan(0);
    });

  test('the permission bitmap is asked at each access of hot code', () => {
    const code = 'mov edx, 0x60\nagain: out dx, al\n jmp again';
    const machine = inUser(code, HOT);
    const { memory, cpu } = machine;
    cpu.rflags = 2n;
    memory.view.setUint16(TSS + 0x66, 0x80, true);
    memory.bytes.fill(0, TSS + 0x80, TSS + 0x100);
    for (let count = 0; count < EXITS; count++) {
      expect(machine.run().reason).toBe(EXIT_REASON.IO_INSTRUCTION);
      complete(machine, count);
    }
    expect(cpu.translation!.regions).toBeGreaterThan(0);
    memory.bytes[TSS + 0x80 + 0x60 / 8] = 1;
    expect(machine.run()).toMatchObject({ vector: 13, errorCode: 0, rip: USER + 5 });
  });

  test('the budget of an entry ends between the same two instructions', () => {
    const code = 'again: inc eax\n inc ebx\n inc ecx\n out 0x80, al\n jmp again';
    const [interpreted, translated] = [inUser(code), inUser(code, HOT)];
    for (let count = 0; count < EXITS; count++) {
      const limit = count < EXITS / 2 ? 1000 : 1 + (count % 7);
      expect(translated.cpu.run(limit)).toBe(interpreted.cpu.run(limit));
      expect(seen(translated)).toEqual(seen(interpreted));
      if (interpreted.cpu.exit.reason === EXIT_REASON.IO_INSTRUCTION) {
        complete(interpreted, count);
        complete(translated, count);
      }
    }
  });

  test('code that is written between two exits is what runs next', () => {
    const code = 'again: add eax, 1\n out 0x80, al\n jmp again';
    const machine = inUser(code, HOT);
    for (let count = 0; count < EXITS; count++) {
      machine.run();
      complete(machine, count);
    }
    const before = machine.cpu.register(0);
    machine.place('add eax, 5', USER);
    machine.run();
    expect(machine.cpu.register(0)).toBe(before + 5n);
  });

  test('a page that is mapped elsewhere between two exits is fetched from there', () => {
    const code = 'again: add eax, 1\n out 0x80, al\n jmp again';
    const machine = inUser(code, HOT);
    for (let count = 0; count < EXITS; count++) {
      machine.run();
      complete(machine, count);
    }
    machine.unmap(2);
    expect(machine.run()).toMatchObject({ vector: 14, rip: USER + 5 });
  });
});
