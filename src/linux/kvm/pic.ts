/**
 * The pair of 8259A interrupt controllers of a PC (Intel 8259A data sheet; arch/x86/kvm/i8259.c): master at port 0x20,
 * slave at 0xa0 behind the master's input 2, edge/level registers at 0x4d0.
 */

import type { EventStream } from '../../event.ts';
import type { kvm_pic_state } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { IoDevice } from './io-bus.ts';
import { LineStates } from './line-states.ts';
import { kvmPicSetIrq } from './trace-irq.ts';

export type PicState = StructOf<typeof kvm_pic_state>;

/** Input of the master where the slave sits. */
const CASCADE = 2;
const INPUTS = 8;
/** Nothing to deliver (get_priority). */
const NO_PRIORITY = 8;
/** Which inputs can be level-triggered. */
const MASTER_ELCR_MASK = 0xf8;
const SLAVE_ELCR_MASK = 0xde;

/** OCW2 commands, bits 7:5. */
const EOI = {
  ROTATE_AUTO_OFF: 0,
  PLAIN: 1,
  SPECIFIC: 3,
  ROTATE_AUTO_ON: 4,
  ROTATE: 5,
  SET_PRIORITY: 6,
  ROTATE_SPECIFIC: 7,
};

/** What one 8259A is wired to. */
interface PicPins {
  /** pic_update_irq: what it asks for may be something else now. */
  update(): void;
  acknowledged(input: number): void;
  masked(input: number, masked: boolean): void;
  /** Some processor takes the pair's interrupts. */
  heard(): boolean;
}

/** One 8259A. Its state is the structure that KVM_GET_IRQCHIP gives. */
class Pic {
  readonly state: PicState;
  readonly #master: Pic | undefined;
  readonly #pins: PicPins;

  /** The slave knows its `master`. */
  constructor(master: Pic | undefined, pins: PicPins) {
    this.#master = master;
    this.#pins = pins;
    this.state = {
      last_irr: 0,
      irr: 0,
      imr: 0,
      isr: 0,
      priority_add: 0,
      irq_base: 0,
      read_reg_select: 0,
      poll: 0,
      special_mask: 0,
      init_state: 0,
      auto_eoi: 0,
      rotate_on_auto_eoi: 0,
      special_fully_nested_mode: 0,
      init4: 0,
      elcr: 0,
      elcr_mask: master === undefined ? MASTER_ELCR_MASK : SLAVE_ELCR_MASK,
    };
  }

  /** pic_set_irq1: 1 delivered, 0 coalesced, -1 masked. */
  setInput(input: number, level: boolean): number {
    const s = this.state;
    const bit = 1 << input;
    // What is asked for anew, but was still asked for: the edge of a line that is high already is none.
    const anew = level && ((s.elcr & bit) !== 0 || (s.last_irr & bit) === 0);
    const coalesced = anew && (s.irr & bit) !== 0;
    if (s.elcr & bit) {
      s.irr = level ? s.irr | bit : s.irr & ~bit;
      s.last_irr = level ? s.last_irr | bit : s.last_irr & ~bit;
    } else if (level) {
      if ((s.last_irr & bit) === 0) s.irr |= bit;
      s.last_irr |= bit;
    } else s.last_irr &= ~bit;
    if (s.imr & bit) return -1;
    return coalesced ? 0 : 1;
  }

  /** pic_get_irq: the input to deliver now, -1 if none. */
  pending(): number {
    const s = this.state;
    const wanted = this.#priority(s.irr & ~s.imr);
    if (wanted === NO_PRIORITY) return -1;
    let inService = s.isr;
    // The slave may raise a more urgent interrupt while one of its own is being served.
    if (s.special_fully_nested_mode && this.#master === undefined) inService &= ~(1 << CASCADE);
    return wanted < this.#priority(inService) ? (wanted + s.priority_add) & 7 : -1;
  }

  /** pic_intack. */
  acknowledge(input: number): void {
    const s = this.state;
    s.isr |= 1 << input;
    if ((s.elcr & (1 << input)) === 0) s.irr &= ~(1 << input);
    if (!s.auto_eoi) return;
    if (s.rotate_on_auto_eoi) s.priority_add = (input + 1) & 7;
    this.#clearService(input);
  }

  /** pic_ioport_write. */
  write(port: number, value: number): void {
    const s = this.state;
    if (port & 1) this.#writeData(value);
    else if (value & 0x10) this.#initialise(value);
    else if (value & 0x08) {
      if (value & 0x04) s.poll = 1;
      if (value & 0x02) s.read_reg_select = value & 1;
      if (value & 0x40) s.special_mask = (value >> 5) & 1;
    } else this.#command(value);
  }

  /** pic_ioport_read. */
  read(port: number): number {
    const s = this.state;
    if (s.poll) {
      const input = this.#poll();
      s.poll = 0;
      return input;
    }
    if (port & 1) return s.imr;
    return s.read_reg_select ? s.isr : s.irr;
  }

  /**
   * pic_poll_read: what a poll finds counts as served, a level too; of the slave's it takes the master's trace away. Linux 6.1 gives
   * the input alone, without the bit that tells 7 from nothing.
   */
  #poll(): number {
    const input = this.pending();
    if (input < 0) {
      this.#pins.update();
      return 7;
    }
    if (this.#master !== undefined) {
      this.#master.state.isr &= ~(1 << CASCADE);
      this.#master.state.irr &= ~(1 << CASCADE);
    }
    this.state.irr &= ~(1 << input);
    this.#clearService(input);
    if (this.#master !== undefined || input !== CASCADE) this.#pins.update();
    return input;
  }

  /** ICW1 (kvm_pic_reset). The output stays as it is until something else changes it. */
  #initialise(value: number): void {
    const s = this.state;
    const edges = s.irr & ~s.elcr;
    s.init4 = value & 1;
    s.last_irr = 0;
    s.irr &= s.elcr;
    s.imr = 0;
    s.priority_add = 0;
    s.special_mask = 0;
    s.read_reg_select = 0;
    if (!s.init4) {
      s.special_fully_nested_mode = 0;
      s.auto_eoi = 0;
    }
    s.init_state = 1;
    if (!this.#pins.heard()) return;
    for (let input = 0; input < INPUTS; input++) if (edges & (1 << input)) this.#clearService(input);
  }

  /** OCW2. */
  #command(value: number): void {
    const s = this.state;
    const command = value >> 5;
    let input = value & 7;
    switch (command) {
      case EOI.ROTATE_AUTO_OFF:
      case EOI.ROTATE_AUTO_ON:
        s.rotate_on_auto_eoi = command >> 2;
        return;
      case EOI.PLAIN:
      case EOI.ROTATE: {
        const priority = this.#priority(s.isr);
        if (priority === NO_PRIORITY) return;
        input = (priority + s.priority_add) & 7;
        if (command === EOI.ROTATE) s.priority_add = (input + 1) & 7;
        this.#clearService(input);
        break;
      }
      case EOI.SET_PRIORITY:
        s.priority_add = (value + 1) & 7;
        break;
      case EOI.ROTATE_SPECIFIC:
        s.priority_add = (input + 1) & 7;
        this.#clearService(input);
        break;
      case EOI.SPECIFIC:
        this.#clearService(input);
        break;
      default:
        return;
    }
    this.#pins.update();
  }

  /** OCW1, or the next initialisation word. */
  #writeData(value: number): void {
    const s = this.state;
    switch (s.init_state) {
      case 0: {
        const changed = s.imr ^ value;
        s.imr = value;
        for (let input = 0; input < INPUTS; input++)
          if (changed & (1 << input)) this.#pins.masked(input, (value & (1 << input)) !== 0);
        this.#pins.update();
        return;
      }
      case 1:
        s.irq_base = value & 0xf8;
        s.init_state = 2;
        return;
      case 2:
        s.init_state = s.init4 ? 3 : 0;
        return;
      default:
        s.special_fully_nested_mode = (value >> 4) & 1;
        s.auto_eoi = (value >> 1) & 1;
        s.init_state = 0;
    }
  }

  /** get_priority: rank of the most urgent input in `mask`, 0 to 7. */
  #priority(mask: number): number {
    if (mask === 0) return NO_PRIORITY;
    let priority = 0;
    while ((mask & (1 << ((priority + this.state.priority_add) & 7))) === 0) priority++;
    return priority;
  }

  /** pic_clear_isr. */
  #clearService(input: number): void {
    this.state.isr &= ~(1 << input);
    this.#pins.acknowledged(input);
  }
}

/** What the pair is wired to. `chip` is 0 (master) or 1, `input` 0 to 7. */
export interface PicPairPins {
  /** An interrupt has been served. */
  acknowledged(chip: number, input: number): void;
  masked(chip: number, input: number, masked: boolean): void;
  /** The output rises. */
  raised(): void;
  /** Some processor takes the output (kvm_apic_accept_pic_intr). */
  heard(): boolean;
}

/** Both controllers, with the one output that goes to the processor. */
export class PicPair {
  readonly #stream: EventStream;
  readonly #chips: readonly [Pic, Pic];
  readonly #lines = new LineStates(2 * INPUTS);
  readonly #pins: PicPairPins;
  /** The interrupt request to the processor. */
  output = false;

  constructor(stream: EventStream, pins: PicPairPins) {
    this.#stream = stream;
    this.#pins = pins;
    const pinsOf = (chip: number): PicPins => ({
      update: () => this.#update(),
      acknowledged: (input) => pins.acknowledged(chip, input),
      masked: (input, masked) => pins.masked(chip, input, masked),
      heard: () => pins.heard(),
    });
    const master = new Pic(undefined, pinsOf(0));
    this.#chips = [master, new Pic(master, pinsOf(1))];
  }

  /** kvm_pic_set_irq: 1 delivered, 0 coalesced, -1 masked. `pin` is 0–15. */
  setIrq(pin: number, source: number, level: boolean): number {
    const chip = this.#chips[pin >> 3]!;
    const result = chip.setInput(pin & 7, this.#lines.set(pin, source, level));
    this.#update();
    if (kvmPicSetIrq.on) {
      const { elcr, imr } = chip.state;
      const bit = 1 << (pin & 7);
      kvmPicSetIrq(this.#stream, {
        chip: pin >> 3,
        pin: pin & 7,
        level: (elcr & bit) !== 0,
        masked: (imr & bit) !== 0,
        coalesced: result === 0,
      });
    }
    return result;
  }

  /** kvm_pic_read_irq: the processor acknowledges; the vector to deliver. */
  acknowledge(): number {
    const [master, slave] = this.#chips;
    this.output = false;
    const input = master.pending();
    let vector = master.state.irq_base + (input < 0 ? 7 : input);
    if (input >= 0) master.acknowledge(input);
    if (input === CASCADE) {
      const behind = slave.pending();
      if (behind >= 0) slave.acknowledge(behind);
      // A request that went away before it was acknowledged is the spurious interrupt, input 7.
      vector = slave.state.irq_base + (behind < 0 ? 7 : behind);
    }
    this.#update();
    return vector;
  }

  /** State of the master (0) or the slave (1), live. */
  state(chip: number): PicState {
    return this.#chips[chip]!.state;
  }

  /** KVM_SET_IRQCHIP. */
  setState(chip: number, state: PicState): void {
    const { state: now } = this.#chips[chip]!;
    Object.assign(now, state);
    this.#update();
  }

  /** The registers on the port bus: accesses of other sizes than a byte are swallowed. */
  ports(chip: 0 | 1): IoDevice {
    const pic = this.#chips[chip];
    return this.#device(
      (port) => pic.read(port),
      (port, value) => pic.write(port, value),
    );
  }

  /** Edge/level control registers, 0x4d0 and 0x4d1. */
  levelPorts(): IoDevice {
    return this.#device(
      (port) => this.#chips[port & 1]!.state.elcr,
      (port, value) => {
        const { state } = this.#chips[port & 1]!;
        state.elcr = value & state.elcr_mask;
      },
    );
  }

  #device(read: (port: number) => number, write: (port: number, value: number) => void): IoDevice {
    return {
      read: (port, data) => {
        data.fill(0);
        if (data.length === 1) data[0] = read(port);
        return 0;
      },
      write: (port, data) => {
        if (data.length === 1) write(port, data[0]!);
        return 0;
      },
    };
  }

  /** pic_update_irq. */
  #update(): void {
    const [master, slave] = this.#chips;
    if (slave.pending() >= 0) {
      master.setInput(CASCADE, true);
      master.setInput(CASCADE, false);
    }
    const before = this.output;
    this.output = master.pending() >= 0;
    if (this.output && !before) this.#pins.raised();
  }
}
