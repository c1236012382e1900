/** REP MOVS and REP STOS done a batch at a time: the same as element after element, which single-stepping still does. */

import { expect, test } from 'vitest';
import { RF, TF } from '../../src/hardware/vcpu/flags.ts';
import { STRING_BATCH } from '../../src/hardware/vcpu/interpreter/string-batch.ts';
import { Generator } from '../oracle/generator.ts';
import { FlatMachine } from './flat-machine.ts';
import { assembled } from './privilege-machine.ts';

const DATA = 0x20_0000;
const BYTES = 0x1_0000;
const CODE = 0x10_0000;

/** The instruction, then HLT. `touched`: all pages are in the TLB; otherwise the instruction brings each as it comes to it. */
function run(
  text: string,
  registers: readonly bigint[],
  stepping: boolean,
  touched = true,
): { readonly data: Buffer; readonly state: string } {
  const machine = new FlatMachine(assembled(`${text}\nhlt`, CODE));
  const { cpu, memory } = machine;
  const handler = assembled('iretq', 0x5000);
  memory.bytes.set(handler, 0x5000);
  // #DB after each element is taken and returns.
  memory.view.setBigUint64(0x6000 + 16, 0x0000_8e00_0010_5000n, true);
  cpu.setDescriptorTable('idt', { base: 0x6000n, limit: 0xfff });
  memory.view.setBigUint64(0x7010, 0x00af_9b00_0000_ffffn, true);
  memory.view.setBigUint64(0x7018, 0x00cf_9300_0000_ffffn, true);
  cpu.setDescriptorTable('gdt', { base: 0x7000n, limit: 0x1f });
  const data = memory.bytes.subarray(DATA, DATA + BYTES);
  // Every page has been read and written: the TLB has it.
  const touch = assembled(
    `mov rcx, ${BYTES / 4096}\nmov rdi, ${DATA}\n.t: mov al, [rdi]\nmov [rdi], al\nadd rdi, 4096\nloop .t\nhlt`,
    CODE,
  );
  const own = memory.bytes.slice(CODE, CODE + 64);
  memory.bytes.set(touch, CODE);
  if (touched) cpu.run(1000);
  memory.bytes.set(own, CODE);
  memory.code.changed(CODE, 4096);
  for (let at = 0, value = 1; at < BYTES; at++, value = Math.imul(value, 0x343fd) + 0x269ec3) data[at] = value >>> 16;
  registers.forEach((value, index) => {
    cpu.setRegister([0, 1, 6, 7][index]!, value);
  });
  cpu.rip = BigInt(CODE);
  cpu.rflags = BigInt(2 | (stepping ? TF : 0));
  cpu.run(1_000_000);
  const state = [1, 6, 7].map((register) => cpu.register(register).toString(16)).join(' ');
  return { data: Buffer.from(data), state };
}

test.each(['movsb', 'movsw', 'movsd', 'movsq', 'stosb', 'stosw', 'stosd', 'stosq'])('rep %s', (mnemonic) => {
  const random = new Generator(mnemonic.length * 31 + mnemonic.charCodeAt(4) + mnemonic.charCodeAt(0));
  for (let each = 0; each < 5; each++) {
    const source = BigInt(DATA + random.below(0x4000));
    // Near the source as often as far from it: overlaps upwards and downwards.
    const distance = random.once(2) ? random.below(64) - 32 : random.below(0x4000);
    const rax = random.pick([0n, 0xffff_ffff_ffff_ffffn, 0x4141_4141_4141_4141n, random.bits()]);
    const registers = [rax, BigInt(random.below(3000)), source, source + BigInt(distance)];
    const whole = run(`rep ${mnemonic}`, registers, false);
    const stepped = run(`rep ${mnemonic}`, registers, true);
    expect(whole.state).toBe(stepped.state);
    expect(whole.data.equals(stepped.data), `${registers}`).toBe(true);
    const untouched = run(`rep ${mnemonic}`, registers, false, false);
    expect(untouched.state).toBe(stepped.state);
    expect(untouched.data.equals(stepped.data), `${registers}, no page in the TLB`).toBe(true);
  }
});

test('what is longer than a batch goes on in batches, each counted as one instruction', () => {
  const retired = (elements: number, flags: number): number => {
    const { cpu } = new FlatMachine(assembled('rep stosb\nhlt', CODE));
    cpu.setRegister(1, BigInt(elements));
    cpu.setRegister(7, BigInt(DATA));
    cpu.rflags = BigInt(2 | flags);
    cpu.run(1_000_000);
    expect(cpu.register(1)).toBe(0n);
    expect(cpu.rflags & BigInt(RF)).toBe(0n);
    return cpu.retired;
  };
  expect(retired(4 * STRING_BATCH, 0) - retired(STRING_BATCH, 0)).toBe(3);
  // RF, which stands between two batches and which IRET and the hypervisor can set, is nothing that looks at elements.
  expect(retired(4 * STRING_BATCH, RF)).toBe(retired(4 * STRING_BATCH, 0));
});
