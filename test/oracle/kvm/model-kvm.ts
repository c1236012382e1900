/** The model's KVM behind the words of machine.c: a process with a VM, one vCPU and RAM, and its answers as text. */

import { strict as assert } from 'node:assert';
import { type Hva, MiB } from '../../../src/address.ts';
import { EventStream } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import { initKvm } from '../../../src/linux/kvm/kvm.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { EFD_NONBLOCK, O_RDWR } from '../../../src/linux/uapi/syscalls.ts';
import { User } from '../../linux/kvm/bench.ts';
import type { Draws } from '../../linux/syscalls/draws.ts';
import type { Belongings } from '../../linux/syscalls/usual.ts';

const RAM_BYTES = 16 << 20;
const BUFFER_BYTES = 1 << 16;
const EVENTFDS = 3;

export type Fd = 'vm' | 'vcpu';

export class ModelKvm implements Belongings {
  readonly #kernel = new Kernel({ memory: new PhysicalMemory(MiB(64)), stream: new EventStream(() => 0n) });
  #user: User | undefined;
  #fds: Readonly<Record<Fd, number>> = { vm: -1, vcpu: -1 };
  #eventfds: readonly number[] = [];
  ram = 0;
  buffer = 0;

  constructor() {
    initKvm(this.#kernel);
  }

  get scratch(): number {
    return this.#process.scratch;
  }

  descriptor(_kind: string, draws: Draws): number {
    return draws.pick(this.#eventfds);
  }

  /** `new`. */
  begin(irqchip: boolean): void {
    this.#user?.process.exit();
    const user = new User(this.#kernel, 'qemu');
    this.#user = user;
    const { syscalls } = user.user;
    const kvm = syscalls.open('/dev/kvm', O_RDWR);
    this.#eventfds = Array.from({ length: EVENTFDS }, () => syscalls.eventfd(0, EFD_NONBLOCK));
    const vm = user.ioctl(kvm, uapi.KVM_CREATE_VM);
    if (irqchip) assert.equal(user.ioctl(vm, uapi.KVM_CREATE_IRQCHIP), 0);
    this.#fds = { vm, vcpu: user.ioctl(vm, uapi.KVM_CREATE_VCPU, 0) };
    this.ram = user.map(RAM_BYTES);
    this.buffer = user.map(BUFFER_BYTES);
    const slot = { memory_size: BigInt(RAM_BYTES), userspace_addr: BigInt(this.ram) };
    assert.equal(user.pass(vm, uapi.KVM_SET_USER_MEMORY_REGION, uapi.kvm_userspace_memory_region, slot), 0);
  }

  /** `int`: what the ioctl returned. */
  call(fd: Fd, ioctl: Ioctl, argument: number): number {
    return this.#process.ioctl(this.#fds[fd], ioctl, argument);
  }

  /** `at`: what it returned, and the structure as it is then. */
  callAt(fd: Fd, ioctl: Ioctl, argument: Uint8Array): { readonly result: number; readonly bytes: Uint8Array } {
    const { memory } = this.#process.user;
    memory.write(this.scratch as Hva, argument);
    const result = this.call(fd, ioctl, this.scratch);
    return { result, bytes: memory.read(this.scratch as Hva, argument.length) };
  }

  get #process(): User {
    assert(this.#user !== undefined, 'begin() comes first');
    return this.#user;
  }
}
