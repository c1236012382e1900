/**
 * What QEMU makes of a device whose driver is somebody's own: a region that cannot be mapped, and the ways to reset it that its
 * capabilities name (hw/vfio/common.c: vfio_region_mmap; hw/vfio/pci.c: vfio_check_pm_reset, vfio_check_pcie_flr, vfio_pci_reset).
 */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { gvmWith, ROOT } from '../../cli/gvm.ts';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
const summer = readFileSync(`${ROOT}programs/mdev/summer.ts`, 'utf8');
const GUEST = `; host: insmod ./summer.ts
; host: echo ${UUID} > /sys/class/mdev_bus/summer/mdev_supported_types/summer-a/create
; gvm: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID},addr=3
bits 64
global init_module
init_module: xor eax, eax
ret
`;

/** The events of the kinds asked for, with the driver as `change` makes it. */
function events(trace: string, ...change: readonly (readonly [what: string, by: string])[]): readonly string[] {
  const driver = change.reduce((text, [what, by]) => {
    expect(text).toContain(what);
    return text.replace(what, by);
  }, summer);
  const files = { 'x.gasm': GUEST, 'summer.ts': driver };
  const { status, stderr } = gvmWith(files, 'run', 'x.gasm', '--trace', trace);
  expect(status, stderr).toBe(0);
  const lines = stderr.split('\n').filter((line) => /^\[qemu\]|warning/.test(line));
  return lines.map((line) => line.replace('[qemu] ', '').replaceAll(UUID, 'UUID'));
}

/** The function has a capability at 0x40, of these bytes. */
const capability = (...bytes: readonly number[]): readonly [string, string] => [
  '  return config;',
  `  config.setUint8(6, 0x10);
  config.setUint8(0x34, 0x40);
  [${bytes}].forEach((byte, at) => config.setUint8(0x40 + at, byte));
  return config;`,
];
const RESETTABLE = [
  '      return refuse(uapi.ENOTTY,',
  '      if (request === uapi.VFIO_DEVICE_RESET.number) return 0;\n      return refuse(uapi.ENOTTY,',
] as const;
const SAYS_SO = ['flags: uapi.VFIO_DEVICE_FLAGS_PCI,', 'flags: 3,'] as const;

test('a region that the driver lets nobody map is told of, and trapped', () => {
  const mappable = ['uapi.VFIO_REGION_INFO_FLAG_WRITE;', 'uapi.VFIO_REGION_INFO_FLAG_WRITE | 4;'] as const;
  expect(events('vfio_region_mmap,vfio_region_mmap_fault,vfio_region_unmap', mappable)).toEqual([
    'vfio_region_mmap_fault Region UUID BAR 0 mmaps[0], [0x0 - 0xf], fault: -22',
    'qemu-system-x86_64: warning: Failed to mmap UUID BAR 0. Performance may be slow',
  ]);
});

const RESETS = 'vfio_check_*,vfio_pci_reset*,vfio_pci_hot_reset,vfio_pci_write_config[addr=0x44]';

test('power management: out of D3, and reset by way of D3 once nothing else does it', () => {
  const asleep = capability(1, 0, 3, 0, 3, 0);
  const writable = ['position % 2 ** 40 !== uapi.PCI_INTERRUPT_LINE', 'position % 2 ** 40 !== 0x44'] as const;
  expect(events(RESETS, asleep, RESETTABLE, SAYS_SO, writable)).toEqual([
    'vfio_check_pm_reset UUID Supports PM reset',
    'vfio_pci_hot_reset  (UUID) multi',
    'vfio_pci_write_config  (UUID, @0x44, 0x0, len=0x2)',
    'vfio_pci_reset  (UUID)',
    'vfio_pci_hot_reset  (UUID) one',
    'vfio_pci_reset_pm UUID PCI PM Reset',
  ]);
});

test('PCI Express: a function that can be reset alone is', () => {
  const express = capability(0x10, 0, 2, 0, 0, 0, 0, 0x10);
  expect(events(RESETS, express, RESETTABLE, SAYS_SO)).toEqual([
    'vfio_check_pcie_flr UUID Supports FLR via PCIe cap',
    'vfio_pci_reset  (UUID)',
    'vfio_pci_reset_flr UUID FLR/VFIO_DEVICE_RESET',
  ]);
});

test('a device is given back step by step: its regions, its file, its container, its group', () => {
  const trace = 'vfio_region_exit,vfio_region_finalize,vfio_put_*,vfio_disconnect_container';
  const { status, stderr } = gvmWith({}, 'run', `${ROOT}programs/mdev/hot-unplug.gasm`, '--trace', trace);
  expect(status).toBe(0);
  const steps = stderr.split('\n').filter((line) => line.startsWith('[qemu]'));
  expect(steps.map((line) => line.replaceAll(UUID, 'UUID').replace(/fd=\d+/, 'fd=N'))).toEqual([
    '[qemu] vfio_region_exit Device UUID, region 0',
    '[qemu] vfio_region_finalize Device UUID, region 0',
    '[qemu] vfio_put_base_device close vdev->fd=N',
    '[qemu] vfio_disconnect_container close container->fd=N',
    '[qemu] vfio_put_group close group->fd=N',
  ]);
});
