/**
 * The KVM accelerator: opening /dev/kvm, what QEMU asks before it trusts it, and the VM (accel/kvm/kvm-all.c: kvm_init;
 * target/i386/kvm/kvm.c: kvm_arch_init). The order of calls is QEMU's, for what this VMM uses.
 */

import { EINVAL, strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_API_VERSION,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_DEVICE,
  KVM_CREATE_VM,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  KVM_DEV_VFIO_GROUP_ADD,
  KVM_DEV_VFIO_GROUP_DEL,
  KVM_GET_API_VERSION,
  KVM_SET_DEVICE_ATTR,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_TSS_ADDR,
  kvm_create_device,
  kvm_device_attr,
} from '../../../linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../linux/uapi/kvm-capability.ts';
import { s32, struct, u64 } from '../../../linux/uapi/struct.ts';
import { O_CLOEXEC, O_RDWR } from '../../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import { KvmIrqchip } from './irqchip.ts';

/** kvm_required_capabilites and kvm_arch_required_capabilities: QEMU does not start without them. */
const REQUIRED: readonly (readonly [name: string, capability: number])[] = [
  ['KVM_CAP_USER_MEMORY', KVM_CAP.USER_MEMORY],
  ['KVM_CAP_DESTROY_MEMORY_REGION_WORKS', KVM_CAP.DESTROY_MEMORY_REGION_WORKS],
  ['KVM_CAP_JOIN_MEMORY_REGIONS_WORKS', KVM_CAP.JOIN_MEMORY_REGIONS_WORKS],
  ['KVM_CAP_SET_TSS_ADDR', KVM_CAP.SET_TSS_ADDR],
  ['KVM_CAP_EXT_CPUID', KVM_CAP.EXT_CPUID],
  ['KVM_CAP_MP_STATE', KVM_CAP.MP_STATE],
];
const UPGRADE_NOTE =
  'Please upgrade to at least kernel 2.6.29 or recent kvm-kmod\n(see http://sourceforge.net/projects/kvm).';
/** Four pages below the BIOS, out of the guest's way: identity map page, then VMX's real-mode TSS. */
const IDENTITY_BASE = 0xfeffc000;
const u64Argument = struct('u64', { value: u64 });
const intArgument = struct('int', { value: s32 });

/** do_configure_accelerator: what is said of a kvm_init that failed. */
const refusal = (errno: number): ConfigurationError =>
  new ConfigurationError(`failed to initialize kvm: ${strerror(errno)}`);

/** The same, after what kvm_init itself has said. */
function failed(system: System, said: string, errno: number): ConfigurationError {
  system.print(`${said}\n`);
  return refusal(errno);
}

export class KvmState {
  readonly #system: System;
  readonly fd: number;
  readonly vm: number;
  /** Slots KVM offers; also how far QEMU may number them. */
  readonly slots: number;
  readonly readonlyMemory: boolean;
  /** Page of a vCPU's mapping that holds the coalesced ring; 0 if KVM has none. */
  readonly coalescedRingPage: number;
  readonly coalescedPio: boolean;
  /** The one device that tells KVM of VFIO groups; made with the first group. */
  #vfioDevice = -1;

  /** KVM's interrupt controllers; undefined with `kernel-irqchip=off`. */
  readonly irqchip: KvmIrqchip | undefined;

  /** kvm_init. Refusals are ConfigurationErrors. */
  constructor(system: System, options: { readonly irqchip: boolean } = { irqchip: false }) {
    this.#system = system;
    this.fd = system.syscalls.open('/dev/kvm', O_RDWR | O_CLOEXEC);
    if (this.fd < 0) throw failed(system, `Could not access KVM kernel module: ${strerror(-this.fd)}`, -this.fd);
    system.isKvmFile(this.fd, 'system');
    const version = system.ioctl(this.fd, KVM_GET_API_VERSION);
    if (version < KVM_API_VERSION) throw failed(system, 'kvm version too old', version < 0 ? -version : EINVAL);
    if (version > KVM_API_VERSION) throw failed(system, 'kvm version not supported', EINVAL);
    this.check(KVM_CAP.IMMEDIATE_EXIT);
    // A kernel that does not tell has 32.
    this.slots = this.check(KVM_CAP.NR_MEMSLOTS) || 32;
    this.check(KVM_CAP.MULTI_ADDRESS_SPACE);
    this.vm = system.ioctl(this.fd, KVM_CREATE_VM, 0);
    if (this.vm < 0) throw failed(system, `ioctl(KVM_CREATE_VM) failed: ${-this.vm} ${strerror(-this.vm)}`, -this.vm);
    system.isKvmFile(this.vm, 'vm');
    this.check(KVM_CAP.NR_VCPUS, this.vm);
    this.check(KVM_CAP.MAX_VCPUS);
    for (const [name, capability] of REQUIRED) {
      if (this.check(capability) === 0) throw failed(system, `kvm does not support ${name}\n${UPGRADE_NOTE}`, EINVAL);
    }
    this.coalescedRingPage = this.check(KVM_CAP.COALESCED_MMIO);
    this.coalescedPio = this.coalescedRingPage > 0 && this.check(KVM_CAP.COALESCED_PIO) > 0;
    this.readonlyMemory = this.check(KVM_CAP.READONLY_MEM) > 0;
    this.#placePrivatePages();
    if (options.irqchip) this.irqchip = new KvmIrqchip(system, this.vm);
  }

  /** kvm_check_extension: 0 if absent; asked of /dev/kvm or of the VM. */
  check(capability: number, fd = this.fd): number {
    const value = this.#system.ioctl(fd, KVM_CHECK_EXTENSION, capability);
    return Math.max(value, 0);
  }

  /** kvm_arch_init: where Intel's virtual real mode may keep its pages. */
  #placePrivatePages(): void {
    let result = 0;
    if (this.check(KVM_CAP.SET_IDENTITY_MAP_ADDR) > 0) {
      const value = { value: BigInt(IDENTITY_BASE) };
      result = this.#system.ioctlStruct(this.vm, KVM_SET_IDENTITY_MAP_ADDR, u64Argument, value);
    }
    if (result >= 0) result = this.#system.ioctl(this.vm, KVM_SET_TSS_ADDR, IDENTITY_BASE + 0x1000);
    if (result < 0) throw refusal(-result);
  }

  /** vfio_kvm_device_add_group: tell KVM of an open VFIO group, so that its drivers can learn of this VM. */
  addVfioGroup(group: number, groupFd: number): void {
    const system = this.#system;
    const made = this.#makeVfioDevice();
    if (made < 0) {
      system.error(`Failed to create KVM VFIO device: ${strerror(-made)}`);
      return;
    }
    const result = this.#setFile(KVM_DEV_VFIO_GROUP_ADD, groupFd);
    if (result < 0) system.error(`Failed to add group ${group} to KVM VFIO device: ${strerror(-result)}`);
  }

  /** vfio_kvm_device_add_fd of QEMU 9: a device that is open by its own node. Refusals are ConfigurationErrors. */
  addVfioDevice(fd: number): void {
    const made = this.#makeVfioDevice();
    if (made < 0) throw new ConfigurationError(`Failed to create KVM VFIO device: ${strerror(-made)}`);
    const result = this.#setFile(KVM_DEV_VFIO_FILE_ADD, fd);
    if (result < 0) throw new ConfigurationError(`Failed to add fd ${fd} to KVM VFIO device: ${strerror(-result)}`);
  }

  /** vfio_kvm_device_del_fd. */
  removeVfioDevice(fd: number): void {
    const result = this.#setFile(KVM_DEV_VFIO_FILE_DEL, fd);
    if (result < 0) this.#system.error(`Failed to remove fd ${fd} from KVM VFIO device: ${strerror(-result)}`);
  }

  /** vfio_kvm_device_del_group. */
  removeVfioGroup(group: number, groupFd: number): void {
    if (this.#vfioDevice < 0) return;
    const result = this.#setFile(KVM_DEV_VFIO_GROUP_DEL, groupFd);
    if (result < 0) this.#system.error(`Failed to remove group ${group} from KVM VFIO device: ${strerror(-result)}`);
  }

  /** The kvm-vfio device, once for the VM: 0 or -errno. */
  #makeVfioDevice(): number {
    if (this.#vfioDevice >= 0) return 0;
    const system = this.#system;
    const made = system.exchange(this.vm, KVM_CREATE_DEVICE, kvm_create_device, { type: KVM_DEV_TYPE_VFIO });
    if (made.result < 0) return made.result;
    this.#vfioDevice = made.value.fd;
    system.isKvmFile(made.value.fd, 'device');
    return 0;
  }

  #setFile(attribute: number, fd: number): number {
    const system = this.#system;
    return system.heap.scoped(() =>
      system.ioctlStruct(this.#vfioDevice, KVM_SET_DEVICE_ATTR, kvm_device_attr, {
        group: KVM_DEV_VFIO_FILE,
        attr: BigInt(attribute),
        addr: BigInt(system.heap.put(intArgument, { value: fd })),
      }),
    );
  }
}
