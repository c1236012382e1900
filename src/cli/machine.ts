/** The modeled host, powered on: hardware, kernel, the drivers it ships, and a shell. */

import { MiB } from '../address.ts';
import { EventStream } from '../event.ts';
import { MAX_RAM, PhysicalMemory } from '../hardware/physical-memory.ts';
import type { Eagerness } from '../hardware/vcpu/translation.ts';
import { Vcpu } from '../hardware/vcpu/vcpu.ts';
import { Kernel } from '../linux/core/kernel.ts';
import { registerMtty } from '../linux/drivers/mtty.ts';
import { registerVgpu } from '../linux/drivers/vgpu/module.ts';
import { registerVmbuf } from '../linux/drivers/vmbuf.ts';
import { initKvm, type KvmModule } from '../linux/kvm/kvm.ts';
import { initMdev } from '../linux/mdev/core.ts';
import { initVfio } from '../linux/vfio/init.ts';
import type { CostTable } from '../observe/cost-table.ts';
import type { Qemu } from '../qemu/main.ts';
import type { Leftovers } from './leftovers.ts';
import { plugIn } from './physical-devices.ts';

/** RAM of a host for a guest of `guestBytes`: twice as much, at least 256 MiB. What is not touched costs nothing. */
const hostRamBytes = (guestBytes: number): number => Math.min(Math.max(2 * guestBytes, MiB(256)), MAX_RAM);

/** A booted host. */
export class Machine {
  readonly stream: EventStream;
  readonly kernel: Kernel;
  readonly kvm: KvmModule;
  /** Every vCPU made so far. */
  readonly cpus: Vcpu[] = [];

  /** The VMM, once it is started. */
  qemu: Qemu | undefined;
  /** Told of each vCPU as it is made. */
  onCpu: ((cpu: Vcpu) => void) | undefined;
  /** What the host's steps cost, if the clock runs on with them; undefined if they take no time. */
  costs: CostTable | undefined;
  /** Its work was broken off half-way: it is good for a look at registers only. */
  interrupted = false;
  readonly #leftovers: Leftovers | undefined;

  /**
   * `guestBytes`: RAM that the guest will ask for; `plugged`: physical devices, as `--plug` takes them; `leftovers`: whose RAM it
   * has, if it is to be used again; `eagerness`: how much of the guest's code is translated, if any; `Cpu` makes its processors.
   */
  constructor(
    guestBytes: number,
    plugged: readonly string[] = [],
    leftovers?: Leftovers,
    eagerness?: Eagerness,
    Cpu: typeof Vcpu = Vcpu,
  ) {
    this.stream = new EventStream(() => BigInt(this.kernel.clock.now));
    const size = hostRamBytes(guestBytes);
    const memory = leftovers === undefined ? new PhysicalMemory(size) : leftovers.take(size);
    this.#leftovers = leftovers;
    this.kernel = new Kernel({ memory, stream: this.stream });
    this.kvm = initKvm(this.kernel, (ram, stateAt, stream) => {
      const cpu = new Cpu(ram, stateAt, stream);
      cpu.codeMemory = leftovers?.code;
      if (eagerness !== undefined) cpu.translate(eagerness);
      this.cpus.push(cpu);
      this.onCpu?.(cpu);
      return cpu;
    });
    initVfio(this.kernel);
    initMdev(this.kernel);
    registerMtty(this.kernel.modules);
    registerVmbuf(this.kernel.modules);
    registerVgpu(this.kernel.modules);
    plugIn(this.kernel, plugged);
  }

  /** From now on the host's steps take time that the guest's clock sees. Before anybody else listens, so that all see it pass. */
  charge(costs: CostTable): void {
    this.costs = costs;
    this.stream.subscribe(costs.charged(), ({ event }) => this.kernel.clock.pass(costs.of(event)));
  }

  /** Nothing runs any more, and nobody looks at the RAM. */
  powerOff(): void {
    this.stream.close();
    if (this.interrupted) this.#leftovers?.abandon();
    else this.#leftovers?.giveBack(this.kernel.memory, this.kernel.pages);
  }

  /** Guest instructions retired by all vCPUs; each is a nanosecond of virtual time. */
  get retired(): number {
    return this.kvm.retired;
  }
}
