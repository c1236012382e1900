/** Options of the form `NAME,KEY=VALUE,…` (util/keyval.c, util/qemu-option.c): taken apart, and how they are refused. */

import { ConfigurationError } from './error.ts';

/** An option that is refused; `where` is what `qemu-system-x86_64: WHERE: MESSAGE` names. */
export class OptionError extends ConfigurationError {
  readonly where: string;

  constructor(where: string, message: string, hint?: string) {
    super(message, hint);
    this.where = where;
  }
}

/** id_wellformed: a name that devices and objects may have. */
export function checkId(id: string): void {
  if (/^[A-Za-z][A-Za-z0-9\-._]*$/.test(id)) return;
  const hint = "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.";
  throw new ConfigurationError("Parameter 'id' expects an identifier", hint);
}

/** `step` is about the option `where`: what it refuses is the option's fault. */
export function refusing<R>(where: string, step: () => R): R {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new OptionError(where, error.message, error.hint);
  }
}

/** One option, taken apart. */
export interface KeyValueOption {
  /** As the user wrote it, for messages: `-device pci-bridge,id=br`. */
  readonly where: string;
  /** The first word, or the value of the key that stands for it. */
  readonly kind: string;
  readonly values: ReadonlyMap<string, string>;
  readonly help: boolean;
}

/** `,` separates, `,,` is a comma; the first word without `=` is the value of `implied`; a later one means `=on`. */
export function parseKeyValues(where: string, text: string, implied: string): KeyValueOption {
  const values = new Map<string, string>();
  let kind: string | undefined;
  let help = false;
  splitOptions(text).forEach((word, i) => {
    const equals = word.indexOf('=');
    const key = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? 'on' : word.slice(equals + 1);
    if (i === 0 && equals < 0) kind = word;
    else if (key === implied) kind = value;
    else if (equals < 0 && (word === 'help' || word === '?')) help = true;
    else values.set(key, value);
  });
  if (kind === undefined) throw new OptionError(where, `Parameter '${implied}' is missing`);
  return { where, kind, values, help };
}

function splitOptions(text: string): string[] {
  const words: string[] = [];
  let word = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') word += text[i];
    else if (text[i + 1] === ',') word += text[++i];
    else {
      words.push(word);
      word = '';
    }
  }
  return [...words, word];
}
