/** A user's own driver did what no driver can do: it threw, or returned what is no result. */

import { GAVE_PROMISE, isPromise, saidBy, shown } from '../../foreign-value.ts';

export class DriverFault extends Error {
  /** As the user named it: `./mydriver.ts`. */
  readonly file: string;
  /** `vfio_device_ops.write of 83b8f4f2-…`, or what else of the driver it was. */
  readonly where: string;
  /** Name of the function in the file. */
  readonly callback: string;

  constructor(file: string, where: string, callback: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.file = file;
    this.where = where;
    this.callback = callback;
  }
}

/** The user may throw what answers no question. */
export function isDriverFault(error: unknown): error is DriverFault {
  try {
    return error instanceof DriverFault;
  } catch {
    return false;
  }
}

/** Calls into the user's file, from the kernel: what it throws is a fault at the callback that it threw in. */
export class DriverCalls {
  readonly #file: string;
  readonly #after: () => void;
  #removed = false;

  /** `after` is called whenever code of the file has run. */
  constructor(file: string, after: () => void) {
    this.#file = file;
    this.#after = after;
  }

  /** The module is gone, or never came: its code is no longer there to be called. */
  end(): void {
    this.#removed = true;
  }

  /** Run a callback. */
  run<R>(where: string, callback: string, call: () => R): R {
    if (this.#removed) throw this.#fault(where, callback, CALLED_TOO_LATE);
    let result: R;
    try {
      result = call();
    } catch (error) {
      if (isDriverFault(error)) throw error;
      throw this.#fault(where, callback, saidBy(error), error);
    } finally {
      this.#after();
    }
    if (isPromise(result)) throw this.#fault(where, callback, GAVE_PROMISE);
    return result;
  }

  /** Run a callback that returns an integer up to `most`, or -errno. */
  result(where: string, callback: string, most: number, call: () => unknown): number {
    const value = this.run(where, callback, call);
    if (Number.isInteger(value) && (value as number) <= most && (value as number) >= -MAX_ERRNO) return value as number;
    const wanted = most === 0 ? '0 or -errno' : `a number up to ${most}, or -errno`;
    throw this.#fault(where, callback, `returned ${shown(value)}, not ${wanted}`);
  }

  #fault(where: string, callback: string, message: string, cause?: unknown): DriverFault {
    return new DriverFault(this.#file, where, callback, message, cause);
  }
}

/** In Linux an oops, at an address where nothing is any more. */
const CALLED_TOO_LATE = 'called when the module was gone: exit has to undo what init and the devices have begun';
/** Error numbers are at most this (IS_ERR_VALUE). */
const MAX_ERRNO = 4095;
