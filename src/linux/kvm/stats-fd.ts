/**
 * Statistics of a VM and of its vCPUs, and KVM_GET_STATS_FD, the file that describes and holds them (virt/kvm/
 * binary_stats.c; the names: virt/kvm/kvm_main.c and arch/x86/kvm/x86.c, kvm_vm_stats_desc, kvm_vcpu_stats_desc).
 *
 * Fidelity: the statistics that the model has something to count for; the file describes itself, so readers need no more.
 */

import type { FileOperations, OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyToUser, refusePointer } from '../core/uaccess.ts';
import {
  KVM_STATS_BASE_POW10,
  KVM_STATS_NAME_SIZE,
  KVM_STATS_TYPE_CUMULATIVE,
  KVM_STATS_TYPE_INSTANT,
  KVM_STATS_UNIT_NONE,
  KVM_STATS_UNIT_SECONDS,
  kvm_stats_desc,
  kvm_stats_header,
  kvm_stats_value,
} from '../uapi/kvm-stats.ts';
import { O_CLOEXEC, O_RDONLY } from '../uapi/syscalls.ts';
import type { EptTables } from './ept-tables.ts';
import { isLeaf, isPresent } from './spte.ts';
import type { KvmVcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** Measured in nanoseconds; everything else counts. */
const NANOSECONDS: ReadonlySet<string> = new Set(['halt_poll_success_ns', 'halt_poll_fail_ns', 'halt_wait_ns']);
/** Values of now, which may sink. */
const INSTANT: ReadonlySet<string> = new Set(['pages_4k', 'pages_2m', 'pages_1g']);

type Values = Readonly<Record<string, number>>;
/** What a statistics fd stands on. */
interface StatsFile {
  readonly kernel: Kernel;
  readonly id: string;
  readonly values: () => Values;
  /** The VM stays while the file is open. */
  readonly vm: Vm;
}

/** KVM_GET_STATS_FD on a VM: an fd, or -ENOMEM, -EMFILE. */
export const vmStatsFd = (vm: Vm): number =>
  install('kvm-vm-stats', {
    kernel: vm.kernel,
    vm,
    id: `kvm-${vm.kernel.current.pid}`,
    values: () => vmValues(vm),
  });

/** KVM_GET_STATS_FD on a vCPU. */
export const vcpuStatsFd = (vcpu: KvmVcpu): number =>
  install(`kvm-vcpu-stats:${vcpu.id}`, {
    kernel: vcpu.kernel,
    vm: vcpu.vm,
    id: `kvm-${vcpu.kernel.current.pid}/vcpu-${vcpu.id}`,
    values: () => ({ ...vcpu.stats }),
  });

function vmValues(vm: Vm): Values {
  const [pages_4k, pages_2m, pages_1g] = leaves(vm.mmu.tables);
  // Who asks for a flush does so while no vCPU is in the guest: none has to be brought out for it.
  return { remote_tlb_flush: 0, remote_tlb_flush_requests: vm.flushes, pages_4k, pages_2m, pages_1g };
}

/** Mapped pages by size. */
function leaves(tables: EptTables | undefined): readonly [number, number, number] {
  const counts: [number, number, number] = [0, 0, 0];
  tables?.changeLeaves(0, Number.MAX_SAFE_INTEGER, (entry, level) => {
    if (isPresent(entry) && isLeaf(entry, level)) counts[level - 1]!++;
    return entry;
  });
  return counts;
}

function install(name: string, stats: StatsFile): number {
  const { kernel, vm } = stats;
  const file = kernel.anonFile(name, statsOperations, O_RDONLY | O_CLOEXEC, stats);
  if (typeof file === 'number') return file;
  vm.get();
  return kernel.install(file);
}

/** kvm_stats_read: any part of the file at its position. */
const statsOperations: FileOperations = {
  read(file, buffer, count, position) {
    const stats = statsOf(file);
    const bytes = encode(stats);
    const piece = bytes.subarray(Math.min(position, bytes.length), Math.min(position + count, bytes.length));
    const told = copyToUser(stats.kernel, buffer, piece);
    return told < 0 ? refusePointer(stats.kernel, buffer, piece.length) : piece.length;
  },
  release(file) {
    statsOf(file).vm.put();
  },
};

const statsOf = (file: OpenFile) => file.privateData as StatsFile;

/** Header, id, descriptors and values, in this order. */
function encode({ id, values }: StatsFile): Uint8Array {
  const rows = Object.entries(values());
  const descriptorsAt = kvm_stats_header.size + KVM_STATS_NAME_SIZE;
  const dataAt = descriptorsAt + rows.length * kvm_stats_desc.size;
  const bytes = new Uint8Array(dataAt + rows.length * kvm_stats_value.size);
  const view = new DataView(bytes.buffer);
  kvm_stats_header.write(view, {
    name_size: KVM_STATS_NAME_SIZE,
    num_desc: rows.length,
    id_offset: kvm_stats_header.size,
    desc_offset: descriptorsAt,
    data_offset: dataAt,
  });
  bytes.set(new TextEncoder().encode(id), kvm_stats_header.size);
  for (const [index, [name, value]] of rows.entries()) {
    const seconds = NANOSECONDS.has(name);
    kvm_stats_desc.write(
      view,
      {
        flags:
          (INSTANT.has(name) ? KVM_STATS_TYPE_INSTANT : KVM_STATS_TYPE_CUMULATIVE) |
          (seconds ? KVM_STATS_UNIT_SECONDS : KVM_STATS_UNIT_NONE) |
          KVM_STATS_BASE_POW10,
        exponent: seconds ? -9 : 0,
        size: 1,
        offset: index * kvm_stats_value.size,
        name: new TextEncoder().encode(name),
      },
      descriptorsAt + index * kvm_stats_desc.size,
    );
    kvm_stats_value.write(view, { value: BigInt(Math.round(value)) }, dataAt + index * kvm_stats_value.size);
  }
  return bytes;
}
