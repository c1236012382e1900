/** Events: delivery, shadows and windows, traps and breakpoints (SDM vol. 3A ch. 6, vol. 3B ch. 18). */

import { describe, expect, test } from 'vitest';
import { EXIT_REASON, INTERRUPTION } from '../../src/hardware/vcpu/exit.ts';
import { CODE, IST1, KERNEL_DATA, PrivilegeMachine, STACK, USER } from './privilege-machine.ts';

const IF = 0x202n;
const TF = 0x100n;
const [DB, NMI, DF, NP, SS, GP, PF] = [1, 2, 8, 11, 12, 13, 14];
const SINGLE_STEP = 0x4000n;

const at = (offset: number) => CODE + offset;

describe('delivery', () => {
  test('a fault pushes ss, rsp, rflags with RF, cs and its own rip on an aligned stack', () => {
    const machine = new PrivilegeMachine('sub rsp, 3\n ud2');
    const { vector, rip, rsp, rflags } = machine.run();
    expect({ vector, rip, rsp, rf: rflags & 0x10000 }).toEqual({ vector: 6, rip: at(4), rsp: STACK - 3, rf: 0x10000 });
    expect(Number(machine.cpu.register(4)) % 16).toBe(8);
  });

  test('an IST entry is taken at the same privilege too', () => {
    const machine = new PrivilegeMachine('ud2');
    machine.setGate(6, 0x9006, { ist: 1 });
    expect(machine.run().vector).toBe(6);
    expect(Number(machine.cpu.register(4))).toBe(IST1 - 40);
  });

  test('a handler that faults at once, for ever, on a stack of its own uses up the time that the guest has', () => {
    const machine = new PrivilegeMachine('ud2');
    machine.setGate(6, CODE, { ist: 1 });
    expect(machine.cpu.run(1000)).toBe(EXIT_REASON.PREEMPTION_TIMER);
    expect(machine.cpu.retired).toBe(1000);
  });

  test.each([
    ['a gate that is not present', { type: 0x0e }, NP, 6 * 8 + 3],
    ['a gate of another type', { type: 0x8c }, GP, 6 * 8 + 3],
    ['a null code selector', { selector: 0 }, GP, 1],
    ['a data segment', { selector: 0x18 }, GP, 0x19],
    ['a selector beyond the GDT', { selector: 0xf8 }, GP, 0xf9],
  ])('%s: the error code says where, and that the event was external', (_, how, vector, errorCode) => {
    const machine = new PrivilegeMachine('ud2');
    machine.setGate(6, 0x9006, how);
    expect(machine.run()).toMatchObject({ vector, errorCode, rip: CODE });
  });

  test('a contributory fault while delivering one is a double fault; a second failure the end', () => {
    const machine = new PrivilegeMachine('xor edx, edx\n div edx');
    machine.setGate(0, 0x9000, { type: 0x0e });
    expect(machine.run()).toMatchObject({ vector: DF, errorCode: 0 });
    machine.setGate(DF, 0x9008, { type: 0x0e });
    machine.cpu.rip = BigInt(CODE);
    expect(machine.run().reason).toBe(EXIT_REASON.TRIPLE_FAULT);
  });

  test('a page fault after a contributory one is delivered by itself, with CR2', () => {
    const machine = new PrivilegeMachine('mov rsp, 0x7fff00000000\n xor edx, edx\n div edx');
    machine.setGate(PF, 0x900e, { ist: 1 });
    expect(machine.run()).toMatchObject({ vector: PF, errorCode: 2 });
    expect(machine.cpu.control(2)).toBe(0x7ffefffffff8n);
  });

  test('a page fault while delivering a page fault is a double fault', () => {
    const machine = new PrivilegeMachine('mov rsp, 0x7fff00000000\n push rax');
    machine.setGate(DF, 0x9008, { ist: 1 });
    expect(machine.run()).toMatchObject({ vector: DF, errorCode: 0 });
  });

  test('int n: the next rip, no RF, and the gate’s DPL counts from privilege 3', () => {
    expect(new PrivilegeMachine('int 0x30').run()).toMatchObject({ vector: 0x30, rip: at(2) });
    const machine = new PrivilegeMachine('');
    machine.enterUser('int 0x30');
    expect(machine.run()).toMatchObject({ vector: GP, errorCode: 0x30 * 8 + 2, rip: USER });
  });

  test('a non-canonical stack is #SS, other data #GP', () => {
    expect(new PrivilegeMachine('mov rbp, 0x800000000000\n mov eax, [rbp]').run()).toMatchObject({
      vector: SS,
      errorCode: 0,
    });
    expect(new PrivilegeMachine('mov rcx, 0x800000000000\n mov eax, [rcx]').run()).toMatchObject({
      vector: GP,
      errorCode: 0,
    });
  });

  test('rep movsb that faults in the middle leaves the registers at the element', () => {
    const machine = new PrivilegeMachine('mov esi, 0x1000\n mov edi, 0x5ffff0\n mov ecx, 64\n rep movsb');
    machine.unmap(6);
    expect(machine.run()).toMatchObject({ vector: PF, errorCode: 2, rip: at(15) });
    expect([1, 6, 7].map((register) => machine.cpu.register(register))).toEqual([48n, 0x1010n, 0x600000n]);
    expect(machine.cpu.control(2)).toBe(0x600000n);
  });
});

describe('interrupts', () => {
  test('injected ones go through their gate; rip is where they came', () => {
    const machine = new PrivilegeMachine('nop');
    machine.cpu.inject(INTERRUPTION.VALID + (INTERRUPTION.EXTERNAL | 0x40));
    expect(machine.run()).toMatchObject({ vector: 0x40, rip: CODE });
  });

  test('the window opens after the instruction behind sti', () => {
    const machine = new PrivilegeMachine('sti\n inc eax\n inc eax\n hlt');
    machine.cpu.interruptWindow = true;
    expect(machine.run()).toMatchObject({ reason: EXIT_REASON.INTERRUPT_WINDOW, rip: at(3) });
    expect(machine.cpu.interruptible).toBe(true);
  });

  test('sti with interrupts on already casts no shadow; mov ss does', () => {
    const machine = new PrivilegeMachine('sti\n inc eax\n hlt');
    machine.cpu.rflags = IF;
    machine.cpu.interruptWindow = true;
    expect(machine.run().rip).toBe(CODE);
    const other = new PrivilegeMachine('mov ax, ss\n mov ss, ax\n inc ecx\n hlt');
    expect(other.cpu.run(2)).toBe(EXIT_REASON.PREEMPTION_TIMER);
    other.cpu.rflags = IF;
    other.cpu.interruptWindow = true;
    expect(other.run()).toMatchObject({ reason: EXIT_REASON.INTERRUPT_WINDOW, rip: at(7) });
  });

  test('lss casts no shadow: it sets rsp as well', () => {
    const machine = new PrivilegeMachine(
      `lss rsp, [rel pointer]\n nop\n hlt\n pointer: dq ${STACK}\n dw ${KERNEL_DATA}`,
    );
    machine.cpu.rflags = IF;
    expect(machine.cpu.run(1)).toBe(EXIT_REASON.PREEMPTION_TIMER);
    expect([machine.cpu.register(4), machine.cpu.interruptible]).toEqual([BigInt(STACK), true]);
  });

  test('hlt behind sti exits inside the shadow, and the hypervisor’s completion ends it', () => {
    const machine = new PrivilegeMachine('sti\n hlt\n nop');
    expect(machine.run().reason).toBe(EXIT_REASON.HLT);
    expect(machine.cpu.interruptible).toBe(false);
    machine.cpu.skipInstruction();
    expect(machine.cpu.interruptible).toBe(true);
  });

  test('an NMI blocks the next until iret', () => {
    const machine = new PrivilegeMachine('nop\n nop');
    machine.cpu.inject(INTERRUPTION.VALID + (INTERRUPTION.NMI | NMI));
    expect(machine.run().vector).toBe(NMI);
    expect(machine.cpu.nmiReady).toBe(false);
    machine.place('iretq', 0xa000);
    machine.cpu.rip = 0xa000n;
    machine.cpu.nmiWindow = true;
    expect(machine.run()).toMatchObject({ reason: EXIT_REASON.NMI_WINDOW, rip: CODE });
  });
});

describe('debug exceptions', () => {
  test('TF traps after each instruction, with DR6.BS, and is off in the handler', () => {
    const machine = new PrivilegeMachine('inc eax\n inc eax');
    machine.cpu.rflags = TF;
    expect(machine.run()).toMatchObject({ vector: DB, rip: at(2) });
    expect(machine.cpu.debugRegister(6) & SINGLE_STEP).toBe(SINGLE_STEP);
    expect(machine.cpu.rflags & TF).toBe(0n);
  });

  test('popf that sets TF traps after the instruction behind it', () => {
    const machine = new PrivilegeMachine('push 0x102\n popfq\n inc eax\n inc eax');
    expect(machine.run()).toMatchObject({ vector: DB, rip: at(8) });
  });

  test('the instruction behind mov ss is not stepped apart from it', () => {
    const machine = new PrivilegeMachine('mov ecx, ss\n mov ss, ecx\n inc eax\n inc eax');
    machine.cpu.run(1);
    machine.cpu.rflags = TF;
    expect(machine.run()).toMatchObject({ vector: DB, rip: at(6) });
  });

  test('a repeated string instruction traps after each element', () => {
    const machine = new PrivilegeMachine('mov ecx, 3\n mov edi, 0x300000\n rep stosb');
    machine.cpu.run(2);
    machine.cpu.rflags = TF;
    expect(machine.run()).toMatchObject({ vector: DB, rip: at(10) });
    expect(machine.cpu.register(1)).toBe(2n);
  });

  test('an instruction breakpoint is a fault that pushes RF as it was; RF steps over it', () => {
    const machine = new PrivilegeMachine('nop\n inc eax\n hlt');
    machine.cpu.setDebugRegister(0, BigInt(at(1)));
    machine.cpu.setDebugRegister(7, 1n);
    const hit = machine.run();
    expect(hit).toMatchObject({ vector: DB, rip: at(1) });
    // The value pushed for RF is the one that the register had; the handler sets it (SDM vol. 3B §18.3.1.1).
    expect(hit.rflags & 0x10000).toBe(0);
    expect(machine.cpu.debugRegister(6) & 15n).toBe(1n);
    machine.place('or dword [rsp+16], 0x10000\n iretq', 0xa000);
    machine.cpu.rip = 0xa000n;
    expect(machine.run()).toMatchObject({ vector: undefined, reason: EXIT_REASON.HLT, rip: at(3) });
    expect(machine.cpu.register(0)).toBe(1n);
  });

  test('between two elements of a repeated string instruction RF stands: pushed, and its breakpoint hit once', () => {
    const machine = new PrivilegeMachine('mov ecx, 3\n mov edi, 0x300000\n rep stosb\n hlt');
    machine.cpu.run(2);
    machine.cpu.rflags = TF;
    expect(machine.run().rflags & 0x10000).toBe(0x10000);
    expect(machine.cpu.register(1)).toBe(2n);
    const other = new PrivilegeMachine('mov ecx, 3\n mov edi, 0x300000\n rep stosb\n pushfq\n pop rax\n hlt');
    other.cpu.setDebugRegister(0, BigInt(at(10)));
    other.cpu.setDebugRegister(7, 1n);
    expect(other.run()).toMatchObject({ vector: DB, rip: at(10) });
    other.place('inc ebx\n or dword [rsp+16], 0x10000\n iretq', 0xa000);
    other.setGate(DB, 0xa000);
    other.cpu.rip = 0xa000n;
    expect(other.run()).toMatchObject({ vector: undefined, reason: EXIT_REASON.HLT });
    expect(other.cpu.register(3)).toBe(1n);
    expect(other.cpu.register(1)).toBe(0n);
    expect(other.cpu.register(0) & 0x10000n).toBe(0n);
  });

  test('a data breakpoint is a trap, on writes, and on reads where it says so', () => {
    const source = 'mov eax, [0x300004]\n mov [0x300006], al\n nop';
    const machine = new PrivilegeMachine(source);
    machine.cpu.setDebugRegister(1, 0x300004n);
    machine.cpu.setDebugRegister(7, 4n | (0b1101n << 20n));
    expect(machine.run()).toMatchObject({ vector: DB, rip: at(14) });
    expect(machine.cpu.debugRegister(6) & 15n).toBe(2n);
    const reads = new PrivilegeMachine(source);
    reads.cpu.setDebugRegister(1, 0x300004n);
    reads.cpu.setDebugRegister(7, 4n | (0b1111n << 20n));
    expect(reads.run()).toMatchObject({ vector: DB, rip: at(7) });
  });

  test('general detect: a debug register is touched, and DR7.GD is clear in the handler', () => {
    const machine = new PrivilegeMachine('mov rax, dr0');
    machine.cpu.setDebugRegister(7, 1n << 13n);
    expect(machine.run()).toMatchObject({ vector: DB, rip: CODE });
    expect(machine.cpu.debugRegister(6) & 0x2000n).toBe(0x2000n);
    expect(machine.cpu.debugRegister(7) & 0x2000n).toBe(0n);
  });

  test('int1 traps behind itself', () => {
    expect(new PrivilegeMachine('int1').run()).toMatchObject({ vector: DB, rip: at(1) });
  });
});

describe('code that changes', () => {
  test('an instruction that overwrites the next one', () => {
    const machine = new PrivilegeMachine('mov byte [rel next+1], 7\n next: mov al, 1\n hlt');
    machine.run();
    expect(machine.cpu.register(0)).toBe(7n);
  });

  test('an instruction that crosses a page sees a change of its second page', () => {
    const machine = new PrivilegeMachine('');
    machine.place('again: mov eax, 1\n dec ecx\n jnz again\n hlt', CODE + 0xffd);
    machine.cpu.rip = BigInt(CODE + 0xffd);
    machine.cpu.setRegister(1, 1n);
    machine.run();
    expect(machine.cpu.register(0)).toBe(1n);
    machine.place('dd 0x11223344', CODE + 0xffe);
    machine.cpu.rip = BigInt(CODE + 0xffd);
    machine.cpu.run(1);
    expect(machine.cpu.register(0)).toBe(0x11223344n);
  });
});
