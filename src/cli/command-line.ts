/**
 * Command lines as QEMU's users write them: words split as a shell splits them, and single-dash long options, which yargs
 * would take for a bunch of letters.
 */

/** Split a line into words as sh does: blanks separate; '…', "…" and \\ keep. Undefined if a quote is not closed. */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let index = 0; index < line.length; index++) {
    const character = line[index]!;
    if (quote !== '') {
      if (character === quote) quote = '';
      else if (character === '\\' && quote === '"' && '"\\$`'.includes(line[index + 1] ?? ' '))
        word = (word ?? '') + line[++index];
      else word = (word ?? '') + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= '';
    } else if (character === '\\' && index + 1 < line.length) {
      word = (word ?? '') + line[++index];
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote !== '') return undefined;
  if (word !== undefined) words.push(word);
  return words;
}

/** Command line of one run, sorted by who reads it. */
export interface SortedArguments {
  /** For QEMU, with a single dash, in order. */
  readonly qemu: readonly string[];
  /** For gvm. */
  readonly gvm: readonly string[];
}

/**
 * Take QEMU's options, with one dash or two, out of a command line. `takesValue` says of each of QEMU's options whether a
 * value follows; it is the same table that QEMU itself parses with.
 */
export function sortArguments(words: readonly string[], takesValue: ReadonlyMap<string, boolean>): SortedArguments {
  const qemu: string[] = [];
  const gvm: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === '--') return { qemu, gvm: [...gvm, ...words.slice(index)] };
    const match = /^--?([a-zA-Z][\w-]*)(?:=(.*))?$/.exec(word);
    const name = match?.[1] ?? '';
    const valued = takesValue.get(name);
    if (match === null || valued === undefined) {
      gvm.push(word);
      continue;
    }
    qemu.push(`-${name}`);
    if (!valued) continue;
    if (match[2] !== undefined) qemu.push(match[2]);
    else if (index + 1 < words.length) qemu.push(words[++index]!);
  }
  return { qemu, gvm };
}
