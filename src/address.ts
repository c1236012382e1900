/**
 * The five address spaces of the model, as types, and the page sizes that divide them.
 *
 * A function that takes a {@link Gpa} cannot be handed a {@link Gva}. Physical and host addresses are numbers:
 * MAXPHYADDR is at most 52 bits, a user address 47, and both are exact in a double. A guest virtual address
 * needs all 64 bits and is a bigint wherever it is not on the vCPU's hot path.
 */

/** Guest virtual (linear) address: what a guest pointer holds. */
export type Gva = bigint & { readonly space: 'gva' };
/** Guest physical address: what the guest's page tables yield, and what devices are told. */
export type Gpa = number & { readonly space: 'gpa' };
/** Host virtual address in one user process (QEMU's pointer into guest RAM). */
export type Hva = number & { readonly space: 'hva' };
/** Host physical address: an offset into the modeled host's RAM, or a device's bus address. */
export type Hpa = number & { readonly space: 'hpa' };
/** I/O virtual address: what a device emits for DMA. */
export type Iova = number & { readonly space: 'iova' };

export const gva = (value: bigint): Gva => BigInt.asUintN(64, value) as Gva;
export const gpa = (value: number): Gpa => value as Gpa;
export const hva = (value: number): Hva => value as Hva;
export const hpa = (value: number): Hpa => value as Hpa;
export const iova = (value: number): Iova => value as Iova;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const KiB = (n: number): number => n * 1024;
export const MiB = (n: number): number => n * 1024 * 1024;
export const GiB = (n: number): number => n * 1024 * 1024 * 1024;

/** Byte offset of `address` in its page. */
export const pageOffset = (address: number): number => address % PAGE_SIZE;
/** Where the page that holds `address` begins. Hot: the low bits of an exact integer of any size and sign, without a division. */
export const pageStart = (address: number): number => address - (address & (PAGE_SIZE - 1));
/** Number of the page that holds `address` (gfn, pfn). */
export const pageNumber = (address: number): number => Math.floor(address / PAGE_SIZE);
/** `address` plus a byte count, in the same space. */
export const plus = <A extends number>(address: A, bytes: number): A => (address + bytes) as A;
