/** `-M` and its relatives: what an output is made of, as a rule for make (NASM manual §2.1.4–2.1.10). */

/** A rule breaks its line before this column, as NASM's does. */
const WIDTH = 62;

/** Files met while a source was read, in the order of the first time. */
export class Dependencies {
  readonly #files = new Set<string>();

  add(file: string): void {
    this.#files.add(file);
  }

  /** `target : file file …`, and with `phony` an empty rule for each file, so that make does not miss one that is gone. */
  rule(target: string, phony: boolean): string {
    let text = `${target} :`;
    let column = text.length;
    for (const file of [...this.#files].map(quoteForMake)) {
      if (column + file.length > WIDTH && column > 1) {
        text += ' \\\n ';
        column = 1;
      }
      text += ` ${file}`;
      column += file.length + 1;
    }
    const rules = phony ? [...this.#files].map((file) => `${quoteForMake(file)} :\n\n`) : [];
    return `${text}\n\n${rules.join('')}`;
  }
}

/** A file name as make reads it. */
export const quoteForMake = (name: string): string => name.replaceAll('$', '$$$$').replace(/[\s#\\]/g, '\\$&');
