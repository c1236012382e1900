/** Guest RAM becomes DMA mappings of a container, or of an I/O address space (hw/vfio/common.c: vfio_listener_region_add, _del). */

import { PAGE_SIZE } from '../../../address.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import { hardwareError } from '../../error.ts';
import type { FlatRange } from '../../memory/flat-view.ts';
import type { MemoryListener } from '../../memory/listener.ts';
import type { MemoryRegion } from '../../memory/region.ts';
import type { System } from '../../system.ts';
import {
  vfioListenerRegionAddRam,
  vfioListenerRegionAddSkip,
  vfioListenerRegionDel,
  vfioListenerRegionDelSkip,
} from './trace-events.ts';

/** Where mappings go. */
export interface DmaTarget {
  /** What failures are told as, without the last arguments and the bracket: `vfio_dma_map(0x7`. */
  readonly mapCall: string;
  readonly unmapCall: string;
  /** 0 or -errno, which the target has told of. */
  map(iova: number, size: number, vaddr: number, readonly: boolean): number;
  /** 0 or -errno, which the target has told of. */
  unmap(iova: number, size: number): number;
}

export class VfioDmaListener implements MemoryListener {
  readonly name = 'vfio';
  readonly priority = 0;
  readonly #system: System;
  readonly #target: DmaTarget;
  #initialised = false;
  /** The first failure while the existing ranges were replayed; the container is then given up. */
  error: string | undefined;

  constructor(system: System, target: DmaTarget) {
    this.#system = system;
    this.#target = target;
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
    const result = this.#target.map(start, size, vaddr, range.readonly);
    if (result >= 0) return;
    const call = `${this.#target.mapCall}, ${hex(start)}, ${hex(size)}, ${hex(vaddr)})`;
    this.#failed(range.region, `${call} = ${textOf(result)}`);
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
    const result = this.#target.unmap(start, size);
    if (result < 0) this.#system.error(`${this.#target.unmapCall}, ${hex(start)}, ${hex(size)}) = ${textOf(result)}`);
  }

  /** The replay at registration is over: from now on a failure cannot be taken back. */
  commit(): void {
    this.#initialised = true;
  }

  /** A device that other devices cannot reach is not worth giving up for; RAM that none can is. */
  #failed({ kind, name }: MemoryRegion, text: string): void {
    if (kind === 'ram-device' || this.#initialised) this.#system.error(text);
    if (kind === 'ram-device') return;
    if (this.#initialised) throw hardwareError('vfio: DMA mapping failed, unable to continue');
    this.error ??= `Region ${name}: ${text}`;
  }
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const textOf = (result: number): string => `${result} (${strerror(-result)})`;

function wholePages(range: FlatRange): { readonly start: number; readonly size: number } {
  const start = Math.ceil(range.start / PAGE_SIZE) * PAGE_SIZE;
  return { start, size: Math.floor((range.end - start) / PAGE_SIZE) * PAGE_SIZE };
}
