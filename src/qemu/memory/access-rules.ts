/**
 * What accesses an io region takes, and in which pieces its callbacks get them (softmmu/memory.c: memory_region_access_valid,
 * access_with_adjusted_size; softmmu/physmem.c: memory_access_size). Read once from the region's ops, whose objects are of many
 * shapes: here every region's stand in one, with QEMU's defaults in place of zeros. Hot.
 */

/** Widths of access in bytes. `max` 0 in `valid` means "any width is taken, and the core cuts at 4". */
export interface AccessSizes {
  readonly min: number;
  readonly max: number;
  readonly unaligned: boolean;
}

/** Of MemoryRegionOps, what tells of accesses. */
interface Described {
  readonly valid: AccessSizes;
  readonly impl: AccessSizes;
  accepts?(offset: number, size: number): boolean;
}

const DEFAULT_MAX = 4;
const DEFAULT_MIN = 1;

export class AccessRules {
  readonly #ops: Described;
  readonly #selective: boolean;
  readonly #anyWidth: boolean;
  readonly #validMin: number;
  readonly #validMax: number;
  readonly #validUnaligned: boolean;
  /** Most bytes of one dispatch. */
  readonly #cut: number;
  readonly #implMin: number;
  readonly #implMax: number;
  readonly #implUnaligned: boolean;

  constructor(ops: Described) {
    const { valid, impl } = ops;
    this.#ops = ops;
    this.#selective = ops.accepts !== undefined;
    this.#anyWidth = valid.max === 0;
    this.#validMin = valid.min;
    this.#validMax = valid.max;
    this.#validUnaligned = valid.unaligned;
    this.#cut = valid.max || DEFAULT_MAX;
    this.#implMin = impl.min || DEFAULT_MIN;
    this.#implMax = impl.max || DEFAULT_MAX;
    this.#implUnaligned = impl.unaligned;
  }

  /** memory_access_size: how many of `length` bytes at `offset` go to the region in one dispatch; the caller loops over the rest. */
  cut(length: number, offset: number): number {
    let max = this.#cut;
    if (!this.#implUnaligned) {
      // The lowest set bit of the offset; offset 0 sets no bound.
      const low = offset | 0;
      const align = (low & -low) >>> 0;
      if (align !== 0 && align < max) max = align;
    }
    const bound = length < max ? length : max;
    return bound >= 8 ? 8 : bound >= 4 ? 4 : bound >= 2 ? 2 : 1;
  }

  /** memory_region_access_valid, for a `size` of 1, 2, 4 or 8. */
  valid(offset: number, size: number): boolean {
    if (this.#selective && !this.#ops.accepts!(offset, size)) return false;
    if (!this.#validUnaligned && (offset & (size - 1)) !== 0) return false;
    return this.#anyWidth || (size >= this.#validMin && size <= this.#validMax);
  }

  /** Whether an access of `size` (1, 2, 4, 8) at `offset` is taken, whole and by one callback, and always will be. */
  whole(offset: number, size: number): boolean {
    return !this.#selective && this.valid(offset, size) && this.cut(size, offset) === size && this.width(size) === size;
  }

  /** Width of one callback for an access of `size`. */
  width(size: number): number {
    const narrow = size < this.#implMax ? size : this.#implMax;
    return narrow > this.#implMin ? narrow : this.#implMin;
  }
}
