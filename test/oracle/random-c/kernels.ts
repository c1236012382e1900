/**
 * Random C with a lot to compute: functions that work on arrays, in loops of the shapes that people write and with all that GCC has instructions
 * for (carries, wide products, rotations, bit fields of v3, jump tables, block moves). Nothing of it is undefined, given `-fwrapv`: indices are
 * taken modulo the array's length, shifts modulo the width, divisors are made odd or positive.
 */

import { Generator } from '../generator.ts';

const TYPES = ['uint8_t', 'uint16_t', 'uint32_t', 'uint64_t', 'int8_t', 'int16_t', 'int32_t', 'int64_t'] as const;
type Type = (typeof TYPES)[number];
const bitsOf = (type: Type): number => Number(/\d+/.exec(type)![0]);

interface Place {
  readonly name: string;
  readonly type: Type;
}
interface ArrayOf extends Place {
  readonly length: number;
}

/** A counter of a loop around, and what it stays below. */
interface Counter {
  readonly name: string;
  readonly below: number;
}

const ARRAYS = 6;
const KERNELS = 5;
/** How often each function is called. */
const ROUNDS = 3;
/** Turns of a loop, by how many are around it. */
const TURNS = [400, 24, 9] as const;
const DEEPEST = 3;
const LENGTHS = [7, 16, 61, 256, 1000, 4096] as const;
const POLYNOMIALS = ['0xedb88320u', '0x82f63b78u', '0xa001u', '0x8cu', '0x9a6c9329ac4bc9b5ull'] as const;

/** Writes one program, decided by its seed. */
export class KernelWriter {
  readonly #random: Generator;
  readonly #arrays: ArrayOf[] = [];
  /** Of the function being written. */
  #locals: Place[] = [];
  #counters: Counter[] = [];
  #names = 0;
  /** Functions that are there to be called. */
  #kernels = 0;

  constructor(seed: number) {
    this.#random = new Generator(seed);
  }

  /** The whole source: a function `program`, which prints what each call gave, and what all arrays have come to. */
  program(): string {
    for (let i = 0; i < ARRAYS; i++) {
      const type = this.#random.pick(TYPES);
      this.#arrays.push({ name: `a${i}`, type, length: this.#random.pick(LENGTHS) });
    }
    const kernels: string[] = [];
    while (this.#kernels < KERNELS) {
      kernels.push(this.#kernel());
      this.#kernels++;
    }
    return `${PROLOGUE}${this.#arrays.map(({ name, type, length }) => `${type} ${name}[${length}];\n`).join('')}
${kernels.join('\n')}
${this.#main()}`;
  }

  #main(): string {
    const fill = this.#arrays.map(({ name, length }) => `  for (int i = 0; i < ${length}; i++) ${name}[i] = draw();\n`);
    const sums = this.#arrays.map(
      ({ name, length }) => `  for (int i = 0; i < ${length}; i++) h = mix(h, ${name}[i]);\n`,
    );
    const calls = Array.from(
      { length: KERNELS },
      (_, i) => `    printf("k${i} %lX %lX\\n", (uint64_t)kernels[${i}](draw(), draw()), sum());\n`,
    );
    return `static uint64_t (*volatile kernels[])(uint64_t, uint64_t) = { ${Array.from({ length: KERNELS }, (_, i) => `k${i}`).join(', ')} };
__attribute__((noinline)) uint64_t sum(void)
{
  uint64_t h = 0;
${sums.join('')}  return h;
}
int program(int argc, char *argv[])
{
${fill.join('')}  for (int round = 0; round < ${ROUNDS}; round++) {
${calls.join('')}  }
  return 0;
}
`;
  }

  #kernel(): string {
    this.#locals = [
      { name: 'a', type: 'uint64_t' },
      { name: 'b', type: 'uint64_t' },
    ];
    this.#counters = [];
    const count = 2 + this.#random.below(4);
    const declared = Array.from({ length: count }, () => {
      const place = { name: this.#name('v'), type: this.#random.pick(TYPES) };
      const line = `  ${place.type} ${place.name} = ${this.#expression(1)};\n`;
      this.#locals.push(place);
      return line;
    });
    const body = Array.from({ length: 2 + this.#random.below(4) }, () => this.#statement(0, '  '));
    const result = this.#locals.map(({ name }) => `(uint64_t)${name}`).join(' ^ ');
    return `__attribute__((noinline)) uint64_t k${this.#kernels}(uint64_t a, uint64_t b)
{
${declared.join('')}${body.join('')}  return ${result};
}
`;
  }

  #statement(depth: number, indent: string): string {
    const random = this.#random;
    const choice = random.below(depth === 0 ? 20 : 26);
    if (choice < 9 && depth < DEEPEST) return this.#loop(depth, indent);
    if (choice < 11 && depth <= DEEPEST) return this.#condition(depth, indent);
    if (choice < 12 && depth <= DEEPEST) return this.#choice(depth, indent);
    if (choice < 13) return this.#turns(indent);
    if (choice < 14) return this.#block(indent);
    if (choice < 15 && this.#kernels > 0 && depth === 0) {
      const into = this.#local();
      return `${indent}${into.name} ^= k${random.below(this.#kernels)}(${this.#expression(1)}, ${this.#expression(1)});\n`;
    }
    if (choice < 16) return this.#carries(indent);
    if (choice < 20) return `${indent}${this.#element()} ${this.#operator()} ${this.#expression(2)};\n`;
    return `${indent}${this.#local().name} ${this.#operator()} ${this.#expression(2)};\n`;
  }

  #statements(depth: number, indent: string): string {
    return Array.from({ length: 1 + this.#random.below(3) }, () => this.#statement(depth, indent)).join('');
  }

  /** A loop of one of the usual shapes, perhaps left or gone on with early. */
  #loop(depth: number, indent: string): string {
    const random = this.#random;
    const name = this.#name('i');
    const most = TURNS[depth]!;
    const turns = random.once(3) ? most : 1 + random.below(most);
    const array = random.pick(this.#arrays);
    const within = Math.min(turns, array.length);
    const inner = `${indent}  `;
    const body = (below: number): string => {
      this.#counters.push({ name, below });
      const early = random.once(6) ? `${inner}if (${this.#comparison()}) ${random.pick(['break', 'continue'])};\n` : '';
      const text = `${early}${this.#statements(depth + 1, inner)}`;
      this.#counters.pop();
      return text;
    };
    const type = random.pick(['int', 'unsigned', 'uint64_t', 'int64_t', 'uint16_t'] as const);
    switch (random.below(6)) {
      case 0:
        return `${indent}for (${type} ${name} = ${turns}; ${name}-- > 0;) {\n${body(turns)}${indent}}\n`;
      case 1: {
        const step = 1 + random.below(4);
        return `${indent}for (${type} ${name} = 0; ${name} < ${turns}; ${name} += ${step}) {\n${body(turns)}${indent}}\n`;
      }
      case 2: {
        // Along an array by a pointer: its counter is no number that others may use.
        const p = this.#name('p');
        const first = random.once(2)
          ? `*${p} ${this.#operator()} ${this.#expression(2)}`
          : `${this.#local().name} += *${p}`;
        const rest = random.once(2) ? this.#statements(DEEPEST, inner) : '';
        return `${indent}for (${array.type} *${p} = ${array.name}; ${p} < ${array.name} + ${within}; ${p}++) {\n${inner}${first};\n${rest}${indent}}\n`;
      }
      case 3: {
        const bound = this.#name('n');
        return `${indent}for (${type} ${name} = 0, ${bound} = (${type})(${this.#local().name} & 127) % ${turns} + 1; ${name} < ${bound}; ${name}++) {\n${body(turns)}${indent}}\n`;
      }
      case 4:
        // The counter turns before anything can leave the rest of a turn out.
        return `${indent}{\n${indent}unsigned ${name} = ${turns};\n${indent}do {\n${inner}${name}--;\n${body(turns)}${indent}} while (${name} != 0);\n${indent}}\n`;
      default:
        return `${indent}for (${type} ${name} = 0; ${name} < ${turns}; ${name}++) {\n${body(turns)}${indent}}\n`;
    }
  }

  #condition(depth: number, indent: string): string {
    const inner = `${indent}  `;
    const then = this.#statements(depth + 1, inner);
    const otherwise = this.#random.once(2) ? `${indent}} else {\n${this.#statements(depth + 1, inner)}` : '';
    return `${indent}if (${this.#comparison()}) {\n${then}${otherwise}${indent}}\n`;
  }

  /** A switch that becomes a table, or a chain of comparisons. */
  #choice(depth: number, indent: string): string {
    const random = this.#random;
    const cases = 3 + random.below(7);
    const spread = random.once(3) ? 37 : 1;
    const arms = Array.from({ length: cases }, (_, i) => {
      const leave = random.once(5) ? '' : `${indent}    break;\n`;
      return `${indent}  case ${i * spread}:\n${this.#statement(Math.max(depth + 1, 2), `${indent}    `)}${leave}`;
    });
    const other = random.once(2) ? `${indent}  default:\n${this.#statement(DEEPEST, `${indent}    `)}` : '';
    return `${indent}switch (${this.#local().name} % ${cases * spread}u) {\n${arms.join('')}${other}${indent}}\n`;
  }

  /** The turns of a checksum, or of what has their shape. */
  #turns(indent: string): string {
    const random = this.#random;
    const { name, type } = this.#local();
    const polynomial = random.pick(POLYNOMIALS);
    const own = `u${bitsOf(type)}`;
    const t = this.#name('t');
    const turn = random.pick([
      `${name} = (${own})${name} & 1 ? ((${own})${name} >> 1) ^ ${polynomial} : (${own})${name} >> 1`,
      `${name} = ((${own})${name} >> 1) ^ (-((${own})${name} & 1) & ${polynomial})`,
      `${name} = ((${own})${name} << 1) ^ (${name} < 0 ? ${polynomial} : 0)`,
      `${name} = (${own})${name} >> 1 ^ ((${own})${name} & 2 ? ${polynomial} : 7)`,
    ]);
    const first = random.once(2) ? `${indent}${name} ^= ${this.#expression(1)};\n` : '';
    return `${first}${indent}for (int ${t} = 0; ${t} < ${random.pick([3, 4, 8, 16])}; ${t}++) ${turn};\n`;
  }

  /** Bytes in one go. */
  #block(indent: string): string {
    const random = this.#random;
    const to = random.pick(this.#arrays);
    const from = random.pick(this.#arrays);
    const size = Math.min(to.length * (bitsOf(to.type) / 8), from.length * (bitsOf(from.type) / 8));
    const length = random.once(2) ? `${1 + random.below(size)}` : `(${this.#local().name} & 1023) % ${size} + 1`;
    if (to === from || random.once(3)) return `${indent}memset(${to.name}, ${this.#expression(1)}, ${length});\n`;
    return `${indent}memcpy(${to.name}, ${from.name}, ${length});\n`;
  }

  /** Numbers of two words: carries, borrows, products, wide shifts. */
  #carries(indent: string): string {
    const [w, random] = [this.#name('w'), this.#random];
    const lines = [
      `${indent}  u128 ${w} = (u128)(uint64_t)(${this.#expression(1)}) << 64 | (uint64_t)(${this.#expression(1)});\n`,
      ...Array.from({ length: 1 + random.below(3) }, () => {
        const other = `(u128)(uint64_t)(${this.#expression(1)})`;
        return `${indent}  ${random.pick([
          `${w} += ${other} * (uint64_t)(${this.#expression(1)})`,
          `${w} -= ${other} << 13`,
          `${w} = ${w} << ${1 + random.below(100)} | ${w} >> ${1 + random.below(100)}`,
          `${w} = -${w}`,
          `${w} ^= ${other}`,
          `if (${w} < ${other} << 40) ${w} = ~${w}`,
        ])};\n`;
      }),
    ];
    const into = this.#local();
    return `${indent}{\n${lines.join('')}${indent}  ${into.name} ^= (uint64_t)(${w} >> 64) + (uint64_t)${w};\n${indent}}\n`;
  }

  #comparison(): string {
    const comparison = this.#random.pick(['<', '<=', '>', '>=', '==', '!=', '&']);
    return `(${this.#expression(1)}) ${comparison} (${this.#expression(1)})`;
  }

  #operator(): string {
    return this.#random.pick(['=', '=', '+=', '-=', '^=', '|=', '&=', '*=']);
  }

  #local(): Place {
    return this.#random.pick(this.#locals);
  }

  /** An element whose index is a counter's, near it, or anything. */
  #element(): string {
    const random = this.#random;
    const array = random.pick(this.#arrays);
    const counter = this.#counters.length > 0 && !random.once(4) ? random.pick(this.#counters) : undefined;
    if (counter === undefined) return `${array.name}[(${this.#local().name} & 0xffff) % ${array.length}]`;
    const factor = 1 + random.below(3);
    const offset = random.below(4);
    const highest = (counter.below - 1) * factor + offset;
    if (highest >= array.length) return `${array.name}[(unsigned)${counter.name} % ${array.length}]`;
    return random.once(4)
      ? `${array.name}[${highest} - ${counter.name} * ${factor}]`
      : `${array.name}[${counter.name} * ${factor} + ${offset}]`;
  }

  #leaf(): string {
    const random = this.#random;
    switch (random.below(5)) {
      case 0:
        return `${BigInt.asIntN(64, random.value() >> BigInt(random.below(64)))}`.replace(/^(-?\d+)$/, (text) =>
          constant(text),
        );
      case 1:
        return this.#element();
      case 2:
        return this.#counters.length > 0 ? random.pick(this.#counters).name : this.#local().name;
      default:
        return this.#local().name;
    }
  }

  #expression(depth: number): string {
    const random = this.#random;
    if (depth === 0 || random.once(4)) return this.#leaf();
    const [x, y] = [this.#expression(depth - 1), this.#expression(depth - 1)];
    const type = random.pick(TYPES);
    const bits = bitsOf(type);
    switch (random.below(16)) {
      case 0:
      case 1:
        return `(${x} + ${y})`;
      case 2:
        return `(${x} - ${y})`;
      case 3:
        return `((${type})(${x}) * (${y}))`;
      case 4:
        return `(${x} ^ ${y})`;
      case 5:
        return `(${x} ${random.pick(['&', '|', '& ~'])} ${y})`;
      case 6:
        return `((${type})(${x}) ${random.pick(['<<', '>>'])} ((${y}) & ${bits - 1}))`;
      case 7:
        return `((u${bits})(${x}) ${random.pick(['/', '%'])} ((u${bits})(${y}) | 1))`;
      case 8:
        return `((${type})(${x}) ${random.pick(['/', '%'])} (${type})(((${y}) & 63) + 1))`;
      case 9:
        return `(${type})(${x})`;
      case 10:
        return `((${x}) ${random.pick(['<', '>', '==', '<='])} (${y}) ? (${this.#leaf()}) : (${x}))`;
      case 11: {
        const n = 1 + random.below(31);
        return `((u32)(${x}) << ${n} | (u32)(${x}) >> ${32 - n})`;
      }
      case 12:
        return random.pick([
          `__builtin_popcountll(${x})`,
          `__builtin_clzll((${x}) | 1)`,
          `__builtin_ctzll((${x}) | (1ull << 63))`,
          `__builtin_bswap64(${x})`,
          `__builtin_bswap32(${x})`,
          `__builtin_clz((u32)(${x}) | 1)`,
        ]);
      case 13:
        return `(uint64_t)((u128)(uint64_t)(${x}) * (uint64_t)(${y}) >> 64)`;
      case 14:
        return `((uint64_t)(${x}) & ((uint64_t)(${x}) ${random.pick(['- 1', `^ -(uint64_t)(${y})`])}))`;
      default:
        return `-(${type})(${x})`;
    }
  }

  #name(letter: string): string {
    return `${letter}${this.#names++}`;
  }
}

/** A constant of C: the lowest number has no spelling of its own. */
const constant = (text: string): string => {
  if (text === '-9223372036854775808') return '(-0x7fffffffffffffffll - 1)';
  return text.startsWith('-') ? `(${text}ll)` : `${text}ll`;
};

const PROLOGUE = `#include <stddef.h>
#include <stdint.h>
typedef unsigned __int128 u128;
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
int printf(const char *format, ...);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
static uint64_t state = 88172645463325252ull;
static uint64_t draw(void)
{
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}
static uint64_t mix(uint64_t h, uint64_t value)
{
  return (h << 5 | h >> 59) * 0x9e3779b97f4a7c15ull ^ value;
}
`;
