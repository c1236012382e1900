/** A machine of ours without a guest, poked at its ports: the counterpart of qtest. */

import { EventStream, matchingEvents } from '../../../src/event.ts';
import { KvmState } from '../../../src/qemu/accel/kvm/kvm-all.ts';
import { memoryBackends } from '../../../src/qemu/backends/memory-backend.ts';
import { addDevice } from '../../../src/qemu/device-add.ts';
import { Machine } from '../../../src/qemu/hw/machine.ts';
import { ramOf } from '../../../src/qemu/main.ts';
import { addObject } from '../../../src/qemu/object-add.ts';
import { parseOptions } from '../../../src/qemu/options.ts';
import { makeShadowRam } from '../../../src/qemu/shadow-ram.ts';
import { System } from '../../../src/qemu/system.ts';
import { Host } from '../bench.ts';

export class Unplugged {
  readonly machine: Machine;
  readonly host: Host;
  readonly #data = new DataView(new ArrayBuffer(8));
  readonly stream: EventStream;
  #time = 0;

  /** `firmware`: as a kernel finds it, with RAM everywhere below 1 MiB; else as after a reset. */
  constructor(argv: readonly string[], { host = new Host(), firmware = false } = {}) {
    this.host = host;
    const options = parseOptions(argv);
    this.stream = new EventStream(() => 0n);
    const { user } = this.host.kernel.spawn('qemu-system-x86_64', () => {});
    const system = new System(user, this.stream);
    const backends = memoryBackends(system, options.objects);
    this.machine = new Machine(system, new KvmState(system), ramOf(options, backends), backends);
    for (const netdev of options.netdevs) this.machine.network.addNetdev(netdev);
    for (const object of options.objects) addObject(this.machine, object);
    for (const device of options.devices) addDevice(this.machine, device);
    this.machine.topology.transaction(() => {
      this.machine.reset();
      if (firmware) makeShadowRam(this.machine);
    });
    this.host.kernel.clock.drivenBy(() => this.#time);
  }

  out(port: number, size: number, value: number): void {
    this.#data.setUint32(0, value, true);
    this.machine.io.write(port, this.#data, 0, size);
  }

  in(port: number, size: number): number {
    this.#data.setBigUint64(0, 0n, true);
    this.machine.io.read(port, this.#data, 0, size);
    return this.#data.getUint32(0, true);
  }

  /** Let `nanoseconds` of virtual time pass, and the timers that are due fire. */
  step(nanoseconds: number): void {
    this.#time += nanoseconds;
    this.machine.mainLoop.timers.run();
  }

  write(address: number, size: number, value: bigint): void {
    this.#data.setBigUint64(0, value, true);
    this.machine.memory.write(address, this.#data, 0, size);
  }

  read(address: number, size: number): bigint {
    this.#data.setBigUint64(0, 0n, true);
    this.machine.memory.read(address, this.#data, 0, size);
    return this.#data.getBigUint64(0, true);
  }

  /** qtest's words: `outl PORT VALUE`, `readq ADDRESS`, `clock_step NS`; returns what the `in`s and `read`s answered. */
  run(commands: readonly string[]): number[] {
    const answers: number[] = [];
    for (const command of commands) {
      const [word, port, value] = command.split(' ') as [string, string, string?];
      const size = { b: 1, w: 2, l: 4, q: 8 }[word.at(-1) as 'b' | 'w' | 'l' | 'q'];
      if (word === 'clock_step') this.step(Number(port));
      else if (word.startsWith('write')) this.write(Number(port), size, BigInt(value!));
      else if (word.startsWith('read')) answers.push(Number(this.read(Number(port), size)));
      else if (word.startsWith('out')) this.out(Number(port), size, Number(value));
      else answers.push(this.in(Number(port), size));
    }
    return answers;
  }

  /** What `commands` make of `events`, as QEMU's log has it. */
  trace(commands: readonly string[], events: string): string[] {
    const lines: string[] = [];
    const stop = this.stream.subscribe(matchingEvents(events), ({ event, fields }) =>
      lines.push(`${event.title} ${event.text(fields as never)}`),
    );
    this.run(commands);
    stop();
    return lines;
  }

  /** Write the configuration register at `offset` of bus/devfn. */
  configWrite(bus: number, devfn: number, offset: number, size: number, value: number): void {
    this.out(0xcf8, 4, address(bus, devfn, offset));
    this.out(0xcfc + (offset & 3), size, value);
  }

  configRead(bus: number, devfn: number, offset: number, size = 4): number {
    this.out(0xcf8, 4, address(bus, devfn, offset));
    return this.in(0xcfc + (offset & 3), size);
  }
}

export const address = (bus: number, devfn: number, offset: number): number =>
  (0x8000_0000 + bus * 0x1_0000 + devfn * 0x100 + (offset & 0xfc)) >>> 0;

const hex = (value: number) => `0x${value.toString(16)}`;
/** The same as qtest commands. */
export const configReadCommands = (bus: number, devfn: number, offset: number): string[] => [
  `outl 0xcf8 ${hex(address(bus, devfn, offset))}`,
  `inl 0xcfc`,
];
export const configWriteCommands = (bus: number, devfn: number, offset: number, size: number, value: number) => [
  `outl 0xcf8 ${hex(address(bus, devfn, offset))}`,
  `out${{ 1: 'b', 2: 'w', 4: 'l' }[size]} ${hex(0xcfc + (offset & 3))} ${hex(value)}`,
];
