/**
 * A program of your own on the modeled host, in user space: one file whose default export is a {@link Program}, run by
 * `gvm host run prog.ts`, or in a `; host:` line as `./prog.ts`. It speaks to the kernel by system calls alone; numbers and structures
 * of the user API are in `gvm/uapi`. Comment lines at its top may prepare the host, as a guest program's may: `// host: modprobe vfio-pci`.
 *
 * ```ts
 * import type { Program } from 'gvm/user';
 * import { O_RDWR, strerror } from 'gvm/uapi';
 *
 * export default (({ syscalls }) => {
 *   const fd = syscalls.open('/dev/vfio/vfio', O_RDWR);
 *   if (fd < 0) throw new Error(strerror(-fd));
 *   return 0;
 * }) satisfies Program;
 * ```
 */

import type { UserProcess } from './syscalls.ts';

export type { Syscalls, UserMemory, UserProcess } from './syscalls.ts';

/** What `main` is: given its process and its arguments, it returns its exit status. What is open then is closed. */
export type Program = (process: UserProcess, args: readonly string[]) => number;
