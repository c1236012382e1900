/**
 * KVM_SET_TSS_ADDR: three pages of guest memory where VMX keeps the task state of its virtual real mode
 * (arch/x86/kvm/vmx/vmx.c: vmx_set_tss_addr, init_rmode_tss; x86.c: __x86_set_memory_region).
 */

import { type Gpa, PAGE_SIZE } from '../../address.ts';
import { EEXIST, EINVAL } from '../uapi/errno.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../uapi/syscalls.ts';
import { kvm_write_guest } from './guest-memory.ts';
import { TSS_PRIVATE_MEMSLOT } from './memslots.ts';
import type { Vm } from './vm.ts';

const TSS_PAGES = 3;
const BASE_SIZE = 0x68;
const REDIRECTION_SIZE = 256 / 8;
const IO_BITMAP_SIZE = 65536 / 8;
/** Where the TSS says that its I/O bitmap begins. */
const IO_BITMAP_BASE = 0x66;
const TSS_SIZE = BASE_SIZE + REDIRECTION_SIZE + IO_BITMAP_SIZE + 1;

/** 0; -EINVAL too close to 4 GiB, -EEXIST the second time, or what the slot is refused for. */
export function setTssAddress(vm: Vm, address: number): number {
  const { kernel, memslots } = vm;
  if (address > 2 ** 32 - TSS_PAGES * PAGE_SIZE || address < 0)
    return kernel.refuse(EINVAL, 'the TSS must end below 4 GiB');
  if (memslots.get(TSS_PRIVATE_MEMSLOT) !== undefined) return kernel.refuse(EEXIST, 'the TSS has its place already');
  const bytes = TSS_PAGES * PAGE_SIZE;
  const hva = vm.mm.mmap(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, undefined, 0);
  if (hva < 0) return hva;
  const error = memslots.setRegion({
    slot: TSS_PRIVATE_MEMSLOT,
    flags: 0,
    guest_phys_addr: BigInt(address),
    memory_size: BigInt(bytes),
    userspace_addr: BigInt(hva),
  });
  if (error < 0) {
    vm.mm.munmap(hva, bytes);
    return error;
  }
  const base = BASE_SIZE + REDIRECTION_SIZE;
  kvm_write_guest(vm, (address + IO_BITMAP_BASE) as Gpa, Uint8Array.of(base & 0xff, base >> 8), 2);
  return kvm_write_guest(vm, (address + TSS_SIZE - 1) as Gpa, Uint8Array.of(0xff), 1);
}
