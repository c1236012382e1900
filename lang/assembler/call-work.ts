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
  const parts: (Uint8Array | Branch)[] = [];
  /** Labels by the number of the part that they stand before. */
  const labels = new Map<string, number>();
  for (const { line, serial } of lines) {
    const { statement } = line;
    if (statement === undefined || statement.parsed.times !== undefined) return undefined;
    const { parsed, work, model } = statement;
    const inCall = (name: string) => (isNameInAnyCall(name) ? `${serial} ${name}` : undefined);
    if (parsed.label !== undefined) {
      const label = inCall(parsed.label.name);
      if (label === undefined) return undefined;
      labels.set(label, parts.length);
    }
    if (parsed.body.kind === 'none') continue;
    const constant = work instanceof InstructionWork || work instanceof DataWork ? work.constant : undefined;
    const branch = model?.branch;
    const target = branch === undefined ? undefined : inCall(branch.symbol);
    if (constant !== undefined) parts.push(constant);
    else if (branch !== undefined && target !== undefined) parts.push({ ...branch, target });
    else return undefined;
  }
  const bytes = bytesOf(parts, labels);
  return bytes === undefined ? undefined : new CallWork(bytes);
}

type Branch = SymbolBranch & { readonly target: string };

function bytesOf(parts: readonly (Uint8Array | Branch)[], labels: ReadonlyMap<string, number>): Uint8Array | undefined {
  const longest = layout(parts, ({ short, near }) => (near ?? short)!.bytes);
  const distance = (starts: readonly number[], from: number, { target }: Branch) =>
    starts[labels.get(target) ?? -1]! - starts[from + 1]!;
  // Only where the short ones reach even between long ones is it certain that all of them end up short.
  const reaches = (part: Uint8Array | Branch, i: number) => {
    if (part instanceof Uint8Array) return true;
    const far = distance(longest, i, part);
    return part.short === undefined ? !Number.isNaN(far) : far >= -128 && far <= 127;
  };
  if (!parts.every(reaches)) return undefined;
  const starts = layout(parts, ({ short, near }) => (short ?? near)!.bytes);
  const bytes = new Uint8Array(starts[parts.length]!);
  parts.forEach((part, i) => {
    if (part instanceof Uint8Array) {
      bytes.set(part, starts[i]);
      return;
    }
    const encoding = (part.short ?? part.near)!;
    const [field] = encoding.fixups;
    bytes.set(encoding.bytes, starts[i]);
    storeNumber(bytes, starts[i]! + field!.offset, field!.bytes, BigInt(distance(starts, i, part)));
  });
  return bytes;
}

/** Where each part begins, and the end. */
function layout(parts: readonly (Uint8Array | Branch)[], formOf: (branch: Branch) => Uint8Array): number[] {
  const starts = [0];
  for (const part of parts) starts.push(starts.at(-1)! + (part instanceof Uint8Array ? part : formOf(part)).length);
  return starts;
}
