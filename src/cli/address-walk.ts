/**
 * An address on its whole way: guest virtual by the guest's page tables to guest physical, by KVM's slots to the VMM's virtual
 * address, by the host's tables and by the EPT to host physical; with every table entry that is read.
 */

import { type Gpa, type Gva, type Hpa, PAGE_SIZE, pageNumber } from '../address.ts';
import { EPT, type EptStep, levelBytes, walkEpt } from '../hardware/ept.ts';
import { CR0_PG, PTE } from '../hardware/vcpu/paging.ts';
import type { Cpu } from '../linux/kvm/cpu.ts';
import { slotHva } from '../linux/kvm/memslots.ts';
import type { Vm } from '../linux/kvm/vm.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;
const PRESENT = BigInt(PTE.PRESENT);
const LARGE_PAGE = BigInt(PTE.LARGE_PAGE);
/** Names of the guest's entries by level. */
const TABLES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E'];
/** Names of an entry's bits in the guest's tables, as the manual writes them (SDM vol. 3A §4.5). */
const guestBits: readonly (readonly [bit: bigint, name: string])[] = [
  [BigInt(PTE.PRESENT), 'P'],
  [BigInt(PTE.WRITABLE), 'RW'],
  [BigInt(PTE.USER), 'US'],
  [1n << 3n, 'PWT'],
  [1n << 4n, 'PCD'],
  [BigInt(PTE.ACCESSED), 'A'],
  [BigInt(PTE.DIRTY), 'D'],
  [BigInt(PTE.LARGE_PAGE), 'PS'],
  [BigInt(PTE.GLOBAL), 'G'],
  [1n << 63n, 'XD'],
];
/** Bits of an EPT entry (SDM vol. 3C §28.3.2). */
const eptBits: readonly (readonly [bit: bigint, name: string])[] = [
  [EPT.READ, 'R'],
  [EPT.WRITE, 'W'],
  [EPT.EXECUTE, 'X'],
  [EPT.IGNORE_PAT, 'IPAT'],
  [EPT.LARGE_PAGE, 'PS'],
  [EPT.ACCESSED, 'A'],
  [EPT.DIRTY, 'D'],
];
const memoryTypes: Readonly<Record<number, string>> = { 0: 'UC', 1: 'WC', 4: 'WT', 5: 'WP', 6: 'WB' };

const named = (entry: bigint, bits: readonly (readonly [bigint, string])[]): string =>
  bits.flatMap(([bit, name]) => ((entry & bit) === 0n ? [] : [name])).join(' ') || '(not present)';

/** Where an address of a VM leads, by the tables of the vCPU with that index, in lines. */
export function describeWalk(vm: Vm, linear: Gva, vcpu = 0): string[] {
  const lines = [`guest virtual   ${hex(linear)}`];
  const gpa = walkGuest(vm, vm.vcpus[vcpu]!.cpu, linear, lines);
  return gpa === undefined ? lines : [...lines, ...describePhysical(vm, gpa)];
}

/** The guest's own tables; undefined where they map nothing, which is the guest's #PF. */
function walkGuest(vm: Vm, cpu: Cpu, linear: Gva, lines: string[]): Gpa | undefined {
  if ((cpu.control(0) & CR0_PG) === 0n) {
    lines.push('  paging is off: the address is physical');
    return Number(linear) as Gpa;
  }
  let table = cpu.control(3) & ADDRESS_MASK;
  for (let level = 4; ; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const at = Number(table + (((linear >> shift) & 0x1ffn) << 3n)) as Gpa;
    const entry = guestWord(vm, at);
    if (entry === undefined) {
      lines.push(`  level ${level}  ${TABLES[level]!.padEnd(5)} at gpa ${hex(at)}: no memory is there`);
      return undefined;
    }
    const bits = named(entry, guestBits);
    lines.push(`  level ${level}  ${TABLES[level]!.padEnd(5)} at gpa ${hex(at)} = ${hex(entry)}  ${bits}`);
    if ((entry & PRESENT) === 0n) {
      lines.push('  => #PF: the guest does not map it');
      return undefined;
    }
    if (level === 1 || (level < 4 && (entry & LARGE_PAGE) !== 0n)) {
      const offset = (1n << shift) - 1n;
      return Number((entry & ADDRESS_MASK & ~offset) | (linear & offset)) as Gpa;
    }
    table = entry & ADDRESS_MASK;
  }
}

/** A word of guest memory, by the VMM's mapping of it: no process has to be current, and the guest does not notice. */
function guestWord(vm: Vm, gpa: Gpa): bigint | undefined {
  const address = vm.memslots.hva(gpa);
  const frame = address === undefined ? -1 : vm.mm.frame(address, false);
  return frame < 0 ? undefined : vm.kernel.memory.readEntry((frame + (gpa % PAGE_SIZE)) as Hpa);
}

/** From a guest physical address on: slot, host virtual, EPT, host physical. */
function describePhysical(vm: Vm, gpa: Gpa): string[] {
  const lines = [`guest physical  ${hex(gpa)}`];
  const gfn = pageNumber(gpa);
  const slot = vm.memslots.find(gfn);
  if (slot === undefined) lines.push('  no memory slot: an access leaves the guest as MMIO');
  else {
    const first = slot.baseGfn * PAGE_SIZE;
    lines.push(
      `  slot ${slot.id}: gpa ${hex(first)}-${hex(first + slot.pages * PAGE_SIZE - 1)} -> hva ${hex(slot.userspaceAddress)}`,
      `host virtual    ${hex(slotHva(slot, gfn) + (gpa % PAGE_SIZE))}`,
    );
  }
  const pointer = vm.mmu.eptPointer();
  if (pointer < 0) return [...lines, '  there are no extended page tables'];
  const walk = walkEpt(vm.kernel.memory, pointer, gpa);
  lines.push(`  EPT pointer ${hex(pointer)}`, ...walk.steps.map(eptLine));
  if (walk.outcome === 'mapped')
    return [...lines, `host physical   ${hex(walk.host)}  (a page of ${pageSize(walk.pageBytes)})`];
  const meaning =
    walk.outcome === 'misconfigured'
      ? 'EPT_MISCONFIG: an MMIO entry, whose next access KVM emulates at once'
      : slot === undefined
        ? 'EPT_VIOLATION: no entry yet; KVM will find no slot and make an MMIO entry'
        : 'EPT_VIOLATION: no entry yet; KVM will map the page of the slot';
  return [...lines, `  => ${meaning}`];
}

function eptLine({ level, at, entry }: EptStep): string {
  const leaf = level === 1 || (entry & EPT.LARGE_PAGE) !== 0n;
  const type = Number((entry >> EPT.MEMORY_TYPE_SHIFT) & 7n);
  const cache = leaf && (entry & EPT.RWX) !== 0n ? ` type ${memoryTypes[type] ?? 'reserved'}` : '';
  return `  level ${level}  at hpa ${hex(at)} = ${hex(entry)}  ${named(entry, eptBits)}${cache}`;
}

const pageSize = (bytes: number): string =>
  ({ [levelBytes(1)]: '4 KiB', [levelBytes(2)]: '2 MiB', [levelBytes(3)]: '1 GiB' })[bytes] ?? `${bytes} bytes`;
