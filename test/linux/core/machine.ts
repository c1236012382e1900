/** A booted host kernel for tests, and a process with a scratch page. */

import { hva, MiB } from '../../../src/address.ts';
import { EventStream } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../../src/linux/uapi/syscalls.ts';

export const boot = (size = MiB(16)): Kernel =>
  new Kernel({ memory: new PhysicalMemory(size), stream: new EventStream(() => 0n) });

/** A process, what it printed, and `scratch`: the address of 64 KiB of its memory. */
export function program(kernel: Kernel, name = 'test') {
  const printed: string[] = [];
  const { process, user } = kernel.spawn(name, (fd, bytes) => printed.push(`${fd}:${new TextDecoder().decode(bytes)}`));
  const { syscalls, memory } = user;
  const scratch = hva(syscalls.mmap(65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  /** write(2) of a text that is put into the scratch page first. */
  const echo = (path: string, text: string, flags: number): number => {
    const fd = syscalls.open(path, flags);
    if (fd < 0) return fd;
    const bytes = new TextEncoder().encode(text);
    memory.write(scratch, bytes);
    const result = syscalls.write(fd, scratch, bytes.length);
    syscalls.close(fd);
    return result;
  };
  /** The whole of a file, or -errno. */
  const cat = (path: string): string | number => {
    const fd = syscalls.open(path, 0);
    if (fd < 0) return fd;
    let text = '';
    for (;;) {
      const count = syscalls.read(fd, scratch, 4096);
      if (count < 0) {
        syscalls.close(fd);
        return count;
      }
      if (count === 0) break;
      text += new TextDecoder().decode(memory.read(scratch, count));
    }
    syscalls.close(fd);
    return text;
  };
  return { process, user, syscalls, memory, scratch, printed, echo, cat };
}
