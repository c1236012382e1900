/**
 * Operands and expressions as sources have them, for the shapes that the build prepares: a program rarely has one of each kind, and the first
 * that is not prepared costs the building of the parser.
 */

const REGISTERS = ['', 'rax', 'rax + rbx', 'rax + rbx*8', 'rbx*8'];
/** A macro puts its parameters in parentheses. */
const OFFSETS = ['', ' + 8', ' - 8', ' + (8)', ' - (8)', ' + 8*2', ' + 8*(2)', ' + x'];
const OPERATORS = '+ - * / // % %% << >> & | ^ == = != <> < <= > >= && || ^^'.split(' ');

const addresses = REGISTERS.flatMap((registers) => OFFSETS.map((offset) => (registers + offset).replace(/^ \+ /, '')));
const memory = [...addresses, 'x + 8', 'x + rax', 'x + rax*8', 'rel x', 'rel x + 8'].filter((each) => each !== '');
const instructions = memory.flatMap((each) => [
  ` lea rax, [${each}]`,
  ...['byte', 'dword', 'qword'].map((size) => ` not ${size} [${each}]`),
]);
const numbers = ['8', '-8', '(8)', '-(8)', '8*2', '8*(2)', 'x', 'x + 8', 'x - 8'].map((each) => ` push ${each}`);
const conditions = OPERATORS.flatMap((operator) =>
  ['8 @ 8', '(8) @ (8)', '(8) @ 8', '8 @ (8)', '8 & 8 @ 8', '(8 & 8) @ 8'].map(
    (each) => `%if ${each.replace('@', operator)}\n%endif`,
  ),
);

/** A source with all of them. */
export const USUAL_LINES = ['x:', ...instructions, ...numbers, ...conditions].join('\n');
