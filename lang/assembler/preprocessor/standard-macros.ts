/**
 * What NASM defines before a source begins (manual §4.12, §4.13): single-line macros about the assembly, and multi-line macros for
 * structures, which are written in the language itself.
 */

import { quoteBytes } from '../../syntax/literals.ts';
import { SourceFile, type Span } from '../../syntax/source.ts';
import { UNICODE_ENCODINGS } from '../../syntax/unicode-strings.ts';
import { plainMacro } from './definitions.ts';
import type { Directing } from './directive.ts';

/** The NASM that gvm follows. */
export const NASM_VERSION = { major: 2, minor: 16, subminor: 1, patchlevel: 0 };

/** Names without their `__?` `?__`; NASM 2.16 knows each as `__NAME__`, too. */
function values(format: string): Readonly<Record<string, string>> {
  const { major, minor, subminor, patchlevel } = NASM_VERSION;
  const id = (major << 24) | (minor << 16) | (subminor << 8) | patchlevel;
  return {
    NASM_MAJOR: `${major}`,
    NASM_MINOR: `${minor}`,
    NASM_SUBMINOR: `${subminor}`,
    NASM_PATCHLEVEL: `${patchlevel}`,
    NASM_VERSION_ID: `0${id.toString(16).padStart(8, '0')}h`,
    NASM_VER: `"${major}.${minor}.${String(subminor).padStart(2, '0')}"`,
    OUTPUT_FORMAT: format,
    SECT: '[section .text]',
    BITS: '64',
    PTR: 'qword',
  };
}

const COMPUTED: Readonly<Record<string, (line: Span) => string>> = {
  LINE: ({ origin, start }) => `${origin.file.place(start).line}`,
  FILE: ({ origin, start }) => quoteBytes(new TextEncoder().encode(origin.file.place(start).name)),
};

/** Structures (manual §4.12.10, §4.12.11). The names in a context are those that NASM uses. */
const STRUCTURES = `%imacro struc 1-2 0
%push struc
%define %$strucname %1
[absolute %2]
%$strucname:
%endmacro
%imacro endstruc 0
%ifnctx struc
%error \`endstruc\` without \`struc\`
%else
%{$strucname}_size equ $ - %$strucname
%pop
__?SECT?__
%endif
%endmacro
%imacro istruc 1
%push istruc
%define %$strucname %1
%$strucstart:
%endmacro
%imacro at 1-2+
%ifnctx istruc
%error \`at\` stands in no \`istruc\`
%else
%defstr %$member %1
%substr %$member %$member 1
%ifidn %$member, '.'
times (%$strucname%1 - %$strucname) - ($ - %$strucstart) db 0
%else
times (%1 - %$strucname) - ($ - %$strucstart) db 0
%endif
%2
%endif
%endmacro
%imacro iend 0
%ifnctx istruc
%error \`iend\` without \`istruc\`
%else
times %{$strucname}_size - ($ - %$strucstart) db 0
%pop
%endif
%endmacro
`;

let structures: SourceFile | undefined;

/** Defines NASM's single-line macros; returns the file that defines the others. */
export function defineStandard(to: Directing, format: string): SourceFile {
  structures ??= new SourceFile('standard macros', STRUCTURES);
  const { names } = to.macros;
  const span: Span = { origin: { file: structures, expansion: undefined }, start: 0, end: 1 };
  const name = (each: string) => `__?${each}?__`;
  const known = values(format);
  for (const [each, text] of Object.entries(known)) names.define(plainMacro(name(each), text, span));
  for (const [each, computed] of Object.entries(COMPUTED)) {
    names.define({ name: name(each), parameters: undefined, body: [], ignoreCase: false, computed });
  }
  for (const each of [...Object.keys(known), ...Object.keys(COMPUTED)]) {
    names.define({ name: `__${each}__`, parameters: undefined, body: [], ignoreCase: false, alias: name(each) });
  }
  for (const each of UNICODE_ENCODINGS) {
    names.define({ ...plainMacro(`__${each}__`, name(each), span), ignoreCase: true });
  }
  return structures;
}
