/** The context stack (NASM manual §4.7): `%push`, `%pop`, and the names `%$x` that belong to a context. */

interface Context {
  name: string | undefined;
  readonly serial: number;
}

export class Contexts {
  readonly #stack: Context[] = [];

  push(name: string | undefined, serial: number): void {
    this.#stack.push({ name, serial });
  }

  /** Ends the innermost context; returns the prefix of the names that go with it, or what is wrong. */
  pop(name: string | undefined): { readonly prefix: string } | { readonly wrong: string } {
    const top = this.#stack.at(-1);
    if (top === undefined) return { wrong: '`%pop` without `%push`' };
    if (name !== undefined && name.toLowerCase() !== top.name?.toLowerCase()) {
      return { wrong: `the innermost context is ${described(top)}, not \`${name}\`` };
    }
    this.#stack.pop();
    return { prefix: prefixOf(top) };
  }

  /** Gives the innermost context another name; false where there is none. */
  rename(name: string | undefined): boolean {
    const top = this.#stack.at(-1);
    if (top !== undefined) top.name = name;
    return top !== undefined;
  }

  isInnermost(name: string): boolean {
    return this.#stack.at(-1)?.name?.toLowerCase() === name.toLowerCase();
  }

  /** The symbol that `%$x` (innermost context) or `%$$x` (the one outside it) stands for; undefined without such a context. */
  symbol(image: string): string | undefined {
    const [, dollars, name] = /^%\{?(\$+)([^}]*)/.exec(image)!;
    const context = this.#stack.at(-dollars!.length);
    return context === undefined ? undefined : prefixOf(context) + name;
  }

  /** Contexts that are still open, outermost first. */
  get depth(): number {
    return this.#stack.length;
  }
}

function prefixOf(context: Context): string {
  return `..@${context.serial}.$`;
}

function described(context: Context): string {
  return context.name === undefined ? 'unnamed' : `\`${context.name}\``;
}
