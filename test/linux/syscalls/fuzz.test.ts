/**
 * Any sequence of system calls on descriptors of KVM, VFIO, iommufd, eventfds and epoll sets, with arguments that nobody would pass: each call
 * returns what it says, none throws, another process's VM keeps its memory and computes what it would have, and the dead process leaves nothing behind.
 * GVM_SYSCALL_CASES makes a longer run, GVM_SEED another.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { step } from './caller.ts';
import { boot, GUEST_BYTES, machine } from './host.ts';

const CASES = Number(process.env['GVM_SYSCALL_CASES'] ?? 30);

test(`${CASES} sequences`, { timeout: 60_000 + CASES * 2000 }, () => {
  let succeeded = 0;
  let calls = 0;
  fc.assert(
    fc.property(machine, fc.array(step, { maxLength: 80, size: 'max' }), (wanted, steps) => {
      const { other, contents, caller, before, held, end } = boot(wanted);
      for (const one of steps) {
        const result = caller.take(one);
        expect(Number.isInteger(result), `${one.call} gives ${result}`).toBe(true);
        expect(result).toBeGreaterThan(-4096);
        if (result >= 0) succeeded++;
        calls++;
      }
      expect(other.bytes(0, GUEST_BYTES)).toEqual(contents);
      expect(other.resume()).toBe(0);
      expect(other.bytes(0x20000, 1)).toEqual([2]);
      expect(other.taken).toEqual([]);
      end();
      expect(held()).toEqual(before);
    }),
    { numRuns: CASES },
  );
  // Calls that are all refused would show nothing.
  expect(succeeded / calls).toBeGreaterThan(0.2);
});
