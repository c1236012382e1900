/**
 * System calls as events, with the text that `strace -y` prints: paths behind descriptors, names for constants, structures
 * in braces, `= -1 EBUSY (Device or resource busy)`. Unlike strace, every structure that gvm declares is decoded.
 */

import type { Hva } from '../../address.ts';
import { type Event, type EventStream, event } from '../../event.ts';
import { errnoName, strerror } from '../uapi/errno.ts';
import { flags as flagNames, hex, structText } from '../uapi/field-text.ts';
import type { Ioctl } from '../uapi/ioctl.ts';
import { kvmCapName } from '../uapi/kvm-capability.ts';
import type { Struct } from '../uapi/struct.ts';
import type { DirectoryEntry, Stat } from '../uapi/syscalls.ts';
import * as uapi from '../uapi/syscalls.ts';
import { fdKindOf, findIoctl } from '../uapi/tables.ts';
import type { Process } from './process.ts';

const schema = { pid: 'u32', call: 'string', result: 'string' } as const;
/** One system call that returned. */
export type SyscallEvent = Event<typeof schema>;

// strace puts the result at column 40, or one blank behind a longer call.
const declare = (name: string): SyscallEvent =>
  event(
    `sys_${name}`,
    'syscall',
    schema,
    (e) => `${e.call.padEnd(39)} = ${e.result}`,
    `System call ${name} returned, as strace prints it.`,
  );

export const sysOpenat = declare('openat');
export const sysClose = declare('close');
export const sysRead = declare('read');
export const sysWrite = declare('write');
export const sysPread64 = declare('pread64');
export const sysPwrite64 = declare('pwrite64');
export const sysIoctl = declare('ioctl');
export const sysMmap = declare('mmap');
export const sysMunmap = declare('munmap');
export const sysMemfdCreate = declare('memfd_create');
export const sysFtruncate = declare('ftruncate');
export const sysEventfd2 = declare('eventfd2');
export const sysPoll = declare('poll');
export const sysEpollCreate1 = declare('epoll_create1');
export const sysEpollCtl = declare('epoll_ctl');
export const sysEpollWait = declare('epoll_wait');
export const sysClockGettime = declare('clock_gettime');
export const sysTimerSettime = declare('timer_settime');
export const sysRtSigtimedwait = declare('rt_sigtimedwait');
export const sysNewfstatat = declare('newfstatat');
export const sysReadlink = declare('readlink');
export const sysGetdents64 = declare('getdents64');
export const sysInitModule = declare('init_module');
export const sysDeleteModule = declare('delete_module');

const openFlags = flagNames({
  [uapi.O_CREAT]: 'O_CREAT',
  [uapi.O_TRUNC]: 'O_TRUNC',
  [uapi.O_APPEND]: 'O_APPEND',
  [uapi.O_NONBLOCK]: 'O_NONBLOCK',
  [uapi.O_CLOEXEC]: 'O_CLOEXEC',
});
const accessModes = ['O_RDONLY', 'O_WRONLY', 'O_RDWR'];
const protections = flagNames({ [uapi.PROT_READ]: 'PROT_READ', [uapi.PROT_WRITE]: 'PROT_WRITE' });
const mapFlags = flagNames({
  [uapi.MAP_SHARED]: 'MAP_SHARED',
  [uapi.MAP_PRIVATE]: 'MAP_PRIVATE',
  [uapi.MAP_ANONYMOUS]: 'MAP_ANONYMOUS',
  [uapi.MAP_HUGETLB]: 'MAP_HUGETLB',
});
const memfdFlags = flagNames({
  [uapi.MFD_CLOEXEC]: 'MFD_CLOEXEC',
  [uapi.MFD_ALLOW_SEALING]: 'MFD_ALLOW_SEALING',
  [uapi.MFD_HUGETLB]: 'MFD_HUGETLB',
});
/** The logarithm of the size of pages, in bits 31:26 of a call's flags, as strace writes it. */
const hugeSize = (flags: number, shift: string): string =>
  flags >>> uapi.MAP_HUGE_SHIFT === 0 ? '' : `|${flags >>> uapi.MAP_HUGE_SHIFT}<<${shift}`;
const withoutSize = (flags: number): number => flags & (2 ** uapi.MAP_HUGE_SHIFT - 1);
const eventfdFlags = flagNames(
  new Map([
    [uapi.EFD_SEMAPHORE, 'EFD_SEMAPHORE'],
    [uapi.EFD_CLOEXEC, 'EFD_CLOEXEC'],
    [uapi.EFD_NONBLOCK, 'EFD_NONBLOCK'],
  ]),
);
const pollBits = flagNames({
  [uapi.POLLIN]: 'POLLIN',
  [uapi.POLLOUT]: 'POLLOUT',
  [uapi.POLLERR]: 'POLLERR',
  [uapi.POLLHUP]: 'POLLHUP',
  [uapi.POLLNVAL]: 'POLLNVAL',
});
const fileTypes: Readonly<Record<Stat['kind'], string>> = {
  file: 'S_IFREG',
  directory: 'S_IFDIR',
  symlink: 'S_IFLNK',
  'character device': 'S_IFCHR',
};
const extensions: Readonly<Record<string, (value: number) => string>> = {
  KVM_CHECK_EXTENSION: kvmCapName,
  VFIO_CHECK_EXTENSION: (value) => iommuTypes[value] ?? hex(value),
  VFIO_SET_IOMMU: (value) => iommuTypes[value] ?? hex(value),
};
const iommuTypes: Readonly<Record<number, string>> = {
  1: 'VFIO_TYPE1_IOMMU',
  2: 'VFIO_SPAPR_TCE_IOMMU',
  3: 'VFIO_TYPE1v2_IOMMU',
  4: 'VFIO_DMA_CC_IOMMU',
  5: 'VFIO_EEH',
  6: 'VFIO_TYPE1_NESTING_IOMMU',
  7: 'VFIO_SPAPR_TCE_v2_IOMMU',
  8: 'VFIO_NOIOMMU_IOMMU',
  9: 'VFIO_UNMAP_ALL',
  10: 'VFIO_UPDATE_VADDR',
};

/** How a non-negative result is written. */
export type ResultForm = 'number' | 'address' | 'fd';

/** Fire `traced` for one finished call. */
export function trace(
  traced: SyscallEvent,
  stream: EventStream,
  process: Process,
  call: string,
  result: number,
  form: ResultForm = 'number',
): void {
  traced(stream, { pid: process.pid, call, result: resultText(process, result, form) });
}

function resultText(process: Process, result: number, form: ResultForm): string {
  if (result < 0) return `-1 ${errnoName(-result)} (${strerror(-result)})`;
  if (form === 'address') return hex(result);
  return form === 'fd' ? fdText(process, result) : String(result);
}

/** `3</dev/kvm>`; the bare number if it is not open. */
export function fdText(process: Process, fd: number): string {
  const file = process.files.get(fd);
  return file === undefined ? String(fd) : `${fd}<${file.path}>`;
}

/** A C string literal as strace escapes it, at most 32 characters, then `...`. */
export function quoted(bytes: Uint8Array): string {
  const shown = bytes.subarray(0, 32);
  let text = '';
  for (const [i, byte] of shown.entries()) text += escaped(byte, shown[i + 1]);
  return `"${text}"${bytes.length > 32 ? '...' : ''}`;
}

const controls: Readonly<Record<number, string>> = {
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};

function escaped(byte: number, next: number | undefined): string {
  const named = controls[byte];
  if (named !== undefined) return named;
  if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  // Octal, short unless a digit follows, which would be read as part of it.
  const digits = byte.toString(8);
  const digitFollows = next !== undefined && next >= 0x30 && next <= 0x39;
  return `\\${digitFollows ? digits.padStart(3, '0') : digits}`;
}

const quotedText = (text: string) => quoted(new TextEncoder().encode(text));
/** Path arguments are never cut short. */
const quotedPath = (path: string) => `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/** openat: `path` and `flags` as given, the new descriptor with its path. */
export function traceOpen(stream: EventStream, process: Process, path: string, flags: number, result: number): void {
  const rest = flags & ~3;
  const words = `${accessModes[flags & 3] ?? '0x3'}${rest === 0 ? '' : `|${openFlags(rest)}`}`;
  const mode = (flags & uapi.O_CREAT) !== 0 ? ', 0666' : '';
  trace(sysOpenat, stream, process, `openat(AT_FDCWD, ${quotedPath(path)}, ${words}${mode})`, result, 'fd');
}

/** Made before the call: afterwards the descriptor has no path. */
export const closeText = (process: Process, fd: number): string => `close(${fdText(process, fd)})`;

/** read, write, pread64 and pwrite64; `offset` is -1 for the first two. */
export function traceTransfer(
  traced: SyscallEvent,
  stream: EventStream,
  process: Process,
  fd: number,
  buffer: Hva,
  count: number,
  offset: number,
  result: number,
): void {
  const reading = traced === sysRead || traced === sysPread64;
  const length = reading ? result : count;
  let data = hex(buffer);
  if (length >= 0) {
    // One byte more than is shown tells whether there is more.
    const bytes = new Uint8Array(Math.min(length, 33));
    if (process.mm.peek(bytes, buffer)) data = quoted(bytes);
  }
  const name = traced.title.slice('sys_'.length);
  const at = offset < 0 ? '' : `, ${offset}`;
  trace(traced, stream, process, `${name}(${fdText(process, fd)}, ${data}, ${count}${at})`, result);
}

/** An ioctl under way: what was known of it before the call. */
export interface ToldIoctl {
  readonly fd: string;
  readonly request: number;
  readonly known: Ioctl | undefined;
  readonly argument: number;
  readonly given: string;
}

/** Write down the call and what its structure holds on the way in. */
export function beginIoctl(process: Process, fd: number, request: number, argument: number): ToldIoctl {
  const path = process.files.get(fd)?.path ?? '';
  const known = findIoctl(fdKindOf(path), request);
  const given = known === undefined ? hex(argument) : argumentText(process, known, argument, false);
  return { fd: fdText(process, fd), request, known, argument, given };
}

/** Fire the event of an ioctl that returned. A structure that is filled is shown as `{before} => {after}`. */
export function endIoctl(told: ToldIoctl, stream: EventStream, process: Process, result: number): void {
  const { known, argument } = told;
  let { given } = told;
  const kind = known?.argument.kind;
  if (known !== undefined && result >= 0 && (kind === 'out' || kind === 'inout')) {
    const filled = argumentText(process, known, argument, true);
    if (kind === 'out') given = filled;
    else if (filled !== given) given = `${given} => ${filled}`;
  }
  const name = known?.name ?? `_IOC(${hex(told.request >>> 0)})`;
  const form = returnsFd.has(known?.name ?? '') ? 'fd' : 'number';
  trace(sysIoctl, stream, process, `ioctl(${told.fd}, ${name}, ${given})`, result, form);
}

const returnsFd = new Set(['KVM_CREATE_VM', 'KVM_CREATE_VCPU', 'KVM_GET_STATS_FD', 'VFIO_GROUP_GET_DEVICE_FD']);

function argumentText(process: Process, known: Ioctl, argument: number, after: boolean): string {
  const taken = known.argument;
  switch (taken.kind) {
    case 'none':
      return hex(argument);
    case 'int':
      return extensions[known.name]?.(argument) ?? String(argument);
    case 'string':
      return stringText(process, argument);
    default:
      // What the kernel is to fill holds nothing to tell before the call.
      if (taken.kind === 'out' && !after) return hex(argument);
      return pointedText(process, taken.struct, argument);
  }
}

function stringText(process: Process, address: number): string {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (bytes.length < 4096) {
    if (!process.mm.peek(one, address + bytes.length)) return hex(address);
    if (one[0] === 0) break;
    bytes.push(one[0] as number);
  }
  return quoted(Uint8Array.from(bytes));
}

function pointedText(process: Process, struct: Struct, address: number): string {
  const encoded = new Uint8Array(struct.size);
  if (!process.mm.peek(encoded, address)) return hex(address);
  return structText(struct, struct.read(new DataView(encoded.buffer)));
}

/** The words of mmap up to its result; addresses are never asked for. */
export function mmapText(
  process: Process,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
): string {
  const words = protection === 0 ? 'PROT_NONE' : protections(protection);
  const how = `${mapFlags(withoutSize(flags))}${hugeSize(flags, 'MAP_HUGE_SHIFT')}`;
  return `mmap(NULL, ${length}, ${words}, ${how}, ${fd < 0 ? '-1' : fdText(process, fd)}, ${hex(offset)})`;
}

/** The words of memfd_create. */
export const memfdText = (name: string, flags: number): string =>
  `memfd_create(${quotedText(name)}, ${memfdFlags(withoutSize(flags))}${hugeSize(flags, 'MFD_HUGE_SHIFT')})`;

/** The words of ftruncate. */
export const ftruncateText = (process: Process, fd: number, length: number): string =>
  `ftruncate(${fdText(process, fd)}, ${length})`;

/** The words of eventfd2 up to its result. */
export const eventfdText = (initial: number, flags: number): string => `eventfd2(${initial}, ${eventfdFlags(flags)})`;

/** poll of one descriptor with timeout 0. */
export function tracePoll(stream: EventStream, process: Process, fd: number, events: number, ready: number): void {
  const call = `poll([{fd=${fdText(process, fd)}, events=${pollBits(events)}}], 1, 0)`;
  const result = ready === 0 ? '0 (Timeout)' : `1 ([{fd=${fd}, revents=${pollBits(ready)}}])`;
  sysPoll(stream, { pid: process.pid, call, result });
}

export function traceEpollCreate(stream: EventStream, process: Process, flags: number, result: number): void {
  const call = `epoll_create1(${flags === 0 ? '0' : 'EPOLL_CLOEXEC'})`;
  trace(sysEpollCreate1, stream, process, call, result, 'fd');
}

const epollOperations: Readonly<Record<number, string>> = {
  [uapi.EPOLL_CTL_ADD]: 'EPOLL_CTL_ADD',
  [uapi.EPOLL_CTL_DEL]: 'EPOLL_CTL_DEL',
  [uapi.EPOLL_CTL_MOD]: 'EPOLL_CTL_MOD',
};
/** struct epoll_event: the bits have poll's values under other names. */
const epollEvent = (events: number, fd: number) =>
  `{events=${pollBits(events).replaceAll('POLL', 'EPOLL')}, data={u32=${fd}, u64=${fd}}}`;

export function traceEpollControl(
  stream: EventStream,
  process: Process,
  set: number,
  operation: number,
  fd: number,
  events: number,
  result: number,
): void {
  const name = epollOperations[operation] ?? hex(operation);
  const what = operation === uapi.EPOLL_CTL_DEL ? 'NULL' : epollEvent(events, fd);
  const call = `epoll_ctl(${fdText(process, set)}, ${name}, ${fdText(process, fd)}, ${what})`;
  trace(sysEpollCtl, stream, process, call, result);
}

export function traceEpollWait(stream: EventStream, process: Process, set: number, ready: readonly number[]): void {
  const events = ready.map((fd) => epollEvent(uapi.POLLIN, fd)).join(', ');
  const call = `epoll_wait(${fdText(process, set)}, [${events}], ${ready.length}, 0)`;
  trace(sysEpollWait, stream, process, call, ready.length);
}

const timespec = (nanoseconds: number) =>
  `{tv_sec=${Math.floor(nanoseconds / 1e9)}, tv_nsec=${Math.floor(nanoseconds % 1e9)}}`;

export function traceClock(stream: EventStream, process: Process, now: number): void {
  sysClockGettime(stream, { pid: process.pid, call: `clock_gettime(CLOCK_MONOTONIC, ${timespec(now)})`, result: '0' });
}

/** timer_settime of the process's one timer, number 0; all zeros disarm it. */
export function traceTimer(stream: EventStream, process: Process, deadline: number): void {
  const value = timespec(deadline === Number.POSITIVE_INFINITY ? 0 : deadline);
  const call = `timer_settime(0, TIMER_ABSTIME, {it_interval=${timespec(0)}, it_value=${value}}, NULL)`;
  sysTimerSettime(stream, { pid: process.pid, call, result: '0' });
}

/** newfstatat: type and mode are what the model keeps. */
export function traceStat(stream: EventStream, process: Process, path: string, result: Stat | number): void {
  const failed = typeof result === 'number';
  const answer = failed
    ? '0x0'
    : `{st_mode=${fileTypes[result.kind]}|${result.mode.toString(8).padStart(4, '0')}, ...}`;
  const call = `newfstatat(AT_FDCWD, ${quotedPath(path)}, ${answer}, 0)`;
  trace(sysNewfstatat, stream, process, call, failed ? result : 0);
}

/** readlink with glibc's usual buffer. */
export function traceReadlink(stream: EventStream, process: Process, path: string, result: string | number): void {
  const failed = typeof result === 'number';
  const call = `readlink(${quotedPath(path)}, ${failed ? '0x0' : quotedPath(result)}, 4096)`;
  trace(sysReadlink, stream, process, call, failed ? result : result.length);
}

/** getdents64; the result is the number of names, where strace prints their bytes. */
export function traceReaddir(
  stream: EventStream,
  process: Process,
  path: string,
  result: readonly DirectoryEntry[] | number,
): void {
  const failed = typeof result === 'number';
  const call = `getdents64(AT_FDCWD<${path}>, 0x0 /* ${failed ? 0 : result.length} entries */, 32768)`;
  trace(sysGetdents64, stream, process, call, failed ? result : result.length);
}

/** The words of init_module; a module's name stands for its image. */
export const initModuleText = (name: string, parameters: string): string =>
  `init_module(${quotedText(name)}, ${quotedText(parameters)})`;

/** The words of delete_module as rmmod calls it. */
export const deleteModuleText = (name: string): string => `delete_module(${quotedText(name)}, O_NONBLOCK)`;
