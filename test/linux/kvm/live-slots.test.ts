/**
 * Memory slots change under running vCPUs, on the real CPU and in both of its tiers: after every change each vCPU reads what a walk from
 * scratch finds (slot, then user space's memory), writes it there, and asks user space for all else.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import type { Eagerness } from '../../../src/hardware/vcpu/translation.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../src/linux/uapi/syscalls.ts';
import { Guest } from './guest.ts';

const AREA = 0x4000000;
const PAGES = 8;
const BACKING = 6;
const RESULTS = 0x20000;
const VCPUS = 2;
/** What user space answers for page `page`. */
const served = (page: number) => 0xee00 + page;
const mark = (page: number) => 0xab00 + page;

/** A pass: the first word of each page to the results, ebp and the page's number into the second; then OUT. */
const PASS = `.pass: mov esi, ${AREA}\n mov edx, edi\n xor ecx, ecx
.page: mov eax, [rsi]\n mov [rdx], eax\n lea eax, [rbp + rcx]\n mov [rsi + 4], eax\n add esi, 4096\n add edx, 4\n inc ecx
 cmp ecx, ${PAGES}\n jb .page\n add ebp, 16\n out 0x80, al\n jmp .pass`;

const slot = fc.nat({ max: 2 });
const command = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      slot,
      at: fc.nat({ max: PAGES - 1 }),
      pages: fc.integer({ min: 1, max: 4 }),
      from: fc.nat({ max: BACKING - 1 }),
      flags: fc.constantFrom(0, uapi.KVM_MEM_READONLY, uapi.KVM_MEM_LOG_DIRTY_PAGES),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), slot }) },
);

/** A machine whose vCPUs are in the same state, but for edi (where results go) and ebp. */
function machine(eagerness: Eagerness | undefined) {
  const guest = new Guest(PASS, 'none', { irqchip: false, ...(eagerness && { eagerness }) });
  const { qemu, vmFd } = guest;
  qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_SREGS, qemu.scratch);
  const sregs = qemu.answer(uapi.kvm_sregs);
  qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, qemu.scratch);
  const regs = qemu.answer(uapi.kvm_regs);
  const vcpus = Array.from({ length: VCPUS }, (_, id) => {
    const fd = id === 0 ? guest.vcpuFd : qemu.ioctl(vmFd, uapi.KVM_CREATE_VCPU, id);
    expect(qemu.pass(fd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, sregs)).toBe(0);
    const own = { ...regs, rdi: BigInt(RESULTS + 256 * id), rbp: BigInt(0x10000 * (id + 1)) };
    expect(qemu.pass(fd, uapi.KVM_SET_REGS, uapi.kvm_regs, own)).toBe(0);
    const at = qemu.user.syscalls.mmap(12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) as Hva;
    const page = qemu.user.memory.view(at, 4096);
    return { fd, page: new DataView(page.buffer, page.byteOffset, page.length) };
  });
  return { guest, vcpus };
}

test.each([
  ['interpreted', undefined],
  ['translated', { threshold: 2, eager: true }],
] as const)('any sequence of changes, %s', { timeout: 120_000 }, (_, eagerness) => {
  let [mapped, asked] = [0, 0];
  fc.assert(
    fc.property(fc.array(command, { minLength: 4, maxLength: 16 }), (commands) => {
      const { guest, vcpus } = machine(eagerness);
      const backing = guest.qemu.map((BACKING + 4) * 4096);
      const { memory } = guest.qemu.user;
      const word = (at: number) => new DataView(memory.read(at as Hva, 4).buffer).getUint32(0, true);
      for (let page = 0; page < BACKING + 4; page++)
        memory.write((backing + page * 4096) as Hva, new Uint8Array(Uint32Array.of(mark(page)).buffer));
      let round = 0;
      for (const step of commands) {
        if (step.kind === 'delete') guest.setSlot(step.slot + 1, 0, 0, 0);
        else
          guest.setSlot(
            step.slot + 1,
            AREA + step.at * 4096,
            step.pages * 4096,
            backing + step.from * 4096,
            step.flags,
          );
        for (const [id, vcpu] of vcpus.entries()) {
          const wrote = new Map<number, number>();
          for (;;) {
            expect(guest.qemu.ioctl(vcpu.fd, uapi.KVM_RUN)).toBe(0);
            if (vcpu.page.getUint32(run.RUN_EXIT_REASON, true) === run.KVM_EXIT_IO) break;
            expect(vcpu.page.getUint32(run.RUN_EXIT_REASON, true)).toBe(run.KVM_EXIT_MMIO);
            const address = Number(vcpu.page.getBigUint64(run.RUN_MMIO_PHYS_ADDR, true)) - AREA;
            const page = Math.floor(address / 4096);
            if (vcpu.page.getUint8(run.RUN_MMIO_IS_WRITE) === 1)
              wrote.set(page, vcpu.page.getUint32(run.RUN_MMIO_DATA, true));
            else vcpu.page.setUint32(run.RUN_MMIO_DATA, served(page), true);
          }
          for (let page = 0; page < PAGES; page++) {
            const found = guest.vm.memslots.find(AREA / 4096 + page);
            const value = 0x10000 * (id + 1) + 16 * round + page;
            const result = word(guest.ram + RESULTS + 256 * id + 4 * page);
            if (found === undefined) {
              asked++;
              expect([result, wrote.get(page)]).toEqual([served(page), value]);
              continue;
            }
            mapped++;
            const at = found.userspaceAddress + (AREA / 4096 + page - found.baseGfn) * 4096;
            expect(result).toBe(mark((at - backing) / 4096));
            if (found.flags & uapi.KVM_MEM_READONLY) expect(wrote.get(page)).toBe(value);
            // A later page of the pass may have the same memory behind it.
            else expect([wrote.get(page), word(at + 4) - (word(at + 4) % 16)]).toEqual([undefined, value - page]);
          }
        }
        round++;
      }
    }),
    { numRuns: 25 },
  );
  expect(Math.min(mapped, asked)).toBeGreaterThan(100);
});

test.each(['delete', 'move'] as const)(
  'a slot goes by %s while user space serves a read: the instruction still ends, and so does the guest',
  (how) => {
    const guest = new Guest(
      `mov edi, ${AREA}\n mov eax, 5\n mov [rdi + 4096], eax\n add [rdi], eax\n mov ebx, [rdi]\n hlt`,
      'none',
      {
        irqchip: false,
      },
    );
    const { qemu } = guest;
    const other = qemu.map(4096);
    expect(guest.setSlot(1, AREA + 4096, 4096, other)).toBe(0);
    const mmio = () => run.kvm_run_mmio.read(guest.run, run.KVM_RUN_UNION);
    guest.resume();
    expect(mmio()).toMatchObject({ phys_addr: BigInt(AREA), len: 4, is_write: 0 });
    guest.run.setUint32(run.RUN_MMIO_DATA, 0x100, true);
    // All that the EPT says is forgotten, of the instruction's own page as well.
    if (how === 'delete') expect(guest.setSlot(1, AREA + 4096, 0, other)).toBe(0);
    else expect(guest.setSlot(1, AREA + 8192, 4096, other)).toBe(0);
    guest.resume();
    expect(guest.exitReason).toBe(run.KVM_EXIT_MMIO);
    expect(mmio()).toMatchObject({ phys_addr: BigInt(AREA), len: 4, is_write: 1 });
    expect(guest.run.getUint32(run.RUN_MMIO_DATA, true)).toBe(0x105);
    guest.resume();
    expect(mmio()).toMatchObject({ phys_addr: BigInt(AREA), len: 4, is_write: 0 });
    guest.resume();
    expect(guest.exitReason).toBe(run.KVM_EXIT_HLT);
  },
);
