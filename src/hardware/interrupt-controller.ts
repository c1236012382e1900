/**
 * Where interrupts of devices arrive at the host's processor: messages (a write to 0xFEExxxxx, whose data names a vector) and
 * the level-triggered lines of an I/O APIC. The processor takes an interrupt at once, as the kernel has them enabled whenever a
 * device of the model can raise one.
 */

/** Start and end of the addresses at which a write is an interrupt. */
export const MESSAGE_ADDRESS = 0xfee0_0000n;
const MESSAGE_END = 0xfef0_0000n;

interface Line {
  level: boolean;
  masked: boolean;
  /** Raised and not yet taken back: a level-triggered line is delivered once until it is masked or falls. */
  delivered: boolean;
  handler: (() => void) | undefined;
}

export class InterruptController {
  readonly #vectors = new Map<number, () => void>();
  readonly #lines = new Map<number, Line>();

  /** Whether a DMA write there is an interrupt. */
  static isMessage(address: bigint): boolean {
    return address >= MESSAGE_ADDRESS && address < MESSAGE_END;
  }

  /** The kernel's handler of a vector; undefined: an interrupt there is lost. */
  setVector(vector: number, handler: (() => void) | undefined): void {
    if (handler === undefined) this.#vectors.delete(vector);
    else this.#vectors.set(vector, handler);
  }

  /** A message arrives: the low byte of its data is the vector. */
  message(data: number): void {
    this.#vectors.get(data & 0xff)?.();
  }

  /** The kernel's handler of a line; a line without one is masked. */
  setLine(number: number, handler: (() => void) | undefined): void {
    const line = this.#line(number);
    line.handler = handler;
    line.masked = handler === undefined;
    line.delivered = false;
    this.#deliver(line);
  }

  /** Mask or unmask a line. One that is high when it is unmasked interrupts again. */
  maskLine(number: number, masked: boolean): void {
    const line = this.#line(number);
    line.masked = masked;
    line.delivered = false;
    this.#deliver(line);
  }

  /** A device drives its line. */
  drive(number: number, level: boolean): void {
    const line = this.#line(number);
    line.level = level;
    if (!level) line.delivered = false;
    this.#deliver(line);
  }

  isHigh(number: number): boolean {
    return this.#line(number).level;
  }

  #deliver(line: Line): void {
    if (!line.level || line.masked || line.delivered) return;
    line.delivered = true;
    line.handler?.();
  }

  #line(number: number): Line {
    let line = this.#lines.get(number);
    if (line === undefined) {
      line = { level: false, masked: true, delivered: false, handler: undefined };
      this.#lines.set(number, line);
    }
    return line;
  }
}
