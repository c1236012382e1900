/**
 * A 16550A UART on the ISA bus, as COM1 (National's PC16550D data sheet; hw/char/serial.c for what QEMU answers).
 *
 * Transmission takes no time: a byte written to THR has left before the next instruction, so LSR always shows an empty
 * transmitter. Received bytes wait in the FIFO (16 deep) or, with the FIFO off, in RBR. The interrupt line follows IIR; as in
 * QEMU, MCR's OUT2 does not gate it.
 */

import type { EventStream } from '../../../event.ts';
import type { MemoryRegion, MemoryRegionOps } from '../../memory/region.ts';
import { sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { QemuTimer, TimerList } from '../../timer.ts';
import { serialRead, serialUpdateParameters, serialWrite } from '../../trace-events.ts';
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
const IER_BITS = 0x0f;
const IIR_NO_INT = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_RLSI = 0x06;
/** Bytes below the trigger level have waited for the time of four characters. */
const IIR_CTI = 0x0c;
const IIR_FIFO_ENABLED = 0xc0;
const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVE = 0x02;
const FCR_CLEAR_TRANSMIT = 0x04;
/** Bytes in the FIFO that raise an interrupt, by FCR bits 7:6. */
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;
const LCR_DATA_BITS = 0x03;
const LCR_TWO_STOP_BITS = 0x04;
const LCR_PARITY = 0x08;
const LCR_EVEN_PARITY = 0x10;
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
/** Characters that may pass before bytes below the trigger level are told of. */
const TIMEOUT_CHARACTERS = 4;
const BAUD_BASE = 115200;
/** What a divisor of 0 comes to. */
const SLOWEST = 3500;
const SECOND = 1e9;

/** What the chip is wired to, besides its line. */
export interface SerialPins {
  readonly timers: TimerList;
  readonly stream: EventStream;
  /** The level of its interrupt, whenever that changes. */
  setIrq(level: boolean): void;
}

export class Serial {
  readonly #backend: CharBackend;
  readonly #pins: SerialPins;
  readonly #timeout: QemuTimer;
  /** Bytes to be read: of the FIFO, or the one in RBR. */
  readonly #received: number[] = [];
  /** RBR keeps its byte when it has been read. */
  #rbr = 0;
  #divisor = 0x0c;
  #ier = 0;
  #iir = IIR_NO_INT;
  #fifo = false;
  #trigger: number = TRIGGER_LEVELS[0];
  #lcr = 0;
  #mcr = MCR_OUT2;
  #scratch = 0;
  #overrun = false;
  #thrInterrupt = false;
  #timedOut = false;

  /** Eight ports at `base` of `io`. */
  constructor(topology: MemoryTopology, io: MemoryRegion, base: number, backend: CharBackend, pins: SerialPins) {
    this.#backend = backend;
    this.#pins = pins;
    this.#timeout = pins.timers.timer(() => this.#waitedLong());
    const ops: MemoryRegionOps = {
      read: (offset) => {
        const value = this.#read(offset);
        if (serialRead.on) serialRead(pins.stream, { addr: offset, value });
        return value;
      },
      write: (offset, _size, value) => {
        if (serialWrite.on) serialWrite(pins.stream, { addr: offset, value });
        this.#write(offset, value);
      },
      valid: sizes(0, 0),
      impl: sizes(1, 1),
    };
    io.addSubregion(base, topology.io('serial', 8, ops));
    this.#fill();
  }

  /** serial_can_receive: bytes that it asks the line for. Not more than raise an interrupt: the guest is to see them one by one. */
  get room(): number {
    const { length } = this.#received;
    if (!this.#fifo) return 1 - length;
    if (length >= FIFO_SIZE) return 0;
    return length <= this.#trigger ? this.#trigger - length : 1;
  }

  /** A byte arrives from the line. One too many overruns: the FIFO keeps its bytes, RBR takes the new one. */
  receive(byte: number): void {
    if (this.#received.length < (this.#fifo ? FIFO_SIZE : 1)) this.#received.push(byte);
    else this.#overrun = true;
    if (this.#fifo) this.#awaitMore();
    else this.#rbr = byte;
    this.#updateInterrupt();
  }

  /** Take what the backend has, as far as there is room. */
  #fill(): void {
    if (this.#mcr & MCR_LOOP || this.room <= 0) return;
    for (const byte of this.#backend.read(this.room)) this.receive(byte);
  }

  #awaitMore(): void {
    const { timers } = this.#pins;
    this.#timeout.modify(timers.now + TIMEOUT_CHARACTERS * this.#characterTime());
  }

  /** fifo_timeout_int. */
  #waitedLong(): void {
    if (this.#received.length === 0) return;
    this.#timedOut = true;
    this.#updateInterrupt();
  }

  /** serial_update_parameters: what its line is to carry. */
  get #frame() {
    return {
      speed: this.#divisor === 0 ? SLOWEST : BAUD_BASE / this.#divisor,
      parity: (this.#lcr & LCR_PARITY) === 0 ? 'N' : this.#lcr & LCR_EVEN_PARITY ? 'E' : 'O',
      data: 5 + (this.#lcr & LCR_DATA_BITS),
      stop: this.#lcr & LCR_TWO_STOP_BITS ? 2 : 1,
    };
  }

  #tellFrame(): void {
    if (!serialUpdateParameters.on) return;
    const { speed, parity, data, stop } = this.#frame;
    const baudrate = BigInt(Math.floor(speed));
    serialUpdateParameters(this.#pins.stream, { baudrate, parity, data_bits: data, stop_bits: stop });
  }

  /** Nanoseconds that a character is on the line. */
  #characterTime(): number {
    const { speed, parity, data, stop } = this.#frame;
    const bits = 1 + data + (parity === 'N' ? 0 : 1) + stop;
    return Math.floor((SECOND / speed) * bits);
  }

  /** serial_update_irq: the highest pending cause that IER enables, and the line with it. */
  #updateInterrupt(): void {
    const before = this.#iir;
    this.#iir = this.#cause();
    const level = this.#iir !== IIR_NO_INT;
    if (level !== (before !== IIR_NO_INT)) this.#pins.setIrq(level);
  }

  #cause(): number {
    const enabled = this.#ier;
    const waiting = this.#received.length;
    if (enabled & IER_RLSI && this.#overrun) return IIR_RLSI;
    if (enabled & IER_RDI && this.#timedOut) return IIR_CTI;
    if (enabled & IER_RDI && waiting > 0 && (!this.#fifo || waiting >= this.#trigger)) return IIR_RDI;
    return enabled & IER_THRI && this.#thrInterrupt ? IIR_THRI : IIR_NO_INT;
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
    const next = this.#received.shift() ?? 0;
    const byte = this.#fifo ? next : this.#rbr;
    if (this.#fifo) {
      if (this.#received.length > 0) this.#awaitMore();
      this.#timedOut = false;
    }
    this.#updateInterrupt();
    this.#fill();
    return byte;
  }

  #readLineStatus(): number {
    const ready = this.#received.length > 0 ? LSR_DATA_READY : 0;
    const overrun = this.#overrun ? LSR_OVERRUN : 0;
    if (this.#overrun) {
      this.#overrun = false;
      this.#updateInterrupt();
    }
    return LSR_EMPTY_TRANSMITTER | ready | overrun;
  }

  /** Reading it ends a THR interrupt. */
  #readInterruptId(): number {
    const id = this.#iir;
    if (id === IIR_THRI) {
      this.#thrInterrupt = false;
      this.#updateInterrupt();
    }
    return this.#fifo ? IIR_FIFO_ENABLED | id : id;
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
        if (this.#lcr & LCR_DLAB) this.#writeDivisor((this.#divisor & 0xff00) | value);
        else this.#transmit(value);
        break;
      case IER:
        if (this.#lcr & LCR_DLAB) this.#writeDivisor((this.#divisor & 0xff) | (value << 8));
        else this.#writeInterruptEnable(value & IER_BITS);
        break;
      case IIR_FCR:
        this.#writeFifoControl(value);
        break;
      case LCR:
        this.#lcr = value;
        this.#tellFrame();
        break;
      case MCR:
        this.#mcr = value & 0x1f;
        break;
      case SCR:
        this.#scratch = value;
        break;
    }
  }

  #writeDivisor(value: number): void {
    this.#divisor = value;
    this.#tellFrame();
  }

  /** serial_xmit. The interrupt goes down while the byte is in THR, which is over before anybody looks. */
  #transmit(byte: number): void {
    this.#thrInterrupt = false;
    this.#updateInterrupt();
    this.#thrInterrupt = true;
    this.#updateInterrupt();
    if (this.#mcr & MCR_LOOP) this.receive(byte);
    else this.#backend.write(byte);
  }

  /** Enabling the THR interrupt while THR is empty raises it. */
  #writeInterruptEnable(value: number): void {
    const changed = this.#ier ^ value;
    this.#ier = value;
    if (changed & IER_THRI) this.#thrInterrupt = (value & IER_THRI) !== 0;
    if (changed !== 0) this.#updateInterrupt();
  }

  /** Changing the enable bit empties both FIFOs; an emptied transmitter is a cause for an interrupt. */
  #writeFifoControl(value: number): void {
    const enable = (value & FCR_ENABLE) !== 0;
    const toggled = enable !== this.#fifo;
    if (toggled || value & FCR_CLEAR_RECEIVE) {
      this.#received.length = 0;
      this.#timeout.cancel();
      this.#timedOut = false;
    }
    if (toggled || value & FCR_CLEAR_TRANSMIT) this.#thrInterrupt = true;
    this.#fifo = enable;
    if (enable) this.#trigger = TRIGGER_LEVELS[(value >> 6) as 0 | 1 | 2 | 3];
    this.#updateInterrupt();
    this.#fill();
  }
}
