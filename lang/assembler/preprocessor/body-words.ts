/** Words that shape the reading of lines, in lower case: what opens and closes a body, and what is read even where lines are skipped. */

export const MACRO_OPENS: ReadonlySet<string> = new Set(['%macro', '%imacro', '%rmacro', '%irmacro']);
export const MACRO_CLOSES: ReadonlySet<string> = new Set(['%endmacro', '%endm']);
export const REP_OPENS: ReadonlySet<string> = new Set(['%rep']);
export const REP_CLOSES: ReadonlySet<string> = new Set(['%endrep']);
export const CONDITION_WORDS: ReadonlySet<string> = new Set(['%else', '%endif']);

/** What a call of a macro may hold and yet come out the same the next time: words that change nothing but the reading of its own lines. */
export const REPEATABLE_WORDS: ReadonlySet<string> = new Set([
  ...REP_OPENS,
  ...CONDITION_WORDS,
  '%exitrep',
  '%exitmacro',
  '%rotate',
  '%null',
]);
