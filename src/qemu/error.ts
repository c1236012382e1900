/** How QEMU's start-up fails: `Error **errp`, and what cannot go on at all (include/qapi/error.h). */

/** A configuration that QEMU refuses; printed as `qemu-system-x86_64: WHERE: MESSAGE`, exit code 1. */
export class ConfigurationError extends Error {
  /** error_append_hint: printed under the message, without a prefix. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }

  /** error_prepend. */
  prepended(text: string): ConfigurationError {
    return new ConfigurationError(text + this.message, this.hint);
  }
}

/** The process ends on the spot: with a message that stands on stderr as it is here, or, if it is empty, with what was said before. */
export class Fatal extends Error {
  /** What it ends with. */
  readonly code: number;

  constructor(message: string, code = 1) {
    super(message);
    this.code = code;
  }
}

/** abort(3): KVM or VFIO refused what QEMU cannot do without. A shell sees 128 + SIGABRT. */
export class Abort extends Fatal {
  constructor(message = '') {
    super(message, 134);
  }
}

/** assert(3) in the source at `where`. */
export const assertion = (where: string, expression: string): string =>
  `qemu-system-x86_64: ../../${where}: Assertion \`${expression}' failed.`;

/** hw_error (softmmu/cpus.c). Fidelity: the CPUs' registers, which follow in QEMU, are left out. */
export const hardwareError = (what: string): Abort => new Abort(`qemu: hardware error: ${what}`);

/** Run `step`; a refusal in it gets `text` before its message. */
export function prepending<R>(text: string, step: () => R): R {
  try {
    return step();
  } catch (error) {
    throw error instanceof ConfigurationError ? error.prepended(text) : error;
  }
}
