/**
 * The module that goes from region to region without leaving WebAssembly, and hands what regions ask for on to JavaScript: so
 * the engine makes the doors between the two worlds once, and not for each region.
 */

import { OUTCOME } from '../interpreter/js-code.ts';
import { SLOT } from '../state.ts';
import { TLB_MASK } from '../tlb.ts';
import { type Places, REGION, RUNTIME_FUNCTIONS } from './frame.ts';
import { JUMP_ENTRIES, JUMP_ENTRY, STORAGE, TLB_ENTRY } from './layout.ts';
import { ENTRY_BUDGET } from './region.ts';
import { ACCESS, OP, WasmFunction } from './wasm-function.ts';
import { type DefinedFunction, wasmModule } from './wasm-module.ts';
import { I32, I64, type Signature } from './wasm-types.ts';

/** Index of a region in the table, and the budget of instructions; the outcome of the last region run. */
const DRIVE: Signature = { parameters: [I32, I32], results: [I32] };
const PAGE_SHIFT = 12;

/** Index in {@link STORAGE.JUMPS} of a linear address, given its low 32 bits. */
export const jumpIndex = (low: number): number => (low ^ (low >>> PAGE_SHIFT)) & (JUMP_ENTRIES - 1);

/** A function that hands its arguments to imported function `index`. */
function forward(index: number): DefinedFunction {
  const { name, signature } = RUNTIME_FUNCTIONS[index]!;
  const body = new WasmFunction(signature);
  signature.parameters.forEach((_, parameter) => {
    body.get(parameter);
  });
  body.call(index);
  return { name, signature, body };
}

/** What stands in the table where no region is. */
function nothing({ storage }: Places): DefinedFunction {
  const body = new WasmFunction(REGION);
  body.i32(0);
  body.get(0);
  body.access(ACCESS.I32_STORE, storage + STORAGE.LEFT);
  body.i32(OUTCOME.STOP);
  return { name: 'nothing', signature: REGION, body };
}

/** Run a region, and the next one where it ends if that is known and its page is where it was. */
function drive({ state, storage }: Places, like: number): DefinedFunction {
  const code = new WasmFunction(DRIVE);
  const [index, budget] = [0, 1] as const;
  const outcome = code.local(I32);
  const rip = code.local(I64);
  const low = code.local(I32);
  const entry = code.local(I32);
  const host = code.local(I32);
  const returnJumpIf = () => {
    code.unlikelyIf();
    code.i32(OUTCOME.JUMP);
    code.op(OP.RETURN);
    code.end();
  };
  const again = code.loop();
  code.get(index);
  code.i32(1);
  code.access(ACCESS.I32_STORE8, storage + STORAGE.ENTERED);
  code.get(budget);
  code.get(index);
  code.callIndirect(like);
  code.tee(outcome);
  code.i32(OUTCOME.JUMP);
  code.op(OP.I32_NE);
  code.if();
  code.get(outcome);
  code.op(OP.RETURN);
  code.end();
  code.i32(0);
  code.access(ACCESS.I32_LOAD, storage + STORAGE.LEFT);
  code.tee(budget);
  code.i32(ENTRY_BUDGET);
  code.op(OP.I32_LT_S);
  returnJumpIf();
  code.i32(0);
  code.access(ACCESS.I64_LOAD, state + SLOT.RIP * 8);
  code.tee(rip);
  code.op(OP.I32_WRAP_I64);
  code.tee(low);
  code.i32(PAGE_SHIFT - TLB_ENTRY.SHIFT);
  code.op(OP.I32_SHR_U);
  code.i32(TLB_MASK << TLB_ENTRY.SHIFT);
  code.op(OP.I32_AND);
  code.tee(entry);
  code.access(ACCESS.I64_LOAD, storage + STORAGE.FETCH_TLB + TLB_ENTRY.TAG);
  code.get(rip);
  code.i64(-4096n);
  code.op(OP.I64_AND, OP.I64_NE);
  returnJumpIf();
  code.get(low);
  code.get(entry);
  code.access(ACCESS.I32_LOAD, storage + STORAGE.FETCH_TLB + TLB_ENTRY.ADDEND);
  code.op(OP.I32_ADD);
  code.set(host);
  code.get(low);
  code.get(low);
  code.i32(PAGE_SHIFT);
  code.op(OP.I32_SHR_U, OP.I32_XOR);
  code.i32(JUMP_ENTRIES - 1);
  code.op(OP.I32_AND);
  code.i32(JUMP_ENTRY.SHIFT);
  code.op(OP.I32_SHL);
  code.tee(entry);
  code.access(ACCESS.I64_LOAD, storage + STORAGE.JUMPS + JUMP_ENTRY.TAG);
  code.get(rip);
  code.op(OP.I64_NE);
  returnJumpIf();
  code.get(entry);
  code.access(ACCESS.I32_LOAD, storage + STORAGE.JUMPS + JUMP_ENTRY.HOST);
  code.get(host);
  code.op(OP.I32_NE);
  returnJumpIf();
  code.get(entry);
  code.access(ACCESS.I32_LOAD, storage + STORAGE.JUMPS + JUMP_ENTRY.INDEX);
  code.set(index);
  code.br(again);
  code.end();
  code.op(OP.UNREACHABLE);
  return { name: 'drive', signature: DRIVE, body: code };
}

/** The binary of the dispatcher of one vCPU. */
export function dispatcherModule(places: Places): Uint8Array {
  const forwards = RUNTIME_FUNCTIONS.map((_, index) => forward(index));
  const like = RUNTIME_FUNCTIONS.length + forwards.length;
  return wasmModule({
    functions: RUNTIME_FUNCTIONS,
    defined: [...forwards, nothing(places), drive(places, like)],
    table: true,
  });
}
