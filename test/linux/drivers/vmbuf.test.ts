/** vmbuf and the way to guest memory: the kvm-vfio device gives the group its VM, and the driver reads with it. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Hva, plus } from '../../../src/address.ts';
import { escaped } from '../../../src/linux/drivers/vmbuf.ts';
import { initKvm } from '../../../src/linux/kvm/kvm.ts';
import { VFIO_GROUP_GET_DEVICE_FD } from '../../../src/linux/uapi/vfio.ts';
import {
  bootHost,
  CONFIG,
  cString,
  expectNothingLeft,
  type Host,
  openDevice,
  region,
  shown,
  typePath,
  UUID,
} from './host.ts';
import { createVm as newVm, RAM, setGroup } from './vm.ts';

let host: Host;
let group: number;
let device: number;
/** Where the process has the guest's RAM. */
let ram: Hva;

/** A VM; its RAM becomes `ram`. */
function createVm() {
  const vm = newVm(host);
  ram = vm.ram;
  return vm;
}
const attribute = (vfio: number, attr: 1n | 2n, groupFd: number) => setGroup(host, vfio, attr, groupFd);
const outl = (offset: number, value: number, bar = 0) =>
  host.pwrite(device, region(bar) + offset, [...new Uint8Array(Uint32Array.of(value).buffer)]);
/** The driver's log, without its prefix. */
const log = () =>
  host.kernel.log.lines
    .filter((line) => line.startsWith(`vmbuf ${UUID}: `))
    .map((line) => line.slice(`vmbuf ${UUID}: `.length))
    .filter((line) => !line.startsWith('Adding'));
const handOver = (address: bigint) => {
  outl(0, Number(address & 0xffff_ffffn));
  outl(4, Number(address >> 32n));
  return log().at(-1);
};

beforeEach(() => {
  host = bootHost();
  initKvm(host.kernel);
  ({ group, device } = openDevice(host, 'vmbuf', 'vmbuf-1'));
});

afterEach(() => expectNothingLeft(host));

describe('two 4-byte writes make an address', () => {
  beforeEach(() => {
    attribute(createVm().vfio, 1n, group);
  });

  test('low half at 0, high half at 4; the second reads the buffer', () => {
    host.memory.write(plus(ram, 0x1090c), new TextEncoder().encode('vm_buffer_test\0'));
    outl(0, 0x1090c);
    outl(4, 0);
    expect(log()).toEqual([
      'handle_bar_write BAR0 offset 0x0 count 4 data 0x1090c',
      'handle_bar_write BAR0 offset 0x4 count 4 data 0x0',
      'guest physical address 0x1090c',
      'buffer at 0x1090c: "vm_buffer_test"',
    ]);
  });

  test('a buffer may cross pages', () => {
    host.memory.write(plus(ram, 0x1ff8), new TextEncoder().encode('vm_buffer_test\0'));
    expect(handOver(0x1ff8n)).toBe('buffer at 0x1ff8: "vm_buffer_test"');
  });

  test.each([
    ['a virtual address of the direct map', 0xffff_8880_0001_0010n],
    ['an address past the end of RAM', BigInt(RAM)],
    ['a buffer that crosses the end of RAM', BigInt(RAM) - 8n],
    ['a device', 0xfee0_0000n],
    ['only a high half', 0xdead_0000_0000n],
  ])('%s is -EFAULT', (_what, address) => {
    expect(handOver(address)).toBe(`kvm_read_guest(0x${address.toString(16)}) failed: -14`);
  });

  test('each pair is its own address; a high half alone is ignored', () => {
    handOver(0x1000n);
    expect(outl(4, 0)).toBe(4);
    expect(log().at(-1)).toBe('ignored: the high half came before a low half');
    expect(handOver(0x2000n)).toBe('buffer at 0x2000: ""');
  });
});

describe('other accesses', () => {
  test('2 bytes at 6, as QEMU leaves of an outl there in a BAR of 8, are logged and ignored', () => {
    expect(host.pwrite(device, 6, [0xaa, 0xbb])).toBe(2);
    expect(log()).toEqual([
      'handle_bar_write BAR0 offset 0x6 count 2 data 0xbbaa',
      'ignored: only writes of 4 bytes at BAR0 offset 0x0 (low half) and 0x4 (high half) mean something',
    ]);
  });

  test('an unaligned write of 4 arrives in pieces, none of which is a half', () => {
    host.pwrite(device, 1, [0x11, 0x22, 0x33, 0x44]);
    expect(log().filter((line) => line.startsWith('handle'))).toEqual([
      'handle_bar_write BAR0 offset 0x1 count 1 data 0x11',
      'handle_bar_write BAR0 offset 0x2 count 2 data 0x3322',
      'handle_bar_write BAR0 offset 0x4 count 1 data 0x44',
    ]);
  });

  test('reads are 0', () => {
    outl(0, 0x1234);
    expect(host.pread(device, 0, 8)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe('the kvm pointer', () => {
  test('without a VM the driver says so', () => {
    expect(handOver(0x1000n)).toBe('no VM: VFIO has given no kvm pointer');
  });

  test('comes to an open device by the notifier, and goes with GROUP_DEL', () => {
    const { vfio } = createVm();
    expect(attribute(vfio, 1n, group)).toBe('0');
    expect(handOver(0x1000n)).toBe('buffer at 0x1000: ""');
    expect(attribute(vfio, 2n, group)).toBe('0');
    expect(handOver(0x1000n)).toBe('no VM: VFIO has given no kvm pointer');
  });

  test('is there at once when the group had it before the device was opened, as with QEMU', () => {
    attribute(createVm().vfio, 1n, group);
    host.syscalls.close(device);
    device = host.ioctlBytes(group, VFIO_GROUP_GET_DEVICE_FD, cString(UUID));
    expect(handOver(0x1000n)).toBe('buffer at 0x1000: ""');
  });

  test('goes with the VM', () => {
    const { fd, vfio } = createVm();
    attribute(vfio, 1n, group);
    host.syscalls.close(vfio);
    host.syscalls.close(fd);
    expect(handOver(0x1000n)).toBe('no VM: VFIO has given no kvm pointer');
  });

  test('GROUP_ADD twice, of no group, and GROUP_DEL of an unknown one', () => {
    const { fd, vfio } = createVm();
    expect([
      attribute(vfio, 1n, group),
      attribute(vfio, 1n, group),
      attribute(vfio, 1n, fd),
      attribute(vfio, 2n, fd),
    ]).toEqual(['0', '-EEXIST', '-EINVAL', '-ENOENT']);
  });
});

describe('module parameters', () => {
  const config = (parameters: string) => {
    host = bootHost();
    ({ device } = openDevice(host, 'vmbuf', 'vmbuf-1', parameters));
    for (let at = 0x10; at < 0x28; at += 4) host.pwrite(device, CONFIG + at, [0xff, 0xff, 0xff, 0xff]);
    const dword = (at: number) =>
      (host.pread(device, CONFIG + at, 4) as number[]).reduceRight((high, byte) => high * 256 + byte, 0).toString(16);
    return [0x08, 0x10, 0x14, 0x18, 0x24].map(dword);
  };

  test.each([
    ['', ['ff000010', 'fffff001', '0', '0', '0']],
    ['class=0', ['10', 'fffff001', '0', '0', '0']],
    ['bars=2', ['ff000010', 'fffff001', 'fffff001', '0', '0']],
    ['bar_size=8', ['ff000010', 'fffffff9', '0', '0', '0']],
    ['class=0x07 bars=6 bar_size=0x10', ['7000010', 'fffffff1', 'fffffff1', 'fffffff1', 'fffffff1']],
  ])('%j', (parameters, expected) => {
    expect(config(parameters)).toEqual(expected);
  });

  test.each([
    ['class=0x100', 'vmbuf: class=256: a base class is a byte, 0 to 0xff'],
    ['bars=7', 'vmbuf: bars=7: a function has 0 to 6 BARs'],
    ['bar_size=12', 'vmbuf: bar_size=12: an I/O BAR is a power of two from 8 to 65536 bytes'],
    ['bar_size=-8', 'vmbuf: bar_size=-8: an I/O BAR is a power of two from 8 to 65536 bytes'],
  ])('%s is refused, and nothing is left', (parameters, line) => {
    host = bootHost();
    expect(shown(host.syscalls.init_module('vmbuf', parameters))).toBe('-EINVAL');
    expect(host.kernel.log.lines.at(-1)).toBe(line);
    expect(host.syscalls.readdir('/sys/class/mdev_bus')).toEqual([]);
  });

  test('24 devices, and no more', () => {
    const create = `${typePath('vmbuf', 'vmbuf-1')}/create`;
    for (let n = 2; n <= 24; n++)
      expect(host.echo(create, `83b8f4f2-509f-382f-3c1e-e6bfe0fb10${n.toString().padStart(2, '0')}`)).toBe(36);
    expect(shown(host.echo(create, '83b8f4f2-509f-382f-3c1e-e6bfe0fb1025'))).toBe('-ENOSPC');
    expect(host.cat(`${typePath('vmbuf', 'vmbuf-1')}/available_instances`)).toBe('0\n');
  });
});

test('a buffer is shown up to its NUL, with what does not print escaped', () => {
  expect(escaped(Uint8Array.of(0x41, 0x0a, 0x22, 0x5c, 0x7f, 0xc3, 0x42, 0, 0x43))).toBe('A\\x0a\\x22\\x5c\\x7f\\xc3B');
});
