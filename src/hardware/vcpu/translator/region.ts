/**
 * What is translated together: from a hot block on, the blocks that direct branches, calls and the returns of those calls lead
 * to, as far as they have run before. Decoding has no side effects, so nothing of this is seen by the guest.
 */

import type { Instruction, Operand } from '../../../../lang/isa/instruction.ts';

/** Gives decoded code to a region. Addresses are linear, as signed doubles. */
export interface CodeSource {
  /** The instruction at `address`, if it lies in one page that was fetched from, and can be carried out. */
  instruction(address: number): Instruction | undefined;
  /** Whether a branch to `address` is worth following. */
  follow(address: number): boolean;
  /** The 64-bit word at `address` as an address, if it can be read without a walk. */
  word(address: number): number | undefined;
  /** How often `loop` goes round when it is entered from `before`, if that is known and not more than `most`. */
  turns(before: RegionBlock, loop: RegionBlock, most: number): number | undefined;
}

/** How a block ends. */
export type Ending =
  /** On into the next block. */
  | 'next'
  /** A branch that may be taken, or not. */
  | 'conditional'
  /** Always to one place. */
  | 'jump'
  | 'call'
  | 'return'
  /** Through a table of addresses. */
  | 'table'
  /** With an access to a port: mostly on behind it. If the guest is left there, it is entered behind it again, which is a region's beginning. */
  | 'port'
  /** Elsewhere: an address in a register or memory, or whatever the interpreter finds. */
  | 'elsewhere';

/** Endings behind which the next instruction follows, or may follow. */
export const GOES_ON: ReadonlySet<Ending> = new Set(['conditional', 'next', 'port']);

/** A run of instructions that is entered at its beginning only. */
export interface RegionBlock {
  readonly address: number;
  readonly instructions: readonly { readonly address: number; readonly instruction: Instruction }[];
  /** Address behind the last instruction. */
  readonly next: number;
  readonly ending: Ending;
  /** Indexes of the blocks that follow in the region. */
  readonly successors: number[];
}

/** Blocks of one region; the first is where it is entered. */
export interface Region {
  readonly blocks: readonly RegionBlock[];
  readonly indexes: ReadonlyMap<number, number>;
}

/** Bounds of one region: with them the code is made and compiled in a few milliseconds. */
const MAX_INSTRUCTIONS = 300;
/**
 * A region of so many instructions is not taken into another one that leads to it: or large code, in which regions end wherever
 * they are full, would be translated again from each of the places where one of them happens to end.
 */
export const LARGE_REGION = MAX_INSTRUCTIONS / 2;
const MAX_BLOCK = 100;
/** The first block of a region is entered only with a budget of this many instructions: it holds at most so many. */
export const ENTRY_BUDGET = MAX_BLOCK;
/** Places that one `ret` is compared with. */
const MAX_RETURNS = 8;
/** Instructions that loops of a known number of turns may add to a region. */
const MAX_UNROLLED = 150;
/** Entries of a table of addresses that are looked at. */
const MAX_TABLE = 64;
const QUAD = 8;

const PORT_ACCESS: ReadonlySet<string> = new Set(['in', 'out']);
const CONDITIONAL: ReadonlySet<string> = new Set(['jcc', 'jrcxz', 'jecxz', 'loop', 'loope', 'loopne']);

function endingOf({ row, operands }: Instruction, endsBlock: ReadonlySet<string>): Ending {
  if (PORT_ACCESS.has(row.meaning)) return 'port';
  if (!endsBlock.has(row.meaning)) return 'next';
  if (CONDITIONAL.has(row.meaning)) return 'conditional';
  if (row.meaning === 'ret') return 'return';
  if (operands[0]?.kind !== 'relative')
    return row.meaning === 'jmp' && tableOf(operands[0]) !== undefined ? 'table' : 'elsewhere';
  return row.meaning === 'call' ? 'call' : 'jump';
}

/** Where the table of `jmp [table + register * 8]` begins. */
function tableOf(operand: Operand | undefined): number | undefined {
  if (operand?.kind !== 'memory') return undefined;
  const { base, index, scale, segment, displacement } = operand.memory;
  const plain = base === undefined && index !== undefined && scale === QUAD && segment === undefined;
  return plain ? Number(displacement) : undefined;
}

/** Places that have run, among those that the table names: it ends where an entry is none of this code's. */
function tableTargets(table: number, source: CodeSource): readonly number[] {
  const targets = new Set<number>();
  for (let entry = 0; entry < MAX_TABLE; entry++) {
    const target = source.word(table + entry * QUAD);
    if (target === undefined || source.instruction(target) === undefined) break;
    if (source.follow(target)) targets.add(target);
  }
  return [...targets];
}

const targetOf = (address: number, { length, operands }: Instruction): number => {
  const [target] = operands;
  if (target?.kind !== 'relative') throw new Error('an instruction without a relative target was taken for a branch');
  return address + length + Number(target.displacement);
};

/** The region that begins at `start`; undefined if nothing there can be translated. */
export function findRegion(start: number, source: CodeSource, endsBlock: ReadonlySet<string>): Region | undefined {
  const instructions = new Map<number, Instruction>();
  const leaders = [start];
  const known = new Set(leaders);
  const tables = new Map<number, readonly number[]>();
  const lead = (address: number) => {
    if (known.has(address) || !source.follow(address)) return;
    known.add(address);
    leaders.push(address);
  };
  for (const leader of leaders) {
    if (instructions.size >= MAX_INSTRUCTIONS) break;
    for (let address = leader, count = 0; count < MAX_BLOCK; count++) {
      if (instructions.has(address)) break;
      const instruction = source.instruction(address);
      if (instruction === undefined) break;
      instructions.set(address, instruction);
      const next = address + instruction.length;
      const ending = endingOf(instruction, endsBlock);
      if (ending === 'conditional' || ending === 'jump' || ending === 'call') lead(targetOf(address, instruction));
      if (ending === 'conditional' || ending === 'call' || ending === 'port') lead(next);
      if (ending === 'table') {
        const targets = tableTargets(tableOf(instruction.operands[0])!, source);
        tables.set(address, targets);
        for (const target of targets) lead(target);
      }
      if (ending !== 'next') break;
      const leavesPage = Math.floor(next / 4096) !== Math.floor(leader / 4096);
      if (leavesPage || count + 1 === MAX_BLOCK) lead(next);
      // What is on the next page, and not worth following, is none of this block's: nobody would look whether it is still there.
      if (leavesPage || known.has(next)) break;
      address = next;
    }
  }
  const indexes = new Map<number, number>();
  for (const leader of leaders) if (instructions.has(leader)) indexes.set(leader, indexes.size);
  if (!indexes.has(start)) return undefined;
  const found = [...indexes.keys()].map((address) => blockAt(address, instructions, indexes, endsBlock));
  const blocks = straightened(unrolled(found, source));
  const returns = blocks
    .filter(({ ending, next }) => ending === 'call' && indexes.has(next))
    .map(({ next }) => indexes.get(next)!)
    .slice(0, MAX_RETURNS);
  for (const block of blocks) connect(block, indexes, returns, tables);
  return { blocks, indexes };
}

function blockAt(
  start: number,
  decoded: ReadonlyMap<number, Instruction>,
  indexes: ReadonlyMap<number, number>,
  endsBlock: ReadonlySet<string>,
): RegionBlock {
  const instructions: { address: number; instruction: Instruction }[] = [];
  let address = start;
  let ending: Ending = 'next';
  while (ending === 'next' && instructions.length < MAX_BLOCK) {
    const instruction = decoded.get(address);
    if (instruction === undefined) break;
    instructions.push({ address, instruction });
    address += instruction.length;
    ending = endingOf(instruction, endsBlock);
    if (indexes.has(address)) break;
  }
  return { address: start, instructions, next: address, ending, successors: [] };
}

const inOnePage = (first: RegionBlock, last: RegionBlock): boolean =>
  Math.floor(first.address / 4096) === Math.floor(last.instructions.at(-1)!.address / 4096);

const goesRoundTo = (end: RegionBlock, start: RegionBlock): boolean => {
  const { address, instruction } = end.instructions.at(-1)!;
  return end.ending === 'conditional' && targetOf(address, instruction) === start.address;
};

/**
 * Blocks of which each that runs on into a short loop of one block, and fixes how often that goes round, holds all its turns: if
 * that makes one block of the loop around it.
 */
function unrolled(blocks: readonly RegionBlock[], source: CodeSource): RegionBlock[] {
  const byAddress = new Map(blocks.map((block) => [block.address, block]));
  let room = MAX_UNROLLED;
  return blocks.map((block) => {
    const loop = block.ending === 'next' ? byAddress.get(block.next) : undefined;
    if (loop === undefined || !goesRoundTo(loop, loop) || !inOnePage(block, loop)) return block;
    const end = byAddress.get(loop.next);
    if (end === undefined || !goesRoundTo(end, block)) return block;
    const { length } = loop.instructions;
    const most = Math.floor(Math.min(room, MAX_BLOCK - block.instructions.length - end.instructions.length) / length);
    const turns = source.turns(block, loop, most);
    if (turns === undefined) return block;
    room -= turns * length;
    const instructions = [...block.instructions, ...Array.from({ length: turns }, () => loop.instructions).flat()];
    return { ...block, instructions, next: loop.next, successors: [] };
  });
}

/**
 * Blocks of which each that runs on into the one that ends its loop is made one with it: a loop that is entered in its middle,
 * as GCC makes them, goes round in one block then.
 */
function straightened(blocks: readonly RegionBlock[]): RegionBlock[] {
  const byAddress = new Map(blocks.map((block) => [block.address, block]));
  return blocks.map((block) => {
    const end = block.ending === 'next' ? byAddress.get(block.next) : undefined;
    if (end === undefined || end === block || !goesRoundTo(end, block) || !inOnePage(block, end)) return block;
    const instructions = [...block.instructions, ...end.instructions];
    if (instructions.length > MAX_BLOCK) return block;
    return { ...end, address: block.address, instructions, successors: [] };
  });
}

function connect(
  block: RegionBlock,
  indexes: ReadonlyMap<number, number>,
  returns: readonly number[],
  tables: ReadonlyMap<number, readonly number[]>,
): void {
  const { ending, instructions, next, successors } = block;
  const last = instructions.at(-1)!;
  const add = (address: number) => {
    const index = indexes.get(address);
    if (index !== undefined) successors.push(index);
  };
  if (ending === 'conditional' || ending === 'jump' || ending === 'call') add(targetOf(last.address, last.instruction));
  if (GOES_ON.has(ending)) add(next);
  if (ending === 'return') successors.push(...returns);
  if (ending === 'table') for (const target of tables.get(last.address)!) add(target);
}
