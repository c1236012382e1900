/** A program's own machine (design: comment directives at the top of a source): `; gvm: OPTIONS` and `; host: COMMAND`. */

import { didYouMean } from '../../lang/assembler/suggest.ts';
import { optionArity } from '../qemu/options.ts';
import { splitWords } from './command-line.ts';
import { UsageError } from './usage-error.ts';

/** Options of one `; gvm:` line, with the place it came from. */
export interface OptionLine {
  readonly words: readonly string[];
  readonly place: string;
}

/** A shell line for the modeled host, with the place it came from. */
export interface HostCommand {
  readonly text: string;
  readonly place: string;
}

export interface Directives {
  readonly options: readonly OptionLine[];
  readonly host: readonly HostCommand[];
}

/** Comment lines of a source: NASM's, or those of a host program in TypeScript or JavaScript. */
const commentOf = (name: string): RegExp => (/\.[cm]?[tj]s$/.test(name) ? /^(?:\/\/|\/\*\*?|\*\/?)/ : /^;/);

/** Read the directives from the comment lines before the first line that is neither a comment nor blank. */
export function readDirectives(name: string, source: string): Directives {
  const options: OptionLine[] = [];
  const host: HostCommand[] = [];
  const comment = commentOf(name);
  let number = 0;
  for (const line of source.split('\n')) {
    number++;
    const text = line.trim();
    if (text === '') continue;
    const mark = comment.exec(text);
    if (mark === null) break;
    const match = /^\s*(gvm|host):\s*(.*)$/.exec(text.slice(mark[0].length));
    if (!match) continue;
    const place = `${name}:${number}`;
    if (match[1] === 'host') host.push({ text: match[2]!, place });
    else {
      const words = splitWords(match[2]!);
      if (words === undefined) throw new UsageError(`${place}: error: the options have a quote that is not closed`);
      options.push({ words, place });
    }
  }
  return { options, host };
}

/** gvm's own options that a source may give, and whether a value belongs to them. */
const OWN_OPTIONS = { '--explain': false, '--plug': true, '--trace': true, '--costs': true } as const;
export type OwnOption = keyof typeof OWN_OPTIONS;

/**
 * The options among `words`, `--name value` or `--name=value` each, of those that `who` may give; what is none of them, or lacks its
 * value, is the user's mistake.
 */
export function ownOptions<O extends OwnOption>(
  words: readonly string[],
  place: string,
  options: readonly O[],
  who: string,
): readonly { readonly name: O; readonly value: string }[] {
  const found: { name: O; value: string }[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    const equals = word.indexOf('=');
    const name = options.find((option) => option === (equals < 0 ? word : word.slice(0, equals)));
    if (name === undefined || (equals >= 0 && !OWN_OPTIONS[name]))
      throw new UsageError(
        `${place}: error: ${word} is no option that ${who} may give itself${hintFor(word, options)}`,
      );
    if (!OWN_OPTIONS[name]) {
      found.push({ name, value: '' });
      continue;
    }
    const value = equals < 0 ? words[++index] : word.slice(equals + 1);
    if (value === undefined) throw new UsageError(`${place}: error: ${word} takes a value`);
    found.push({ name, value });
  }
  return found;
}

/** The option that was meant, of gvm's own or QEMU's. */
function hintFor(word: string, options: readonly string[]): string {
  const dashed = [...optionArity.keys()].map((name) => `-${name}`);
  return didYouMean(word.replace(/=.*/s, ''), [...options, ...dashed]) || didYouMean(word.slice(1), dashed);
}
