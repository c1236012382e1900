/** What a user's own code throws or answers: whatever it is, there is a text for it, and asking for that throws nothing. */

/** More of a value than this nobody reads. */
const LONGEST = 200;

/** The value as a message shows it: a string in quotes, a bigint with its n. */
export function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${textOf(value)}n`;
  return typeof value === 'string' ? `'${cut(value)}'` : textOf(value);
}

/** What a thrown value says: an error its message, a text itself. What says nothing is told to have been thrown. */
export function saidBy(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return cut(String(thrown.message)) || `${thrown.name} without a message`;
    const text = cut(String(thrown));
    const speaks = typeof thrown === 'string' ? text !== '' : typeof thrown === 'object' && thrown !== null;
    return speaks && !text.startsWith('[object ') ? text : `threw ${shown(thrown)}`;
  } catch {
    return textOf(thrown);
  }
}

/**
 * Whether `value` is a promise: the answer of an `async` function, which does its work when nobody waits for it any more. If it
 * fails, nobody is told of that.
 */
export function isPromise(value: unknown): boolean {
  try {
    if (!(value instanceof Promise)) return false;
    value.catch(() => undefined);
    return true;
  } catch {
    return false;
  }
}

/**
 * What is wrong with the first property of `value` that is not in `known`: a misspelt callback would never be called, and nothing would
 * say so. An instance of a class may have what it likes besides. `what` is what the object describes, `where` its place, if it has one.
 */
export function strayProperty(
  value: object,
  known: Readonly<Record<string, true>>,
  what: string,
  where = '',
): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return undefined;
  const stray = Object.keys(value).find((key) => !Object.hasOwn(known, key));
  if (stray === undefined) return undefined;
  return `${where && `${where}.`}${cut(stray)}: ${what} has no such property; it has ${Object.keys(known).join(', ')}`;
}

/** Said of a callback that gave a promise. */
export const GAVE_PROMISE = 'gave a promise: a callback has done its work when it returns, so it cannot be async';

function textOf(value: unknown): string {
  try {
    return cut(String(value));
  } catch {
    return `an ${typeof value} without a text`;
  }
}

const cut = (text: string): string => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
