/** Sums of registers, worked out in translated code. */

import type { Frame } from './frame.ts';
import type { LinearForm } from './linear-form.ts';
import { OP } from './wasm-function.ts';

/** Put the value of a form on the stack. */
export function pushForm(frame: Frame, { width, constant, terms }: LinearForm): void {
  const { code } = frame;
  const wide = width === 64;
  const number = (value: bigint) => {
    if (wide) code.i64(value);
    else code.i32(Number(BigInt.asIntN(32, value)));
  };
  number(constant);
  for (const { coefficient, atom } of terms.values()) {
    if (atom.kind === 'register') {
      code.get(frame.register(atom.number));
      if (!wide) code.op(OP.I32_WRAP_I64);
    } else {
      pushForm(frame, atom.of);
      if (wide) code.op(atom.signed ? OP.I64_EXTEND_I32_S : OP.I64_EXTEND_I32_U);
    }
    if (coefficient !== 1n) {
      number(coefficient);
      code.op(wide ? OP.I64_MUL : OP.I32_MUL);
    }
    code.op(wide ? OP.I64_ADD : OP.I32_ADD);
  }
}
