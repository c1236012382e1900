/** Interrupt lines that several sources drive: a line is high while one of them holds it high (__kvm_irq_line_state). */

export class LineStates {
  /** Sources that hold the line high, by pin. */
  readonly #holders: readonly Set<number>[];

  constructor(pins: number) {
    this.#holders = Array.from({ length: pins }, () => new Set<number>());
  }

  /** Let `source` drive `pin`; returns the line's level. */
  set(pin: number, source: number, level: boolean): boolean {
    const holders = this.#holders[pin]!;
    if (level) holders.add(source);
    else holders.delete(source);
    return holders.size > 0;
  }

  /** kvm_free_irq_source_id: the source is gone, whatever it held. */
  release(source: number): void {
    for (const holders of this.#holders) holders.delete(source);
  }
}
