/** `-object iommufd,id=ID`: one open /dev/iommu for the devices that name it (backends/iommufd.c of QEMU 9.0). */

import { EFAULT, EMSGSIZE, ENOENT, strerror } from '../../linux/uapi/errno.ts';
import {
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  iommu_destroy,
  iommu_ioas_alloc,
  iommu_ioas_iova_ranges,
  iommu_ioas_map,
  iommu_ioas_unmap,
  iommu_iova_range,
} from '../../linux/uapi/iommufd.ts';
import { O_CLOEXEC, O_RDWR } from '../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../error.ts';
import type { System } from '../system.ts';
import {
  iommufdBackendAllocIoas,
  iommufdBackendConnect,
  iommufdBackendDisconnect,
  iommufdBackendFreeId,
  iommufdBackendMapDma,
  iommufdBackendUnmapDma,
  iommufdBackendUnmapDmaNonExist,
} from './trace-events.ts';

const PATH = '/dev/iommu';

export class IommufdBackend {
  readonly #system: System;
  #fd = -1;
  #users = 0;

  constructor(system: System) {
    this.#system = system;
  }

  /** Its descriptor while a device uses it. */
  get fd(): number {
    return this.#fd;
  }

  /** iommufd_backend_connect: refused where /dev/iommu cannot be opened. */
  connect(): void {
    if (this.#users === 0) {
      const fd = this.#system.syscalls.open(PATH, O_RDWR | O_CLOEXEC);
      if (fd < 0) throw new ConfigurationError(`${PATH} opening failed: ${strerror(-fd)}`);
      this.#fd = fd;
    }
    this.#users++;
    if (iommufdBackendConnect.on) {
      iommufdBackendConnect(this.#system.stream, { fd: this.#fd, owned: true, users: this.#users });
    }
  }

  /** iommufd_backend_disconnect. */
  disconnect(): void {
    if (--this.#users === 0) {
      this.#system.syscalls.close(this.#fd);
      this.#fd = -1;
    }
    if (iommufdBackendDisconnect.on) {
      iommufdBackendDisconnect(this.#system.stream, { fd: this.#fd, users: this.#users });
    }
  }

  /** iommufd_backend_alloc_ioas: the number of a new I/O address space. */
  allocateSpace(): number {
    const size = iommu_ioas_alloc.size;
    const { result, value } = this.#system.exchange(this.#fd, IOMMU_IOAS_ALLOC, iommu_ioas_alloc, { size });
    if (result < 0) throw new ConfigurationError(`Failed to allocate ioas: ${strerror(-result)}`);
    const ioas = value.out_ioas_id;
    if (iommufdBackendAllocIoas.on) iommufdBackendAllocIoas(this.#system.stream, { iommufd: this.#fd, ioas });
    return ioas;
  }

  /** iommufd_backend_free_id. */
  free(id: number): void {
    const system = this.#system;
    const ret = system.ioctlStruct(this.#fd, IOMMU_DESTROY, iommu_destroy, { size: iommu_destroy.size, id });
    if (iommufdBackendFreeId.on) iommufdBackendFreeId(system.stream, { iommufd: this.#fd, id, ret: asReturned(ret) });
    if (ret < 0) system.error(`Failed to free id: ${id} ${strerror(-ret)}`);
  }

  /** iommufd_cdev_get_info_iova_range: asked for their number, then for the ranges. 0 or -errno. */
  learnRanges(ioas: number): number {
    const system = this.#system;
    const shape = iommu_ioas_iova_ranges;
    const number = system.exchange(this.#fd, IOMMU_IOAS_IOVA_RANGES, shape, { size: shape.size, ioas_id: ioas });
    if (number.result < 0 && number.result !== -EMSGSIZE) return number.result;
    return system.heap.scoped(() => {
      const { num_iovas } = number.value;
      const room = new Uint8Array(num_iovas * iommu_iova_range.size);
      const at = system.heap.put(shape, { size: shape.size, ioas_id: ioas, num_iovas }, room);
      const behind = BigInt(at + shape.size);
      system.memory.write(at, shape.encode({ size: shape.size, ioas_id: ioas, num_iovas, allowed_iovas: behind }));
      return system.ioctl(this.#fd, IOMMU_IOAS_IOVA_RANGES, at);
    });
  }

  /** iommufd_backend_map_dma: 0 or -errno, which it has told of. */
  map(ioas: number, iova: number, size: number, vaddr: number, readonly: boolean): number {
    const system = this.#system;
    const rights = IOMMU_IOAS_MAP_READABLE | (readonly ? 0 : IOMMU_IOAS_MAP_WRITEABLE);
    const ret = system.ioctlStruct(this.#fd, IOMMU_IOAS_MAP, iommu_ioas_map, {
      size: iommu_ioas_map.size,
      flags: IOMMU_IOAS_MAP_FIXED_IOVA | rights,
      ioas_id: ioas,
      user_va: BigInt(vaddr),
      length: BigInt(size),
      iova: BigInt(iova),
    });
    if (iommufdBackendMapDma.on) {
      const fields = { iommufd: this.#fd, ioas, iova, size, addr: vaddr, readonly, ret: asReturned(ret) };
      iommufdBackendMapDma(system.stream, fields);
    }
    if (ret === -EFAULT) system.error(`warning: IOMMU_IOAS_MAP failed: ${strerror(EFAULT)}, PCI BAR?`);
    else if (ret < 0) system.error(`IOMMU_IOAS_MAP failed: ${strerror(-ret)}`);
    return ret;
  }

  /** iommufd_backend_unmap_dma: 0, also where nothing was mapped, or -errno, which it has told of. */
  unmap(ioas: number, iova: number, size: number): number {
    const system = this.#system;
    const ret = system.ioctlStruct(this.#fd, IOMMU_IOAS_UNMAP, iommu_ioas_unmap, {
      size: iommu_ioas_unmap.size,
      ioas_id: ioas,
      iova: BigInt(iova),
      length: BigInt(size),
    });
    const fields = { iommufd: this.#fd, ioas, iova, size, ret: asReturned(ret) };
    if (ret === -ENOENT) {
      if (iommufdBackendUnmapDmaNonExist.on) iommufdBackendUnmapDmaNonExist(system.stream, fields);
      return 0;
    }
    if (iommufdBackendUnmapDma.on) iommufdBackendUnmapDma(system.stream, fields);
    if (ret < 0) system.error(`IOMMU_IOAS_UNMAP failed: ${strerror(-ret)}`);
    return ret;
  }
}

/** What ioctl(2) returns in C, where errno has the rest. */
const asReturned = (result: number): number => (result < 0 ? -1 : result);
