/**
 * The I/O APIC: 24 inputs, each with an entry that says where its interrupt goes (Intel 82093AA data sheet;
 * arch/x86/kvm/ioapic.c). Its registers are at 0xfec00000.
 */

import type { EventStream } from '../../event.ts';
import type { Clock, Timer } from '../core/clock.ts';
import { EOPNOTSUPP } from '../uapi/errno.ts';
import type { kvm_ioapic_state } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { type ApicMessage, SHORTHAND } from './apic-message.ts';
import type { IoDevice } from './io-bus.ts';
import { LineStates } from './line-states.ts';
import { kvmIoapicDelayedEoiInj, kvmIoapicSetIrq } from './trace-irq.ts';

export const IOAPIC_PINS = 24;
export const IOAPIC_BASE = 0xfec00000;
export const IOAPIC_LENGTH = 0x100;

/** Memory-mapped registers: the index, and the window on the register it selects. */
const SELECT = 0x00;
const WINDOW = 0x10;
/** Selected registers. */
const REGISTER = { ID: 0, VERSION: 1, ARBITRATION: 2, TABLE: 0x10 };
const VERSION = ((IOAPIC_PINS - 1) << 16) | 0x11;

/** Bits of the lower half of an entry. */
const LOGICAL = 1 << 11;
const DELIVERY_STATUS = 1 << 12;
const REMOTE_IRR = 1 << 14;
const LEVEL = 1 << 15;
const MASKED = 1 << 16;

/** The clock's interrupt: KVM follows it, for guests whose time would run late. */
const RTC_PIN = 8;
/** IOAPIC_SUCCESSIVE_IRQ_MAX_COUNT, and HZ / 100 in nanoseconds. */
const SUCCESSIVE_IRQ_MAX_COUNT = 10_000;
const DELAY = 10_000_000;

type State = StructOf<typeof kvm_ioapic_state>;

/** What the I/O APIC is wired to. */
export interface IoapicPins {
  /** Deliver to the local APICs; tells how many took it. */
  send(message: ApicMessage): number;
  /** The interrupt of `pin` has ended. */
  acknowledged(pin: number): void;
  /** Somebody wants to know when it has (kvm_irq_has_notifier). */
  watched(pin: number): boolean;
  masked(pin: number, masked: boolean): void;
}

export class Ioapic implements IoDevice {
  readonly #stream: EventStream;
  readonly #pins: IoapicPins;
  readonly #clock: Pick<Clock, 'now' | 'start' | 'cancel'>;
  /** Ends of interrupt in a row after which a line was still high. */
  readonly #successive = new Uint16Array(IOAPIC_PINS);
  #delayed: Timer | undefined;
  readonly #lines = new LineStates(IOAPIC_PINS);
  readonly #low = new Int32Array(IOAPIC_PINS).fill(MASKED);
  readonly #high = new Int32Array(IOAPIC_PINS);
  #base = BigInt(IOAPIC_BASE);
  #select = 0;
  #id = 0;
  #irr = 0;
  /** Inputs in IRR whose edge has gone to the local APICs: another VM need not send it again. */
  #delivered = 0;

  constructor(stream: EventStream, clock: Pick<Clock, 'now' | 'start' | 'cancel'>, pins: IoapicPins) {
    this.#stream = stream;
    this.#clock = clock;
    this.#pins = pins;
  }

  /** kvm_ioapic_set_irq: number of local APICs, 0 coalesced, -1 masked or for nobody. */
  setIrq(pin: number, source: number, level: boolean): number {
    return this.#set(pin, this.#lines.set(pin, source, level));
  }

  /** ioapic_set_irq. */
  #set(pin: number, high: boolean): number {
    const result = high ? this.#raise(pin) : this.#lower(pin);
    if (kvmIoapicSetIrq.on) kvmIoapicSetIrq(this.#stream, { entry: this.#entry(pin), pin, coalesced: result === 0 });
    return result;
  }

  /** kvm_ioapic_update_eoi: a local APIC has served `vector`, if that is one whose end an input of this one wants to know. */
  served(vector: number, levelTriggered: boolean): void {
    if (!this.#handles(vector)) return;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      if ((this.#low[pin]! & 0xff) !== vector) continue;
      this.#pins.acknowledged(pin);
      if (!levelTriggered) continue;
      this.#low[pin]! &= ~REMOTE_IRR;
      this.#askAgain(pin);
    }
  }

  /** kvm_ioapic_scan_entry. */
  #handles(vector: number): boolean {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.#low[pin]!;
      if ((low & 0xff) === vector && (low & LEVEL || pin === RTC_PIN || this.#pins.watched(pin))) return true;
    }
    return false;
  }

  /** A line that is still high asks again; one that always is, at a pace that lets the guest do something else. */
  #askAgain(pin: number): void {
    const low = this.#low[pin]!;
    if (low & MASKED || (this.#irr & (1 << pin)) === 0) {
      this.#successive[pin] = 0;
      return;
    }
    this.#successive[pin]!++;
    if (this.#successive[pin]! < SUCCESSIVE_IRQ_MAX_COUNT) {
      this.#service(pin);
      return;
    }
    this.#successive[pin] = 0;
    if (kvmIoapicDelayedEoiInj.on) kvmIoapicDelayedEoiInj(this.#stream, { entry: this.#entry(pin) });
    this.#delayed ??= this.#clock.start(this.#clock.now + DELAY, () => this.#injectDelayed());
  }

  /** kvm_ioapic_eoi_inject_work. */
  #injectDelayed(): void {
    this.#delayed = undefined;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.#low[pin]!;
      if (low & LEVEL && (low & REMOTE_IRR) === 0 && this.#irr & (1 << pin)) this.#service(pin);
    }
  }

  /** kvm_ioapic_destroy. */
  destroy(): void {
    if (this.#delayed !== undefined) this.#clock.cancel(this.#delayed);
  }

  /** ioapic_in_range. */
  #holds(address: number): boolean {
    const offset = address - Number(this.#base);
    return offset >= 0 && offset < IOAPIC_LENGTH;
  }

  read(address: number, data: Uint8Array): number {
    if (!this.#holds(address)) return -EOPNOTSUPP;
    const offset = address & 0xff;
    const value = offset === SELECT ? this.#select : offset === WINDOW ? this.#readSelected() : 0;
    for (let i = 0; i < data.length; i++) data[i] = i < 4 ? value >>> (8 * i) : 0;
    return 0;
  }

  write(address: number, data: Uint8Array): number {
    if (!this.#holds(address)) return -EOPNOTSUPP;
    let value = 0;
    for (let i = 0; i < Math.min(data.length, 4); i++) value |= data[i]! << (8 * i);
    const offset = address & 0xff;
    if (offset === SELECT) this.#select = value & 0xff;
    else if (offset === WINDOW) this.#writeSelected(value);
    return 0;
  }

  /** KVM_GET_IRQCHIP. */
  state(): State {
    const redirtbl = new Uint8Array(8 * IOAPIC_PINS);
    const view = new DataView(redirtbl.buffer);
    for (let pin = 0; pin < IOAPIC_PINS; pin++) view.setBigUint64(8 * pin, this.#entry(pin), true);
    return {
      base_address: this.#base,
      ioregsel: this.#select,
      id: this.#id,
      irr: this.#irr & ~this.#delivered,
      pad: 0,
      redirtbl,
    };
  }

  /** KVM_SET_IRQCHIP. Where the controller then says that it is, it answers, as far as its place on the bus reaches. */
  setState(state: State): void {
    this.#base = state.base_address;
    const view = new DataView(state.redirtbl.buffer, state.redirtbl.byteOffset);
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      this.#low[pin] = view.getInt32(8 * pin, true);
      this.#high[pin] = view.getInt32(8 * pin + 4, true);
    }
    this.#select = state.ioregsel;
    this.#id = state.id;
    this.#irr = this.#delivered = 0;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) if (state.irr & (1 << pin)) this.#set(pin, true);
  }

  /** A rising line. */
  #raise(pin: number): number {
    const before = this.#irr;
    this.#irr |= 1 << pin;
    const edge = (this.#low[pin]! & LEVEL) === 0;
    if (edge) this.#delivered &= ~(1 << pin);
    return edge && before === this.#irr ? 0 : this.#service(pin);
  }

  #lower(pin: number): number {
    this.#irr &= ~(1 << pin);
    return 1;
  }

  /** ioapic_service. */
  #service(pin: number): number {
    const low = this.#low[pin]!;
    const levelTriggered = (low & LEVEL) !== 0;
    if (low & MASKED || (levelTriggered && low & REMOTE_IRR)) return -1;
    if (!levelTriggered) this.#delivered |= 1 << pin;
    const result = this.#pins.send({
      vector: low & 0xff,
      deliveryMode: (low >> 8) & 7,
      logical: (low & LOGICAL) !== 0,
      destination: this.#high[pin]! >>> 24,
      levelTriggered,
      assert: true,
      shorthand: SHORTHAND.NONE,
    });
    if (result !== 0 && levelTriggered) this.#low[pin]! |= REMOTE_IRR;
    return result;
  }

  #readSelected(): number {
    switch (this.#select) {
      case REGISTER.ID:
      case REGISTER.ARBITRATION:
        return (this.#id & 0xf) << 24;
      case REGISTER.VERSION:
        return VERSION;
    }
    const pin = (this.#select - REGISTER.TABLE) >>> 1;
    if (pin >= IOAPIC_PINS) return -1;
    return this.#select & 1 ? this.#high[pin]! : this.#low[pin]!;
  }

  /** ioapic_write_indirect. */
  #writeSelected(value: number): void {
    if (this.#select === REGISTER.ID) this.#id = (value >> 24) & 0xf;
    const pin = (this.#select - REGISTER.TABLE) >>> 1;
    if (pin >= IOAPIC_PINS) return;
    if (this.#select & 1) this.#high[pin] = value;
    else {
      const kept = DELIVERY_STATUS | REMOTE_IRR;
      let low = (value & ~kept) | (this.#low[pin]! & kept);
      // Guests switch to edge and back to clear the remote IRR of an input.
      if ((low & LEVEL) === 0) low &= ~REMOTE_IRR;
      const changed = low ^ this.#low[pin]!;
      this.#low[pin] = low;
      if (changed & MASKED) this.#pins.masked(pin, (low & MASKED) !== 0);
    }
    if (this.#low[pin]! & LEVEL && this.#irr & (1 << pin)) this.#service(pin);
  }

  #entry(pin: number): bigint {
    return (BigInt(this.#high[pin]! >>> 0) << 32n) | BigInt(this.#low[pin]! >>> 0);
  }
}
