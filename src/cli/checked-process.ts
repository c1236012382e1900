/**
 * The process of a program of the user's own: what the program passes to system calls and to its memory is looked at first. A C
 * compiler would not let a text stand for a number; a file that is loaded as it is has no compiler, and the kernel behind these calls
 * takes what it is given for the integers that registers hold.
 */

import { shown } from '../foreign-value.ts';
import {
  type ParameterKind,
  type Syscalls,
  syscallParameters,
  type UserMemory,
  type UserProcess,
} from '../linux/uapi/syscalls.ts';

/** More no process can have mapped, and no array holds. */
const LONGEST = 2 ** 32 - 1;

type Call = (...args: unknown[]) => unknown;

/** `user` with its calls checked, and `called` told of each. What the program may not pass is thrown where it does. */
export function checkedProcess(user: UserProcess, called: () => void): UserProcess {
  const call = (name: keyof Syscalls): Call => {
    const kinds: readonly ParameterKind[] = syscallParameters[name];
    const made = user.syscalls[name] as Call;
    return (...args) => {
      called();
      for (let index = 0; index < kinds.length; index++) checkArgument(name, index, kinds[index]!, args[index]);
      return made.apply(user.syscalls, args);
    };
  };
  const names = Object.keys(syscallParameters) as (keyof Syscalls)[];
  const syscalls = Object.fromEntries(names.map((name) => [name, call(name)])) as unknown as Syscalls;
  const { pid, name: title } = user;
  return { pid, name: title, syscalls, memory: checkedMemory(user.memory) };
}

function checkedMemory(memory: UserMemory): UserMemory {
  const checkRange = (name: string, address: unknown, length: unknown): void => {
    checkArgument(name, 0, 'integer', address);
    checkArgument(name, 1, 'integer', length);
    if ((length as number) < 0 || (length as number) > LONGEST)
      throw new RangeError(`argument 2 of ${name} is ${length}, no length`);
  };
  return {
    view(address, length) {
      checkRange('memory.view', address, length);
      return memory.view(address, length);
    },
    read(address, length) {
      checkRange('memory.read', address, length);
      return memory.read(address, length);
    },
    write(address, bytes) {
      checkArgument('memory.write', 0, 'integer', address);
      if (!(bytes instanceof Uint8Array))
        throw new TypeError(`argument 2 of memory.write is ${shown(bytes)}, no Uint8Array`);
      memory.write(address, bytes);
    },
  };
}

function checkArgument(name: string, index: number, kind: ParameterKind, value: unknown): void {
  if (isOfKind(kind, value)) return;
  throw new TypeError(`argument ${index + 1} of ${name} is ${shown(value)}, no ${kind}`);
}

function isOfKind(kind: ParameterKind, value: unknown): boolean {
  if (kind === 'integer') return Number.isSafeInteger(value);
  return kind === 'number' ? typeof value === 'number' && !Number.isNaN(value) : typeof value === kind;
}
