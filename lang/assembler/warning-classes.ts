/**
 * Classes of warnings, by NASM 2.16's names (`nasm -hw`), and which of them are shown. A class ending in nothing of its own is a group:
 * `pp` stands for every class that begins with `pp-`.
 */

/** What becomes of a warning. */
export type WarningState = 'off' | 'on' | 'error';

/** Every class with its state before any `-w`. */
export const WARNING_CLASSES = {
  'db-empty': 'on',
  'ea-absolute': 'on',
  'ea-dispsize': 'on',
  'float-denorm': 'off',
  'float-overflow': 'on',
  'float-toolong': 'on',
  'float-underflow': 'off',
  forward: 'on',
  'label-orphan': 'on',
  'label-redef': 'off',
  'label-redef-late': 'error',
  'number-overflow': 'on',
  'obsolete-nop': 'on',
  'obsolete-removed': 'on',
  'obsolete-valid': 'on',
  phase: 'off',
  'pp-else-elif': 'on',
  'pp-else-else': 'on',
  'pp-empty-braces': 'on',
  'pp-environment': 'on',
  'pp-macro-def-case-single': 'on',
  'pp-macro-def-greedy-single': 'on',
  'pp-macro-def-param-single': 'error',
  'pp-macro-defaults': 'on',
  'pp-macro-params-legacy': 'on',
  'pp-macro-params-multi': 'on',
  'pp-macro-params-single': 'on',
  'pp-macro-redef-multi': 'on',
  'pp-open-braces': 'on',
  'pp-open-brackets': 'on',
  'pp-open-string': 'on',
  'pp-rep-negative': 'on',
  'pp-sel-range': 'on',
  'pp-trailing': 'on',
  'pragma-bad': 'off',
  'pragma-empty': 'off',
  'pragma-na': 'off',
  'pragma-unknown': 'off',
  'prefix-bnd': 'on',
  'prefix-hle': 'on',
  'prefix-lock': 'on',
  'prefix-opsize': 'on',
  'prefix-seg': 'on',
  ptr: 'on',
  regsize: 'on',
  'unknown-warning': 'off',
  user: 'on',
  'warn-stack-empty': 'on',
  zeroing: 'on',
  'zext-reloc': 'on',
  other: 'on',
} as const satisfies Readonly<Record<string, WarningState>>;

export type WarningClass = keyof typeof WARNING_CLASSES;

const CLASSES = Object.keys(WARNING_CLASSES) as WarningClass[];

/** Names that NASM had for a class in earlier versions, and still takes. */
const FORMER: Readonly<Record<string, string>> = {
  orphan: 'label-orphan',
  lock: 'prefix-lock',
  'macro-params': 'pp-macro-params',
  'macro-defaults': 'pp-macro-defaults',
  'macro-selfref': 'other',
  bnd: 'prefix-bnd',
  hle: 'prefix-hle',
  'bad-pragma': 'pragma-bad',
  environment: 'pp-environment',
};

/** The classes that a name of `-w` stands for; none if there is no such name. */
export function classesNamed(name: string): readonly WarningClass[] {
  const current = FORMER[name] ?? name;
  if (current === 'all') return CLASSES;
  return CLASSES.filter((each) => each === current || each.startsWith(`${current}-`));
}

/** Every name that `-w` takes: classes, then groups. */
export function warningNames(): readonly string[] {
  const groups = CLASSES.flatMap((each) => {
    const parts = each.split('-');
    return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('-'));
  }).filter((group) => classesNamed(group).length > 1);
  return [...CLASSES, ...new Set(groups), 'all', 'error'];
}

/** Which warnings are shown and which are errors, as `-w` options and `[warning]` change it. */
export class WarningSettings {
  #states = new Map<WarningClass, WarningState>(Object.entries(WARNING_CLASSES) as [WarningClass, WarningState][]);
  /** `-Werror`: every warning that is shown. */
  #allErrors = false;
  #initial: ReadonlyMap<WarningClass, WarningState> = new Map();
  #initialAllErrors = false;
  readonly #saved: { states: Map<WarningClass, WarningState>; allErrors: boolean }[] = [];

  /** What becomes of a warning of the class. */
  of(name: WarningClass): WarningState {
    const state = this.#states.get(name)!;
    return state === 'on' && this.#allErrors ? 'error' : state;
  }

  /** `[warning push]`: keeps the present settings for {@link pop}. */
  push(): void {
    this.#saved.push({ states: new Map(this.#states), allErrors: this.#allErrors });
  }

  /** `[warning pop]`: back to the settings of the last push; false where there was none. */
  pop(): boolean {
    const saved = this.#saved.pop();
    if (saved === undefined) return false;
    this.#states = saved.states;
    this.#allErrors = saved.allErrors;
    return true;
  }

  /** Remembers the present settings for {@link restart}. */
  keep(): void {
    this.#initial = new Map(this.#states);
    this.#initialAllErrors = this.#allErrors;
  }

  /** Back to the settings that were kept: another pass over the source begins. */
  restart(): void {
    this.#states = new Map(this.#initial);
    this.#allErrors = this.#initialAllErrors;
    this.#saved.length = 0;
  }

  /**
   * Apply one option without its letter: `+x`, `-x`, `*x` (back to its default), `x`, `no-x`, `error`, `error=x`, `no-error=x`. False if
   * there is no such warning, which changes nothing.
   */
  apply(option: string): boolean {
    const [, sign = '', rest = ''] = /^([-+*]|no-)?(.*)$/.exec(option)!;
    const off = sign === '-' || sign === 'no-';
    if (rest === 'error') {
      this.#allErrors = !off;
      return true;
    }
    const isError = rest.startsWith('error=');
    const classes = rest === 'none' ? CLASSES : classesNamed(isError ? rest.slice('error='.length) : rest);
    for (const each of classes) {
      this.#states.set(
        each,
        sign === '*' ? WARNING_CLASSES[each] : this.#next(each, off !== (rest === 'none'), isError),
      );
    }
    return classes.length > 0;
  }

  /** `-w-error=x` takes an error back to a warning; `-w+x` leaves an error one. */
  #next(name: WarningClass, off: boolean, isError: boolean): WarningState {
    const before = this.#states.get(name)!;
    if (isError) return off ? (before === 'error' ? 'on' : before) : 'error';
    if (off) return 'off';
    return before === 'error' ? 'error' : 'on';
  }
}
