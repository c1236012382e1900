/** A user's own device did what a device cannot do: it threw, or answered with what is no register value. */

export class DeviceFault extends Error {
  /** As the user named it: `./mydev.ts`. */
  readonly file: string;
  /** `BAR 0 register 'count' at 0x0`, or what else of the device it was. */
  readonly where: string;
  /** Name of the register, if it was one. */
  readonly register: string | undefined;

  constructor(file: string, where: string, register: string | undefined, message: string, cause?: unknown) {
    super(message, { cause });
    this.file = file;
    this.where = where;
    this.register = register;
  }
}
