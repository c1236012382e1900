/** Words of the preprocessor's directives, in lower case. */

/** What opens and closes a body that is collected before it is used. */
export const MACRO_OPENS = new Set(['%macro', '%imacro']);
export const MACRO_CLOSES = new Set(['%endmacro', '%endm']);
export const REP_OPENS = new Set(['%rep']);
export const REP_CLOSES = new Set(['%endrep']);
/** Read even where lines are skipped, to keep the nesting right. */
export const STRUCTURAL = new Set(['%else', '%endif']);

/** All directives, to suggest from. */
export const DIRECTIVES = (
  '%include %define %idefine %xdefine %ixdefine %undef %assign %iassign %if %ifdef %ifndef %ifmacro %ifidn %ifidni %ifid %ifnum ' +
  '%ifstr %ifempty %elif %elifdef %elifndef %else %endif %macro %imacro %endmacro %unmacro %rep %endrep %exitrep %exitmacro %rotate ' +
  '%error %warning %fatal'
).split(' ');
