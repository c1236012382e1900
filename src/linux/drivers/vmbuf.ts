/**
 * vmbuf: a device through which a guest hands the host the address of a buffer. It was made from mtty: same config
 * space, but the class, the number of I/O BARs and their size are module parameters, and BAR0 has two registers:
 *
 * | offset | width | meaning |
 * |---|---|---|
 * | 0 | 4 bytes, write-only | low half of a guest physical address |
 * | 4 | 4 bytes, write-only | high half; completes the address, and the driver reads the guest's buffer there |
 *
 * Nothing else is a register: other writes are logged and ignored, and all of a BAR reads 0. The driver reads the guest
 * with the kvm pointer that VFIO's group notifier gives it when a VM attaches the device.
 */

import { gpa, type Hva } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import type { ModuleRegistry } from '../core/modules.ts';
import { kvm_read_guest } from '../kvm/guest-memory.ts';
import type { Mdev } from '../mdev/device.ts';
import type { MdevParentOps } from '../mdev/parent.ts';
import type { MdevType } from '../mdev/type.ts';
import { type MdevTypeGroup, VFIO_DEVICE_API_PCI } from '../mdev/type.ts';
import { EINVAL, ENOMEM, ENOSPC } from '../uapi/errno.ts';
import type { NotifierBlock } from '../vfio/device.ts';
import {
  VFIO_GROUP_NOTIFY,
  VFIO_GROUP_NOTIFY_SET_KVM,
  vfio_register_notifier,
  vfio_unregister_notifier,
} from '../vfio/notifier.ts';
import { ConfigSpace, type Piece } from './config-space.ts';
import { vmbufReadGuest } from './events.ts';
import { Interrupts } from './interrupts.ts';
import { ParentDevice } from './parent-device.ts';
import { type PciFunction, readFunction, writeFunction } from './pci-function.ts';
import { ioctlFunction } from './pci-function-ioctl.ts';

const VENDOR = 0x4348;
const DEVICE = 0x3253;
const REVISION = 0x10;
/** Devices that may exist at a time. */
const INSTANCES = 24;
const LOW_HALF = 0x0;
const HIGH_HALF = 0x4;
const MAX_BARS = 6;
const MIN_BAR = 8;
/** All of the I/O port space. */
const MAX_BAR = 0x10000;
/** Bytes read from the guest's buffer. */
const BUFFER_LENGTH = 16;

/** Module parameters, checked. */
interface Geometry {
  readonly baseClass: number;
  readonly bars: readonly number[];
}

/** One device. */
class VmbufState implements PciFunction, NotifierBlock {
  readonly kernel: Kernel;
  readonly driver = 'vmbuf';
  readonly name: string;
  readonly config: ConfigSpace;
  readonly interrupts: Interrupts;
  readonly bars: readonly number[];
  irqIndexes = 0;
  /** The VM that has the device, from VFIO's notifier. */
  kvm: object | undefined;
  #low: number | undefined;

  constructor(kernel: Kernel, name: string, geometry: Geometry) {
    this.kernel = kernel;
    this.name = name;
    this.bars = geometry.bars;
    this.interrupts = new Interrupts(kernel, this.driver);
    this.config = new ConfigSpace({
      vendor: VENDOR,
      device: DEVICE,
      revision: REVISION,
      class: geometry.baseClass << 16,
      interruptPin: 1,
      bars: geometry.bars,
      handledBars: 6,
    });
  }

  /** The group notifier: the VM came, or went. */
  notify(action: number, kvm: unknown): void {
    if (action === VFIO_GROUP_NOTIFY_SET_KVM) this.kvm = kvm as object | undefined;
  }

  /** Config writes are not logged; the event `mdev_access` shows them. */
  config_written(): void {}

  handle_bar_write(bar: number, offset: number, size: Piece, value: number): void {
    this.#log(`handle_bar_write BAR${bar} offset 0x${offset.toString(16)} count ${size} data 0x${value.toString(16)}`);
    const register = bar === 0 && size === 4 ? offset : undefined;
    if (register === LOW_HALF) {
      this.#low = value;
    } else if (register === HIGH_HALF && this.#low !== undefined) {
      const address = (BigInt(value) << 32n) | BigInt(this.#low);
      this.#low = undefined;
      this.#readBuffer(address);
    } else if (register === HIGH_HALF) {
      this.#log('ignored: the high half came before a low half');
    } else {
      this.#log('ignored: only writes of 4 bytes at BAR0 offset 0x0 (low half) and 0x4 (high half) mean something');
    }
  }

  handle_bar_read(): number {
    return 0;
  }

  #readBuffer(address: bigint): void {
    const at = `0x${address.toString(16)}`;
    this.#log(`guest physical address ${at}`);
    if (this.kvm === undefined) {
      this.#log('no VM: VFIO has given no kvm pointer');
      return;
    }
    const buffer = new Uint8Array(BUFFER_LENGTH);
    // An address past 2^53 loses low bits as a number; no memory slot reaches there.
    const result = kvm_read_guest(this.kvm, gpa(Number(address)), buffer, buffer.length);
    if (vmbufReadGuest.on) {
      vmbufReadGuest(this.kernel.stream, { device: this.name, gpa: address, length: BUFFER_LENGTH, result });
    }
    this.#log(result < 0 ? `kvm_read_guest(${at}) failed: ${result}` : `buffer at ${at}: "${escaped(buffer)}"`);
  }

  #log(text: string): void {
    this.kernel.printk(`vmbuf ${this.name}: ${text}`);
  }
}

/** The bytes up to the first NUL as text, with everything that is not printable ASCII as \xNN. */
export function escaped(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = end < 0 ? bytes : bytes.subarray(0, end);
  const character = (byte: number): string => {
    const printable = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    return printable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  };
  return Array.from(text, character).join('');
}

/** The driver: what the module registers for its parent device. */
class Vmbuf implements MdevParentOps<VmbufState> {
  readonly owner = 'vmbuf';
  readonly supported_type_groups: readonly MdevTypeGroup[] = [
    {
      name: '1',
      attributes: {
        name: () => 'VM buffer',
        device_api: () => VFIO_DEVICE_API_PCI,
        available_instances: () => this.#available,
      },
    },
  ];
  readonly #kernel: Kernel;
  readonly #geometry: Geometry;
  #available = INSTANCES;

  constructor(kernel: Kernel, geometry: Geometry) {
    this.#kernel = kernel;
    this.#geometry = geometry;
  }

  create(_type: MdevType, mdev: Mdev<VmbufState>): number {
    if (this.#available === 0) return this.#kernel.refuse(ENOSPC, `vmbuf makes at most ${INSTANCES} devices`);
    if (!this.#kernel.kmallocAll('struct vmbuf', 'vconfig')) return -ENOMEM;
    this.#available--;
    mdev.drvdata = new VmbufState(this.#kernel, mdev.uuid, this.#geometry);
    return 0;
  }

  remove(mdev: Mdev<VmbufState>): void {
    mdev.drvdata = undefined;
    this.#available++;
  }

  open(mdev: Mdev<VmbufState>): number {
    return vfio_register_notifier(this.#kernel, mdev.vfio, VFIO_GROUP_NOTIFY, VFIO_GROUP_NOTIFY_SET_KVM, mdev.state);
  }

  release(mdev: Mdev<VmbufState>): void {
    vfio_unregister_notifier(this.#kernel, mdev.vfio, VFIO_GROUP_NOTIFY, mdev.state);
    mdev.state.kvm = undefined;
  }

  read(mdev: Mdev<VmbufState>, buffer: Hva, count: number, position: number): number {
    return readFunction(mdev.state, buffer, count, position);
  }

  write(mdev: Mdev<VmbufState>, buffer: Hva, count: number, position: number): number {
    return writeFunction(mdev.state, buffer, count, position);
  }

  ioctl(mdev: Mdev<VmbufState>, request: number, argument: number): number {
    return ioctlFunction(mdev.state, request, argument);
  }
}

const isPowerOfTwo = (value: number): boolean => Number.isInteger(value) && value > 0 && (value & (value - 1)) === 0;

/** Refused parameters of a module are in the host's log. */
function refuseParameter(kernel: Kernel, errno: number, because: string): number {
  kernel.printk(`vmbuf: ${because}`);
  return kernel.refuse(errno, because);
}

/** The module parameters as geometry; -EINVAL. */
function geometryOf(
  kernel: Kernel,
  parameters: { readonly class: number; readonly bars: number; readonly bar_size: number },
): Geometry | number {
  const { class: baseClass, bars, bar_size: size } = parameters;
  if (baseClass < 0 || baseClass > 0xff)
    return refuseParameter(kernel, EINVAL, `class=${baseClass}: a base class is a byte, 0 to 0xff`);
  if (bars < 0 || bars > MAX_BARS)
    return refuseParameter(kernel, EINVAL, `bars=${bars}: a function has 0 to ${MAX_BARS} BARs`);
  if (!isPowerOfTwo(size) || size < MIN_BAR || size > MAX_BAR) {
    return refuseParameter(
      kernel,
      EINVAL,
      `bar_size=${size}: an I/O BAR is a power of two from ${MIN_BAR} to ${MAX_BAR} bytes`,
    );
  }
  return { baseClass, bars: new Array<number>(bars).fill(size) };
}

/** Make vmbuf loadable: `modprobe vmbuf class=0xff bars=1 bar_size=0x1000`, which are the defaults. */
export function registerVmbuf(modules: ModuleRegistry<Kernel>): void {
  let parent: ParentDevice | undefined;
  modules.register({
    name: 'vmbuf',
    parameters: { class: 'integer', bars: 'integer', bar_size: 'integer' },
    init(kernel, { class: baseClass = 0xff, bars = 1, bar_size = 0x1000 }) {
      const asked = { class: Number(baseClass), bars: Number(bars), bar_size: Number(bar_size) };
      const geometry = geometryOf(kernel, asked);
      if (typeof geometry === 'number') return geometry;
      parent = ParentDevice.ofOps(kernel, new Vmbuf(kernel, geometry));
      return parent.add();
    },
    exit: () => parent?.remove(),
  });
}
