/**
 * kvm.ko: /dev/kvm and its ioctls (virt/kvm/kvm_main.c: kvm_init, kvm_dev_ioctl). A VM is a file descriptor that it
 * gives out; everything else happens on that one.
 */

import { Vcpu } from '../../hardware/vcpu/vcpu.ts';
import { type FileOperations, OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyToUser, getStruct, putStruct } from '../core/uaccess.ts';
import { E2BIG, EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import {
  KVM_API_VERSION,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_MSR_FEATURE_INDEX_LIST,
  KVM_GET_MSR_INDEX_LIST,
  KVM_GET_MSRS,
  KVM_GET_SUPPORTED_CPUID,
  KVM_GET_VCPU_MMAP_SIZE,
  kvm_msr_list,
} from '../uapi/kvm.ts';
import { KVM_VCPU_MMAP_SIZE } from '../uapi/kvm-run.ts';
import { O_CLOEXEC, O_RDWR } from '../uapi/syscalls.ts';
import { checkExtension } from './capabilities.ts';
import type { Cpu, CpuFactory } from './cpu.ts';
import { supportedCpuid } from './cpuid.ts';
import { exportedSymbols } from './exported-symbols.ts';
import { IoctlTable } from './ioctl-table.ts';
import { addParameters } from './module-parameters.ts';
import { featureMsrs, keptMsr, msrIndexList } from './msr-table.ts';
import { eachMsr, getSupportedCpuid } from './vcpu-ioctl.ts';
import { type EptFeatures, Vm } from './vm.ts';
import { vmOperations } from './vm-ioctl.ts';

/** The loaded module, as the host's own tools hold it: reports and limits reach the running VMs through it. */
export class KvmModule {
  readonly kernel: Kernel;
  /** VMs that exist, oldest first. */
  readonly vms: Vm[] = [];
  /** What a new VM's {@link Vm.instructionLimit} starts with. */
  instructionLimit = Number.POSITIVE_INFINITY;
  /** What new VMs make of EPT. */
  features: EptFeatures = { accessedDirty: true, modificationLog: false };
  readonly #makeCpu: CpuFactory;
  /** Of VMs that are gone. */
  #retiredBefore = 0;

  constructor(kernel: Kernel, makeCpu: CpuFactory) {
    this.kernel = kernel;
    this.#makeCpu = makeCpu;
  }

  /** Guest instructions retired since the module was loaded, by VMs that are gone too: it never sinks. */
  get retired(): number {
    let total = this.#retiredBefore;
    for (const vm of this.vms) total += vm.retired;
    return total;
  }

  /** KVM_CREATE_VM: an fd, -EINVAL for a machine type, -ENOMEM, -EMFILE. */
  createVm(machineType: number): number {
    const { kernel } = this;
    if (machineType !== 0) return kernel.refuse(EINVAL, 'x86 has one machine type, 0');
    if (!kernel.kmallocAll('struct kvm', ...Array.from({ length: IO_BUSES }, () => 'struct kvm_io_bus')))
      return -ENOMEM;
    const ringFrame = kernel.pages.allocate();
    if (ringFrame === undefined) return kernel.refuse(ENOMEM, 'no page frame for the coalesced ring');
    const vm = new Vm({
      kernel,
      makeCpu: this.#makeCpu,
      ringFrame,
      instructionLimit: this.instructionLimit,
      features: this.features,
      onDestroy: (gone) => {
        this.#retiredBefore += gone.retired;
        this.vms.splice(this.vms.indexOf(gone), 1);
      },
    });
    this.vms.push(vm);
    const file = kernel.anonFile('kvm-vm', vmOperations, O_RDWR | O_CLOEXEC, vm);
    if (typeof file === 'number') {
      vm.put();
      return file;
    }
    return kernel.install(file);
  }
}

/** kvm_create_vm allocates this many: ports, memory, fast memory, and one for another architecture. */
const IO_BUSES = 4;

const zero = (result: (module: KvmModule) => number) => (module: KvmModule, argument: number) =>
  argument === 0 ? result(module) : module.kernel.refuse(EINVAL, 'the argument of this ioctl is 0');

const table = new IoctlTable<KvmModule>()
  .plain(
    KVM_GET_API_VERSION,
    zero(() => KVM_API_VERSION),
  )
  .plain(KVM_CREATE_VM, (module, type) => module.createVm(type))
  .plain(KVM_CHECK_EXTENSION, (_module, capability) => checkExtension(capability))
  .plain(
    KVM_GET_VCPU_MMAP_SIZE,
    zero(() => KVM_VCPU_MMAP_SIZE),
  )
  .plain(KVM_GET_SUPPORTED_CPUID, (module, argument) => getSupportedCpuid(module, argument, supportedCpuid))
  .plain(KVM_GET_MSR_INDEX_LIST, (module, argument) => giveMsrList(module, argument, msrIndexList))
  .plain(KVM_GET_MSR_FEATURE_INDEX_LIST, (module, argument) => giveMsrList(module, argument, featureMsrs))
  .plain(KVM_GET_MSRS, (module, argument) =>
    eachMsr(module, argument, true, (entry) => {
      if (!featureMsrs.includes(entry.index)) return false;
      entry.data = keptMsr(entry.index)!.reset;
      return true;
    }),
  );

/** Copy a list of MSRs; -E2BIG, with the number needed filled in, when user space left too little room. */
function giveMsrList({ kernel }: KvmModule, argument: number, list: readonly number[]): number {
  const asked = getStruct(kernel, kvm_msr_list, argument);
  if (typeof asked === 'number') return asked;
  const nmsrs = list.length;
  if (putStruct(kernel, kvm_msr_list, argument, { nmsrs }) < 0) return -EFAULT;
  if (asked.nmsrs < nmsrs) return kernel.refuse(E2BIG, `there are ${nmsrs} MSRs, room for ${asked.nmsrs}`);
  return copyToUser(kernel, argument + kvm_msr_list.size, new Uint8Array(Uint32Array.from(list).buffer));
}

const systemOperations: FileOperations = {
  ioctl(file, request, argument) {
    const module = file.privateData as KvmModule;
    return table.dispatch(module, request, argument) ?? module.kernel.refuse(EINVAL, 'no such /dev/kvm ioctl');
  },
};

const hardware: CpuFactory = (memory, stateAt, stream): Cpu => new Vcpu(memory, stateAt, stream);

/** Load kvm.ko: /dev/kvm appears. `makeCpu` is the hardware that vCPUs run on. */
export function initKvm(kernel: Kernel, makeCpu: CpuFactory = hardware): KvmModule {
  const module = new KvmModule(kernel, makeCpu);
  kernel.clock.drivenBy(() => module.retired);
  addParameters(module);
  for (const [name, symbol] of Object.entries(exportedSymbols)) kernel.symbols.set(name, symbol);
  kernel.files.registerDevice('/dev/kvm', 0o660, (flags) => new OpenFile('/dev/kvm', systemOperations, flags, module));
  return module;
}
