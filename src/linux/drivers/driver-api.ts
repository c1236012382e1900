/**
 * A host driver of your own: one file whose default export is a {@link KernelModule}, loaded into the modeled kernel by
 * `; host: insmod ./mydriver.ts name=value`. It imports the kernel's functions by their names, here those of Linux 6.1, from
 * `gvm/driver`, and numbers and structures of the user API from `gvm/uapi`. Every function that can fail returns -errno.
 *
 * ```ts
 * import { type KernelModule, pr_info } from 'gvm/driver';
 *
 * export default {
 *   name: 'hello',
 *   parameters: { times: 'integer' },
 *   init({ times = 1 }) { pr_info(`hello, ${times} times`); return 0; },
 *   exit() { pr_info('bye'); },
 * } satisfies KernelModule<{ times: 'integer' }>;
 * ```
 */

// --- modules ----------------------------------------------------------------------------------------------------

/** Kinds of module parameters: `integer` is 32 bits in any base, `boolean` y, n, 1 or 0. */
export type ParameterKind = 'integer' | 'string' | 'boolean';
type ParameterOf<K extends ParameterKind> = K extends 'integer' ? number : K extends 'string' ? string : boolean;

/** What insmod loads. */
export interface KernelModule<P extends Readonly<Record<string, ParameterKind>> = Readonly<Record<string, never>>> {
  /** Letters, digits, - and _. */
  readonly name: string;
  readonly parameters?: P;
  /** module_init, with the parameters that were given: 0, or -errno, which fails insmod. */
  init(parameters: { readonly [N in keyof P]?: ParameterOf<P[N]> }): number;
  /** module_exit: undo `init`. A module without one cannot be removed. */
  exit?(): void;
}

/** Lines of the kernel's log. */
export declare function printk(text: string): void;
export declare function pr_info(text: string): void;
export declare function pr_warn(text: string): void;
export declare function pr_err(text: string): void;
/** With the names of the driver and the device before the text. */
export declare function dev_info(device: Device, text: string): void;
export declare function dev_warn(device: Device, text: string): void;
export declare function dev_err(device: Device, text: string): void;

/** `-errno`, with the rule that was broken for `--explain`. Not in Linux. */
export declare function refuse(errno: number, because: string): number;

// --- memory of the kernel ---------------------------------------------------------------------------------------

export declare const GFP_KERNEL: number;
/** For who may not sleep, as in a timer. */
export declare const GFP_ATOMIC: number;
/** `size` bytes of zeros, or undefined: fault injection makes it fail (`/proc/self/fail-nth`, `/sys/kernel/debug/failslab`). */
export declare function kzalloc(size: number, gfp: number): Uint8Array | undefined;
/** The same, not zeroed. */
export declare function kmalloc(size: number, gfp: number): Uint8Array | undefined;
/** Each once. What is left when the module is removed the log calls a leak. */
export declare function kfree(memory: Uint8Array | undefined): void;

// --- devices ----------------------------------------------------------------------------------------------------

/** A device of the driver model. */
export interface Device {
  readonly name: string;
  /** Its directory in sysfs. */
  readonly path: string;
}
/** A class of devices, such as mtty's own. */
export interface Class {
  readonly name: string;
}
/** /sys/class/NAME; -EEXIST if there is one. */
export declare function class_create(name: string): Class | number;
export declare function class_destroy(cls: Class): void;
/** /sys/devices/virtual/CLASS/NAME; -EEXIST if there is one. */
export declare function device_create(cls: Class, name: string): Device | number;
export declare function device_unregister(device: Device): void;

/** A file of a device in sysfs; `probe` makes them for `mdev.dev`. They go with the device. */
export interface DeviceAttribute {
  readonly name: string;
  /** Permission bits; those of the functions there are if it is not given. */
  readonly mode?: number;
  /** All of the text, with its newline, or -errno. */
  show?(device: Device): string | number;
  /** One write, its newline with it: the characters taken, or -errno. */
  store?(device: Device, text: string): number;
}
/** -EEXIST if the name is taken. */
export declare function device_create_file(device: Device, attribute: DeviceAttribute): number;
export declare function device_remove_file(device: Device, attribute: DeviceAttribute): void;

// --- mediated devices -------------------------------------------------------------------------------------------

/** A type of mediated device: the directory is CLASS-sysfs_name, `name` shows pretty_name. */
export interface MdevType {
  readonly sysfs_name: string;
  readonly pretty_name?: string;
}
/** A device that was made by writing a UUID to `create`. */
export interface MdevDevice {
  readonly uuid: string;
  readonly type: MdevType;
  readonly dev: Device;
  /** dev_set_drvdata: for `remove` to find what `probe` made. */
  drvdata: unknown;
}
export interface MdevDriver {
  /** `vfio-pci`. */
  readonly device_api: string;
  /** Devices on a parent at a time, where `get_available` does not say. */
  readonly max_instances?: number;
  /** Make the VFIO device and register it. -errno is the errno of the write to `create`. */
  probe(mdev: MdevDevice): number;
  /** vfio_unregister_group_dev and vfio_put_device. */
  remove(mdev: MdevDevice): void;
  get_available?(type: MdevType): number;
  /** The text of the type's `description`. */
  show_description?(type: MdevType): string;
}
export declare function mdev_register_driver(driver: MdevDriver): number;
export declare function mdev_unregister_driver(driver: MdevDriver): void;
export declare function mdev_register_parent(parent: Device, driver: MdevDriver, types: readonly MdevType[]): number;
/** Removes the parent's devices first. */
export declare function mdev_unregister_parent(parent: Device): void;

// --- VFIO devices -----------------------------------------------------------------------------------------------

/** An address in the calling process. */
export type UserPointer = number;

/** The VM that has the device: only to be handed on. */
export interface Kvm {
  readonly isKvm: never;
}
/** An address range that a process maps. */
export interface VmArea {
  /** Bytes. */
  readonly length: number;
  /** In the device's file. */
  readonly offset: number;
  /** What `mmap` sets for pages that come when they are touched. */
  vm_ops?: VmOperations;
}
export interface VmOperations {
  /** The page at byte `offset` of the area was touched, and nobody has inserted it: it, or undefined, which is a bus error. */
  fault?(area: VmArea, offset: number): Page | undefined;
}
export interface VfioDevice<State> {
  readonly name: string;
  /** Yours: what container_of finds in C. */
  readonly state: State;
  /** The VM of its group, as it was at the first open. */
  readonly kvm: Kvm | undefined;
  readonly open_count: number;
}
/** A call without its function here is EINVAL. */
export interface VfioDeviceOps<State> {
  /** The first open; -errno refuses it. */
  open_device?(vdev: VfioDevice<State>): number;
  /** The last close. */
  close_device?(vdev: VfioDevice<State>): void;
  /** Bytes read or written, or -errno. `position` is region << 40 | offset. */
  read?(vdev: VfioDevice<State>, buffer: UserPointer, count: number, position: number): number;
  write?(vdev: VfioDevice<State>, buffer: UserPointer, count: number, position: number): number;
  ioctl?(vdev: VfioDevice<State>, request: number, argument: number): number;
  mmap?(vdev: VfioDevice<State>, area: VmArea): number;
  /** The host wants the device back while it is open. */
  request?(vdev: VfioDevice<State>, count: number): void;
  /** A mapping goes whose pages you pinned: unpin them. */
  dma_unmap?(vdev: VfioDevice<State>, iova: number, length: number): void;
  /** Nobody refers to the device any more. */
  release?(vdev: VfioDevice<State>): void;
}
/** -ENOMEM where Linux has ERR_PTR(-ENOMEM). */
export declare function vfio_alloc_device<State>(
  mdev: MdevDevice,
  ops: VfioDeviceOps<State>,
  state: State,
): VfioDevice<State> | number;
export declare function vfio_register_emulated_iommu_dev(vdev: VfioDevice<unknown>): number;
/** Linux sleeps here until the last close; the model does not, and calls `release` then. */
export declare function vfio_unregister_group_dev(vdev: VfioDevice<unknown>): void;
export declare function vfio_put_device(vdev: VfioDevice<unknown>): void;
/** Bytes of data behind the header, or -EINVAL. `num_irqs` is what the index has, `max_irq_type` the number of indexes. */
export declare function vfio_set_irqs_validate_and_prepare(
  header: { argsz: number; flags: number; index: number; start: number; count: number },
  num_irqs: number,
  max_irq_type: number,
): number;

// --- memory of the process that calls, and pages ----------------------------------------------------------------

/** Bytes that could not be copied: 0 is success. */
export declare function copy_from_user(to: Uint8Array, from: UserPointer): number;
export declare function copy_to_user(to: UserPointer, from: Uint8Array): number;

/** 4096 bytes of the host's memory, live. */
export interface Page {
  readonly pfn: number;
  readonly bytes: Uint8Array;
}
/** `gfp` is GFP_KERNEL if it is not given; undefined if there is no page. */
export declare function alloc_page(gfp?: number): Page | undefined;
/** Once. Who has it mapped keeps it until that goes. */
export declare function free_page(page: Page): void;
/** Show `page` at byte `offset` of the area. -EBUSY if a page is there. */
export declare function vm_insert_page(area: VmArea, offset: number, page: Page): number;

// --- DMA --------------------------------------------------------------------------------------------------------

export declare const IOMMU_READ: number;
export declare const IOMMU_WRITE: number;
/** Pin `npage` pages, put them into `pages`; their number, or -errno and none is pinned. Needs `dma_unmap`. */
export declare function vfio_pin_pages(
  vdev: VfioDevice<unknown>,
  iova: number,
  npage: number,
  prot: number,
  pages: Page[],
): number;
export declare function vfio_unpin_pages(vdev: VfioDevice<unknown>, iova: number, npage: number): void;
/** Copy from the memory at `iova` into `data`, or the other way: 0 or -errno. */
export declare function vfio_dma_rw(vdev: VfioDevice<unknown>, iova: number, data: Uint8Array, write: boolean): number;

// --- the guest --------------------------------------------------------------------------------------------------

/** Guest memory at a guest physical address: 0 or -EFAULT. Only in a call from the VM's process. */
export declare function kvm_read_guest(kvm: Kvm, gpa: number | bigint, data: Uint8Array): number;
export declare function kvm_write_guest(kvm: Kvm, gpa: number | bigint, data: Uint8Array): number;
/** Keep the VM until kvm_put_kvm. */
export declare function kvm_get_kvm_safe(kvm: Kvm): boolean;
export declare function kvm_put_kvm(kvm: Kvm): void;

// --- interrupts and time ----------------------------------------------------------------------------------------

export interface Eventfd {
  readonly isEventfd: never;
}
/** The eventfd of a descriptor of the calling process: -EBADF, -EINVAL if it is none. */
export declare function eventfd_ctx_fdget(fd: number): Eventfd | number;
export declare function eventfd_ctx_put(eventfd: Eventfd): void;
export declare function eventfd_signal(eventfd: Eventfd, n: number): void;

export interface Virqfd {
  disable(): void;
}
/** Call `handler` at each signal of the eventfd `fd`, such as the one that SET_IRQS gives to unmask an interrupt: -EBADF, -EINVAL. */
export declare function vfio_virqfd_enable(handler: () => void, fd: number): Virqfd | number;
export declare function vfio_virqfd_disable(virqfd: Virqfd): void;

export interface Timer {
  readonly deadline: number;
}
/** Nanoseconds of virtual time since power-on. */
export declare function ktime_get(): number;
/** Call `expire` once, `nanoseconds` from now. */
export declare function hrtimer_start(nanoseconds: number, expire: () => void): Timer;
/** False if it has fired. */
export declare function hrtimer_cancel(timer: Timer): boolean;
