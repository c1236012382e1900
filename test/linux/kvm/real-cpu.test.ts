/** kvm.ko with the model's own CPU: machine code in guest RAM, long mode, EPT filled on demand. */

import { describe, expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { EINTR } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Bench } from './bench.ts';

const RAM = 4 * 1024 * 1024;
const CODE = 0x8000;
const CODE_SEGMENT = { selector: 0x10, type: 11, present: 1, s: 1, l: 1, g: 1, limit: 0xffffffff };
const DATA_SEGMENT = { selector: 0x18, type: 3, present: 1, s: 1, db: 1, g: 1, limit: 0xffffffff };

/** A guest in long mode at CODE with the first 4 GiB mapped to themselves by 1 GiB pages. */
function boot(code: readonly number[]): Bench {
  const bench = new Bench({ hardware: 'real' });
  const { qemu } = bench;
  const ram = qemu.map(RAM);
  bench.setSlot(0, 0, RAM, ram);
  const tables = new BigUint64Array(1024);
  tables[0] = 0x3003n;
  for (let i = 0; i < 4; i++) tables[512 + i] = (BigInt(i) << 30n) | 0x83n;
  qemu.user.memory.write((ram + 0x2000) as Hva, new Uint8Array(tables.buffer));
  qemu.user.memory.write((ram + CODE) as Hva, Uint8Array.from(code));
  const padding = new Uint8Array(6);
  const segment = (value: object) => ({ ...value, padding: 0 }) as never;
  const [cs, data] = [segment(CODE_SEGMENT), segment(DATA_SEGMENT)];
  const sregs = {
    cs,
    ds: data,
    es: data,
    ss: data,
    fs: data,
    gs: data,
    gdt: { base: 0n, limit: 0, padding },
    idt: { base: 0n, limit: 0, padding },
    cr0: 0x80010001n,
    cr3: 0x2000n,
    cr4: 0x20n,
    efer: 0x500n,
  };
  expect(qemu.pass(bench.vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, sregs)).toBe(0);
  expect(qemu.pass(bench.vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, { rip: BigInt(CODE), rsp: 0x7000n })).toBe(0);
  return bench;
}

const resume = (bench: Bench) => bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_RUN);
const regs = (bench: Bench) => {
  bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_REGS, bench.qemu.scratch);
  return bench.qemu.answer(uapi.kvm_regs);
};

describe('on the real CPU', () => {
  test('out, in, hlt: the value goes out, comes back, and the guest ends', () => {
    // mov eax, 0x1234 / out 0x80, eax / in al, 0x60 / hlt
    const bench = boot([0xb8, 0x34, 0x12, 0, 0, 0xe7, 0x80, 0xe4, 0x60, 0xf4]);
    expect(resume(bench)).toBe(0);
    expect(run.kvm_run_io.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({ direction: 1, size: 4, port: 0x80 });
    expect([...bench.pioData.subarray(0, 4)]).toEqual([0x34, 0x12, 0, 0]);
    expect(regs(bench).rip).toBe(BigInt(CODE + 5));
    expect(resume(bench)).toBe(0);
    expect(run.kvm_run_io.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({ direction: 0, size: 1, port: 0x60 });
    bench.pioData[0] = 0xee;
    expect(resume(bench)).toBe(0);
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
    expect(regs(bench)).toMatchObject({ rax: 0x12een, rip: BigInt(CODE + 10) });
  });

  test('mmio: a write by the first violation, a read by the misconfiguration, the bytes in the trace', () => {
    // mov ebx, 0xfebc0000 / mov dword [rbx+8], 0x11223344 / mov eax, [rbx] / hlt
    const bench = boot([0xbb, 0, 0, 0xbc, 0xfe, 0xc7, 0x43, 0x08, 0x44, 0x33, 0x22, 0x11, 0x8b, 0x03, 0xf4]);
    bench.listen('kvm_exit,kvm_emulate_insn,kvm_mmio,vcpu_match_mmio');
    expect(resume(bench)).toBe(0);
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({
      phys_addr: 0xfebc0008n,
      len: 4,
      is_write: 1,
    });
    expect(regs(bench).rip).toBe(BigInt(CODE + 12));
    bench.events.splice(0, bench.events.length - 3);
    expect(resume(bench)).toBe(0);
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({ phys_addr: 0xfebc0000n, is_write: 0 });
    bench.run.setUint32(run.RUN_MMIO_DATA, 0x8badf00d, true);
    expect(resume(bench)).toBe(0);
    expect(regs(bench).rax).toBe(0x8badf00dn);
    expect(bench.events.map((line) => line.replace(/ info1.*/, ''))).toEqual([
      'kvm_emulate_insn: 0:8005:c7 43 08 44 33 22 11 (prot64)',
      'vcpu_match_mmio: gva 0xfebc0008 gpa 0xfebc0008 Write GPA',
      'kvm_mmio: mmio write len 4 gpa 0xfebc0008 val 0x11223344',
      'kvm_exit: vcpu 0 reason EPT_MISCONFIG rip 0x800c',
      'kvm_emulate_insn: 0:800c:8b 03 (prot64)',
      'vcpu_match_mmio: gva 0xfebc0000 gpa 0xfebc0000 Read GPA',
      'kvm_mmio: mmio unsatisfied-read len 4 gpa 0xfebc0000 val 0x0',
      'kvm_mmio: mmio read len 4 gpa 0xfebc0000 val 0x8badf00d',
      'kvm_exit: vcpu 0 reason HLT rip 0x800e',
    ]);
  });

  test('rep outsb: every element reaches user space, in order; rep insb: one exit', () => {
    // mov esi, 0x9000 / mov ecx, 4 / mov edx, 0x3f8 / cld / rep outsb / mov edi, 0x9100 / mov cl, 4 / rep insb / hlt
    const bench = boot([
      0xbe, 0, 0x90, 0, 0, 0xb9, 4, 0, 0, 0, 0xba, 0xf8, 3, 0, 0, 0xfc, 0xf3, 0x6e, 0xbf, 0, 0x91, 0, 0, 0xb1, 4, 0xf3,
      0x6c, 0xf4,
    ]);
    const ram = bench.vm.memslots.all()[0]!.userspaceAddress;
    bench.qemu.user.memory.write((ram + 0x9000) as Hva, new TextEncoder().encode('gvm!'));
    let out = '';
    while (resume(bench) === 0 && bench.run.getUint8(run.RUN_IO_DIRECTION) === 1) {
      expect(bench.run.getUint32(run.RUN_IO_COUNT, true)).toBe(1);
      out += String.fromCharCode(bench.pioData[0]!);
    }
    expect(out).toBe('gvm!');
    expect(run.kvm_run_io.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({ direction: 0, size: 1, count: 4 });
    bench.pioData.set([1, 2, 3, 4]);
    expect(resume(bench)).toBe(0);
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
    expect([...bench.qemu.user.memory.read((ram + 0x9100) as Hva, 4)]).toEqual([1, 2, 3, 4]);
  });

  test('jmp $ ends at the instruction limit; so does a loop of port writes', () => {
    const spin = boot([0xeb, 0xfe]);
    spin.vm.instructionLimit = 100_000;
    expect(resume(spin)).toBe(-EINTR);
    expect(spin.vm.retired).toBe(100_000);
    // out 0x80, al / jmp back
    const writes = boot([0xe6, 0x80, 0xeb, 0xfc]);
    writes.vm.instructionLimit = 1000;
    let exits = 0;
    while (resume(writes) === 0) exits++;
    expect(exits).toBe(500);
  });

  test('no IDT: an undefined instruction becomes a triple fault, KVM_EXIT_SHUTDOWN', () => {
    const bench = boot([0x0f, 0x0b]);
    expect(resume(bench)).toBe(0);
    expect(bench.exitReason).toBe(run.KVM_EXIT_SHUTDOWN);
  });

  test('execution that runs into a hole of memory is KVM_INTERNAL_ERROR_EMULATION', () => {
    // mov eax, 0xfebc0000 / jmp rax
    const bench = boot([0xb8, 0, 0, 0xbc, 0xfe, 0xff, 0xe0]);
    expect(resume(bench)).toBe(0);
    expect(bench.exitReason).toBe(run.KVM_EXIT_INTERNAL_ERROR);
    expect(bench.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(1);
    expect(regs(bench).rip).toBe(0xfebc0000n);
  });

  test('KVM_TRANSLATE walks the guest’s tables', () => {
    const bench = boot([0xf4]);
    const translate = (linear_address: bigint) => {
      expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_TRANSLATE, uapi.kvm_translation, { linear_address })).toBe(0);
      return bench.qemu.answer(uapi.kvm_translation);
    };
    expect(translate(0x40001234n)).toMatchObject({ physical_address: 0x40001234n, valid: 1 });
    expect(translate(0x1_0000_0000n)).toMatchObject({ physical_address: 0xffff_ffff_ffff_ffffn, valid: 0 });
  });
});
