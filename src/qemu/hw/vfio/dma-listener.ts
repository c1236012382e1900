/** Guest RAM becomes DMA mappings of the container (hw/vfio/common.c: vfio_listener_region_add, _del). */

import { PAGE_SIZE } from '../../../address.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../../linux/uapi/vfio.ts';
import { Abort } from '../../error.ts';
import type { FlatRange } from '../../memory/flat-view.ts';
import type { MemoryListener } from '../../memory/listener.ts';
import type { System } from '../../system.ts';
import {
  vfioListenerRegionAddRam,
  vfioListenerRegionAddSkip,
  vfioListenerRegionDel,
  vfioListenerRegionDelSkip,
} from './trace-events.ts';

export class VfioDmaListener implements MemoryListener {
  readonly name = 'vfio';
  readonly priority = 0;
  readonly #system: System;
  readonly #container: number;
  #initialised = false;
  /** The first failure while the existing ranges were replayed; the container is then given up. */
  error: string | undefined;

  constructor(system: System, container: number) {
    this.#system = system;
    this.#container = container;
  }

  regionAdd(range: FlatRange): void {
    if (!range.region.isRam) {
      const fields = { start: range.start, end: range.end - 1 };
      if (vfioListenerRegionAddSkip.on) vfioListenerRegionAddSkip(this.#system.stream, fields);
      return;
    }
    const { start, size } = wholePages(range);
    if (size <= 0) return;
    const vaddr = range.region.host! + range.offset + (start - range.start);
    if (vfioListenerRegionAddRam.on) {
      vfioListenerRegionAddRam(this.#system.stream, { start, end: start + size - 1, vaddr });
    }
    const result = this.#map(start, size, vaddr, range.readonly);
    if (result < 0) this.#failed({ start, size, vaddr, fatal: range.region.kind !== 'ram-device' }, result);
  }

  regionDelete(range: FlatRange): void {
    if (!range.region.isRam) {
      const fields = { start: range.start, end: range.end - 1 };
      if (vfioListenerRegionDelSkip.on) vfioListenerRegionDelSkip(this.#system.stream, fields);
      return;
    }
    const { start, size } = wholePages(range);
    if (size <= 0) return;
    if (vfioListenerRegionDel.on) vfioListenerRegionDel(this.#system.stream, { start, end: start + size - 1 });
    const result = this.#system.ioctlStruct(this.#container, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, {
      argsz: vfio_iommu_type1_dma_unmap.size,
      iova: BigInt(start),
      size: BigInt(size),
    });
    if (result < 0) this.#system.error(`VFIO_UNMAP_DMA failed: ${strerror(-result)}`);
  }

  /** The replay at registration is over: from now on a failure cannot be taken back. */
  commit(): void {
    this.#initialised = true;
  }

  #map(iova: number, size: number, vaddr: number, readonly: boolean): number {
    return this.#system.ioctlStruct(this.#container, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, {
      argsz: vfio_iommu_type1_dma_map.size,
      flags: VFIO_DMA_MAP_FLAG_READ | (readonly ? 0 : VFIO_DMA_MAP_FLAG_WRITE),
      vaddr: BigInt(vaddr),
      iova: BigInt(iova),
      size: BigInt(size),
    });
  }

  /** A device that other devices cannot reach is not worth giving up for; RAM that none can is. */
  #failed(
    what: { readonly start: number; readonly size: number; readonly vaddr: number; readonly fatal: boolean },
    result: number,
  ): void {
    const hex = (value: number) => `0x${value.toString(16)}`;
    this.#system.error(`VFIO_MAP_DMA failed: ${strerror(-result)}`);
    const call = `vfio_dma_map(${hex(this.#container)}, ${hex(what.start)}, ${hex(what.size)}, ${hex(what.vaddr)})`;
    const text = `${call} = ${result} (${strerror(-result)})`;
    if (!what.fatal) {
      this.#system.error(text);
      return;
    }
    if (this.#initialised) throw new Abort(`vfio: DMA mapping failed, unable to continue: ${text}`);
    this.error ??= text;
  }
}

function wholePages(range: FlatRange): { readonly start: number; readonly size: number } {
  const start = Math.ceil(range.start / PAGE_SIZE) * PAGE_SIZE;
  return { start, size: Math.floor((range.end - start) / PAGE_SIZE) * PAGE_SIZE };
}
