/**
 * A whole call of a macro as one work. Nothing in it depends on where it stands: instructions and data without symbols, labels of its own, and
 * branches to those. Then its bytes are the same at every place, and passes need not look at its lines.
 */

import type { Assembly, Work } from './assembly.ts';
import { DataWork } from './data-work.ts';
import { SeesIntoCalls } from './hidden-labels.ts';
import { InstructionWork, type SymbolBranch } from './instruction-work.ts';
import type { CallLine } from './preprocessor/call-memory.ts';
import { storeNumber } from './relocate.ts';
import { isNameInAnyCall } from './shared-names.ts';
import type { SharedStatement } from './shared-statement.ts';

class CallWork implements Work {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  place(assembly: Assembly): void {
    // Each line would have something to say.
    if (!assembly.takes(this.#bytes.length)) throw new SeesIntoCalls();
    assembly.bytes(this.#bytes);
  }

  fixedLength(): number {
    return this.#bytes.length;
  }
}

/** The work of a call that has been placed line by line; undefined where its bytes may be others at another place. */
export function workOfCall(lines: readonly CallLine[]): Work | undefined {
  const parts: Part[] = [];
  let labels: Map<string, number> | undefined;
  let hasBranches = false;
  // By index: this runs for every call that is new.
  for (let i = 0; i < lines.length; i++) {
    const { line, serial } = lines[i]!;
    const { statement } = line;
    if (statement === undefined || statement.parsed.times !== undefined) return undefined;
    const { label, body } = statement.parsed;
    if (label !== undefined) {
      if (!isNameInAnyCall(label.name)) return undefined;
      labels ??= new Map();
      labels.set(`${serial} ${label.name}`, parts.length);
    }
    if (body.kind === 'none') continue;
    const part = partOf(statement, serial);
    if (part === undefined) return undefined;
    hasBranches ||= !(part instanceof Uint8Array);
    parts.push(part);
  }
  const bytes = hasBranches ? withBranches(parts, labels ?? NO_LABELS) : joined(parts as Uint8Array[]);
  return bytes === undefined ? undefined : new CallWork(bytes);
}

/** Bytes, or a branch to a label of the call. */
type Part = Uint8Array | Branch;
type Branch = SymbolBranch & { readonly target: string };
/** Numbers of the parts that labels stand before. */
type Labels = ReadonlyMap<string, number>;
const NO_LABELS: Labels = new Map();

function partOf({ work, model }: SharedStatement, serial: number): Part | undefined {
  if (work instanceof InstructionWork || work instanceof DataWork) return work.constant;
  const branch = model?.branch;
  if (branch === undefined || !isNameInAnyCall(branch.symbol)) return undefined;
  return { ...branch, target: `${serial} ${branch.symbol}` };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (let i = 0; i < parts.length; i++) length += parts[i]!.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < parts.length; i++) {
    bytes.set(parts[i]!, at);
    at += parts[i]!.length;
  }
  return bytes;
}

function withBranches(parts: readonly Part[], labels: Labels): Uint8Array | undefined {
  // Only where the short ones reach even between long ones is it certain that all of them end up short.
  const longest = layout(parts, ({ short, near }) => (near ?? short)!.bytes);
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (part instanceof Uint8Array) continue;
    const far = distance(part, i, longest, labels);
    if (far === undefined || (part.short !== undefined && (far < -128 || far > 127))) return undefined;
  }
  const starts = layout(parts, ({ short, near }) => (short ?? near)!.bytes);
  const bytes = new Uint8Array(starts[parts.length]!);
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (part instanceof Uint8Array) {
      bytes.set(part, starts[i]);
      continue;
    }
    const encoding = (part.short ?? part.near)!;
    const [field] = encoding.fixups;
    bytes.set(encoding.bytes, starts[i]);
    storeNumber(bytes, starts[i]! + field!.offset, field!.bytes, BigInt(distance(part, i, starts, labels)!));
  }
  return bytes;
}

/** From the end of the branch that is part number `i` to its target; undefined where that is no label of the call. */
function distance({ target }: Branch, i: number, starts: readonly number[], labels: Labels): number | undefined {
  const at = labels.get(target);
  return at === undefined ? undefined : starts[at]! - starts[i + 1]!;
}

/** Where each part begins, and the end. */
function layout(parts: readonly Part[], formOf: (branch: Branch) => Uint8Array): number[] {
  const starts = [0];
  let at = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    at += (part instanceof Uint8Array ? part : formOf(part)).length;
    starts.push(at);
  }
  return starts;
}
