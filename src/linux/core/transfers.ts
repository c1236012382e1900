/**
 * The system calls that move bytes between a process and a file (fs/read_write.c): what Linux checks before it asks the file, and the
 * strace-style events. Hot: they allocate nothing while nobody traces.
 */

import type { Hva } from '../../address.ts';
import { type EventStream, watch } from '../../event.ts';
import { EBADF, EFAULT, EINVAL, ESPIPE } from '../uapi/errno.ts';
import type { Syscalls } from '../uapi/syscalls.ts';
import { FMODE, type OpenFile } from './file.ts';
import type { Process } from './process.ts';
import { sysPread64, sysPwrite64, sysRead, sysWrite, traceTransfer } from './strace.ts';
import type { RefusingContext } from './uaccess.ts';

/** What they need of the kernel. */
export interface TransferHost extends RefusingContext {
  readonly stream: EventStream;
  current: Process;
}

/** MAX_RW_COUNT: the most that one of them moves. */
const MAX_RW_COUNT = 0x7fff_f000;

/** Not Math.min, whose result V8 takes for a double. */
const atMost = (count: number): number => (count > MAX_RW_COUNT ? MAX_RW_COUNT : count);

/** Refuse a descriptor that is not open: -EBADF. */
export const refuseClosed = (kernel: RefusingContext, process: Process, fd: number): number =>
  kernel.refuse(EBADF, `fd ${fd} is not open in process ${process.name}`);

/** From here on the kernel works for `process`; returns whom it worked for before. */
export function enterKernel(kernel: { current: Process }, process: Process): Process {
  const before = kernel.current;
  if (before !== process) kernel.current = process;
  return before;
}

/** Back to user space, or to whom the kernel worked for before. */
export function leaveKernel(kernel: { current: Process }, process: Process, before: Process): void {
  if (before !== process) kernel.current = before;
}

/**
 * read, write, pread and pwrite of one process. Each is written out, and not one function with a flag: so it has its own place at which
 * it calls a file, and V8 can tell which one that is where there is only one, as behind nearly every pwrite.
 */
export function transfersOf(
  kernel: TransferHost,
  process: Process,
): Pick<Syscalls, 'read' | 'write' | 'pread' | 'pwrite'> {
  const { files, mm } = process;
  /** Whether all of `mode` may be done with the file, and the buffer is user space. */
  const may = (file: OpenFile | undefined, mode: number, buffer: Hva, count: number): file is OpenFile =>
    file !== undefined && (file.mode & mode) === mode && mm.accessOk(buffer, count);

  /** Why a transfer is refused before the file is asked, in the order of Linux's checks. */
  const refused = (
    fd: number,
    file: OpenFile | undefined,
    buffer: Hva,
    count: number,
    offset: number | undefined,
    writing: boolean,
  ): number => {
    if (file === undefined) return refuseClosed(kernel, process, fd);
    const verb = writing ? 'write' : 'read';
    if (offset !== undefined && offset < 0) return kernel.refuse(EINVAL, `offset ${offset} is negative`);
    if (offset !== undefined && !(file.mode & FMODE.PREAD))
      return kernel.refuse(ESPIPE, `${file.path} has no positions`);
    if (!(file.mode & (writing ? FMODE.WRITE : FMODE.READ)))
      return kernel.refuse(EBADF, `${file.path} was not opened for ${verb}`);
    if (!(file.mode & (writing ? FMODE.CAN_WRITE : FMODE.CAN_READ)))
      return kernel.refuse(EINVAL, `${file.path} has no ${verb} operation`);
    return kernel.refuse(EFAULT, `${count} bytes at 0x${buffer.toString(16)} are not user space`);
  };

  return {
    read: (fd, buffer, count) => {
      const before = enterKernel(kernel, process);
      const file = files.get(fd);
      const result = !may(file, FMODE.READS, buffer, count)
        ? refused(fd, file, buffer, count, undefined, false)
        : advance(file, file.read!(file, buffer, atMost(count), file.position));
      leaveKernel(kernel, process, before);
      if (watch.on && sysRead.on) traceTransfer(sysRead, kernel.stream, process, fd, buffer, count, -1, result);
      return result;
    },
    write: (fd, buffer, count) => {
      const before = enterKernel(kernel, process);
      const file = files.get(fd);
      const result = !may(file, FMODE.WRITES, buffer, count)
        ? refused(fd, file, buffer, count, undefined, true)
        : advance(file, file.write!(file, buffer, atMost(count), file.position));
      leaveKernel(kernel, process, before);
      if (watch.on && sysWrite.on) traceTransfer(sysWrite, kernel.stream, process, fd, buffer, count, -1, result);
      return result;
    },
    pread: (fd, buffer, count, offset) => {
      const before = enterKernel(kernel, process);
      const file = files.get(fd);
      const result =
        offset < 0 || !may(file, FMODE.PREADS, buffer, count)
          ? refused(fd, file, buffer, count, offset, false)
          : file.read!(file, buffer, atMost(count), offset);
      leaveKernel(kernel, process, before);
      if (watch.on && sysPread64.on)
        traceTransfer(sysPread64, kernel.stream, process, fd, buffer, count, offset, result);
      return result;
    },
    pwrite: (fd, buffer, count, offset) => {
      const before = enterKernel(kernel, process);
      const file = files.get(fd);
      const result =
        offset < 0 || !may(file, FMODE.PWRITES, buffer, count)
          ? refused(fd, file, buffer, count, offset, true)
          : file.write!(file, buffer, atMost(count), offset);
      leaveKernel(kernel, process, before);
      if (watch.on && sysPwrite64.on)
        traceTransfer(sysPwrite64, kernel.stream, process, fd, buffer, count, offset, result);
      return result;
    },
  };
}

/** Move the file's own position on by what was transferred. */
function advance(file: OpenFile, result: number): number {
  if (result > 0 && file.mode & FMODE.PREAD) file.position += result;
  return result;
}
