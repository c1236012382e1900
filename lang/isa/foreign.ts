/**
 * Instructions that gvm leaves out (x87, MMX, SSE, AVX, AVX-512): their names and lengths, for who has to say which one was
 * met. Names come from a list that iced-x86 has made; lengths follow from ModRM and from which opcodes have an immediate
 * (SDM vol. 2 §2.1–2.7, app. A).
 */

import { FOREIGN_NAMES } from './foreign-names.ts';
import { FWAIT } from './x87.ts';

/** What was met. `mnemonic` is undefined for an opcode that no instruction has. */
export interface Foreign {
  readonly mnemonic: string | undefined;
  /** Bytes, prefixes and immediate included; may be more than are given. */
  readonly length: number;
}

interface Opcode {
  readonly encoding: 'legacy' | 'vex' | 'evex' | 'x87';
  readonly map: number;
  /** 0, or the mandatory prefix: 1 is 66, 2 F3, 3 F2. */
  readonly prefix: number;
  readonly opcode: number;
  readonly w: number;
  readonly l: number;
  /** Where ModRM is. */
  readonly next: number;
}

const SEGMENTS: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);
const MANDATORY = [0, 0x66, 0xf3, 0xf2];
/** Opcodes of the 0F map with an immediate byte. */
const IMMEDIATE: ReadonlySet<number> = new Set([0x0f, 0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6]);
const MAP_3A = 3;
const EMMS = 0x77;
const SSE4A = 0x78;
const FEMMS = 0x0e;
const CHOICES: Readonly<Record<string, number>> = { w: 2, l: 3, m: 2, r: 8 };

/** The foreign instruction that `bytes` begin with; undefined if they are none of those encodings. */
export function foreignInstruction(bytes: Uint8Array): Foreign | undefined {
  const head = opcodeOf(bytes);
  if (head === undefined) return undefined;
  const { encoding, map, prefix, opcode, next } = head;
  if (head.opcode === FWAIT && encoding === 'x87') return { mnemonic: 'wait', length: next };
  const bare = map === 1 && encoding !== 'evex' && (opcode === EMMS || (opcode === FEMMS && encoding === 'legacy'));
  const modrm = bytes[next] ?? 0;
  const length = next + (bare ? 0 : operandBytes(bytes, next)) + immediateBytes(head, modrm);
  return {
    mnemonic: nameOf(head, modrm) ?? (prefix === 0 ? undefined : nameOf({ ...head, prefix: 0 }, modrm)),
    length,
  };
}

let names: ReadonlySet<string> | undefined;

/** Names of all instructions in the list; some have a form that gvm knows. */
export function foreignNames(): ReadonlySet<string> {
  names ??= new Set(
    Object.values(FOREIGN_NAMES).flatMap((line) =>
      line.split(' ').flatMap((entry) => entry.slice(entry.indexOf(':') + 1).split('/')),
    ),
  );
  return names;
}

function opcodeOf(bytes: Uint8Array): Opcode | undefined {
  let at = 0;
  let prefix = 0;
  let repeat = 0;
  for (; ; at++) {
    const byte = bytes[at];
    if (byte === 0x66) prefix = 1;
    else if (byte === 0xf3 || byte === 0xf2) repeat = byte === 0xf3 ? 2 : 3;
    else if (byte === undefined || (byte !== 0x67 && byte !== 0xf0 && !SEGMENTS.has(byte))) break;
  }
  const [first, second, third, fourth, fifth] = bytes.subarray(at);
  if (first === 0xc5)
    return { encoding: 'vex', map: 1, prefix: second! & 3, w: 0, l: (second! >> 2) & 1, opcode: third!, next: at + 3 };
  const fields = { prefix: third! & 3, w: third! >> 7 };
  if (first === 0xc4)
    return { encoding: 'vex', map: second! & 31, ...fields, l: (third! >> 2) & 1, opcode: fourth!, next: at + 4 };
  if (first === 0x62)
    return { encoding: 'evex', map: second! & 7, ...fields, l: (fourth! >> 5) & 3, opcode: fifth!, next: at + 5 };
  const rex = (first! & 0xf0) === 0x40 ? first! : 0;
  if (rex !== 0) at++;
  const legacy = { prefix: repeat || prefix, w: (rex >> 3) & 1, l: 0 };
  const [opcode, extended, last] = bytes.subarray(at);
  if ((opcode! & 0xf8) === 0xd8 || opcode === FWAIT)
    return { encoding: 'x87', map: 0, ...legacy, opcode: opcode!, next: at + 1 };
  if (opcode !== 0x0f) return undefined;
  if (extended === 0x38 || extended === 0x3a)
    return { encoding: 'legacy', map: extended === 0x38 ? 2 : MAP_3A, ...legacy, opcode: last!, next: at + 3 };
  return { encoding: 'legacy', map: 1, ...legacy, opcode: extended!, next: at + 2 };
}

/** ModRM, SIB and displacement. A compressed displacement of EVEX is one byte as well. */
function operandBytes(bytes: Uint8Array, at: number): number {
  const modrm = bytes[at] ?? 0;
  const [mod, rm] = [modrm >> 6, modrm & 7];
  if (mod === 3) return 1;
  const base = rm === 4 ? (bytes[at + 1] ?? 0) & 7 : rm;
  const sib = rm === 4 ? 1 : 0;
  const displacement = mod === 1 ? 1 : mod === 2 || base === 5 ? 4 : 0;
  return 1 + sib + displacement;
}

function immediateBytes({ encoding, map, prefix, opcode }: Opcode, modrm: number): number {
  if (encoding === 'x87') return 0;
  if (map === MAP_3A) return 1;
  // EXTRQ and INSERTQ of SSE4a: a length and an index.
  if (encoding === 'legacy' && map === 1 && opcode === SSE4A && modrm >= 0xc0 && MANDATORY[prefix] !== 0xf3)
    return prefix === 0 ? 0 : 2;
  return map === 1 && IMMEDIATE.has(opcode) && (opcode !== 0x0f || encoding === 'legacy') ? 1 : 0;
}

/** The name in the list, where each entry is a name or what it depends on and a name for each choice. */
function nameOf({ encoding, map, prefix, opcode, w, l }: Opcode, modrm: number): string | undefined {
  const m = modrm >= 0xc0 ? 1 : 0;
  const r = (modrm >> 3) & 7;
  if (encoding === 'x87') return entry(`x87 ${opcode}`, m === 0 ? r : 8 + (modrm & 63));
  const found = entry(`${encoding} ${map} ${prefix}`, opcode);
  const colon = found?.indexOf(':') ?? -1;
  if (found === undefined || colon < 0) return found;
  const values: Readonly<Record<string, number>> = { w, l, m, r };
  const index = [...found.slice(0, colon)].reduce((sum, letter) => sum * CHOICES[letter]! + values[letter]!, 0);
  return found.slice(colon + 1).split('/')[index] || undefined;
}

/** Entry `wanted` of a line; numbers stand for so many empty ones. */
function entry(line: string, wanted: number): string | undefined {
  let at = 0;
  for (const word of (FOREIGN_NAMES[line] ?? '').split(' ')) {
    const skipped = Number(word);
    if (!Number.isNaN(skipped)) at += skipped;
    else if (at++ === wanted) return word;
    if (at > wanted) return undefined;
  }
  return undefined;
}
