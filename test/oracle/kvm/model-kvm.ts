/** The model's KVM behind the words of machine.c: a process with a VM, one vCPU and RAM, and its answers as text. */

import { strict as assert } from 'node:assert';
import type { Hva } from '../../../src/address.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import { EFD_NONBLOCK } from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from '../../linux/kvm/bench.ts';
import type { Draws } from '../../linux/syscalls/draws.ts';
import type { Belongings } from '../../linux/syscalls/usual.ts';

const RAM_BYTES = 16 << 20;
const BUFFER_BYTES = 1 << 16;
const EVENTFDS = 3;

export type Fd = 'vm' | 'vcpu';

export class ModelKvm implements Belongings {
  #bench: Bench | undefined;
  #eventfds: readonly number[] = [];
  ram = 0;
  buffer = 0;

  get scratch(): number {
    return this.#started.qemu.scratch;
  }

  descriptor(_kind: string, draws: Draws): number {
    return draws.pick(this.#eventfds);
  }

  /** `new`. */
  begin(irqchip: boolean): void {
    this.#bench?.qemu.process.exit();
    this.#bench = new Bench({ hardware: 'real', irqchip, ...(this.#bench && { host: this.#bench }) });
    const { qemu } = this.#bench;
    this.#eventfds = Array.from({ length: EVENTFDS }, () => qemu.user.syscalls.eventfd(0, EFD_NONBLOCK));
    this.ram = qemu.map(RAM_BYTES);
    this.buffer = qemu.map(BUFFER_BYTES);
    assert.equal(this.#bench.setSlot(0, 0, RAM_BYTES, this.ram), 0);
  }

  /** `signal`: one of the eventfds counts one more. */
  signal(index: number): number {
    const { qemu } = this.#started;
    qemu.user.memory.write(this.scratch as Hva, new Uint8Array(BigUint64Array.of(1n).buffer));
    return Number(qemu.user.syscalls.write(this.#eventfds[index]!, this.scratch as Hva, 8) === 8);
  }

  /** `count`: whether one of the eventfds had counted, and how far; it begins anew. */
  count(index: number): string {
    const { memory, syscalls } = this.#started.qemu.user;
    memory.write(this.scratch as Hva, new Uint8Array(8));
    const got = syscalls.read(this.#eventfds[index]!, this.scratch as Hva, 8) === 8;
    return `${Number(got)} ${Buffer.from(memory.read(this.scratch as Hva, 8)).toString('hex')}`;
  }

  /** `int`: what the ioctl returned. */
  call(fd: Fd, ioctl: Ioctl, argument: number): number {
    const { qemu, vcpuFd, vmFd } = this.#started;
    return qemu.ioctl(fd === 'vm' ? vmFd : vcpuFd, ioctl, argument);
  }

  /** `at`: what it returned, and the structure as it is then. */
  callAt(fd: Fd, ioctl: Ioctl, argument: Uint8Array): { readonly result: number; readonly bytes: Uint8Array } {
    const { memory } = this.#started.qemu.user;
    memory.write(this.scratch as Hva, argument);
    const result = this.call(fd, ioctl, this.scratch);
    return { result, bytes: memory.read(this.scratch as Hva, argument.length) };
  }

  get #started(): Bench {
    assert(this.#bench !== undefined, 'begin() comes first');
    return this.#bench;
  }
}
