/** Random programs of NASM's language for the comparison with nasm: macros, repetitions, conditions, contexts, structures, expressions. */

/** Draws numbers; mulberry32. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** 0 to `end` - 1. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  /** One of `items`, made if it is a function. */
  pick(...items: readonly (string | (() => string))[]): string {
    const item = items[this.below(items.length)]!;
    return typeof item === 'string' ? item : item();
  }

  word(words: string): string {
    return this.pick(...words.split(' '));
  }
}

const NUMBERS = "0 1 2 3 5 10 0x1f 17q 1010b -1 -5 255 256 0x7fffffff 0x80000000 0ffh 'a' 'ab' 1_000";
const QUADS = 'rax rbx rcx rdx rsi rdi rbp r8 r12 r13 r15';
const DOUBLES = 'eax ebx ecx edx esi r9d r12d';
const NAMES = 'foo bar x1 x2 x3';

interface Macro {
  readonly name: string;
  readonly least: number;
  readonly takesMore: boolean;
}

/** One program, in lines. What it may not say after all, nasm says: some lines of it are errors. */
export class RandomProgram {
  readonly #dice: Dice;
  readonly #macros: Macro[] = [];
  #count = 0;

  constructor(seed: number) {
    this.#dice = new Dice(seed);
  }

  lines(): string[] {
    const lines = [' bits 64', `count equ ${this.#dice.below(6)}`, 'lab: nop'];
    for (let i = 4 + this.#dice.below(10); i > 0; i--) lines.push(...this.#statement(0));
    return lines;
  }

  #number(): string {
    return this.#dice.word(NUMBERS);
  }

  // `<=>` is left out, as `default` is between other lines: the README tells where NASM 2.16.01 has them otherwise.
  #expression(depth = 0): string {
    const { below, chance, pick, word } = this.#bound();
    if (depth > 3 || chance(40)) return this.#number();
    const inner = () => this.#expression(depth + 1);
    return pick(
      () => `${word('- ~ ! +')}${inner()}`,
      () => `(${inner()})`,
      () => `(${inner()} ? ${inner()} : ${inner()})`,
      () => `${inner()} ${word('+ - * & | ^ && || ^^ < > <= >= = == != <>')} ${inner()}`,
      () => `${inner()} ${word('/ // % %%')} ${word('1 2 3 7 10')}`,
      () => `${inner()} ${word('<< >> >>>')} ${below(40)}`,
    );
  }

  #string(): string {
    return this.#dice.pick("'abc'", '"hello, world"', '`a\\n\\x41\\u00e9`', "''", "'%1'", '`\\t"`');
  }

  #memory(size = ''): string {
    const { chance, pick, word } = this.#bound();
    const parts = [
      ...(chance(70) ? [word(QUADS)] : []),
      ...(chance(50) ? [`${word(QUADS)}${pick('', '*1', '*2', '*4', '*8')}`] : []),
      ...(chance(70) ? [pick('5', '-5', '0x1000', 'lab', 'lab+4', 'lab-$$', '$', '2+3', 'count')] : []),
    ];
    const keyword = chance(60) ? '' : word('rel abs byte dword nosplit').concat(' ');
    return `${size}[${keyword}${parts.length === 0 ? '0' : parts.join('+')}]`;
  }

  #instruction(): string {
    const { pick, word } = this.#bound();
    return pick(
      () =>
        `mov ${word(QUADS)}, ${pick(
          () => this.#number(),
          () => this.#memory(),
          () => word(QUADS),
          'lab',
        )}`,
      () =>
        `mov ${word(DOUBLES)}, ${pick(
          () => this.#number(),
          () => this.#memory(),
          () => word(DOUBLES),
        )}`,
      () =>
        `${word('add sub and or xor cmp adc sbb test')} ${word(QUADS)}, ${pick(
          () => this.#number(),
          () => word(QUADS),
        )}`,
      () => `${word('add sub xor cmp')} ${this.#memory(`${word('byte word dword qword')} `)}, ${word('1 5 -1 127')}`,
      () => `lea ${word(QUADS)}, ${this.#memory()}`,
      () =>
        `push ${pick(
          () => this.#number(),
          () => word(QUADS),
          () => this.#memory('qword '),
        )}`,
      () => `j${word('mp z nz ae l g')} ${pick('lab', 'short $+5', 'near lab', '.l0')}`,
      () => `imul ${word(DOUBLES)}, ${word(DOUBLES)}, ${this.#number()}`,
      () => `movzx ${word(DOUBLES)}, byte ${this.#memory()}`,
      () => `shl ${word(DOUBLES)}, ${word('1 5 cl')}`,
      'call lab',
      'ret 8',
      'rep movsq',
      'lock inc dword [rax]',
    );
  }

  #data(): string {
    const { below, pick, word } = this.#bound();
    return pick(
      () =>
        `d${word('b w d q')} ${this.#expression()}, ${pick(
          () => this.#string(),
          () => this.#number(),
        )}`,
      () => `times ${word('3 0 count 4-2')} db ${this.#expression()}`,
      () => `db ${pick('3 dup (1, 2)', '?', '2 dup (?, 5)')}`,
      () => `align ${pick('4', '8', '16, db 0xcc', '8, nop')}`,
      () => `dd ${below(9)}, count, lab-$$`,
      'dd 1.5, -2.25',
      'resb 3',
    );
  }

  #definition(): string {
    const { pick, word } = this.#bound();
    const name = word(NAMES);
    return pick(
      () =>
        `%${word('define xdefine idefine ixdefine')} ${name} ${pick(
          () => this.#number(),
          () => `(${this.#expression()})`,
          'count+1',
        )}`,
      () => `%assign ${name} ${this.#expression()}`,
      () => `%strlen ${name} ${this.#string()}`,
      () => `%substr ${name} ${this.#string()} ${pick('1', '2,3', '-2,-1', '2,-1', '0,1', '1,100')}`,
      () => `%strcat ${name} ${this.#string()}, ${this.#string()}`,
      () => `%defstr ${name} ${pick('a b c', '1+2', 'foo')}`,
      () => `%deftok ${name} ${pick("'1+2'", "'count'")}`,
      () => `%define twice(a,b) ((a)*${this.#number()}+(b))`,
      () => `%undef ${name}`,
    );
  }

  #condition(): string {
    const { pick, word } = this.#bound();
    const not = pick('', 'n');
    return pick(
      () => `if${not} ${this.#expression()}`,
      () => `if${not}def ${word(NAMES)}`,
      () => `if${not}idn${pick('', 'i')} ${word('a A foo 1')}, ${word('a A foo 1')}`,
      () =>
        `if${not}${word('id num str token empty')} ${pick('foo', '1', '"s"', 'a b', '', '[x]', '-5', '0x1f', 'count')}`,
      () => `if${not}macro ${pick('m0 1', 'm1', 'm2 1-3', 'm0 0+', 'm1 2-*')}`,
      () => `if${not}ctx ${word('c1 c2')}`,
    );
  }

  #block(depth: number): string[] {
    const lines: string[] = [];
    for (let i = 1 + this.#dice.below(4); i > 0; i--) lines.push(...this.#statement(depth));
    return lines;
  }

  #macro(depth: number): string[] {
    const { below, chance, pick } = this.#bound();
    const name = `m${below(5)}`;
    const least = below(4);
    const more = pick('', '', `-${least + 1}`, '-*', '+');
    const defaults = more.startsWith('-') && chance(50) ? ' 7' : '';
    const body: string[] = [];
    for (let i = 1 + below(5); i > 0; i--) {
      body.push(
        ...pick(
          ' db %0',
          least > 0 ? ` dd %${1 + below(least)}` : ' nop',
          '%%a: nop\n jmp %%a',
          `%rep %0\n${least > 0 ? ' db %1' : ' nop'}\n%rotate ${pick('1', '-1', '2')}\n%endrep`,
          () => `%if ${this.#expression()}\n db 0x55\n%exitmacro\n%endif`,
          least > 0 ? ' dw %{1:-1}' : ' dw 1',
          () => this.#statement(depth + 2).join('\n'),
        ).split('\n'),
      );
    }
    this.#macros.push({ name, least, takesMore: more === '+' || more === '-*' });
    return [`%${pick('', '', 'i')}macro ${name} ${least}${more}${defaults}`, ...body, '%endmacro'];
  }

  #call(): string {
    const { below, pick, chance } = this.#bound();
    const macro = this.#macros[below(this.#macros.length)];
    if (macro === undefined) return ' nop';
    const given = macro.least + (macro.takesMore ? below(3) : 0);
    const values = Array.from({ length: given }, () =>
      chance(15)
        ? '{1, 2}'
        : pick(
            () => this.#number(),
            () => this.#string(),
          ),
    );
    return `${pick('', ' ', `L${++this.#count}: `)}${macro.name} ${values.join(', ')}`;
  }

  #structure(): string[] {
    const { below, pick } = this.#bound();
    const name = `struc${++this.#count}`;
    const fields = ['.a: resd 1', `.b: resb ${1 + below(9)}`, ' alignb 4', '.c: resw 2'];
    const values = [` at .a, dd ${this.#number()}`, pick(' at .c, dw 1,2', ' at .b, db 9')];
    return [`struc ${name}`, ...fields, 'endstruc', `istruc ${name}`, ...values, 'iend', ` db ${name}_size, ${name}.c`];
  }

  #statement(depth: number): string[] {
    const { below, chance, word } = this.#bound();
    const kind = depth > 3 ? below(50) : below(100);
    if (kind < 20) return [` ${this.#instruction()}`];
    if (kind < 38) return [` ${this.#data()}`];
    if (kind < 42) return [`L${++this.#count}: nop`, '.l0:', `.l1: ${this.#instruction()}`];
    if (kind < 50) return [this.#definition()];
    if (kind < 55) return [` dd ${word('count twice(1,2) x1 x2')}`];
    if (kind < 65) {
      const other = chance(40) ? [`%el${this.#condition()}`, ...this.#block(depth + 1)] : [];
      const rest = chance(50) ? ['%else', ...this.#block(depth + 1)] : [];
      return [`%${this.#condition()}`, ...this.#block(depth + 1), ...other, ...rest, '%endif'];
    }
    if (kind < 71) return [`%rep ${word('0 1 3 count 2+1')}`, ...this.#block(depth + 1), '%endrep'];
    if (kind < 80 && depth < 2) return this.#macro(depth);
    if (kind < 90) return [this.#call()];
    if (kind < 95)
      return [
        `%push ${word('c1 c2')}`,
        `%assign %$x ${this.#number()}`,
        '%$l: nop',
        ...this.#block(depth + 1),
        ' dd %$x',
        ' dq %$l-$$',
        '%pop',
      ];
    if (kind < 97) return this.#structure();
    return [this.#dice.pick('section .data', 'section .text', 'section .rodata align=16', '[section .data]')];
  }

  /** The dice's throws as functions. */
  #bound() {
    const dice = this.#dice;
    return {
      below: (end: number) => dice.below(end),
      chance: (percent: number) => dice.chance(percent),
      pick: (...items: readonly (string | (() => string))[]) => dice.pick(...items),
      word: (words: string) => dice.word(words),
    };
  }
}
