/**
 * vgpu: a mediated graphics function as the mail of January 2016 about KVMGT sketches one (seed 003). The guest writes commands into its
 * memory and submits them; the device model reads them there, carries them out and interrupts.
 *
 * | BAR 0 | | |
 * |---|---|---|
 * | 0x00 | read | "VGPU" |
 * | 0x04 | read | status: 0 idle, 1 submitted, 2 done, 3 failed |
 * | 0x08, 0x0c | | guest physical address of the commands |
 * | 0x10 | | their number of 32-bit words |
 * | 0x14 | write | submit; the value says who reads them, and how: 1 the vCPU's thread, 2 a worker thread, 3 a worker as if it were the vCPU |
 * | 0x18 | read | the last fence |
 * | 0x1c | read | errno of the last submission |
 * | 0x20 | | frame of the graphics address table; 0 for none |
 * | 0x24 | read | writes of the guest to that table |
 *
 * Commands, by the top byte of the first word: 0x00 nothing; 0x10 store: graphics address, value; 0x20 fence: its value, which also
 * interrupts; 0x30 end. Registers are 4 bytes wide; other accesses go nowhere.
 */

import { type Gpa, gpa, PAGE_SIZE } from '../../../address.ts';
import type { Kernel } from '../../core/kernel.ts';
import { type KvmIoDevice, kvmSymbol } from '../../core/kvm-symbols.ts';
import { Workqueue } from '../../core/workqueue.ts';
import { EFAULT, EINVAL, ENODEV } from '../../uapi/errno.ts';
import type { Piece } from '../config-space.ts';
import { vgpuTrapMmio } from '../events.ts';
import { Interrupts } from '../interrupts.ts';
import type { PciFunction } from '../pci-function.ts';
import { BAR_SIZE, VgpuConfigSpace } from './config-space.ts';
import { GraphicsTable } from './graphics-table.ts';
import { GuestMemory, type Way } from './read-gpa.ts';

const ID = 0x5550_4756;
const REGISTER = {
  ID: 0x00,
  STATUS: 0x04,
  COMMANDS_LOW: 0x08,
  COMMANDS_HIGH: 0x0c,
  WORDS: 0x10,
  SUBMIT: 0x14,
  FENCE: 0x18,
  ERROR: 0x1c,
  TABLE: 0x20,
  TABLE_WRITES: 0x24,
} as const;
const STATUS = { IDLE: 0, SUBMITTED: 1, DONE: 2, FAILED: 3 } as const;
const SUBMIT = { VCPU: 1, WORKER: 2, WORKER_AS_VCPU: 3 } as const;
const COMMAND = { NOTHING: 0x00, STORE: 0x10, FENCE: 0x20, END: 0x30 } as const;
/** The longest submission: a page. */
const MOST_WORDS = PAGE_SIZE / 4;

export class Vgpu implements PciFunction, KvmIoDevice {
  readonly kernel: Kernel;
  readonly driver = 'vgpu';
  readonly name: string;
  readonly config = new VgpuConfigSpace();
  readonly interrupts: Interrupts;
  readonly bars = [BAR_SIZE];
  irqIndexes = 0;
  readonly #trapsMmio: boolean;
  readonly #worker: Workqueue;
  readonly #registers = new Map<number, number>();
  #kvm: object | undefined;
  #memory: GuestMemory | undefined;
  #table: GraphicsTable | undefined;
  /** Where BAR 0 is registered with KVM; undefined while it is not. */
  #trapped: number | undefined;

  /** `trapsMmio`: BAR 0 is served in KVM; else by QEMU and the device's file. */
  constructor(kernel: Kernel, name: string, trapsMmio: boolean) {
    this.kernel = kernel;
    this.name = name;
    this.#trapsMmio = trapsMmio;
    this.interrupts = new Interrupts(kernel, this.driver, true);
    this.#worker = new Workqueue(kernel, 'kworker/u2:vgpu');
  }

  /** The VM that has the device. */
  attach(kvm: object): void {
    if (this.#kvm !== undefined) this.detach();
    kvmSymbol(this.kernel, 'kvm_get_kvm')(kvm);
    this.#kvm = kvm;
    this.#memory = new GuestMemory(this.kernel, this.name, kvm);
    this.#updateTrap();
  }

  /** The VM, if there was one, goes: so does what was registered with it. */
  detach(): void {
    this.reset();
    const kvm = this.#kvm;
    this.#kvm = undefined;
    this.#memory = undefined;
    if (kvm !== undefined) kvmSymbol(this.kernel, 'kvm_put_kvm')(kvm);
  }

  /** The device goes. */
  destroy(): void {
    this.#worker.destroy();
  }

  reset(): void {
    this.#worker.cancelAll();
    this.#table?.release();
    this.#table = undefined;
    this.#registers.clear();
    this.config.reset();
    this.#updateTrap();
  }

  config_written(): void {
    this.#updateTrap();
  }

  /** trap_mmio_ops: while memory is on, KVM has the BAR; a write to COMMAND or to the BAR changes that. */
  #updateTrap(): void {
    const wanted = this.#trapsMmio && this.#kvm !== undefined ? this.config.bar0 : undefined;
    if (wanted === this.#trapped) return;
    const kvm = this.#kvm!;
    if (this.#trapped !== undefined) kvmSymbol(this.kernel, 'kvm_io_bus_unregister_dev')(kvm, 'KVM_MMIO_BUS', this);
    this.#trapped = undefined;
    let result = 0;
    if (wanted !== undefined) {
      const register = kvmSymbol(this.kernel, 'kvm_io_bus_register_dev');
      result = register(kvm, 'KVM_MMIO_BUS', wanted, BAR_SIZE, this);
      if (result === 0) this.#trapped = wanted;
    }
    if (vgpuTrapMmio.on) {
      vgpuTrapMmio(this.kernel.stream, { device: this.name, on: wanted !== undefined, address: wanted ?? 0, result });
    }
  }

  /** kvmgt_guest_mmio_read: in the vCPU's thread, without QEMU. */
  read(address: number, data: Uint8Array): number {
    data.fill(0);
    const register = address - this.#trapped!;
    if (data.length === 4) viewOf(data).setUint32(0, this.#valueOf(register), true);
    return 0;
  }

  /** kvmgt_guest_mmio_write. */
  write(address: number, data: Uint8Array): number {
    if (data.length === 4) this.handle_bar_write(0, address - this.#trapped!, 4, viewOf(data).getUint32(0, true));
    return 0;
  }

  handle_bar_read(bar: number, offset: number, size: Piece): number {
    return bar === 0 && size === 4 ? this.#valueOf(offset) : 0;
  }

  #valueOf(offset: number): number {
    if (offset === REGISTER.ID) return ID;
    if (offset === REGISTER.TABLE_WRITES) return this.#table?.writes ?? 0;
    return this.#registers.get(offset) ?? 0;
  }

  handle_bar_write(bar: number, offset: number, size: Piece, value: number): void {
    if (bar !== 0 || size !== 4) return;
    switch (offset) {
      case REGISTER.COMMANDS_LOW:
      case REGISTER.COMMANDS_HIGH:
      case REGISTER.WORDS:
        this.#registers.set(offset, value);
        break;
      case REGISTER.TABLE:
        this.#registers.set(offset, value);
        this.#useTable(value);
        break;
      case REGISTER.SUBMIT:
        this.#submit(value);
        break;
    }
  }

  /** A new table: what it holds now is read, what the guest writes later KVM tells. */
  #useTable(gfn: number): void {
    this.#table?.release();
    this.#table = undefined;
    if (gfn === 0 || this.#kvm === undefined) return;
    const slot = kvmSymbol(this.kernel, 'gfn_to_memslot')(this.#kvm, gfn);
    const page = new Uint8Array(PAGE_SIZE);
    const error = this.#memory!.read(gpa(gfn * PAGE_SIZE), page, 'copy_from_user');
    if (slot === undefined || error < 0) this.#log(`no table at frame 0x${gfn.toString(16)}: ${error}`);
    else this.#table = new GraphicsTable(this.kernel, this.name, this.#kvm, gfn, slot, page);
  }

  #submit(who: number): void {
    this.#registers.set(REGISTER.STATUS, STATUS.SUBMITTED);
    if (who === SUBMIT.VCPU) this.#scan('copy_from_user');
    else if (who === SUBMIT.WORKER) this.#worker.queue(() => this.#scan('access_remote_vm'));
    else if (who === SUBMIT.WORKER_AS_VCPU) this.#worker.queue(() => this.#scan('copy_from_user'));
    else this.#finish(-EINVAL);
  }

  /** Read the commands and carry them out. */
  #scan(way: Way): void {
    if (this.#memory === undefined) {
      this.#finish(-ENODEV);
      return;
    }
    const words = Math.min(this.#registers.get(REGISTER.WORDS) ?? 0, MOST_WORDS);
    const low = this.#registers.get(REGISTER.COMMANDS_LOW) ?? 0;
    const at = gpa((this.#registers.get(REGISTER.COMMANDS_HIGH) ?? 0) * 2 ** 32 + low);
    const commands = new DataView(new ArrayBuffer(4 * words));
    const error = this.#memory.read(at, new Uint8Array(commands.buffer), way);
    this.#finish(error < 0 ? error : this.#execute(commands, this.#memory, way));
  }

  /** 0, or -errno at the first command that cannot be carried out. */
  #execute(commands: DataView, memory: GuestMemory, way: Way): number {
    const word = (at: number): number => (at + 4 <= commands.byteLength ? commands.getUint32(at, true) : 0);
    for (let at = 0; at < commands.byteLength; ) {
      const code = word(at) >>> 24;
      switch (code) {
        case COMMAND.NOTHING:
          at += 4;
          break;
        case COMMAND.STORE: {
          const error = this.#store(memory, word(at + 4), word(at + 8), way);
          if (error < 0) return error;
          at += 12;
          break;
        }
        case COMMAND.FENCE:
          this.#registers.set(REGISTER.FENCE, word(at + 4));
          at += 8;
          break;
        case COMMAND.END:
          return 0;
        default:
          this.#log(`no command 0x${code.toString(16)} at word ${at / 4}`);
          return -EINVAL;
      }
    }
    return 0;
  }

  #store(memory: GuestMemory, address: number, value: number, way: Way): number {
    const target: Gpa | undefined = this.#table?.translate(address);
    if (target === undefined) {
      this.#log(`graphics address 0x${address.toString(16)} is not mapped`);
      return -EFAULT;
    }
    return memory.write(target, new Uint8Array(Uint32Array.of(value).buffer), way);
  }

  #finish(result: number): void {
    this.#registers.set(REGISTER.STATUS, result < 0 ? STATUS.FAILED : STATUS.DONE);
    this.#registers.set(REGISTER.ERROR, Math.max(-result, 0));
    if (result < 0) this.#log(`submission failed: ${result}`);
    this.interrupts.trigger();
  }

  #log(text: string): void {
    this.kernel.printk(`vgpu ${this.name}: ${text}`);
  }
}

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);
