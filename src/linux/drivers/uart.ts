/**
 * The 16550-like serial port inside mtty, register by register, with the sample driver's own quirks
 * (samples/vfio-mdev/mtty.c: handle_bar_write, handle_bar_read). What a real 16550 would do differently:
 *
 * - Whatever is transmitted comes back as received, whether or not MCR.LOOP is set: there is one FIFO for both.
 * - "Empty" is head == tail, so the sixteenth unread byte makes the FIFO look empty, and reads take nothing out of it:
 *   15 bytes are usable, and only an FCR clear recovers.
 * - LSR.OE stays set when LSR is read; causes in IIR are ORed together, not prioritised.
 * - The trigger level is 0 until FCR is first written, and 1 after any write of it.
 */

/** Registers by offset from the BAR (8250 names; some offsets are two registers). */
export const UART = {
  /** RBR when read, THR when written; divisor low while DLAB. */
  DATA: 0,
  /** Divisor high while DLAB. */
  IER: 1,
  /** IIR when read, FCR when written. */
  IIR: 2,
  LCR: 3,
  MCR: 4,
  LSR: 5,
  MSR: 6,
  SCR: 7,
} as const;

const IER_RDI = 0x01;
const IER_THRI = 0x02;
const IER_RLSI = 0x04;
const IER_MSI = 0x08;
const IIR_NONE = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_RLSI = 0x06;
const IIR_FIFO_ON = 0xc0;
const FCR_ENABLE = 0x01;
const FCR_CLEAR = 0x06;
const LCR_DLAB = 0x80;
const MCR_DTR_RTS = 0x03;
const MCR_OUT2 = 0x08;
const MCR_AFE = 0x20;
const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_EMPTY = 0x60;
const MSR_DCD_DSR = 0xa2;
const MSR_CTS = 0x11;
const FIFO_SIZE = 16;

/** One port of an mtty device. */
export class Uart {
  readonly #interrupt: () => void;
  readonly #fifo = new Uint8Array(FIFO_SIZE);
  readonly #stored = new Uint8Array(8);
  #head = 0;
  #tail = 0;
  #count = 0;
  #capacity = FIFO_SIZE;
  #triggerLevel = 0;
  #overrun = false;
  #divisor = 0;
  #dlab = false;

  /** `interrupt` is called once for each event that raises the port's interrupt: an edge; nothing lowers a line. */
  constructor(interrupt: () => void) {
    this.#interrupt = interrupt;
  }

  /** LCR.DLAB: offsets 0 and 1 are the divisor. */
  get dlab(): boolean {
    return this.#dlab;
  }

  /** Bytes the driver counts in the FIFO; 16 with head == tail is the trap described above. */
  get count(): number {
    return this.#count;
  }

  get #empty(): boolean {
    return this.#head === this.#tail;
  }

  /** Write one byte to the register at `offset`; offsets past 7, LSR and MSR ignore it. */
  write(offset: number, value: number): void {
    switch (offset) {
      case UART.DATA:
        if (this.#dlab) this.#divisor |= value;
        else this.#transmit(value);
        break;
      case UART.IER:
        if (this.#dlab) this.#divisor |= value << 8;
        else {
          this.#stored[UART.IER] = value;
          if (value & IER_THRI && this.#empty) this.#interrupt();
        }
        break;
      case UART.IIR:
        this.#control(value);
        break;
      case UART.LCR:
        this.#dlab = (value & LCR_DLAB) !== 0;
        if (this.#dlab) this.#divisor = 0;
        this.#stored[UART.LCR] = value;
        break;
      case UART.MCR:
        this.#stored[UART.MCR] = value;
        if (this.#enabled(IER_MSI)) {
          if (value & MCR_OUT2) this.#interrupt();
          if (value & MCR_DTR_RTS) this.#interrupt();
        }
        break;
      case UART.SCR:
        this.#stored[UART.SCR] = value;
        break;
    }
  }

  /** Read the register at `offset` (0–7). An empty FIFO reads 0. Fidelity: the sample leaves that byte unset. */
  read(offset: number): number {
    switch (offset) {
      case UART.DATA:
        return this.#dlab ? this.#divisor & 0xff : this.#receive();
      case UART.IER:
        return this.#dlab ? (this.#divisor >> 8) & 0xff : this.#register(UART.IER) & 0x0f;
      case UART.IIR:
        return this.#identification();
      case UART.LSR:
        return (this.#empty ? LSR_EMPTY : LSR_DATA_READY) | (this.#overrun ? LSR_OVERRUN : 0);
      case UART.MSR: {
        const held = this.#register(UART.MCR) & MCR_AFE && this.#count >= this.#capacity;
        return MSR_DCD_DSR | (held ? 0 : MSR_CTS);
      }
      default:
        return this.#register(offset);
    }
  }

  #register(offset: number): number {
    return this.#stored[offset] ?? 0;
  }

  #enabled(causes: number): boolean {
    return (this.#register(UART.IER) & causes) !== 0;
  }

  #transmit(value: number): void {
    if (this.#count >= this.#capacity) {
      this.#overrun = true;
      if (this.#enabled(IER_RLSI)) this.#interrupt();
      return;
    }
    this.#fifo[this.#head] = value;
    this.#head = (this.#head + 1) % FIFO_SIZE;
    this.#count++;
    this.#overrun = false;
    if (this.#enabled(IER_RDI) && this.#count === this.#triggerLevel) this.#interrupt();
  }

  #receive(): number {
    let value = 0;
    if (!this.#empty) {
      value = this.#fifo[this.#tail] ?? 0;
      this.#tail = (this.#tail + 1) % FIFO_SIZE;
      this.#count--;
    }
    if (this.#empty && this.#enabled(IER_THRI)) this.#interrupt();
    return value;
  }

  /** FCR. The level that bits 7:6 ask for (1, 4, 8, 14) is at once overwritten with 1: the sample has no receive timeout. */
  #control(value: number): void {
    if (value & FCR_CLEAR) {
      this.#head = 0;
      this.#tail = 0;
      this.#count = 0;
    }
    this.#triggerLevel = 1;
    this.#capacity = value & FCR_ENABLE ? FIFO_SIZE : 1;
  }

  #identification(): number {
    let causes = 0;
    if (this.#enabled(IER_RLSI) && this.#overrun) causes |= IIR_RLSI;
    if (this.#enabled(IER_RDI) && this.#count >= this.#triggerLevel) causes |= IIR_RDI;
    if (this.#enabled(IER_THRI) && this.#empty) causes |= IIR_THRI;
    // Modem status is cause 0, so it cannot be told from "none" and reads as that.
    return (causes === 0 ? IIR_NONE : causes) | IIR_FIFO_ON;
  }
}
