/**
 * QEMU: one user process of the modeled host (softmmu/vl.c, main.c). It knows the kernel by system calls only.
 *
 * `init` reads as the start-up it is; `run` is the vCPU thread: enter the guest, serve the exit, until something ends it.
 */

import type { EventStream } from '../event.ts';
import { SIGNAL } from '../linux/uapi/signal.ts';
import type { VmmProcess } from '../linux/uapi/syscalls.ts';
import { setCpuid, supportedCpuid } from './accel/kvm/cpuid.ts';
import { KvmState } from './accel/kvm/kvm-all.ts';
import { KvmVcpu, type RunState } from './accel/kvm/vcpu.ts';
import { type MemoryBackend, memoryBackends } from './backends/memory-backend.ts';
import { bootRegs, bootSregs, loadKernel, writeBootStructures } from './boot.ts';
import { assignBridgeWindows } from './bridge-windows.ts';
import { addDevice, requestedHelp } from './device-add.ts';
import { DeviceFault } from './device-fault.ts';
import { ConfigurationError, Fatal } from './error.ts';
import { nullBackend, StdioBackend } from './hw/char/stdio.ts';
import type { DeviceModel } from './hw/device-model.ts';
import { Machine, type MachineEnd } from './hw/machine.ts';
import type { PciBus } from './hw/pci/pci-bus.ts';
import { routeInterrupts } from './interrupt-routing.ts';
import { OptionError, refusing } from './key-values.ts';
import type { AddressSpace } from './memory/address-space.ts';
import { addObject } from './object-add.ts';
import { DEFAULT_MEMORY, type Options, parseOptions } from './options.ts';
import { makeShadowRam } from './shadow-ram.ts';
import { System } from './system.ts';

const STDOUT = 1;

/** Size of RAM, or the object that it is to be. */
export function ramOf(options: Options, backends: ReadonlyMap<string, MemoryBackend>): number | MemoryBackend {
  const { memory, memoryBackend: id } = options;
  if (id === undefined) return memory ?? DEFAULT_MEMORY;
  const backend = backends.get(id);
  if (backend === undefined) throw new ConfigurationError(`Memory backend '${id}' not found`);
  if (memory !== undefined && memory !== backend.size)
    throw new ConfigurationError(
      "Size specified by -m option must match size of explicitly specified 'memory-backend' property",
    );
  return backend;
}

export class Qemu {
  readonly #system: System;
  readonly #argv: readonly string[];
  readonly #own: readonly DeviceModel[];
  #machine: Machine | undefined;
  #vcpu: KvmVcpu | undefined;

  /** `argv` is what follows the program's name; `own` are models besides those of the registry. */
  constructor(process: VmmProcess, stream: EventStream, argv: readonly string[], own: readonly DeviceModel[] = []) {
    this.#own = own;
    this.#argv = argv;
    this.#system = new System(process, stream);
  }

  /** The address spaces of the machine that {@link init} made. */
  get spaces(): readonly AddressSpace[] {
    return this.#machine?.topology.spaces ?? [];
  }

  /** The root of its PCI buses, undefined without a machine. */
  get rootBus(): PciBus | undefined {
    return this.#machine?.rootBus;
  }

  /** qemu_init: undefined when the guest can run, else the exit status: 0 after help, 1 after an error was printed. */
  init(): number | undefined {
    try {
      const options = parseOptions(this.#argv);
      const help = requestedHelp(options, this.#own);
      if (help !== undefined) {
        this.#printHelp(help);
        return 0;
      }
      this.#start(options);
      return undefined;
    } catch (error) {
      return this.#refused(error);
    }
  }

  #printHelp(text: string): void {
    this.#system.output(STDOUT, new TextEncoder().encode(text));
  }

  /** The machine, from nothing to the guest's first instruction. */
  #start(options: Options): void {
    const system = this.#system;
    const kvm = this.#accelerator(options);
    const backends = memoryBackends(system, options.objects);
    const machine = new Machine(system, kvm, ramOf(options, backends), backends);
    const cpuid = supportedCpuid(system, kvm);
    const vcpu = new KvmVcpu(system, kvm, 0, machine.memory, machine.io);
    setCpuid(system, vcpu.fd, cpuid);
    machine.topology.flushCoalesced = () => vcpu.coalesced?.flush();
    machine.addBasicDevices();
    if (options.serial !== 'none') {
      machine.addSerial(options.serial === 'stdio' ? new StdioBackend(system) : nullBackend);
    }
    for (const netdev of options.netdevs) machine.network.addNetdev(netdev);
    for (const object of options.objects) addObject(machine, object);
    for (const device of options.devices) addDevice(machine, device, this.#own);
    machine.hotplug.map();
    if (options.kernel === undefined) throw new ConfigurationError('no guest: give a kernel with -kernel PATH');
    const entry = loadKernel(machine, options.kernel);
    writeBootStructures(machine);
    // As one change: nobody sees the bus where RAM will be.
    machine.topology.transaction(() => {
      machine.reset();
      makeShadowRam(machine);
    });
    machine.openA20();
    assignBridgeWindows(machine);
    if (kvm.irqchip !== undefined) routeInterrupts(machine);
    vcpu.putRegisters(bootSregs(), bootRegs(entry));
    this.#machine = machine;
    this.#vcpu = vcpu;
  }

  /** do_configure_accelerator: what KVM refuses is the fault of -accel, if that was given. */
  #accelerator(options: Options): KvmState {
    const make = () => new KvmState(this.#system, options);
    return options.accel === undefined ? make() : refusing(options.accel, make);
  }

  /** Print what `init` died of; whatever is no refusal is a defect of ours and goes on up. */
  #refused(error: unknown): number {
    if (error instanceof ConfigurationError) {
      this.#system.error(error.message, error instanceof OptionError ? error.where : undefined);
      if (error.hint !== undefined) this.#system.print(`${error.hint}\n`);
      return 1;
    }
    if (error instanceof Fatal) return this.#ended(error);
    throw error;
  }

  /** Its last word, and what a shell sees of its end. */
  #ended({ message, code }: Fatal): number {
    if (message !== '') this.#system.print(`${message}\n`);
    return code;
  }

  /** Run until the guest ends, once `init` has prepared it. */
  run(): MachineEnd {
    const machine = this.#machine;
    const vcpu = this.#vcpu;
    if (machine === undefined || vcpu === undefined) throw new Error('run comes after an init that succeeded');
    machine.memory.cpu = vcpu.index;
    machine.io.cpu = vcpu.index;
    machine.guestErrors.rip = () => this.#system.stream.accessRip;
    try {
      vcpu.execute((state) => {
        this.#served(machine, state);
        return machine.end === undefined;
      });
      return machine.end!;
    } catch (error) {
      if (error instanceof DeviceFault) return { reason: 'device-fault', code: 1, fault: error };
      if (!(error instanceof Fatal)) throw error;
      return { reason: 'aborted', code: this.#ended(error) };
    }
  }

  /** What an exit, which was served, means for the machine. Hot. */
  #served(machine: Machine, state: RunState): void {
    switch (state) {
      case 'running':
        machine.mainLoop.dispatch();
        return;
      case 'halted':
        // Nothing can interrupt the vCPU: it wakes no more, whatever the main loop still has to do.
        machine.mainLoop.dispatch();
        machine.exit({ reason: 'halted', code: 0 });
        return;
      case 'shutdown':
        machine.exit({ reason: 'shutdown', code: 0 });
        return;
      case 'interrupted':
        this.#interrupted(machine);
        return;
      case 'internal-error':
      case 'run-failed':
        machine.exit({ reason: state, code: 1 });
        return;
    }
  }

  /** KVM_RUN came back for a signal: the timers' own, one that ends QEMU, or none because the vCPU sleeps. */
  #interrupted(machine: Machine): void {
    const { mainLoop } = machine;
    const signal = this.#system.syscalls.rt_sigtimedwait(false);
    const served = (signal === SIGNAL.SIGALRM ? mainLoop.timers.run() : 0) + mainLoop.dispatch();
    if (signal === SIGNAL.SIGALRM || served > 0) return;
    machine.exit({ reason: signal < 0 ? 'halted' : 'interrupted', code: 0 });
  }
}
