/**
 * Guest paging by the rules of SDM vol. 3A ch. 4: every page fault's error code, accessed and dirty bits, and a TLB that
 * never promises what a walk from scratch would refuse.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hpa, MiB } from '../../src/address.ts';
import { EventStream } from '../../src/event.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { DebugRegisters } from '../../src/hardware/vcpu/debug-registers.ts';
import { AC } from '../../src/hardware/vcpu/flags.ts';
import { Mmu } from '../../src/hardware/vcpu/mmu.ts';
import { CR0_PG, CR0_WP, CR4_PAE, CR4_SMAP, CR4_SMEP, EFER_NXE } from '../../src/hardware/vcpu/paging.ts';
import { PendingEvent } from '../../src/hardware/vcpu/pending-event.ts';
import { CpuState, WORD } from '../../src/hardware/vcpu/state.ts';
import { TLB_MASK } from '../../src/hardware/vcpu/tlb.ts';

const ROOT = 0x2000;
const FAULT = -2;
const PF = 14;
const GP = 13;
/** One table a level; addresses choose among the first entries of each. */
const TABLES = [0, 0x5000, 0x4000, 0x3000, ROOT];
const PAGES = 8;
const DATA = MiB(2);
const [P, W, U, A, D, PS, NX] = [1n, 2n, 4n, 0x20n, 0x40n, 0x80n, 1n << 63n];

class Bench {
  readonly memory = new PhysicalMemory(MiB(4));
  readonly event = new PendingEvent();
  readonly state = new CpuState(this.memory, hpa(0x1000));
  readonly mmu: Mmu;

  constructor() {
    this.mmu = new Mmu(this.memory, this.state, this.event, new DebugRegisters(), new EventStream(() => 0n));
    this.mmu.guest.cr0 = CR0_PG | CR0_WP;
    this.mmu.guest.cr3 = BigInt(ROOT);
    this.mmu.guest.cr4 = CR4_PAE;
  }

  entry(level: number, index: number): bigint {
    return this.memory.readEntry(hpa(TABLES[level]! + index * 8));
  }
  setEntry(level: number, index: number, value: bigint): void {
    this.memory.writeEntry(hpa(TABLES[level]! + index * 8), value);
  }

  access(kind: 'read' | 'write' | 'fetch', address: number): number {
    if (kind === 'fetch') return this.mmu.fetch(address);
    return kind === 'read' ? this.mmu.readSlow(address, 1) : this.mmu.writeSlow(address, 1, false);
  }

  /** What generated code would find in the TLB. */
  cached(kind: 'read' | 'write' | 'fetch', address: number): number | undefined {
    const { tlb } = this.mmu;
    const entry = (address >>> 12) & TLB_MASK;
    const within = address & 4095;
    return tlb[`${kind}Tags`][entry] === address - within ? tlb[`${kind}Hosts`][entry]! + within : undefined;
  }
}

interface Mode {
  readonly user: boolean;
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly nxe: boolean;
  readonly ac: boolean;
}

/** The rules of §4.6 and §4.7, over the entries that a walk meets. A physical address, or the error code of #PF. */
function byTheBook(
  entries: readonly bigint[],
  address: number,
  kind: 'read' | 'write' | 'fetch',
  mode: Mode,
): { physical: number } | { error: number } {
  const fetchBit = kind === 'fetch' && (mode.nxe || mode.smep) ? 16 : 0;
  const base = (kind === 'write' ? 2 : 0) | (mode.user ? 4 : 0) | fetchBit;
  let rights = P | W | U;
  let never = false;
  for (let level = 4; level > 0; level--) {
    const entry = entries[level]!;
    if ((entry & P) === 0n) return { error: base };
    const leaf = level === 1 || ((entry & PS) !== 0n && level < 4);
    const size = 1n << BigInt(12 + 9 * (level - 1));
    const reservedAddress = 0x000f_c000_0000_0000n | (leaf && level > 1 ? (size - 1n) & ~0x1fffn : 0n);
    const reserved =
      (entry & reservedAddress) !== 0n || (level === 4 && (entry & PS) !== 0n) || ((entry & NX) !== 0n && !mode.nxe);
    if (reserved) return { error: base | 9 };
    rights &= entry;
    never ||= (entry & NX) !== 0n;
    if (!leaf) continue;
    const userPage = (rights & U) !== 0n;
    const writable = (rights & W) !== 0n;
    const denied =
      (mode.user && !userPage) ||
      (kind === 'fetch' && (never || (!mode.user && userPage && mode.smep))) ||
      (kind !== 'fetch' && !mode.user && userPage && mode.smap && !mode.ac) ||
      (kind === 'write' && !writable && (mode.user || mode.wp));
    if (denied) return { error: base | 1 };
    const frame = entry & 0x3fff_ffff_f000n & ~(size - 1n);
    return { physical: Number(frame | (BigInt(address) & (size - 1n))) };
  }
  throw new Error('a walk ends at level 1');
}

/** Reserved in the entry of a large page, an address bit in the others. */
const LARGE_RESERVED = 1n << 13n;

const flags = fc.record({
  present: fc.boolean(),
  write: fc.boolean(),
  user: fc.boolean(),
  nx: fc.boolean(),
  large: fc.boolean(),
  reserved: fc.constantFrom(0n, 0n, 0n, 1n << 46n, 1n << 51n, LARGE_RESERVED),
});
const mode = fc.record({
  user: fc.boolean(),
  wp: fc.boolean(),
  smep: fc.boolean(),
  smap: fc.boolean(),
  nxe: fc.boolean(),
  ac: fc.boolean(),
});
const kind = fc.constantFrom('read' as const, 'write' as const, 'fetch' as const);

function apply({ mmu, state }: Bench, { user, wp, smep, smap, nxe, ac }: Mode): void {
  mmu.guest.privilege = user ? 3 : 0;
  mmu.guest.cr0 = CR0_PG | (wp ? CR0_WP : 0n);
  mmu.guest.cr4 = CR4_PAE | (smep ? CR4_SMEP : 0n) | (smap ? CR4_SMAP : 0n);
  mmu.guest.efer = nxe ? EFER_NXE : 0n;
  state.words[WORD.FLAG_CONTROL] = ac ? AC : 0;
  mmu.flush();
}

describe('paging', () => {
  test('a walk gives the address or the error code that the manual gives', () => {
    fc.assert(
      fc.property(
        fc.array(flags, { minLength: 4, maxLength: 4 }),
        mode,
        kind,
        fc.integer({ min: 0, max: 4095 }),
        (levels, how, access, offset) => {
          const bench = new Bench();
          const entries = [
            0n,
            ...levels.map((each, index) => {
              const level = index + 1;
              const leaf = level === 1 || (each.large && level < 4);
              const target = leaf ? (level === 3 ? 0 : DATA) : TABLES[level - 1]!;
              return (
                BigInt(target) |
                (each.reserved === LARGE_RESERVED && !(leaf && level > 1) ? 0n : each.reserved) |
                (each.present || offset % 3 > 0 ? P : 0n) |
                (each.write ? W : 0n) |
                (each.user ? U : 0n) |
                (each.nx ? NX : 0n) |
                (each.large && level > 1 ? PS : 0n)
              );
            }),
          ];
          for (let level = 1; level <= 4; level++) bench.setEntry(level, 0, entries[level]!);
          apply(bench, how);
          const expected = byTheBook(entries, offset, access, how);
          const result = bench.access(access, offset);
          if ('error' in expected) {
            expect([result, bench.event.vector, bench.event.errorCode, bench.event.faultAddress]).toEqual([
              FAULT,
              PF,
              expected.error,
              BigInt(offset),
            ]);
            expect(bench.cached(access, offset)).toBeUndefined();
            return;
          }
          // Without EPT a physical address that is no RAM ends in an exit instead.
          if (expected.physical < bench.memory.size) expect(result).toBe(expected.physical);
          for (let level = 4; level > 0; level--) {
            const marked = bench.entry(level, 0);
            expect(marked & A, `accessed, level ${level}`).toBe(A);
            const leaf = level === 1 || (entries[level]! & PS) !== 0n;
            expect((marked & D) !== 0n, `dirty, level ${level}`).toBe(leaf && access === 'write');
            if (leaf) break;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('addresses that are not canonical are #GP(0), and #SS(0) on the stack', () => {
    const { mmu, event } = new Bench();
    for (const address of [2 ** 47, -(2 ** 47) - 1, 2 ** 63 - 1024]) {
      expect(mmu.readSlow(address, 8)).toBe(FAULT);
      expect([event.vector, event.errorCode]).toEqual([GP, 0]);
      mmu.stackOutcome();
      expect([event.vector, event.errorCode]).toEqual([12, 0]);
    }
  });

  /** Whatever happens, an answer of the TLB is the one of a walk, unless the entry changed and nobody invalidated it. */
  test('the TLB is never stale where hardware would not be', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('access' as const), page: fc.nat(PAGES - 1), kind }),
      fc.record({
        op: fc.constant('entry' as const),
        page: fc.nat(PAGES - 1),
        frame: fc.nat(PAGES - 1),
        rights: fc.nat(7),
        nx: fc.boolean(),
      }),
      fc.record({ op: fc.constant('large' as const), on: fc.boolean() }),
      fc.record({ op: fc.constant('invlpg' as const), page: fc.nat(PAGES - 1) }),
      fc.record({ op: fc.constant('flush' as const) }),
      fc.record({ op: fc.constant('mode' as const), mode }),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const bench = new Bench();
        for (const level of [4, 3, 2]) bench.setEntry(level, 0, BigInt(TABLES[level - 1]!) | P | W | U);
        let how: Mode = { user: false, wp: true, smep: false, smap: false, nxe: true, ac: false };
        apply(bench, how);
        const changed = new Set<number>();
        /** What sizes of page the TLB may hold pieces of. */
        let held: 'none' | 'small' | 'large' | 'both' = 'none';
        const all = Array.from({ length: PAGES }, (_, page) => page);
        for (const each of steps) {
          if (each.op === 'access') {
            bench.access(each.kind, each.page * 4096 + 5);
            const size = (bench.entry(2, 0) & PS) === 0n ? 'small' : 'large';
            held = held === 'none' || held === size ? size : 'both';
          } else if (each.op === 'entry') {
            bench.setEntry(1, each.page, BigInt(DATA + each.frame * 4096) | BigInt(each.rights) | (each.nx ? NX : 0n));
            changed.add(each.page);
          } else if (each.op === 'large') {
            bench.setEntry(2, 0, each.on ? BigInt(DATA) | P | W | U | PS : BigInt(TABLES[1]!) | P | W | U);
            for (const page of all) changed.add(page);
          } else if (each.op === 'invlpg') {
            bench.mmu.invalidatePage(each.page * 4096 + 77);
            // INVLPG drops the whole of a large page that it lies in, and one small page.
            if (held === 'large') changed.clear();
            else changed.delete(each.page);
          } else if (each.op === 'flush') {
            bench.mmu.flush();
            changed.clear();
            held = 'none';
          } else {
            how = each.mode;
            apply(bench, how);
            changed.clear();
            held = 'none';
          }
          for (const page of all) {
            if (changed.has(page)) continue;
            for (const access of ['read', 'write', 'fetch'] as const) {
              const cached = bench.cached(access, page * 4096);
              if (cached === undefined) continue;
              const entries = [0n, 1, 2, 3, 4].map((level) =>
                level === 0n ? 0n : bench.entry(Number(level), level === 1 ? page : 0),
              );
              expect({ physical: cached }, `${access} of page ${page}`).toEqual(
                byTheBook(entries, page * 4096, access, how),
              );
              const leaf = (entries[2]! & PS) !== 0n ? entries[2]! : entries[1]!;
              expect(leaf & (access === 'write' ? A | D : A)).toBe(access === 'write' ? A | D : A);
            }
          }
        }
      }),
      { numRuns: 1500 },
    );
  });
});
