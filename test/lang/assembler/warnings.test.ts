/** `-w`: which warnings are shown, hidden, or errors; NASM's names and their groups. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { assemble } from '../../../lang/assembler/assemble.ts';
import { WARNING_CLASSES, WarningSettings, warningNames } from '../../../lang/assembler/warning-classes.ts';
import { inFolder } from '../../in-folder.ts';
import { has } from './tools.ts';

const SOURCE = 'lonely\n db 300\n lock mov eax, 5\n%warning beware\n resb 1\nsection .bss\n db 1';

/** `severity class` of everything said about the source. */
function said(...options: string[]): string[] {
  const warnings = new WarningSettings();
  for (const option of options) expect(warnings.apply(option)).toBe(true);
  const result = assemble({ name: 'main.asm', text: SOURCE }, { includePath: () => undefined, warnings });
  const list = 'object' in result ? result.warnings : result.diagnostics;
  return list.map(({ severity, warning }) => `${severity} ${warning}`).sort();
}

const ALL = ['label-orphan', 'number-overflow', 'other', 'prefix-lock', 'user', 'zeroing'];

describe('-w', () => {
  test.each([
    [[], ALL],
    [['-user'], ALL.filter((each) => each !== 'user')],
    [['no-label-orphan'], ALL.filter((each) => each !== 'label-orphan')],
    [['-orphan'], ALL.filter((each) => each !== 'label-orphan')],
    [['-prefix', '-label'], ALL.filter((each) => !/^(prefix|label)-/.test(each))],
    [['-all'], []],
    [['-all', '+number-overflow'], ['number-overflow']],
    [['-user', '*user'], ALL],
  ])('%j', (options, shown) => {
    expect(said(...options)).toEqual(shown.map((each) => `warning ${each}`));
  });

  test('-Werror=x makes an error of one', () => {
    expect(said('-all', 'error=user')).toEqual(['error user']);
    expect(said('error=user', '-error=user')).toEqual(ALL.map((each) => `warning ${each}`));
  });

  test('-Werror makes errors of those that are shown, and tells all of them', () => {
    expect(said('error', '-label')).toEqual(ALL.slice(1).map((each) => `error ${each}`));
    expect(said('error', '-all', '+number-overflow')).toEqual(['error number-overflow']);
  });

  test('a name that does not exist changes nothing', () => {
    expect(new WarningSettings().apply('-nothing')).toBe(false);
  });
});

test.skipIf(!has('nasm'))('names and states are those of nasm (needs nasm)', () => {
  const { stdout } = spawnSync('nasm', ['-hw'], { encoding: 'utf8' });
  const rows = [...stdout.matchAll(/^ {7}([a-z][a-z-]*) +.*?(?:\[(on|off|error)\])?$/gm)];
  const classes = rows.filter(([, , state]) => state !== undefined).map(([, name, state]) => [name, state]);
  expect(Object.entries(WARNING_CLASSES).sort()).toEqual(classes.filter(([name]) => name! in WARNING_CLASSES).sort());
  const groups = rows.filter(([, , state]) => state === undefined).map(([, name]) => name!);
  for (const group of groups.filter((each) => /^(all|ea|float|label|obsolete|pp|pp-macro|pragma|prefix)$/.test(each)))
    expect(warningNames()).toContain(group);
  expect(classes.length).toBe(Object.keys(WARNING_CLASSES).length);
});

/** Lines and classes of the warnings, as nasm has them: what it says several times of a line counts once. */
const OF_NASM: Readonly<Record<string, string>> = {
  'a macro defined again':
    '%macro a 1\n%endmacro\n%macro a 1\n%endmacro\n%macro a 0\n%endmacro\n%macro a 2-*\n%endmacro\n%macro a 3\n%endmacro\n%imacro a 3\n%endmacro\n%macro b 0+\n%endmacro\n%macro b 4\n%endmacro\n%rep 2\n%macro c 0\n%endmacro\n%endrep',
  'numbers that are cut':
    ' db -128, 255\n db -256\n db -257\n db 256\n dw -65536\n dw -65537\n dd -4294967296\n dd -4294967297\n times 2 db -253',
  'too many defaults':
    '%macro a 1-2 7, eax\n%endmacro\n%macro b 0+ 5\n%endmacro\n%macro c 1-2+ 5, 6\n%endmacro\n%macro d 1-* 5,6\n%endmacro\n%macro e 1 5\n%endmacro\n%macro f 1-2 5\n%endmacro',
  'rel with a register':
    ' bits 64\nx: mov eax, [rel rbx]\n mov eax, [rel x+rcx*2]\n mov eax, [rel x]\n default rel\n mov eax, [x+rbx]',
};
test.skipIf(!has('nasm')).each(Object.entries(OF_NASM))(
  '%s: warnings stand where nasm has them (needs nasm)',
  (_, text) => {
    const result = assemble({ name: 'main.asm', text }, { includePath: () => undefined });
    const list = 'object' in result ? result.warnings : result.diagnostics;
    const ours = list.map(({ span, warning }) => `${span!.origin.file.line(span!.start)} ${warning}`);
    const { stderr } = inFolder((folder) => {
      writeFileSync(join(folder, 'main.asm'), text);
      return spawnSync('nasm', ['-f', 'elf64', '-o', 'x.o', 'main.asm'], { cwd: folder, encoding: 'utf8' });
    });
    const theirs = [...stderr.matchAll(/^main\.asm:(\d+): warning: .*\[-w\+([\w-]+)\]$/gm)].map(
      ([, line, name]) => `${line} ${name}`,
    );
    expect([...new Set(ours)].sort()).toEqual([...new Set(theirs)].sort());
  },
);
