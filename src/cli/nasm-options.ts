/**
 * NASM's option letters (nasm.c, process_arg): their values may be glued to them (`-felf64`, `-Iinclude/`, `-w+all`), which yargs would
 * take for a bunch of letters. They are turned into gvm's long options.
 */

interface Letter {
  readonly name: string;
  /** `next`: glued or the next word; `glued`: glued or none; `rest`: the next word if it is no option; `none`: no value. */
  readonly value: 'next' | 'glued' | 'rest' | 'none';
}

const value = (name: string): Letter => ({ name, value: 'next' });
const flag = (name: string): Letter => ({ name, value: 'none' });

const LETTERS: Readonly<Record<string, Letter>> = {
  f: value('format'),
  o: value('output'),
  l: value('listing'),
  I: value('include'),
  i: value('include'),
  D: value('define'),
  d: value('define'),
  U: value('undefine'),
  u: value('undefine'),
  P: value('pre-include'),
  p: value('pre-include'),
  E: flag('preprocess'),
  e: flag('preprocess'),
  w: { name: 'warning', value: 'glued' },
  W: { name: 'warning', value: 'glued' },
  g: { name: 'debug', value: 'glued' },
  F: value('debug-format'),
  O: { name: 'optimize', value: 'glued' },
};

/** Options of two letters, and those of one dash with more. */
const WORDS: Readonly<Record<string, Letter>> = {
  M: flag('depend'),
  MG: flag('depend-missing'),
  MP: flag('depend-phony'),
  MF: value('depend-file'),
  MD: { name: 'depend-beside', value: 'rest' },
  MT: value('depend-target'),
  MQ: value('depend-quoted-target'),
  map: value('map'),
};

const GLUED: Readonly<Record<string, string>> = { w: 'warning', W: 'warning', D: 'define', I: 'include' };

/** The words with `-wNAME`, `-DNAME` and `-IDIR` as long options, for commands whose other letters are their own. */
export function gluedOptions(words: readonly string[]): string[] {
  return words.map((word) => word.replace(/^-([wWDI])(?=.)/, (_, letter: string) => `--${GLUED[letter]}=`));
}

/** The words with NASM's letters as long options: `-felf64 -Ilib` becomes `--format=elf64 --include=lib`. */
export function longOptions(words: readonly string[]): string[] {
  const result: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === '--') return [...result, ...words.slice(index)];
    const dashed = /^-([A-Za-z].*)$/s.exec(word)?.[1];
    const whole = dashed === undefined ? undefined : WORDS[dashed];
    const letter = dashed === undefined ? undefined : (whole ?? LETTERS[dashed[0]!]);
    if (dashed === undefined || letter === undefined) {
      result.push(word);
      continue;
    }
    const { name } = letter;
    let given = whole === undefined ? dashed.slice(1) : '';
    const next = words[index + 1];
    const takesNext = letter.value === 'next' || (letter.value === 'rest' && next !== undefined && !/^-./.test(next));
    if (given === '' && takesNext && next !== undefined) {
      given = next;
      index++;
    }
    if (letter.value === 'none' && given !== '') result.push(word);
    // A flag, or an option whose value is missing: yargs says so. A value that may be missing is an empty one.
    else if (given === '' && (letter.value === 'none' || letter.value === 'next')) result.push(`--${name}`);
    else result.push(`--${name}=${given}`);
  }
  return result;
}
