/**
 * `-object memory-backend-ram` and `memory-backend-memfd`: memory by name, for the guest's RAM (`-machine memory-backend=ID`) or for
 * a device with `memdev=ID` (backends/hostmem.c, hostmem-ram.c, hostmem-memfd.c; util/memfd.c). With `hugetlb=on` it is in large
 * pages of a pool of the host's.
 */

import { type Hva, hva } from '../../address.ts';
import { strerror } from '../../linux/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_HUGE_SHIFT,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_HUGETLB,
  PROT_READ,
  PROT_WRITE,
} from '../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../error.ts';
import { boolProperty, type Property, sizeProperty } from '../hw/property.ts';
import { checkId, type KeyValueOption, refusing } from '../key-values.ts';
import { parseSize } from '../size.ts';
import type { System } from '../system.ts';

/** Memory of this process that somebody may claim. */
export interface MemoryBackend {
  readonly id: string;
  readonly size: number;
  readonly at: Hva;
  /** The machine or a device has it (host_memory_backend_set_mapped). */
  mapped: boolean;
}

/** visit_type_size of an object's options: 0 if it is not given. */
const sizeOption = (doc: string): Property<number> => ({
  ...sizeProperty(0, doc),
  parse(text, _owner, name) {
    const size = parseSize(text, 1);
    if (size === undefined) throw new ConfigurationError(`Parameter '${name}' expects a size value`);
    return size;
  },
});

const size = sizeOption('Bytes');
const kinds = {
  'memory-backend-ram': { size },
  'memory-backend-memfd': {
    size,
    hugetlb: boolProperty(false, 'In large pages'),
    hugetlbsize: sizeOption('Bytes of a page: 2M, if not given, or 1G'),
  },
} as const;
/** What `-object` calls them. */
export const MEMORY_BACKENDS: readonly string[] = Object.keys(kinds);

/** What one of them is to be. */
interface Wanted {
  readonly kind: string;
  readonly id: string;
  readonly size: number;
  readonly hugetlb: boolean;
  readonly hugetlbsize: number;
}

/**
 * Make those of `objects` that are memory, by id. What is wrong with the words is the option's fault; what comes of making them is told
 * without it.
 */
export function memoryBackends(system: System, objects: readonly KeyValueOption[]): ReadonlyMap<string, MemoryBackend> {
  const wanted = new Map<string, Wanted>();
  for (const object of objects) {
    if (!MEMORY_BACKENDS.includes(object.kind)) continue;
    refusing(object.where, () => {
      const one = parseBackend(object);
      if (wanted.has(one.id)) throw new ConfigurationError(`Duplicate ID '${one.id}' for object`);
      wanted.set(one.id, one);
    });
  }
  return new Map([...wanted].map(([id, one]) => [id, makeBackend(system, one)]));
}

function parseBackend({ kind, values }: KeyValueOption): Wanted {
  const properties: Readonly<Record<string, Property<unknown>>> = kinds[kind as keyof typeof kinds];
  const id = values.get('id');
  if (id === undefined) throw new ConfigurationError("Parameter 'id' is missing");
  checkId(id);
  const value = (name: string) => {
    const text = values.get(name);
    const property = properties[name];
    return text === undefined ? property?.default : property?.parse(text, kind, name);
  };
  if (!values.has('size')) throw new ConfigurationError("Parameter 'size' is missing");
  const wanted = { size: value('size') as number, hugetlb: value('hugetlb') === true };
  const hugetlbsize = (value('hugetlbsize') as number | undefined) ?? 0;
  const unknown = [...values.keys()].find((key) => key !== 'id' && properties[key] === undefined);
  if (unknown !== undefined) throw new ConfigurationError(`Invalid parameter '${unknown}'`);
  return { kind, id, ...wanted, hugetlbsize };
}

function makeBackend(system: System, { kind, id, size, hugetlb, hugetlbsize }: Wanted): MemoryBackend {
  if (size === 0) throw new ConfigurationError(`property 'size' of ${kind} doesn't take value '0'`);
  if (kind === 'memory-backend-ram') return { id, size, at: anonymous(system, id, size), mapped: false };
  const pages = hugetlb ? hugetlbFlags(hugetlbsize) : 0;
  return { id, size, at: ofFile(system, size, pages), mapped: false };
}

function anonymous(system: System, id: string, bytes: number): Hva {
  const at = system.syscalls.mmap(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at < 0) throw new ConfigurationError(`cannot set up guest memory '${id}': ${strerror(-at)}`);
  return hva(at);
}

/** The size of pages as memfd_create takes it; 0 leaves it to the kernel. */
function hugetlbFlags(pageBytes: number): number {
  const logarithm = Math.log2(pageBytes);
  if (pageBytes === 0) return MFD_HUGETLB;
  if (!Number.isInteger(logarithm)) throw new ConfigurationError('Hugepage size must be a power of 2');
  return (MFD_HUGETLB | (logarithm << MAP_HUGE_SHIFT)) >>> 0;
}

/** qemu_memfd_create, file_ram_alloc. Fidelity: QEMU seals the file's size as well. */
function ofFile(system: System, bytes: number, pages: number): Hva {
  const { syscalls } = system;
  const flags = (MFD_CLOEXEC | MFD_ALLOW_SEALING | pages) >>> 0;
  const fd = syscalls.memfd_create('memory-backend-memfd', flags);
  if (fd < 0)
    throw new ConfigurationError(`failed to create memfd with flags 0x${flags.toString(16)}: ${strerror(-fd)}`);
  const resized = syscalls.ftruncate(fd, bytes);
  if (resized < 0) throw new ConfigurationError(`failed to resize memfd to ${bytes}: ${strerror(-resized)}`);
  const at = syscalls.mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at < 0) throw new ConfigurationError(`unable to map backing store for guest RAM: ${strerror(-at)}`);
  return hva(at);
}
