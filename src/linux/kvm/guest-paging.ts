/**
 * KVM's own walk of the guest's page tables, for KVM_TRANSLATE and for reading guest code (arch/x86/kvm/mmu/paging_tmpl.h).
 * It reads guest memory through the slots and changes nothing: no accessed bits, no EPT faults.
 */

import { type Gpa, type Gva, gva, PAGE_SIZE, pageNumber, pageOffset } from '../../address.ts';
import { kvm_read_guest } from './guest-memory.ts';
import { kvmMmuPagetableWalk, kvmMmuPagingElement, kvmMmuWalkerError } from './trace-mmu.ts';
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

/** PFERR_FETCH_MASK: the walk is for code. */
const PFERR_FETCH = 1 << 4;
const PFERR_USER = 1 << 2;

/**
 * Where the guest's paging puts `linear`; `undefined` where it does not map it. Four levels, or paging off. `pferr` says what the
 * access would be, in the bits of a page fault's error code.
 */
export function translate(vcpu: KvmVcpu, linear: Gva, pferr = 0): Translation | undefined {
  const { cpu, vm } = vcpu;
  const { stream } = vm.kernel;
  if ((cpu.control(0) & CR0_PG) === 0n) return { gpa: Number(linear) as Gpa, writable: true, user: true };
  const bytes = new Uint8Array(8);
  const word = new DataView(bytes.buffer);
  if (kvmMmuPagetableWalk.on) kvmMmuPagetableWalk(stream, { address: BigInt.asUintN(64, linear), pferr });
  let table = cpu.control(3) & ADDRESS_MASK;
  let writable = true;
  let user = true;
  for (let shift = 39n; ; shift -= 9n) {
    const at = Number(table + (((linear >> shift) & 0x1ffn) << 3n)) as Gpa;
    if (!peek(vm, at, bytes)) return undefined;
    const entry = word.getBigUint64(0, true);
    if (kvmMmuPagingElement.on) kvmMmuPagingElement(stream, { pte: entry, level: Number((shift - 3n) / 9n) });
    if ((entry & PRESENT) === 0n) {
      if (kvmMmuWalkerError.on) kvmMmuWalkerError(stream, { pferr });
      return undefined;
    }
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
  const pferr = PFERR_FETCH | (vcpu.cpu.segment('ss').dpl === 3 ? PFERR_USER : 0);
  for (let done = 0; done < length; ) {
    const at = gva(linear + BigInt(done));
    const translation = translate(vcpu, at, pferr);
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
