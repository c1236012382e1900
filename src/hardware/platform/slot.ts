/** What a device that sits on no bus is wired to: a place in the processor's address space, an interrupt line, the IOMMU. */

import type { AddressBus } from '../address-bus.ts';
import type { InterruptController } from '../interrupt-controller.ts';
import type { Iommu } from '../iommu.ts';

export interface PlatformSlot {
  readonly memory: AddressBus;
  /** Where its registers begin. */
  readonly base: number;
  readonly interrupts: InterruptController;
  /** Number of its interrupt line, which is level-triggered. */
  readonly line: number;
  readonly iommu: Iommu;
  /** The number that its DMA carries (an ACPI namespace device of VT-d, 8.7). */
  readonly source: number;
}
