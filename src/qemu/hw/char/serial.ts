/**
 * A 16550A UART on the ISA bus, as COM1 (National's PC16550D data sheet; hw/char/serial.c for what QEMU answers).
 *
 * Transmission takes no time: a byte written to THR has left before the next instruction, so LSR always shows an empty
 * transmitter. Fidelity: no interrupt line, drivers poll. Received bytes wait in the FIFO (16 deep) or, with the FIFO
 * off, in RBR.
 */

import type { MemoryRegion, MemoryRegionOps } from '../../memory/region.ts';
import { sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { CharBackend } from './stdio.ts';

const RBR_THR = 0;
const IER = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RDI = 0x01;
const IER_THRI = 0x02;
const IER_RLSI = 0x04;
const IER_MSI = 0x08;
const IIR_NO_INT = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_RLSI = 0x06;
const IIR_FIFO_ENABLED = 0xc0;
const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVE = 0x02;
const LCR_DLAB = 0x80;
const MCR_DTR = 0x01;
const MCR_RTS = 0x02;
const MCR_OUT1 = 0x04;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_EMPTY_TRANSMITTER = 0x60;
const MSR_CTS = 0x10;
const MSR_DSR = 0x20;
const MSR_RI = 0x40;
const MSR_DCD = 0x80;
const FIFO_SIZE = 16;

export class Serial {
  readonly #backend: CharBackend;
  readonly #received: number[] = [];
  #divisor = 0x0c;
  #ier = 0;
  #fifo = false;
  #lcr = 0;
  #mcr = MCR_OUT2;
  #scratch = 0;
  #overrun = false;
  #thrInterrupt = false;

  /** Eight ports at `base` of `io`. */
  constructor(topology: MemoryTopology, io: MemoryRegion, base: number, backend: CharBackend) {
    this.#backend = backend;
    const ops: MemoryRegionOps = {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
      valid: sizes(0, 0),
      impl: sizes(1, 1),
    };
    io.addSubregion(base, topology.io('serial', 8, ops));
    this.#fill();
  }

  /** Bytes the FIFO still takes. */
  get room(): number {
    return (this.#fifo ? FIFO_SIZE : 1) - this.#received.length;
  }

  /** A byte arrives from the line. One too many overruns: the FIFO keeps its bytes, RBR takes the new one. */
  receive(byte: number): void {
    if (this.room > 0) this.#received.push(byte);
    else {
      this.#overrun = true;
      if (!this.#fifo) this.#received[0] = byte;
    }
  }

  /** Take what the backend has, as far as there is room. */
  #fill(): void {
    if (this.#mcr & MCR_LOOP || this.room <= 0) return;
    for (const byte of this.#backend.read(this.room)) this.receive(byte);
  }

  #read(offset: number): number {
    switch (offset) {
      case RBR_THR:
        return this.#lcr & LCR_DLAB ? this.#divisor & 0xff : this.#readReceived();
      case IER:
        return this.#lcr & LCR_DLAB ? this.#divisor >> 8 : this.#ier;
      case IIR_FCR:
        return this.#readInterruptId();
      case LCR:
        return this.#lcr;
      case MCR:
        return this.#mcr;
      case LSR:
        return this.#readLineStatus();
      case MSR:
        return this.#modemStatus();
      case SCR:
        return this.#scratch;
      default:
        return 0;
    }
  }

  #readReceived(): number {
    const byte = this.#received.shift() ?? 0;
    if (this.#received.length === 0) this.#fill();
    return byte;
  }

  #readLineStatus(): number {
    const ready = this.#received.length > 0 ? LSR_DATA_READY : 0;
    const overrun = this.#overrun ? LSR_OVERRUN : 0;
    this.#overrun = false;
    return LSR_EMPTY_TRANSMITTER | ready | overrun;
  }

  /** The highest pending cause that IER enables; reading it ends a THR interrupt. */
  #readInterruptId(): number {
    const fifo = this.#fifo ? IIR_FIFO_ENABLED : 0;
    if (this.#ier & IER_RLSI && this.#overrun) return fifo | IIR_RLSI;
    if (this.#ier & IER_RDI && this.#received.length > 0) return fifo | IIR_RDI;
    if (this.#ier & IER_THRI && this.#thrInterrupt) {
      this.#thrInterrupt = false;
      return fifo | IIR_THRI;
    }
    return fifo | IIR_NO_INT;
  }

  /** In loop-back the modem outputs come back as inputs; else a modem that is always ready. */
  #modemStatus(): number {
    if ((this.#mcr & MCR_LOOP) === 0) return MSR_DCD | MSR_DSR | MSR_CTS;
    let status = 0;
    if (this.#mcr & MCR_DTR) status |= MSR_DSR;
    if (this.#mcr & MCR_RTS) status |= MSR_CTS;
    if (this.#mcr & MCR_OUT1) status |= MSR_RI;
    if (this.#mcr & MCR_OUT2) status |= MSR_DCD;
    return status;
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case RBR_THR:
        if (this.#lcr & LCR_DLAB) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#transmit(value);
        break;
      case IER:
        if (this.#lcr & LCR_DLAB) this.#divisor = (this.#divisor & 0xff) | (value << 8);
        else this.#writeInterruptEnable(value & (IER_RDI | IER_THRI | IER_RLSI | IER_MSI));
        break;
      case IIR_FCR:
        this.#writeFifoControl(value);
        break;
      case LCR:
        this.#lcr = value;
        break;
      case MCR:
        this.#mcr = value & 0x1f;
        break;
      case SCR:
        this.#scratch = value;
        break;
    }
  }

  #transmit(byte: number): void {
    this.#thrInterrupt = true;
    if (this.#mcr & MCR_LOOP) this.receive(byte);
    else this.#backend.write(byte);
  }

  /** Enabling the THR interrupt while THR is empty raises it. */
  #writeInterruptEnable(value: number): void {
    if (~this.#ier & value & IER_THRI) this.#thrInterrupt = true;
    this.#ier = value;
  }

  /** Changing the enable bit empties both FIFOs. */
  #writeFifoControl(value: number): void {
    const enable = (value & FCR_ENABLE) !== 0;
    if (enable !== this.#fifo || value & FCR_CLEAR_RECEIVE) this.#received.length = 0;
    this.#fifo = enable;
    this.#fill();
  }
}
