/**
 * Lines with an instruction, put together from operands of known shapes: `lock add qword [rsp], 1` reads without the parser once any lines
 * had `qword [rsp]` and `1` in them. There are far fewer operands than lines.
 */

import type { Body, OperandSyntax } from './ast.ts';
import { type KnownShapes, shapeOfPart } from './line-shapes.ts';
import type { ParsedLine } from './parser.ts';
import * as t from './tokens.ts';

const NO_PREFIXES: readonly string[] = [];

/** The tree of a line of a label, prefixes, a mnemonic and operands; undefined of other lines, and where an operand is new. */
export function instructionLine(
  tokens: readonly t.Token[],
  operands: KnownShapes<OperandSyntax>,
): ParsedLine | undefined {
  const label = tokens[0]!.tokenType === t.Identifier ? tokens[0] : undefined;
  const colon = label !== undefined && tokens[1]?.tokenType === t.Colon;
  const start = label === undefined ? 0 : colon ? 2 : 1;
  let at = start;
  while (tokens[at]?.tokenType === t.Prefix) at++;
  const name = tokens[at];
  if (name?.tokenType !== t.Mnemonic) return undefined;
  const list: OperandSyntax[] = [];
  for (let from = at + 1; from < tokens.length; ) {
    const to = commaFrom(tokens, from);
    const shape = shapeOfPart(tokens, from, to);
    const operand = shape === undefined ? undefined : operands.tree(shape, tokens, from);
    // Nothing follows the comma: the parser says so.
    if (operand === undefined || to === tokens.length - 1) return undefined;
    list.push(operand);
    from = to + 1;
  }
  const prefixes = at === start ? NO_PREFIXES : tokens.slice(start, at).map(({ image }) => image.toLowerCase());
  const mnemonic = name.image.toLowerCase();
  const body: Body = { kind: 'instruction', prefixes, mnemonic, name, at: name, operands: list };
  return { label: label && { name: t.symbolName(label.image), at: label, colon }, times: undefined, body };
}

/** Keeps the operands of a line that the parser read, of `distinct` tokens. */
export function keepOperands(
  tokens: readonly t.Token[],
  { body }: ParsedLine,
  operands: KnownShapes<OperandSyntax>,
): void {
  if (body.kind !== 'instruction' || body.name === undefined) return;
  let from = tokens.indexOf(body.name) + 1;
  for (const operand of body.operands) {
    const to = commaFrom(tokens, from);
    const shape = shapeOfPart(tokens, from, to);
    if (shape !== undefined) operands.keep(shape, tokens.slice(from, to), operand);
    from = to + 1;
  }
}

/** Index of the next comma, or the end. */
function commaFrom(tokens: readonly t.Token[], from: number): number {
  let to = from;
  while (to < tokens.length && tokens[to]!.tokenType !== t.Comma) to++;
  return to;
}
