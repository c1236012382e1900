/**
 * What may have to be looked after before a processor goes on in its guest: a signal, a timer, an interrupt, a call that changes the
 * machine, a listener. Each is counted when it comes up, so that whoever has looked after all of them need not do so again while the
 * count stays.
 */

/** One host's. */
export class Attention {
  count = 0;

  /** Something has come up. Hot. */
  call(): void {
    this.count = (this.count + 1) | 0;
  }
}
