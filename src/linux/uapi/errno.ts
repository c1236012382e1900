/** errno values of Linux x86-64 (asm-generic/errno-base.h, errno.h) and their texts as strerror prints them. */

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const ERANGE = 34;
export const EDEADLOCK = 35;
export const ENOSYS = 38;
export const ELOOP = 40;
export const ENODATA = 61;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EBADFD = 77;
export const EUSERS = 87;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const ETIMEDOUT = 110;
export const EALREADY = 114;
export const ECANCELED = 125;

const named: ReadonlyMap<number, readonly [name: string, text: string]> = new Map([
  [EPERM, ['EPERM', 'Operation not permitted']],
  [ENOENT, ['ENOENT', 'No such file or directory']],
  [EINTR, ['EINTR', 'Interrupted system call']],
  [EIO, ['EIO', 'Input/output error']],
  [ENXIO, ['ENXIO', 'No such device or address']],
  [E2BIG, ['E2BIG', 'Argument list too long']],
  [EBADF, ['EBADF', 'Bad file descriptor']],
  [EAGAIN, ['EAGAIN', 'Resource temporarily unavailable']],
  [ENOMEM, ['ENOMEM', 'Cannot allocate memory']],
  [EACCES, ['EACCES', 'Permission denied']],
  [EFAULT, ['EFAULT', 'Bad address']],
  [EBUSY, ['EBUSY', 'Device or resource busy']],
  [EEXIST, ['EEXIST', 'File exists']],
  [ENODEV, ['ENODEV', 'No such device']],
  [ENOTDIR, ['ENOTDIR', 'Not a directory']],
  [EISDIR, ['EISDIR', 'Is a directory']],
  [EINVAL, ['EINVAL', 'Invalid argument']],
  [EMFILE, ['EMFILE', 'Too many open files']],
  [ENOTTY, ['ENOTTY', 'Inappropriate ioctl for device']],
  [ENOSPC, ['ENOSPC', 'No space left on device']],
  [ESPIPE, ['ESPIPE', 'Illegal seek']],
  [ERANGE, ['ERANGE', 'Numerical result out of range']],
  [EDEADLOCK, ['EDEADLOCK', 'Resource deadlock avoided']],
  [ENOSYS, ['ENOSYS', 'Function not implemented']],
  [ELOOP, ['ELOOP', 'Too many levels of symbolic links']],
  [ENODATA, ['ENODATA', 'No data available']],
  [EPROTO, ['EPROTO', 'Protocol error']],
  [EOVERFLOW, ['EOVERFLOW', 'Value too large for defined data type']],
  [EBADFD, ['EBADFD', 'File descriptor in bad state']],
  [EUSERS, ['EUSERS', 'Too many users']],
  [EMSGSIZE, ['EMSGSIZE', 'Message too long']],
  [EOPNOTSUPP, ['EOPNOTSUPP', 'Operation not supported']],
  [EADDRINUSE, ['EADDRINUSE', 'Address already in use']],
  [ETIMEDOUT, ['ETIMEDOUT', 'Connection timed out']],
  [EALREADY, ['EALREADY', 'Operation already in progress']],
  [ECANCELED, ['ECANCELED', 'Operation canceled']],
]);

/** All that are modeled. */
export const errnos = (): readonly number[] => [...named.keys()];
/** `EBUSY` for 16; the bare number for one that is not modeled. */
export const errnoName = (errno: number): string => named.get(errno)?.[0] ?? String(errno);
/** strerror(3). */
export const strerror = (errno: number): string => named.get(errno)?.[1] ?? `Unknown error ${errno}`;
