/** The ioctls of /dev/iommu: how their structures come in and go out, and what each does (iommufd_ioctl_ops in drivers/iommu/iommufd/main.c of Linux 6.6). */

import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, copyToUser } from '../core/uaccess.ts';
import { E2BIG, EBUSY, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP } from '../uapi/errno.ts';
import type { Ioctl } from '../uapi/ioctl.ts';
import * as uapi from '../uapi/iommufd.ts';
import type { Members, Struct, StructOf, StructValue } from '../uapi/struct.ts';
import { IommufdDevice } from './device.ts';
import { Ioas } from './ioas.ts';
import { allowIovas, copy, iovaRanges, map, unmap } from './ioas-ioctl.ts';
import type { IommufdState } from './state.ts';

/** What an ioctl answers: -errno or 0, a structure to be written back, or both; and what there is to undo if it cannot be written. */
type Answer<M extends Members> =
  | number
  | StructValue<M>
  | { readonly answer: StructValue<M>; readonly result: number; readonly undo?: () => void };

interface Row {
  readonly ioctl: Ioctl;
  run(state: IommufdState, argument: number): number;
}

/** A row of the table: what an ioctl does with its structure, once that is copied in, and what it answers. */
function row<M extends Members>(
  ioctl: Ioctl,
  shape: Struct<M>,
  execute: (state: IommufdState, cmd: StructValue<M>) => Answer<M>,
): Row {
  return {
    ioctl,
    run(state, argument) {
      const size = sizedCopy(state.kernel, shape, argument);
      if (typeof size === 'number') return size;
      const answer = execute(state, shape.read(new DataView(size.buffer)));
      if (typeof answer === 'number') return answer;
      const both = 'answer' in answer && 'result' in answer;
      const { value, result, undo } = both
        ? { value: answer.answer as StructValue<M>, result: answer.result as number, undo: answer.undo as () => void }
        : { value: answer as StructValue<M>, result: 0, undo: undefined };
      if (copyToUser(state.kernel, argument, shape.encode(value)) >= 0) return result;
      undo?.();
      return badPointer(state.kernel, shape, argument);
    },
  };
}

/** copy_struct_from_user: -EFAULT; -EINVAL for a structure that is too short; -E2BIG for one that says what this kernel does not know. */
function sizedCopy(kernel: Kernel, shape: Struct, argument: number): Uint8Array | number {
  const size = new Uint8Array(4);
  if (copyFromUser(kernel, size, argument) < 0) return badPointer(kernel, shape, argument);
  const told = new DataView(size.buffer).getUint32(0, true);
  if (told < shape.size) {
    return kernel.refuse(EINVAL, `size is ${told}; struct ${shape.name} has ${shape.size} bytes`);
  }
  const bytes = new Uint8Array(shape.size);
  if (copyFromUser(kernel, bytes, argument) < 0) return badPointer(kernel, shape, argument);
  const one = new Uint8Array(1);
  for (let at = shape.size; at < told; at++) {
    if (copyFromUser(kernel, one, argument + at) < 0) return badPointer(kernel, shape, argument);
    if (one[0] !== 0) return kernel.refuse(E2BIG, `byte ${at} of struct ${shape.name} is set, and unknown here`);
  }
  return bytes;
}

const badPointer = (kernel: Kernel, shape: { readonly name: string }, at: number): number =>
  kernel.refuse(EFAULT, `the struct ${shape.name} at 0x${at.toString(16)} is not in the process's memory`);

const reserved = (kernel: Kernel): number => kernel.refuse(EOPNOTSUPP, '__reserved is not 0');

/** iommufd_option_rlimit_mode, iommufd_ioas_option. */
function option(
  state: IommufdState,
  cmd: StructOf<typeof uapi.iommu_option>,
): Answer<typeof uapi.iommu_option.members> {
  const { kernel, objects } = state;
  if (cmd.__reserved !== 0) return reserved(kernel);
  const { op } = cmd;
  const badOp = () => kernel.refuse(EOPNOTSUPP, `an option is set (0) or got (1), not ${op}`);
  const badValue = () => kernel.refuse(EINVAL, `the option is 0 or 1, not ${cmd.val64}`);
  switch (cmd.option_id) {
    case uapi.IOMMU_OPTION_RLIMIT_MODE: {
      if (cmd.object_id !== 0)
        return kernel.refuse(EOPNOTSUPP, 'RLIMIT_MODE is an option of the iommufd, not of an object');
      if (op === uapi.IOMMU_OPTION_OP_GET) return { ...cmd, val64: state.account === 'mm' ? 1n : 0n };
      if (op !== uapi.IOMMU_OPTION_OP_SET) return badOp();
      if (objects.size > 0) return kernel.refuse(EBUSY, 'RLIMIT_MODE is set before the first object is made');
      if (cmd.val64 > 1n) return badValue();
      state.account = cmd.val64 === 1n ? 'mm' : 'user';
      return cmd;
    }
    case uapi.IOMMU_OPTION_HUGE_PAGES: {
      const ioas = state.space(cmd.object_id);
      if (typeof ioas === 'number') return ioas;
      if (op === uapi.IOMMU_OPTION_OP_GET) return { ...cmd, val64: ioas.iopt.largePages ? 1n : 0n };
      if (op !== uapi.IOMMU_OPTION_OP_SET) return badOp();
      if (cmd.val64 > 1n) return badValue();
      const error = ioas.iopt.setLargePages(cmd.val64 === 1n);
      return error < 0 ? error : cmd;
    }
    default:
      return kernel.refuse(EOPNOTSUPP, `there is no option ${cmd.option_id}`);
  }
}

/** iommufd_hwpt_alloc. */
function allocatePagetable(
  state: IommufdState,
  cmd: StructOf<typeof uapi.iommu_hwpt_alloc>,
): Answer<typeof uapi.iommu_hwpt_alloc.members> {
  const { kernel, objects } = state;
  if (cmd.flags !== 0 || cmd.__reserved !== 0) return kernel.refuse(EOPNOTSUPP, 'HWPT_ALLOC has no flags');
  const device = objects.find(cmd.dev_id, IommufdDevice, 'device');
  if (typeof device === 'number') return device;
  const ioas = state.space(cmd.pt_id);
  if (typeof ioas === 'number') return ioas;
  const made = device.allocatePagetable(ioas, false);
  if (typeof made === 'number') return made;
  return { answer: { ...cmd, out_hwpt_id: made.id }, result: 0, undo: () => objects.remove(made) };
}

/** iommufd_ioctl_ops. */
export const ioctls: readonly Row[] = [
  row(uapi.IOMMU_DESTROY, uapi.iommu_destroy, ({ objects }, { id }) => objects.destroy(id)),
  row(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, ({ kernel, objects }, cmd) => {
    if (cmd.flags !== 0) return kernel.refuse(EOPNOTSUPP, 'IOAS_ALLOC has no flags');
    if (!kernel.kmalloc('struct iommufd_ioas')) return -ENOMEM;
    const ioas = objects.add(new Ioas(kernel));
    return { answer: { ...cmd, out_ioas_id: ioas.id }, result: 0, undo: () => objects.remove(ioas) };
  }),
  row(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, allowIovas),
  row(uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, copy),
  row(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, iovaRanges),
  row(uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, map),
  row(uapi.IOMMU_IOAS_UNMAP, uapi.iommu_ioas_unmap, unmap),
  row(uapi.IOMMU_OPTION, uapi.iommu_option, option),
  row(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, allocatePagetable),
];
