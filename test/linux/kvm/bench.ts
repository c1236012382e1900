/** A booted host with kvm.ko and one process that has a VM with one scripted vCPU. */

import { strict as assert } from 'node:assert';
import { type Hva, MiB } from '../../../src/address.ts';
import { EventStream, matchingEvents } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import type { QuickExits } from '../../../src/hardware/vcpu/quick-exits.ts';
import type { Eagerness } from '../../../src/hardware/vcpu/translation.ts';
import { Vcpu } from '../../../src/hardware/vcpu/vcpu.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import type { Process } from '../../../src/linux/core/process.ts';
import { RDX } from '../../../src/linux/kvm/cpu.ts';
import { initKvm, type KvmModule } from '../../../src/linux/kvm/kvm.ts';
import type { EptFeatures, Vm } from '../../../src/linux/kvm/vm.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import {
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_VCPU,
  KVM_CREATE_VM,
  KVM_RUN,
  KVM_SET_USER_MEMORY_REGION,
  kvm_userspace_memory_region,
} from '../../../src/linux/uapi/kvm.ts';
import { RUN_EXIT_REASON } from '../../../src/linux/uapi/kvm-run.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  type UserProcess,
} from '../../../src/linux/uapi/syscalls.ts';
import { ScriptedCpu } from './scripted-cpu.ts';

/** Where a scripted CPU begins. */
const SCRIPT_AT = 0x1000n;
const PROTECTED = 1n;
const LONG_MODE = 0x500n;
const READ_WRITE = PROT_READ | PROT_WRITE;

/** A process with a scratch page for ioctl arguments. */
export class User {
  readonly process: Process;
  readonly user: UserProcess;
  readonly scratch: Hva;

  constructor(kernel: Kernel, name: string) {
    ({ process: this.process, user: this.user } = kernel.spawn(name, () => {}));
    this.scratch = this.map(16384);
  }

  /** Anonymous memory. */
  map(bytes: number): Hva {
    const at = this.user.syscalls.mmap(bytes, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(at > 0, `mmap of ${bytes} bytes: ${at}`);
    return at as Hva;
  }

  ioctl(fd: number, ioctl: Ioctl, argument = 0): number {
    return this.user.syscalls.ioctl(fd, ioctl.number, argument);
  }

  /** An ioctl with a structure, by way of the scratch page. */
  pass<M extends Members>(fd: number, ioctl: Ioctl, struct: Struct<M>, value: Partial<StructValue<M>>): number {
    this.user.memory.write(this.scratch, struct.encode(value));
    return this.ioctl(fd, ioctl, this.scratch);
  }

  /** The structure now in the scratch page. */
  answer<M extends Members>(struct: Struct<M>): StructValue<M> {
    const bytes = this.user.memory.read(this.scratch, struct.size);
    return struct.read(new DataView(bytes.buffer));
  }
}

/** Knows of nobody who would serve its exits where they are met. */
class ReturningVcpu extends Vcpu {
  override set quickExits(_server: QuickExits) {}
}

export interface BenchOptions {
  /** The model's CPU; else a scripted one. */
  readonly hardware?: 'real';
  readonly features?: EptFeatures;
  /** The model's CPU translates code, this eagerly. */
  readonly eagerness?: Eagerness;
  /** Each exit of the model's CPU returns through all layers. */
  readonly returns?: boolean;
  /** Make the interrupt controllers in the kernel before the vCPU. */
  readonly irqchip?: boolean;
  /** What the process does with the new VM before it has a vCPU. */
  readonly prepare?: (bench: Bench) => void;
  /** A booted host to start one more process on. */
  readonly host?: { readonly kernel: Kernel; readonly module: KvmModule };
}

export class Bench {
  readonly kernel: Kernel;
  readonly module: KvmModule;
  readonly qemu: User;
  readonly kvmFd: number;
  readonly vmFd: number;
  readonly vcpuFd: number;
  readonly vm: Vm;
  readonly cpu: ScriptedCpu;
  /** Where the vCPU's three pages are mapped. */
  readonly shared: Hva;
  /** `struct kvm_run` and the port data, as user space sees them. */
  readonly run: DataView;
  readonly pioData: Uint8Array;
  readonly events: string[] = [];

  constructor(options: BenchOptions = {}) {
    const { features, hardware, irqchip, host, eagerness, returns } = options;
    const stream = new EventStream(() => 0n);
    this.kernel = host?.kernel ?? new Kernel({ memory: new PhysicalMemory(MiB(32)), stream });
    if (host !== undefined) this.module = host.module;
    else if (eagerness !== undefined)
      this.module = initKvm(this.kernel, (memory, stateAt, events) => {
        const cpu = new Vcpu(memory, stateAt, events);
        cpu.translate(eagerness);
        return cpu;
      });
    else if (returns) this.module = initKvm(this.kernel, (...parts) => new ReturningVcpu(...parts));
    else if (hardware === 'real') this.module = initKvm(this.kernel);
    else this.module = initKvm(this.kernel, (memory) => new ScriptedCpu(memory));
    if (features !== undefined) this.module.features = features;
    this.qemu = new User(this.kernel, 'qemu');
    const { syscalls, memory } = this.qemu.user;
    this.kvmFd = syscalls.open('/dev/kvm', O_RDWR);
    this.vmFd = this.qemu.ioctl(this.kvmFd, KVM_CREATE_VM);
    if (irqchip) assert.equal(this.qemu.ioctl(this.vmFd, KVM_CREATE_IRQCHIP), 0);
    options.prepare?.(this);
    this.vcpuFd = this.qemu.ioctl(this.vmFd, KVM_CREATE_VCPU, 0);
    assert(this.vcpuFd > 0, `KVM_CREATE_VCPU: ${this.vcpuFd}`);
    this.vm = this.module.vms.at(-1)!;
    this.cpu = this.vm.vcpus[0]!.cpu as ScriptedCpu;
    if (this.cpu instanceof ScriptedCpu) beginScript(this.cpu);
    this.shared = syscalls.mmap(3 * 4096, READ_WRITE, MAP_SHARED, this.vcpuFd, 0) as Hva;
    const page = memory.view(this.shared, 4096);
    this.run = new DataView(page.buffer, page.byteOffset, page.length);
    this.pioData = memory.view((this.shared + 4096) as Hva, 4096);
  }

  /** Record the events that match, as `title: text`. */
  listen(globs: string): void {
    this.kernel.stream.subscribe(matchingEvents(globs), ({ event, fields }) => {
      this.events.push(`${event.title}: ${event.text(fields as never)}`);
    });
  }

  setSlot(slot: number, gpa: number, size: number, hva: number, flags = 0): number {
    return this.qemu.pass(this.vmFd, KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, {
      slot,
      flags,
      guest_phys_addr: BigInt(gpa),
      memory_size: BigInt(size),
      userspace_addr: BigInt(hva),
    });
  }

  /** KVM_RUN, after putting `steps` into the script. */
  enter(...steps: ScriptedCpu['script']): number {
    this.cpu.script.push(...steps);
    return this.qemu.ioctl(this.vcpuFd, KVM_RUN);
  }

  get exitReason(): number {
    return this.run.getUint32(RUN_EXIT_REASON, true);
  }
}

/** 64-bit code with registers that tell of nothing, and no tables that somebody would walk. */
function beginScript(cpu: ScriptedCpu): void {
  cpu.rip = SCRIPT_AT;
  cpu.setRegister(RDX, 0n);
  cpu.setControl(0, PROTECTED);
  cpu.efer = LONG_MODE;
  cpu.setSegment('cs', { ...cpu.segment('cs'), selector: 0, base: 0n, l: 1 });
}
