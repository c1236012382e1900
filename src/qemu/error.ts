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

/** abort(3) after a message: KVM or VFIO refused what QEMU cannot do without. */
export class Abort extends Error {}

/** Run `step`; a refusal in it gets `text` before its message. */
export function prepending<R>(text: string, step: () => R): R {
  try {
    return step();
  } catch (error) {
    throw error instanceof ConfigurationError ? error.prepended(text) : error;
  }
}
