/**
 * Code that others write: a device by DMA, software beside the CPU, another CPU. What was decoded or translated from it is stale
 * then, and a processor never shows it (SDM vol. 3A §8.1.3, §12.6). Each case with the interpreter and with the translator.
 */

import { describe, expect, test } from 'vitest';
import { hpa, MiB, PAGE_SIZE } from '../../src/address.ts';
import { EventStream } from '../../src/event.ts';
import { CONTEXT_ENTRY, Iommu, ROOT_ENTRY, SECOND_LEVEL } from '../../src/hardware/iommu.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import { flatCode, flatStack } from '../../src/hardware/vcpu/segments.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { Vcpu } from '../../src/hardware/vcpu/vcpu.ts';
import { PageAllocator } from '../../src/linux/core/page-allocator.ts';
import { assembled, CODE, KERNEL_CODE, KERNEL_DATA, PrivilegeMachine, STACK } from './privilege-machine.ts';

const TIERS = { interpreted: undefined, translated: { threshold: 2, eager: true } } as const satisfies Record<
  string,
  Eagerness | undefined
>;
/** A function in a page of its own, and the value it returns in eax; four bytes behind its opcode are that value. */
const FUNCTION = CODE + 0x3000;
const returns = (value: number) => assembled(`mov eax, ${value}\nret`, FUNCTION);
/** Call it often, so that it is hot; then stop. */
const LOOP = `again: mov ecx, 100\n.next: call ${FUNCTION}\n dec ecx\n jnz .next\n hlt\n jmp again`;

describe.each(Object.entries(TIERS))('%s', (_, eagerness) => {
  function machine(code = LOOP): PrivilegeMachine {
    const one = new PrivilegeMachine(code);
    one.memory.bytes.set(returns(1), FUNCTION);
    if (eagerness !== undefined) one.cpu.translate(eagerness);
    return one;
  }

  /** Run to the next HLT, and step over it. */
  function toHalt({ cpu }: PrivilegeMachine): bigint {
    expect(cpu.run(100_000)).toBe(EXIT_REASON.HLT);
    cpu.skipInstruction();
    return cpu.register(0);
  }

  /** Often enough that what is translated is also run. */
  function warm(one: PrivilegeMachine): void {
    for (let halts = 0; halts < 4; halts++) expect(toHalt(one)).toBe(1n);
    if (eagerness !== undefined) expect(one.cpu.translation!.regions).toBeGreaterThan(0);
  }

  /** Another CPU in the same RAM, in privilege 0 at `rip`. */
  function another({ memory, cpu }: PrivilegeMachine, rip: number): Vcpu {
    const second: Vcpu = new Vcpu(memory, hpa(0x5000), new EventStream(() => BigInt(second.retired)));
    for (const register of [0, 3, 4] as const) second.setControl(register, cpu.control(register));
    second.efer = cpu.efer;
    second.setSegment('cs', flatCode(KERNEL_CODE, 0));
    for (const name of ['ss', 'ds', 'es'] as const) second.setSegment(name, flatStack(KERNEL_DATA, 0));
    second.rip = BigInt(rip);
    second.setRegister(4, BigInt(STACK - 0x1000));
    if (eagerness !== undefined) second.translate(eagerness);
    return second;
  }

  test('software writes memory beside the CPU', () => {
    const one = machine();
    warm(one);
    for (const value of [2, 3]) {
      one.memory.write(FUNCTION + 1, Uint8Array.of(0, value), 1, 1);
      expect(toHalt(one)).toBe(BigInt(value));
    }
  });

  test("data beside code in one page: to write them drops nothing, up to the code's first byte and from behind its last on", () => {
    const stores = [-8, returns(1).length, 64].map((at) => ` mov [${FUNCTION + 8 + at}], rcx\n`).join('');
    const code = LOOP.replace(' dec ecx', `${stores} dec ecx`);
    const one = machine(code);
    one.memory.bytes.copyWithin(FUNCTION + 8, FUNCTION, FUNCTION + returns(1).length);
    one.memory.bytes.set(assembled(code.replace(`call ${FUNCTION}`, `call ${FUNCTION + 8}`), CODE), CODE);
    warm(one);
    expect(one.memory.code.changes).toBe(0);
    expect(one.cpu.translation?.invalidated ?? 0).toBe(0);
    expect(one.memory.view.getUint32(FUNCTION + 8 + 64, true)).toBe(1);
    one.memory.write(FUNCTION + 8, Uint8Array.of(0xb8, 7), 0, 2);
    expect(toHalt(one)).toBe(7n);
    expect(one.memory.code.changes).toBe(1);
  });

  test('a device writes by DMA', () => {
    const one = machine();
    const { memory } = one;
    const unit = new Iommu(memory, new EventStream(() => 0n));
    const [root, context, ...tables] = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5].map((page) => hpa(page * PAGE_SIZE));
    memory.writeEntry(root!, BigInt(context!) | ROOT_ENTRY.PRESENT);
    memory.writeEntry(context!, BigInt(tables[0]!) | CONTEXT_ENTRY.PRESENT);
    const rights = SECOND_LEVEL.READ | SECOND_LEVEL.WRITE;
    for (let level = 0; level < 3; level++) memory.writeEntry(tables[level]!, BigInt(tables[level + 1]!) | rights);
    memory.writeEntry(hpa(tables[3]! + 8), BigInt(FUNCTION) | rights);
    unit.rootTable = root;
    warm(one);
    expect(unit.write(0, 0x1000n, returns(2))).toBe(true);
    expect(toHalt(one)).toBe(2n);
  });

  test('a device that the CPU reaches without an exit writes code right behind the store that starts it', () => {
    const WINDOW = 0x4000_0000;
    const one = machine(`again: mov ecx, 100
      .next: mov [rdi], ebx
      call ${FUNCTION}
      dec ecx
      jnz .next
      inc ebx
      mov [rdi], ebx
      mov eax, 4
      hlt
      jmp again`);
    const { memory, cpu } = one;
    // Physical memory behind an EPT, whose entry of the window leads to the device: mapped one to one by 2 MiB pages.
    const [pml4, pdpt, low, high] = [0xa0, 0xa1, 0xa2, 0xa3].map((page) => hpa(page * PAGE_SIZE));
    const [rights, large] = [7n, 1n << 7n];
    memory.writeEntry(pml4!, BigInt(pdpt!) | rights);
    memory.writeEntry(pdpt!, BigInt(low!) | rights);
    memory.writeEntry(hpa(pdpt! + 8), BigInt(high!) | rights);
    for (let at = 0; at < 8; at++) memory.writeEntry(hpa(low! + at * 8), (BigInt(at) << 21n) | rights | large | 0x30n);
    memory.writeEntry(high!, BigInt(WINDOW) | rights | large);
    memory.writeEntry(hpa(0x3008), BigInt(WINDOW) | 0x83n);
    cpu.setEptPointer(Number(pml4! | 0x1e));
    cpu.setRegister(7, BigInt(WINDOW));
    cpu.setRegister(3, 1n);
    const text = assembled('mov eax, 4', 0);
    const code = memory.bytes.subarray(CODE, CODE + 64);
    const target = CODE + Buffer.from(code).indexOf(text);
    memory.devices.attach(WINDOW, PAGE_SIZE, {
      read: () => 0,
      write: (_offset, _size, value) => memory.write(target + 1, Uint8Array.of(value), 0, 1),
    });
    for (const value of [2n, 3n, 4n, 5n]) expect(toHalt(one)).toBe(value);
  });

  test('another CPU writes, whose TLB knew the page before it was code', () => {
    const one = machine(`${LOOP}\nalign 64\nwriter: mov [rdi], al\n hlt\n jmp writer`);
    const second = another(one, CODE + 64);
    second.setRegister(7, BigInt(FUNCTION + 1));
    for (const value of [1, 2, 3, 4]) {
      second.setRegister(0, BigInt(value));
      expect(second.run(100)).toBe(EXIT_REASON.HLT);
      second.skipInstruction();
      expect(toHalt(one)).toBe(BigInt(value));
    }
  });

  test('two CPUs write each other’s code in turns', () => {
    const one = machine();
    const other = CODE + 0x5000;
    one.memory.bytes.set(assembled(`again: mov eax, 7\n mov [rdi], eax\n hlt\n jmp again`, other), other);
    one.memory.bytes.set(
      assembled(`${LOOP.replace('hlt', `mov edx, [${FUNCTION + 1}]\n inc edx\n mov [${other + 1}], edx\n hlt`)}`, CODE),
      CODE,
    );
    const second = another(one, other);
    second.setRegister(7, BigInt(FUNCTION + 1));
    let value = 1n;
    for (let turn = 0; turn < 20; turn++) {
      expect(toHalt(one)).toBe(value);
      expect(second.run(100)).toBe(EXIT_REASON.HLT);
      second.skipInstruction();
      value++;
      expect(second.register(0)).toBe(value);
    }
  });

  test('a store by REP into another’s code', () => {
    const one = machine(`${LOOP}\nalign 64\nwriter: mov ecx, 3\n rep stosb\n hlt\n jmp writer`);
    const second = another(one, CODE + 64);
    warm(one);
    for (const value of [0x11, 0x22]) {
      second.setRegister(7, BigInt(FUNCTION + 1));
      second.setRegister(0, BigInt(value));
      expect(second.run(100)).toBe(EXIT_REASON.HLT);
      second.skipInstruction();
      expect(toHalt(one)).toBe(BigInt(value) * 0x10101n);
    }
  });

  test('the processor’s own walk sets an accessed bit inside an instruction', () => {
    const one = machine();
    const { memory, cpu } = one;
    // mov rax, imm64, whose immediate is also entry 0x12 of a page directory and leads to a page table.
    memory.bytes.set(Uint8Array.of(0x48, 0xb8), FUNCTION + 0x8e);
    memory.view.setBigUint64(FUNCTION + 0x90, 0x20_0003n, true);
    memory.bytes[FUNCTION + 0x98] = 0xc3;
    memory.bytes.set(assembled(`again: call ${FUNCTION + 0x8e}\n hlt\n jmp again`, CODE), CODE);
    memory.writeEntry(hpa(0x3008), BigInt(FUNCTION) | 3n);
    for (let halts = 0; halts < 4; halts++) expect(toHalt(one)).toBe(0x20_0003n);
    memory.writeEntry(hpa(0x20_0000), 0x8003n);
    memory.bytes.set(assembled(`mov rbx, [0x42400000]\n call ${FUNCTION + 0x8e}\n hlt`, CODE + 0x100), CODE + 0x100);
    cpu.rip = BigInt(CODE + 0x100);
    expect(toHalt(one)).toBe(0x20_0023n);
    cpu.rip = BigInt(CODE);
    expect(toHalt(one)).toBe(0x20_0023n);
  });

  test('a page frame that is given to somebody else is empty, and so is the code in it', () => {
    const one = machine();
    const pages = new PageAllocator(one.memory, hpa(FUNCTION));
    const frame = pages.allocate()!;
    expect(frame).toBe(FUNCTION);
    one.memory.write(frame, returns(1), 0, 6);
    warm(one);
    pages.free(frame);
    expect(pages.allocate()).toBe(frame);
    // add [rax], al, over and over: beyond the frame is HLT.
    one.memory.write(frame + PAGE_SIZE, Uint8Array.of(0xf4), 0, 1);
    one.cpu.run(100_000);
    expect(one.cpu.rip).toBe(BigInt(frame + PAGE_SIZE));
  });
});

test('who keeps code is told of what is written, or may be; who is gone is told nothing', () => {
  const { code } = new PhysicalMemory(MiB(1));
  const told: string[] = [];
  const stop = code.keep({
    guard: () => told.push('guard'),
    written: (host, bytes) => told.push(`written ${host} ${bytes}`),
  });
  code.changed(0x3008, 8);
  code.add(0x3000);
  code.add(0x3ff0);
  code.decoded(0x3ff9, 2);
  code.changed(0x3ff1, 8);
  code.changed(0x3ffb, 5);
  code.changed(0x3ff8, 8);
  code.changed(0x4000, 8);
  expect(told).toEqual(['guard', 'written 16376 8']);
  code.sharedChanged();
  expect(told).toHaveLength(2);
  code.share(0x3000);
  code.share(0x5000);
  code.sharedChanged();
  expect(told.splice(2)).toEqual(['written 12288 4096']);
  code.add(0x5000);
  code.sharedChanged();
  expect(told.splice(2)).toEqual(['guard', 'written 12288 4096', 'written 20480 4096']);
  stop();
  code.changed(0x3ff8, 8);
  expect(told).toHaveLength(2);
});
