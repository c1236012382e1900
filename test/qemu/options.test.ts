/** Bad command lines: the words and the exit code of QEMU 7.2 (tried on it), plus a hint of ours. */

import { describe, expect, test } from 'vitest';
import { MiB } from '../../src/address.ts';
import { optionArity, parseOptions } from '../../src/qemu/options.ts';
import { Host } from './bench.ts';

const Q = 'qemu-system-x86_64:';

describe('refused with exit code 1', () => {
  test.each([
    ['-device foo', `${Q} -device foo: 'foo' is not a valid device model name`],
    ['-device vfio_pci', `'vfio_pci' is not a valid device model name\nDid you mean 'vfio-pci'?`],
    ['-device pci-bridge,foo=1', `${Q} -device pci-bridge,foo=1: Property 'pci-bridge.foo' not found`],
    ['-device pci-bridge,chasis_nr=1', `Property 'pci-bridge.chasis_nr' not found\nDid you mean 'chassis_nr'?`],
    ['-device pci-bridge,chassis_nr=300', `Parameter 'chassis_nr' expects uint8_t`],
    ['-device pci-bridge,chassis_nr=x', `Parameter 'chassis_nr' expects integer`],
    [
      '-device pci-bridge,id=a,chassis_nr=1 -device pci-bridge,id=a,chassis_nr=2',
      `${Q} -device pci-bridge,id=a,chassis_nr=2: Duplicate ID 'a' for device`,
    ],
    ['-device pci-bridge', 'Bridge chassis not specified.'],
    ['-device pci-bridge,chassis_nr=1,addr=0.9', `Property 'pci-bridge.addr' doesn't take value '0.9'`],
    ['-device pci-bridge,chassis_nr=1,addr=40', `Property 'pci-bridge.addr' doesn't take value '40'`],
    ['-device pci-bridge,chassis_nr=1,bus=nobus', `Bus 'nobus' not found`],
    [
      '-device pci-bridge,chassis_nr=1,addr=0',
      'PCI: slot 0 function 0 not available for pci-bridge, in use by i440FX,id=(null)',
    ],
    [
      '-device pci-bridge,id=br,chassis_nr=1 -device pci-bridge,bus=br,addr=1,chassis_nr=2,id=x -device pci-bridge,bus=br,addr=1,chassis_nr=3',
      'PCI: slot 1 function 0 not available for pci-bridge, in use by pci-bridge,id=x',
    ],
    ['-device pci-bridge,chassis_nr=1,id=1x', `Parameter 'id' expects an identifier\nIdentifiers consist of`],
    ['-device pci-bridge,chassis_nr=1,,x=3', `Parameter 'chassis_nr' expects integer`],
    ['-device isa-debug-exit,iobase=zz', `Parameter 'iobase' expects integer`],
    ['-device isa-debug-exit,addr=3', `Property 'isa-debug-exit.addr' not found`],
    ['-device isa-debug-exit,bus=pci.0', `Device 'isa-debug-exit' can't go on PCI bus`],
    ['-device id=x', `${Q} -device id=x: Parameter 'driver' is missing`],
    ['-device vfio-pci', `${Q} -device vfio-pci: No provided host device\nUse -device vfio-pci,host=DDDD:BB:DD.F or`],
    ['-device vfio-pci,host=1', `Property 'vfio-pci.host' doesn't take value '1'`],
    [
      '-device vfio-pci,sysfsdev=/sys/nope',
      `${Q} -device vfio-pci,sysfsdev=/sys/nope: vfio /sys/nope: no such host device: No such file or directory`,
    ],
    ['-device', `${Q} -device: requires an argument`],
    ['-m', `${Q} -m: requires an argument`],
    ['-m abc', `${Q} -m abc: Parameter 'size' expects a non-negative number below 2^64\nOptional suffix k, M, G`],
    ['-m 64X', `Parameter 'size' expects`],
    ['-m -5', `Parameter 'size' expects`],
    ['-foo', `${Q} -foo: invalid option`],
    ['-M q35', 'unsupported machine type'],
    ['-serial foo', `${Q} -serial foo: 'foo' is not a valid char driver`],
    ['-kernel /nope', `could not open kernel file '/nope': No such file or directory`],
    ['-nodefaults', 'no guest'],
    ['disk.img', `${Q} disk.img: Could not open 'disk.img'`],
  ])('%s', (line, message) => {
    const { init, stderr, end } = new Host().qemu(line.split(' '));
    expect(stderr).toContain(message);
    expect(init).toBe(1);
    expect(end).toBeUndefined();
  });

  test('a kernel that is no ELF file, one for another machine, one that does not fit', () => {
    const host = new Host();
    host.kernel.files.createFile('/boot/text', new TextEncoder().encode('#!/bin/sh\n'.repeat(20)));
    expect(host.qemu(['-kernel', '/boot/text']).stderr).toContain("invalid kernel header in '/boot/text'");
    const { init, stderr } = host.qemu(['-m', '16M'], 'hlt');
    expect(init).toBe(1);
    expect(stderr).toMatch(/does not fit: segment at 0x1000000 .*\nGive the guest more memory/);
  });
});

describe('help', () => {
  test('-device help lists models by category', () => {
    const { init, stdout } = new Host().qemu(['-device', 'help']);
    expect(init).toBe(0);
    expect(stdout).toContain('Controller/Bridge/Hub devices:\nname "pci-bridge", bus PCI, desc "Standard PCI Bridge"');
  });

  test('-device NAME,help lists properties in the words of QEMU', () => {
    const { init, stdout } = new Host().qemu(['-device', 'vfio-pci,help']);
    expect(init).toBe(0);
    expect(stdout).toMatch(/^vfio-pci options:\n/);
    const address = '  addr=<int32>           - Slot and optional function number, example: 06.0 or 06 (default: -1)\n';
    const host = '  host=<str>             - Address (bus/device/function) of the host device, example: 04:10.0\n';
    expect(stdout).toContain(address);
    expect(stdout).toContain(host);
  });

  test('-device foo,help says that there is none', () => {
    const { init, stderr } = new Host().qemu(['-device', 'foo,help']);
    expect([init, stderr]).toEqual([1, `${Q} -device foo,help: Device 'foo' not found\n`]);
  });

  test('-help names every option there is', () => {
    const { stdout } = new Host().qemu(['-help']);
    for (const name of optionArity.keys()) expect(stdout).toContain(`-${name}`);
  });
});

test.each([
  ['64', MiB(64)],
  ['64M', MiB(64)],
  ['1G', MiB(1024)],
  ['1.5g', MiB(1536)],
  ['size=32', MiB(32)],
  ['65537k', MiB(64) + 8192],
  ['0', MiB(64)],
])('-m %s', (text, bytes) => {
  expect(parseOptions(['-m', text]).memory).toBe(bytes);
});

test('two dashes are as good as one, and ,, is a comma in a value', () => {
  const { devices } = parseOptions(['--device', 'vfio-pci,sysfsdev=/sys/a,,b,id=x,bus=br,addr=1']);
  expect(devices[0]).toMatchObject({ model: 'vfio-pci', id: 'x', bus: 'br' });
  expect([...devices[0]!.values]).toEqual([
    ['sysfsdev', '/sys/a,b'],
    ['addr', '1'],
  ]);
});
