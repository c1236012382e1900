/** A WebAssembly module from its parts (WebAssembly core spec ch. 5.5): as much of the format as translated code needs. */

import { WasmBytes } from './wasm-bytes.ts';
import type { WasmFunction } from './wasm-function.ts';
import type { Signature } from './wasm-types.ts';

/** A function that the host gives. Its index is its place in the list; the module's own functions follow. */
export interface ImportedFunction {
  readonly name: string;
  readonly signature: Signature;
}

/** A function of the module. Those with a name are exported under it. */
export interface DefinedFunction {
  readonly signature: Signature;
  readonly body: WasmFunction;
  readonly name?: string;
}

export interface ModuleParts {
  readonly functions: readonly ImportedFunction[];
  readonly defined: readonly DefinedFunction[];
  /** Import a table of functions, as `host.table`. */
  readonly table?: boolean;
}

const UNLIKELY = 0;
const SECTION = { CUSTOM: 0, TYPE: 1, IMPORT: 2, FUNCTION: 3, EXPORT: 7, CODE: 10 } as const;
const KIND = { FUNCTION: 0, TABLE: 1, MEMORY: 2 } as const;
const FUNCTION_TYPE = 0x60;
const FUNCTION_REFERENCE = 0x70;
/** Limits with a minimum only. */
const AT_LEAST = 0;
const MAGIC = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

function section(out: WasmBytes, id: number, count: number, write: (to: WasmBytes) => void): void {
  const body = new WasmBytes();
  body.unsigned(count);
  write(body);
  out.byte(id);
  out.unsigned(body.length);
  out.append(body.bytes);
}

/** The section `metadata.code.branch_hint`, before the code (Branch Hinting proposal): engines that do not know it pass over it. */
function branchHints(out: WasmBytes, first: number, bodies: readonly { readonly unlikely: readonly number[] }[]): void {
  const hinted = bodies
    .map(({ unlikely }, index) => ({ unlikely, index }))
    .filter(({ unlikely }) => unlikely.length > 0);
  if (hinted.length === 0) return;
  const body = new WasmBytes();
  body.name('metadata.code.branch_hint');
  body.unsigned(hinted.length);
  for (const { unlikely, index } of hinted) {
    body.unsigned(first + index);
    body.unsigned(unlikely.length);
    for (const offset of unlikely) {
      body.unsigned(offset);
      body.unsigned(1);
      body.byte(UNLIKELY);
    }
  }
  out.byte(SECTION.CUSTOM);
  out.unsigned(body.length);
  out.append(body.bytes);
}

/**
 * The binary of a module whose host is `host`: its memory `host.memory`, its functions by name. Type n is the signature of
 * function n, imported ones first: call_indirect names a type by a function that has it.
 */
export function wasmModule({ functions, defined, table = false }: ModuleParts): Uint8Array {
  const out = new WasmBytes();
  out.append(Uint8Array.from(MAGIC));
  const all = [...functions, ...defined];
  section(out, SECTION.TYPE, all.length, (to) => {
    for (const { signature } of all) {
      to.byte(FUNCTION_TYPE);
      for (const types of [signature.parameters, signature.results]) {
        to.unsigned(types.length);
        for (const type of types) to.byte(type);
      }
    }
  });
  section(out, SECTION.IMPORT, functions.length + (table ? 2 : 1), (to) => {
    const imported = (name: string, kind: number) => {
      to.name('host');
      to.name(name);
      to.byte(kind);
    };
    functions.forEach(({ name }, index) => {
      imported(name, KIND.FUNCTION);
      to.unsigned(index);
    });
    if (table) {
      imported('table', KIND.TABLE);
      to.byte(FUNCTION_REFERENCE);
      to.byte(AT_LEAST);
      to.unsigned(1);
    }
    imported('memory', KIND.MEMORY);
    to.byte(AT_LEAST);
    to.unsigned(1);
  });
  section(out, SECTION.FUNCTION, defined.length, (to) => {
    defined.forEach((_, index) => {
      to.unsigned(functions.length + index);
    });
  });
  const exported = defined.filter(({ name }) => name !== undefined);
  section(out, SECTION.EXPORT, exported.length, (to) => {
    defined.forEach(({ name }, index) => {
      if (name === undefined) return;
      to.name(name);
      to.byte(KIND.FUNCTION);
      to.unsigned(functions.length + index);
    });
  });
  const bodies = defined.map(({ body }) => body.encoded());
  branchHints(out, functions.length, bodies);
  section(out, SECTION.CODE, defined.length, (to) => {
    for (const { bytes } of bodies) {
      to.unsigned(bytes.length);
      to.append(bytes);
    }
  });
  return out.bytes;
}
