/** Properties that are refused, or taken: Debian's QEMU and ours say the same of the same `-device` and `-object`. */

import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { Qemu } from '../../src/qemu/main.ts';
import { Host } from './bench.ts';
import { qemuVersion } from './qtest.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

/** What of `stderr` is about an option. */
const complaints = (stderr: string) =>
  stderr.split('\n').filter((line) => /^qemu-system-x86_64: /.test(line) && !/has no peer|no guest/.test(line));

function ours(argv: readonly string[]): string[] {
  const host = new Host();
  let stderr = '';
  const { user } = host.kernel.spawn('qemu-system-x86_64', (_fd, bytes) => {
    stderr += new TextDecoder().decode(bytes);
  });
  new Qemu(user, host.stream, argv).init();
  return complaints(stderr);
}

function theirs(argv: readonly string[]): string[] {
  const quiet = ['-nodefaults', '-display', 'none', '-S', '-qtest', 'stdio', '-qtest-log', '/dev/null'];
  const ending = ['-device', 'isa-debug-exit,iobase=0x8f4'];
  const options = { encoding: 'utf8', input: 'outb 0x8f4 0\n', timeout: 20_000 } as const;
  return complaints(spawnSync('qemu-system-x86_64', [...quiet, ...ending, ...argv], options).stderr);
}

oracle.each([
  '-device edu,dma_mask=1M',
  '-device edu,dma_mask=+5',
  '-device edu,dma_mask=-0x10',
  '-device edu,dma_mask=18446744073709551615',
  '-device edu,dma_mask=18446744073709551616',
  '-device edu,dma_mask=1.5M',
  '-device edu,dma_mask=',
  '-device edu,dma_mask=09',
  '-device pci-bridge,chassis_nr=09',
  '-device pci-bridge,chassis_nr=-1',
  '-device pci-bridge,chassis_nr=0x100',
  '-device isa-debug-exit,iobase=0x1ffffffffffffffff',
  '-device pci-testdev,membar=-1',
  '-device pci-testdev,membar=x',
  '-device pci-testdev,membar=1.5',
  '-device pci-testdev,membar=0.5M',
  '-device pci-testdev,membar=1T',
  '-device pci-testdev,membar=16E',
  '-device edu,addr=4 -device edu,addr=4.1',
  '-device edu,addr=4.1 -device edu,addr=4',
  '-device edu,addr=4.1 -device edu,addr=4.2',
  '-device edu,addr=4.1,multifunction=on -device edu,addr=4,multifunction=on',
  '-object memory-backend-ram,id=m',
  '-object memory-backend-ram,size=1M',
  '-object memory-backend-ram,id=m,size=x',
  '-object memory-backend-ram,id=m,size=-1',
  '-object memory-backend-ram,id=m,size=0',
  '-object memory-backend-memfd,id=m,size=0 -object memory-backend-ram,id=n,size=x',
  '-object memory-backend-ram,id=1m,size=1M',
  '-object memory-backend-ram,id=m,size=1M,foo=1',
  '-object memory-backend-ram,id=m,size=1M,hugetlb=on',
  '-object memory-backend-ram,id=m,size=1M -object memory-backend-ram,id=m,size=1M',
  '-object memory-backend-memfd,id=m,size=8M,hugetlb=x',
  '-object memory-backend-memfd,id=m,size=8M,hugetlb=on,hugetlbsize=3M',
])('%s', (line) => {
  const argv = line.split(' ');
  expect(ours(argv)).toEqual(theirs(argv));
});
