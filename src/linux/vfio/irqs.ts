/** Validation of VFIO_DEVICE_SET_IRQS, the same for every driver: vfio_set_irqs_validate_and_prepare, vfio_main.c. */

import { hva, plus } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyFromUser } from '../core/uaccess.ts';
import { EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import type { StructOf } from '../uapi/struct.ts';
import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  vfio_irq_set,
} from '../uapi/vfio.ts';
import { offsetOfEnd } from './argsz.ts';

const ALL_FLAGS = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;

/** Bytes of data an interrupt takes, by data type; undefined for a mixture. */
function bytesEach(dataType: number): number | undefined {
  switch (dataType) {
    case VFIO_IRQ_SET_DATA_NONE:
      return 0;
    case VFIO_IRQ_SET_DATA_BOOL:
      return 1;
    case VFIO_IRQ_SET_DATA_EVENTFD:
      return 4;
    default:
      return undefined;
  }
}

/**
 * Bytes of data that follow the header (count times 0, 1 or 4), or -EINVAL. `available` is how many interrupts the index
 * has, `indexes` how many indexes the device. `start` is checked even when `count` is 0.
 */
export function validateSetIrqs(
  kernel: Kernel,
  header: StructOf<typeof vfio_irq_set>,
  available: number,
  indexes: number,
): number {
  const { argsz, flags, index, start, count } = header;
  const fixed = offsetOfEnd(vfio_irq_set, 'count');
  if (argsz < fixed) return kernel.refuse(EINVAL, `argsz is ${argsz}; struct vfio_irq_set has ${fixed} bytes`);
  if (index >= indexes) return kernel.refuse(EINVAL, `interrupt index ${index} does not exist: there are ${indexes}`);
  if (count >= 0xffff_ffff - start) return kernel.refuse(EINVAL, `start ${start} and count ${count} overflow`);
  if (flags & ~ALL_FLAGS) return kernel.refuse(EINVAL, `SET_IRQS has no flag 0x${(flags & ~ALL_FLAGS).toString(16)}`);
  if (start >= available || start + count > available) {
    return kernel.refuse(EINVAL, `interrupts ${start} to ${start + count} of index ${index}: it has ${available}`);
  }
  const each = bytesEach(flags & VFIO_IRQ_SET_DATA_TYPE_MASK);
  if (each === undefined)
    return kernel.refuse(EINVAL, 'exactly one of DATA_NONE, DATA_BOOL and DATA_EVENTFD must be set');
  const size = count * each;
  if (argsz - fixed < size) {
    return kernel.refuse(EINVAL, `argsz leaves ${argsz - fixed} bytes for data; ${count} interrupts take ${size}`);
  }
  return size;
}

/** The `size` bytes of data behind the header at user address `argument` (memdup_user); -ENOMEM or -EFAULT. */
export function irqData(kernel: Kernel, argument: number, size: number): Uint8Array | number {
  if (size > 0 && !kernel.kmalloc('the data of SET_IRQS')) return -ENOMEM;
  const data = new Uint8Array(size);
  if (copyFromUser(kernel, data, plus(hva(argument), offsetOfEnd(vfio_irq_set, 'count'))) >= 0) return data;
  return kernel.refuse(EFAULT, `the ${size} bytes of SET_IRQS data are not in the process's memory`);
}
