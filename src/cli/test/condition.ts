/** Conditions of REQUIRES, UNSUPPORTED and XFAIL: names of features joined by `&&`, `||`, `!` and parentheses; `*` is true. */

import { UsageError } from '../usage-error.ts';

/** Whether `condition` holds where `has` says which features there are. A mistake in it is the user's. */
export function holds(condition: string, has: (feature: string) => boolean): boolean {
  const words = condition.match(/&&|\|\||[!()*]|[\w.+-]+|\S/g) ?? [];
  let at = 0;
  const either = (): boolean => {
    let value = both();
    while (words[at] === '||') {
      at++;
      const right = both();
      value ||= right;
    }
    return value;
  };
  const both = (): boolean => {
    let value = one();
    while (words[at] === '&&') {
      at++;
      const right = one();
      value &&= right;
    }
    return value;
  };
  const one = (): boolean => {
    const word = words[at++];
    if (word === '!') return !one();
    if (word === '*') return true;
    if (word === '(') {
      const value = either();
      if (words[at++] !== ')') throw mistake("')' is missing");
      return value;
    }
    if (word === undefined || !/^\w/.test(word))
      throw mistake(`a feature is missing${word === undefined ? '' : ` at '${word}'`}`);
    return word === 'true' || (word !== 'false' && has(word));
  };
  const mistake = (text: string) => new UsageError(`condition '${condition}': ${text}`);
  const value = either();
  if (at < words.length) throw mistake(`unexpected '${words[at]}'`);
  return value;
}
