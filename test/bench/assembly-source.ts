/** Long sources for the assembler's figures: drawn from a seed, so that every run measures the same text. */

/** Numbers below `limit` from a seed (Marsaglia's xorshift32). */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

const WIDE = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const HALF = ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp', 'r8d', 'r9d', 'r10d', 'r12d', 'r15d'];
const CONDITIONS = ['z', 'nz', 'c', 'nc', 'l', 'ge', 'a', 'be'];
const ALU = ['add', 'sub', 'and', 'or', 'xor', 'cmp', 'adc', 'sbb'];
const WORDS = ['buffer', 'length', 'the next entry', 'restore', 'see the data sheet', 'no carry here', 'loop'];

/**
 * A source of `lines` lines as people and compilers write them: functions of a few dozen lines with local labels, branches
 * near and far, calls, loads and stores of every addressing form, then their data; comments and blank lines between.
 */
export function mixedSource(lines: number, seed = 1): string {
  const draw = numbers(seed);
  const of = <T>(list: readonly T[]): T => list[draw(list.length)]!;
  const text: string[] = ['bits 64', 'default rel', 'section .text'];
  const functions = Math.floor(lines / 50);
  const address = () =>
    of([
      () => `[${of(WIDE)}]`,
      () => `[${of(WIDE)}+${draw(256)}]`,
      () => `[${of(WIDE)} + ${of(WIDE)}*${of([1, 2, 4, 8])} - 0x${draw(4096).toString(16)}]`,
      () => `[rsp+${draw(16) * 8}]`,
      () => `[table_${draw(functions)}]`,
    ])();
  let marks = 0;
  const instruction = () =>
    of([
      () => `mov ${of(WIDE)}, ${of(WIDE)}`,
      () => `mov ${of(HALF)}, ${draw(100000)}`,
      () => `mov ${of(WIDE)}, ${address()}`,
      () => `mov ${address()}, ${of(HALF)}`,
      () => `mov dword ${address()}, ${draw(1000)}`,
      () => `${of(ALU)} ${of(WIDE)}, ${of(WIDE)}`,
      () => `${of(ALU)} ${of(HALF)}, ${draw(300)}`,
      () => `${of(ALU)} ${of(WIDE)}, ${address()}`,
      () => `lea ${of(WIDE)}, ${address()}`,
      () => `test ${of(HALF)}, ${of(HALF)}`,
      () => `j${of(CONDITIONS)} .l${draw(marks + 1)}`,
      () => `jmp .l${draw(marks + 1)}`,
      () => `call function_${draw(functions)}`,
      () => `push ${of(WIDE)}`,
      () => `pop ${of(WIDE)}`,
      () => `shl ${of(WIDE)}, ${draw(32)}`,
      () => `movzx ${of(HALF)}, byte ${address()}`,
      () => `imul ${of(WIDE)}, ${of(WIDE)}, ${draw(1000)}`,
      () => `cmov${of(CONDITIONS)} ${of(WIDE)}, ${of(WIDE)}`,
      () => `set${of(CONDITIONS)} ${of(['al', 'bl', 'cl', 'r9b'])}`,
    ])();
  const data = () =>
    of([
      () => `db ${draw(256)}, 0x${draw(256).toString(16)}, '${of(WORDS)}', 0`,
      () => `dw ${draw(65536)}, ${draw(65536)}`,
      () => `dd ${draw(1 << 30)}, ${draw(100)} + ${draw(100)}*4`,
      () => `dq function_${draw(functions)}, ${draw(1 << 30)}`,
      () => `times ${1 + draw(8)} db ${draw(256)}`,
    ])();
  for (let number = 0; number < functions; number++) {
    const start = text.length;
    text.push(
      '',
      `; ${of(WORDS)}, ${of(WORDS)}`,
      `function_${number}:`,
      '        push    rbp',
      '        mov     rbp, rsp',
    );
    marks = 0;
    while (text.length < start + 38) {
      if (draw(6) === 0) text.push(`.l${marks++}:`);
      const [word, ...rest] = instruction().split(' ');
      text.push(`        ${word!.padEnd(7)} ${rest.join(' ')}${draw(4) === 0 ? ` ; ${of(WORDS)}` : ''}`);
    }
    text.push(`.l${marks}:`, '        pop     rbp', '        ret');
    text.push('section .data', `table_${number}:`);
    while (text.length < start + 49) text.push(`        ${data()}`);
    text.push('section .text');
  }
  return `${text.join('\n')}\n`;
}

/** A source of `calls` calls of multi-line macros with parameters, defaults, own labels, conditions and nested calls. */
export function macroSource(calls: number, seed = 1): string {
  const draw = numbers(seed);
  const of = <T>(list: readonly T[]): T => list[draw(list.length)]!;
  const text = [
    'bits 64',
    'default rel',
    '%define slot(n) [rsp + 8*(n)]',
    '%define FLAG 1',
    '%macro load 2',
    '        mov     %1, %2',
    '        test    %1, %1',
    '        jz      %%empty',
    '        add     %1, 8 ; and on',
    '%%empty:',
    '%endmacro',
    '%macro store 2-3 0',
    '%if %3 & FLAG',
    '        lock add qword slot(%1), %3',
    '%else',
    '        mov     slot(%1), %2',
    '%endif',
    '%endmacro',
    '%macro each 1-*',
    '%rep %0',
    '        push    %1',
    '%rotate 1',
    '%endrep',
    '%endmacro',
    '%macro both 2',
    '        load %1, slot(%2)',
    '        store %2, %1',
    '%endmacro',
    'section .text',
  ];
  for (let i = 0; i < calls; i++) {
    text.push(
      of([
        () => `        load ${of(WIDE)}, slot(${draw(16)})`,
        () => `        store ${draw(16)}, ${of(WIDE)}`,
        () => `        store ${draw(16)}, rax, ${draw(100)}`,
        () => `        each ${of(WIDE)}, ${of(WIDE)}, ${of(WIDE)}`,
        () => `        both ${of(WIDE)}, ${draw(16)}`,
      ])(),
    );
  }
  return `${text.join('\n')}\n`;
}

/** A source of `calls` calls of one macro, no two of them alike: a register and two slots, with loads, stores, a condition and branches. */
export function slotSource(calls: number, seed = 1): string {
  const draw = numbers(seed);
  const text = [
    'bits 64',
    '%macro swap 3',
    '        push    %1',
    '        mov     %1, [rsp + %2]',
    '        test    %1, %1',
    '        jz      %%empty',
    '        add     %1, 8',
    '        mov     [rsp + %2], %1',
    '%if %2 > %3',
    '        sub     %1, [rsp + %3]',
    '%else',
    '        add     %1, [rsp + %3]',
    '%endif',
    '        xchg    %1, [rsp + %3]',
    '        mov     [rsp + %2 + 8], %1',
    '        lea     %1, [rsp + %2*2]',
    '        cmp     %1, %3',
    '        jb      %%empty',
    '        mov     qword [rsp + %3], %2',
    '%%empty:',
    '        pop     %1',
    '%endmacro',
  ];
  for (let i = 0; i < calls; i++) {
    text.push(`        swap    ${WIDE[draw(WIDE.length)]}, ${i * 8}, ${draw(calls) * 8}`);
  }
  return `${text.join('\n')}\n`;
}

/** A source of `calls` calls whose lines name symbols: functions with arguments, and a counter. */
export function symbolSource(calls: number, seed = 1): string {
  const draw = numbers(seed);
  const functions = 200;
  const text = [
    'bits 64',
    '%macro invoke 1-*',
    '%if %0 > 1',
    '        mov     rdi, %2',
    '%endif',
    '%if %0 > 2',
    '        mov     rsi, %3',
    '%endif',
    '        call    %1',
    '        test    eax, eax',
    '        jnz     failed',
    '%endmacro',
    '%assign n 0',
    '%macro counted 1',
    '%assign n n+1',
    '        mov eax, n + %1',
    '%endmacro',
    'failed:',
  ];
  for (let i = 0; i < functions; i++) text.push(`f${i}: ret`);
  for (let i = 0; i < calls; i++) {
    const call = [
      `        invoke  f${draw(functions)}, ${i}, rax`,
      `        invoke  f${draw(functions)}`,
      `        counted ${i}`,
    ];
    text.push(call[draw(call.length)]!);
  }
  return `${text.join('\n')}\n`;
}

/** A source of `calls` calls of one macro, as a file of a beginner's has it: two parameters, a condition, a label of its own. */
export function oneMacroSource(calls: number, seed = 1): string {
  const draw = numbers(seed);
  const text = [
    'bits 64',
    '%macro work 2',
    '        push    %1',
    '        mov     %1, [rsp + %2]',
    '        test    %1, %1',
    '        jz      %%out',
    '%if %2 > 64',
    '        add     %1, %2',
    '%else',
    '        sub     %1, %2',
    '%endif',
    '        mov     [rsp + %2], %1',
    '%%out:  pop     %1',
    '%endmacro',
  ];
  for (let i = 0; i < calls; i++) text.push(`        work    ${WIDE[draw(WIDE.length)]}, ${draw(32) * 8}`);
  return `${text.join('\n')}\n`;
}
