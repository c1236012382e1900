/**
 * KVM's own walk of the guest's page tables, for KVM_TRANSLATE and for reading guest code (arch/x86/kvm/mmu/paging_tmpl.h).
 * It reads guest memory through the slots and changes nothing: no accessed bits, no EPT faults.
 */

import { type Gpa, type Gva, gva, PAGE_SIZE, pageNumber, pageOffset } from '../../address.ts';
import { kvm_read_guest } from './guest-memory.ts';
import type { KvmVcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

const CR0_PG = 1n << 31n;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const PAGE_SIZE_BIT = 1n << 7n;
const ADDRESS_MASK = 0x000ffffffffff000n;

export interface Translation {
  readonly gpa: Gpa;
  readonly writable: boolean;
  readonly user: boolean;
}

/** Where the guest's paging puts `linear`; `undefined` where it does not map it. Four levels, or paging off. */
export function translate(vcpu: KvmVcpu, linear: Gva): Translation | undefined {
  const { cpu, vm } = vcpu;
  if ((cpu.control(0) & CR0_PG) === 0n) return { gpa: Number(linear) as Gpa, writable: true, user: true };
  const bytes = new Uint8Array(8);
  const word = new DataView(bytes.buffer);
  let table = cpu.control(3) & ADDRESS_MASK;
  let writable = true;
  let user = true;
  for (let shift = 39n; ; shift -= 9n) {
    const at = Number(table + (((linear >> shift) & 0x1ffn) << 3n)) as Gpa;
    if (!peek(vm, at, bytes)) return undefined;
    const entry = word.getBigUint64(0, true);
    if ((entry & PRESENT) === 0n) return undefined;
    writable &&= (entry & WRITABLE) !== 0n;
    user &&= (entry & USER) !== 0n;
    const leaf = shift === 12n || (shift < 39n && (entry & PAGE_SIZE_BIT) !== 0n);
    if (!leaf) {
      table = entry & ADDRESS_MASK;
      continue;
    }
    const offset = (1n << shift) - 1n;
    return { gpa: Number((entry & ADDRESS_MASK & ~offset) | (linear & offset)) as Gpa, writable, user };
  }
}

/** Up to `length` bytes at `linear`, page by page; fewer where the guest's memory ends. */
export function guestBytes(vcpu: KvmVcpu, linear: Gva, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const at = gva(linear + BigInt(done));
    const translation = translate(vcpu, at);
    if (translation === undefined) return bytes.subarray(0, done);
    const piece = Math.min(length - done, PAGE_SIZE - pageOffset(translation.gpa));
    if (!peek(vcpu.vm, translation.gpa, bytes.subarray(done, done + piece))) return bytes.subarray(0, done);
    done += piece;
  }
  return bytes;
}

/** Read guest memory within a page; a frame without a slot is an answer here, no refusal. */
const peek = (vm: Vm, gpa: Gpa, into: Uint8Array): boolean =>
  vm.memslots.find(pageNumber(gpa)) !== undefined && kvm_read_guest(vm, gpa, into, into.length) === 0;
