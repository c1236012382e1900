/** The modeled host, powered on: hardware, kernel, the drivers it ships, and a shell. */

import { MiB } from '../address.ts';
import { EventStream } from '../event.ts';
import { PhysicalMemory } from '../hardware/physical-memory.ts';
import { Vcpu } from '../hardware/vcpu/vcpu.ts';
import { Kernel } from '../linux/core/kernel.ts';
import { registerMtty } from '../linux/drivers/mtty.ts';
import { registerVmbuf } from '../linux/drivers/vmbuf.ts';
import { initKvm, type KvmModule } from '../linux/kvm/kvm.ts';
import { initMdev } from '../linux/mdev/core.ts';
import { initVfio } from '../linux/vfio/init.ts';

/** RAM of the modeled host: as much as one WebAssembly memory can be addressed with. What is not touched costs nothing. */
const HOST_RAM_BYTES = MiB(2047);

/** A booted host. */
export class Machine {
  readonly stream: EventStream;
  readonly kernel: Kernel;
  readonly kvm: KvmModule;
  /** Every vCPU made so far. */
  readonly cpus: Vcpu[] = [];

  constructor() {
    this.stream = new EventStream(() => BigInt(this.retired));
    const memory = new PhysicalMemory(HOST_RAM_BYTES);
    this.kernel = new Kernel({ memory, stream: this.stream });
    this.kvm = initKvm(this.kernel, (ram, stateAt, stream) => {
      const cpu = new Vcpu(ram, stateAt, stream);
      this.cpus.push(cpu);
      return cpu;
    });
    initVfio(this.kernel);
    initMdev(this.kernel);
    registerMtty(this.kernel.modules);
    registerVmbuf(this.kernel.modules);
  }

  /** Guest instructions retired by all vCPUs: the machine's virtual time, a nanosecond each. */
  get retired(): number {
    return this.kvm.retired;
  }
}
