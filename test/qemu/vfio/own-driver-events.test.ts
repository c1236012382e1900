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
  const lines = stderr.split('\n').filter((line) => /^\[qemu\]|^qemu-system-x86_64: -device/.test(line));
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
/** What QEMU itself says of the device begins with it. */
const SYSTEM = 'qemu-system-x86_64: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/UUID,addr=3:';
const SAYS_SO = ['flags: uapi.VFIO_DEVICE_FLAGS_PCI,', 'flags: 3,'] as const;

test('a region that the driver lets nobody map is told of, and trapped', () => {
  const mappable = ['uapi.VFIO_REGION_INFO_FLAG_WRITE;', 'uapi.VFIO_REGION_INFO_FLAG_WRITE | 4;'] as const;
  expect(events('vfio_region_mmap,vfio_region_mmap_fault,vfio_region_unmap', mappable)).toEqual([
    'vfio_region_mmap_fault Region UUID BAR 0 mmaps[0], [0x0 - 0xf], fault: -22',
    `${SYSTEM} Failed to mmap UUID BAR 0. Performance may be slow`,
  ]);
});

/** The run, whatever its end: what QEMU says of the device. */
function said(driver: string, options = ''): readonly string[] {
  const files = { 'x.gasm': GUEST.replace(',addr=3', `,addr=3${options}`), 'summer.ts': driver };
  const { stderr } = gvmWith(files, 'run', 'x.gasm');
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('qemu-system-x86_64: -device'))
    .map((line) => line.replaceAll(UUID, 'UUID').replace(`${SYSTEM.slice(0, -1)}${options}:`, ''));
}
const change = (what: string, by: string): string => {
  expect(summer).toContain(what);
  return summer.replace(what, by);
};

// vfio_set_irq_signaling.
test('an interrupt that cannot be wired is told of by its name', () => {
  const refusing = change(
    'function setIrqs({ state }: Vdev, argument: number): number {',
    '$&\n  return -uapi.EINVAL;',
  );
  expect(said(refusing)).toEqual([
    ' vfio UUID: Failed to set up TRIGGER eventfd signaling for interrupt INTX-0: VFIO_DEVICE_SET_IRQS failure: Invalid argument',
  ]);
});

// vfio_intx_enable_kvm: the interrupt goes through QEMU then.
test('an INTx that no eventfd can unmask is a warning', () => {
  const unmasked = 'if ((header.flags & eventfds) !== eventfds || size === 0) return 0;';
  const refusing = change(unmasked, 'if (header.flags & 16 && size > 0) return -uapi.ENOTTY;\n  $&');
  expect(new Set(said(refusing))).toContain(
    ' warning: vfio UUID: Failed to set up UNMASK eventfd signaling for interrupt INTX-0: VFIO_DEVICE_SET_IRQS failure: Inappropriate ioctl for device',
  );
});

// vfio_populate_device, vfio_register_err_notifier, vfio_register_req_notifier.
test('error and request interrupts that the driver has, and what it refuses of them', () => {
  const known = 'if (info.index !== uapi.VFIO_PCI_INTX_IRQ_INDEX) return';
  const counts = (count: string) =>
    change(known, 'if (info.index < 3 && info.index > 0) return').replace(
      'flags, count: 1 }',
      `flags, count: ${count} }`,
    );
  expect(said(counts('info.index === 0 ? 1 : 0'))).toEqual([
    ' warning: vfio UUID: Could not enable error recovery for the device',
  ]);
  expect(said(counts('1'))).toEqual([]);
  const refusing = counts('1').replace(
    'const eventfds =',
    'if (header.index > 2) return -uapi.EINVAL;\n  const eventfds =',
  );
  expect(said(refusing)).toEqual(
    ['ERR', 'REQ'].map(
      (name) =>
        ` vfio UUID: Failed to set up TRIGGER eventfd signaling for interrupt ${name}-0: VFIO_DEVICE_SET_IRQS failure: Invalid argument`,
    ),
  );
});

// vfio_bar_prepare; vfio_pci_size_rom.
test('a BAR and a ROM that cannot be asked for their types are told of, and left out', () => {
  const config = 'const bytes = bytesAt(vdev, position, count);';
  const refusing = change(config, 'if (count === 4 && position % 2 ** 40 < 0x40) return -uapi.EIO;\n    $&');
  expect(said(refusing, ',rombar=1')).toEqual([
    ' vfio_pci_size_rom(UUID) failed: Input/output error',
    ' vfio: Failed to read BAR 0 (Input/output error)',
  ]);
});

test.each([
  ['x-pci-vendor-id=0xffff', ' vfio UUID: invalid PCI vendor ID provided'],
  ['x-pci-device-id=0x10000', ' vfio UUID: invalid PCI device ID provided'],
  ['x-pci-sub-vendor-id=0x10000', ' vfio UUID: invalid PCI subsystem vendor ID provided'],
  ['x-pci-sub-device-id=0x10000', ' vfio UUID: invalid PCI subsystem device ID provided'],
])('%s', (option, message) => {
  expect(said(summer, `,${option}`)).toEqual([message]);
});

// vfio_msix_early_setup, vfio_msix_setup, vfio_add_std_cap.
test.each<[string, readonly number[], string]>([
  [
    'pending bits beyond their BAR',
    [0x11, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0],
    ' vfio UUID: hardware reports invalid configuration, MSIX PBA outside of specified BAR',
  ],
  [
    'a table that is longer than its BAR',
    [0x11, 0, 1, 0, 0, 0, 0, 0, 8, 0, 0, 0],
    " vfio UUID: failed to add PCI capability 0x11[0xc0]@0x40: table & pba overlap, or they don't fit in BARs, or don't align",
  ],
  [
    'MSI over what follows it',
    [5, 0x48, 0x80, 0, 0, 0, 0, 0, 9, 0, 8, 0],
    ' vfio UUID: failed to add PCI capability 0x5[0x8]@0x40: msi_init failed: 0000:00:00:03.0 Attempt to add PCI capability 5 at offset 40 overlaps existing capability 9 at offset 48',
  ],
])('%s', (_what, bytes, message) => {
  const [what, by] = capability(...bytes);
  expect(said(change(what, by))).toEqual([message]);
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
