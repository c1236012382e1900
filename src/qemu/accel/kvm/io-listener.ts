/**
 * Writes that KVM serves by itself, for ports and memory alike: ioeventfds and coalesced zones (accel/kvm/kvm-all.c:
 * kvm_set_ioeventfd_mmio, kvm_set_ioeventfd_pio, kvm_coalesce_pio_add), and the listener on the guest's ports.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_IOEVENTFD,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_REGISTER_COALESCED_MMIO,
  KVM_UNREGISTER_COALESCED_MMIO,
  kvm_coalesced_mmio_zone,
  kvm_ioeventfd,
} from '../../../linux/uapi/kvm.ts';
import { Abort } from '../../error.ts';
import type { FlatRange } from '../../memory/flat-view.ts';
import type { Ioeventfd, MemoryListener } from '../../memory/listener.ts';
import type { System } from '../../system.ts';
import { kvmSetIoeventfdMmio, kvmSetIoeventfdPio } from '../../trace-events.ts';
import { setIoregion } from './ioregions.ts';
import type { KvmState } from './kvm-all.ts';

interface Change {
  /** Ports, not memory. */
  readonly pio: boolean;
  readonly assign: boolean;
}

/** KVM_IOEVENTFD; QEMU cannot go on where KVM refuses. Ports and their data are 16 bits wide, the data of memory 32. */
export function setIoeventfd(system: System, kvm: KvmState, eventfd: Ioeventfd, { pio, assign }: Change): void {
  const match = eventfd.data !== undefined;
  const address = pio ? eventfd.address % 0x1_0000 : eventfd.address;
  const data = BigInt.asUintN(pio ? 16 : 32, eventfd.data ?? 0n);
  const event = pio ? kvmSetIoeventfdPio : kvmSetIoeventfdMmio;
  if (event.on) {
    event(system.stream, { fd: eventfd.fd, addr: address, val: Number(data), assign, size: eventfd.size, match });
  }
  const result = system.ioctlStruct(kvm.vm, KVM_IOEVENTFD, kvm_ioeventfd, {
    datamatch: data,
    addr: BigInt(address),
    len: eventfd.size,
    fd: eventfd.fd,
    flags:
      (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
      (pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
      (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
  });
  if (result >= 0) return;
  const call = `kvm_${pio ? 'io' : 'mem'}_ioeventfd_${assign ? 'add' : 'del'}`;
  throw new Abort(`${call}: error ${assign ? 'adding' : 'deleting'} ioeventfd: ${strerror(-result)} (${-result})`);
}

/** KVM_(UN)REGISTER_COALESCED_MMIO, where KVM has it; a refusal costs only speed and is not told. */
export function setCoalesced(
  system: System,
  kvm: KvmState,
  start: number,
  size: number,
  { pio, assign }: Change,
): void {
  if (pio ? !kvm.coalescedPio : kvm.coalescedRingPage === 0) return;
  const request = assign ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO;
  const zone = { addr: BigInt(start), size, pio: pio ? 1 : 0 };
  system.ioctlStruct(kvm.vm, request, kvm_coalesced_mmio_zone, zone);
}

/** kvm_io_listener: ports have eventfds and zones, never slots. */
export class KvmIoListener implements MemoryListener {
  readonly name = 'kvm-io';
  readonly priority = 10;
  readonly #system: System;
  readonly #kvm: KvmState;

  constructor(system: System, kvm: KvmState) {
    this.#system = system;
    this.#kvm = kvm;
  }

  regionAdd(range: FlatRange): void {
    setIoregion(this.#system, this.#kvm, range, { pio: true, assign: true });
  }

  regionDelete(range: FlatRange): void {
    setIoregion(this.#system, this.#kvm, range, { pio: true, assign: false });
  }

  eventfdAdd(eventfd: Ioeventfd): void {
    setIoeventfd(this.#system, this.#kvm, eventfd, { pio: true, assign: true });
  }

  eventfdDelete(eventfd: Ioeventfd): void {
    setIoeventfd(this.#system, this.#kvm, eventfd, { pio: true, assign: false });
  }

  coalescedAdd(start: number, size: number): void {
    setCoalesced(this.#system, this.#kvm, start, size, { pio: true, assign: true });
  }

  coalescedDelete(start: number, size: number): void {
    setCoalesced(this.#system, this.#kvm, start, size, { pio: true, assign: false });
  }
}
