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
  MFD_CLOEXEC,
  MFD_HUGETLB,
  PROT_READ,
  PROT_WRITE,
} from '../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../error.ts';
import { boolProperty, type Property } from '../hw/property.ts';
import { type KeyValueOption, OptionError } from '../key-values.ts';
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

const sizeProperty = (doc: string): Property<number> => ({
  type: 'size',
  doc,
  default: 0,
  defaultText: undefined,
  parse(text, _owner, name) {
    const size = parseSize(text, 1);
    if (size === undefined)
      throw new ConfigurationError(`Parameter '${name}' expects a non-negative number below 2^64`);
    return size;
  },
});

const size = sizeProperty('Bytes');
const kinds = {
  'memory-backend-ram': { size },
  'memory-backend-memfd': {
    size,
    hugetlb: boolProperty(false, 'In large pages'),
    hugetlbsize: sizeProperty('Bytes of a page: 2M, if not given, or 1G'),
  },
} as const;
/** What `-object` calls them. */
export const MEMORY_BACKENDS: readonly string[] = Object.keys(kinds);

/** Make those of `objects` that are memory, by id; refusals are OptionErrors. */
export function memoryBackends(system: System, objects: readonly KeyValueOption[]): ReadonlyMap<string, MemoryBackend> {
  const made = new Map<string, MemoryBackend>();
  for (const object of objects) {
    if (!MEMORY_BACKENDS.includes(object.kind)) continue;
    try {
      const backend = makeBackend(system, object);
      if (made.has(backend.id))
        throw new ConfigurationError(`attempt to add duplicate property '${backend.id}' to object (type 'container')`);
      made.set(backend.id, backend);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      throw new OptionError(object.where, error.message);
    }
  }
  return made;
}

function makeBackend(system: System, { kind, values }: KeyValueOption): MemoryBackend {
  const properties: Readonly<Record<string, Property<unknown>>> = kinds[kind as keyof typeof kinds];
  const id = values.get('id');
  if (id === undefined) throw new ConfigurationError("Parameter 'id' is missing");
  const unknown = [...values.keys()].find((key) => key !== 'id' && properties[key] === undefined);
  if (unknown !== undefined) throw new ConfigurationError(`Property '${kind}.${unknown}' not found`);
  const value = (name: string) => {
    const text = values.get(name);
    const property = properties[name];
    return text === undefined ? property?.default : property?.parse(text, kind, name);
  };
  const bytes = value('size') as number;
  if (bytes === 0) throw new ConfigurationError("can't create backend with size 0");
  if (kind === 'memory-backend-ram') return { id, size: bytes, at: anonymous(system, id, bytes), mapped: false };
  const pages = value('hugetlb') === true ? hugetlbFlags(value('hugetlbsize') as number) : 0;
  return { id, size: bytes, at: ofFile(system, bytes, pages), mapped: false };
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
  if (!Number.isInteger(logarithm)) throw new ConfigurationError('hugetlbsize is not a power of two');
  return (MFD_HUGETLB | (logarithm << MAP_HUGE_SHIFT)) >>> 0;
}

/** qemu_memfd_create, file_ram_alloc. */
function ofFile(system: System, bytes: number, pages: number): Hva {
  const { syscalls } = system;
  const fd = syscalls.memfd_create('memory-backend-memfd', MFD_CLOEXEC | pages);
  if (fd < 0) throw new ConfigurationError(`failed to create memfd: ${strerror(-fd)}`);
  const resized = syscalls.ftruncate(fd, bytes);
  if (resized < 0) throw new ConfigurationError(`failed to resize memfd to ${bytes}: ${strerror(-resized)}`);
  const at = syscalls.mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at < 0) throw new ConfigurationError(`unable to map backing store for guest RAM: ${strerror(-at)}`);
  return hva(at);
}
