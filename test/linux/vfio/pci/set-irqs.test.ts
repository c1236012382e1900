/** SET_IRQS of vfio-pci: every index, action and kind of data; and interrupts that arrive. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { COPIER, Copier } from '../../../../src/hardware/devices/copier.ts';
import { Device } from '../../../../src/linux/core/device.ts';
import { PciDevice } from '../../../../src/linux/pci/device.ts';
import { allocateMessages, type MessageVectors } from '../../../../src/linux/pci/interrupts.ts';
import { PCI_DEVFN } from '../../../../src/linux/uapi/pci.ts';
import { VFIO_DEVICE_RESET } from '../../../../src/linux/uapi/vfio.ts';
import { type Assigned, bootAssigned } from './assigned.ts';

const [INTX, MSI, MSIX, ERR, REQ] = [0, 1, 2, 3, 4] as const;
const [NONE, BOOL, EVENTFD] = [1, 2, 4] as const;
const [MASK, UNMASK, TRIGGER] = [8, 16, 32] as const;
/** 0x30 to 0xee. */
const VECTORS = 191;

let host: Assigned;
beforeEach(() => {
  host = bootAssigned();
  host.setConfig(0x04, 2, 0x0006);
});
afterEach(() => {
  host.process.exit();
  expect(host.vectors()).toBe(0);
});

/** Have the device interrupt: a DMA of no bytes is done at once; `ERROR` by one that is too long. */
const interrupt = (length = 0) => {
  host.setBar(0, COPIER.LENGTH, length);
  host.setBar(0, COPIER.CONTROL, 1 | 4);
};
const acknowledge = () => host.setBar(0, COPIER.STATUS, 3);

describe('what every index refuses', () => {
  test.each<[string, () => string]>([
    ['an index that is not there', () => host.setIrqs(5, NONE | TRIGGER, 0, 0)],
    ['an interrupt index that the device has not', () => host.setIrqs(ERR, NONE | TRIGGER, 0, 0)],
    ['a start beyond the last, though nothing is asked', () => host.setIrqs(MSI, NONE | TRIGGER, 2, 0)],
    ['more than there are', () => host.setIrqs(MSI, NONE | TRIGGER, 1, 2)],
    ['no kind of data', () => host.setIrqs(INTX, TRIGGER, 0, 1)],
    ['two kinds of data', () => host.setIrqs(INTX, NONE | BOOL | TRIGGER, 0, 1, [1])],
    ['an unknown flag', () => host.setIrqs(INTX, NONE | TRIGGER | 64, 0, 1)],
    ['less data than said', () => host.setIrqs(MSIX, EVENTFD | TRIGGER, 0, 2, [-1])],
    ['a count that wraps', () => host.setIrqs(INTX, NONE | TRIGGER, 1, 0xffff_ffff)],
  ])('%s', (_what, act) => {
    expect(act()).toBe('-EINVAL');
  });

  test.each([
    [INTX, 0],
    [INTX, MASK | UNMASK],
    [INTX, MASK | TRIGGER],
    [MSI, MASK],
    [MSI, UNMASK],
    [MSIX, MASK],
    [MSIX, UNMASK],
    [REQ, MASK],
    [REQ, UNMASK],
  ])('index %i with action %i has no such way', (index, action) => {
    for (const kind of [NONE, BOOL]) expect(host.setIrqs(index, kind | action, 0, 1, [1])).toBe('-ENOTTY');
    expect(host.setIrqs(index, EVENTFD | action, 0, 1, [host.eventfd()])).toBe('-ENOTTY');
  });

  test.each([INTX, MSI, MSIX, REQ])('index %i: descriptors that are none; a negative one is no eventfd', (index) => {
    const give = (fd: number) => host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [fd]);
    expect([give(99), give(host.group)]).toEqual(['-EBADF', '-EINVAL']);
    expect(host.vectors()).toBe(0);
    expect([give(-2), give(-1)]).toEqual(['0', '0']);
  });

  // pci_alloc_irq_vectors of at least one and at most none.
  test.each([MSI, MSIX])('index %i: to enable no message at all', (index) => {
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 0)).toBe('-ERANGE');
    expect(host.setIrqs(INTX, EVENTFD | TRIGGER, 0, 1, [host.eventfd()])).toBe('0');
  });
});

describe('INTx', () => {
  const enable = (fd = host.eventfd()) => {
    expect(host.setIrqs(INTX, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('0');
    return fd;
  };

  test.each<[string, number, readonly number[]]>([
    ['trigger NONE', NONE | TRIGGER, []],
    ['trigger BOOL', BOOL | TRIGGER, [1]],
    ['mask NONE', NONE | MASK, []],
    ['mask BOOL', BOOL | MASK, [1]],
    ['unmask NONE', NONE | UNMASK, []],
    ['unmask BOOL', BOOL | UNMASK, [1]],
  ])('%s before it is enabled', (_what, flags, data) => {
    expect(host.setIrqs(INTX, flags, 0, 1, data)).toBe('-EINVAL');
  });

  test('masks itself, and comes again after unmasking while the device still wants it', () => {
    const fd = enable();
    interrupt();
    expect([host.signals(fd), host.config(0x06, 2) & 8, host.pci.readConfig(4, 2) & 0x400]).toEqual([1, 8, 0x400]);
    expect(host.setIrqs(INTX, NONE | UNMASK, 0, 1)).toBe('0');
    expect(host.signals(fd)).toBe(1);
    acknowledge();
    expect([host.setIrqs(INTX, NONE | UNMASK, 0, 1), host.signals(fd), host.config(0x06, 2) & 8]).toEqual(['0', 0, 0]);
    interrupt();
    expect(host.signals(fd)).toBe(1);
  });

  test('an eventfd unmasks; a second one is refused until the first is taken back', () => {
    const fd = enable();
    const resample = host.eventfd();
    const give = (unmask: number) => host.setIrqs(INTX, EVENTFD | UNMASK, 0, 1, [unmask]);
    expect([give(resample), give(host.eventfd()), host.setIrqs(INTX, EVENTFD | MASK, 0, 1, [resample])]).toEqual([
      '0',
      '-EBUSY',
      '-ENOTTY',
    ]);
    interrupt();
    expect(host.signals(fd)).toBe(1);
    host.memory.write(host.scratch, new Uint8Array(BigUint64Array.of(1n).buffer));
    host.syscalls.write(resample, host.scratch, 8);
    expect([host.signals(fd), host.signals(resample)]).toEqual([1, 0]);
    expect([give(-1), give(resample)]).toEqual(['0', '0']);
  });

  test('masked by hand it waits; BOOL 0 does nothing', () => {
    const fd = enable();
    host.setIrqs(INTX, NONE | MASK, 0, 1);
    interrupt();
    expect([host.signals(fd), host.setIrqs(INTX, BOOL | UNMASK, 0, 1, [0]), host.signals(fd)]).toEqual([0, '0', 0]);
    expect([host.setIrqs(INTX, BOOL | UNMASK, 0, 1, [1]), host.signals(fd)]).toEqual(['0', 1]);
  });

  test('INTX_DISABLE in COMMAND masks it, whatever is unmasked', () => {
    const fd = enable();
    host.setConfig(0x04, 2, 0x0406);
    interrupt();
    host.setIrqs(INTX, NONE | UNMASK, 0, 1);
    expect([host.signals(fd), host.config(0x04, 2)]).toEqual([0, 0x0406]);
    host.setConfig(0x04, 2, 0x0006);
    expect(host.signals(fd)).toBe(1);
  });

  // vfio_basic_config_write: vfio_pci_intx_unmask.
  test('INTX_DISABLE set and cleared unmasks it, whoever masked it', () => {
    const fd = enable();
    interrupt();
    expect(host.signals(fd)).toBe(1);
    host.setConfig(0x04, 2, 0x0406);
    host.setConfig(0x04, 2, 0x0006);
    // The device wants it still: sent again, and masked.
    expect([host.signals(fd), host.pci.readConfig(4, 2) & 0x400]).toEqual([1, 0x400]);
    acknowledge();
    host.setIrqs(INTX, NONE | MASK, 0, 1);
    host.setConfig(0x04, 2, 0x0406);
    host.setConfig(0x04, 2, 0x0006);
    interrupt();
    expect(host.signals(fd)).toBe(1);
  });

  // vfio_send_intx_eventfd looks at virq_disabled.
  test('INTX_DISABLE silences loopback too; without INTx the device has it as well', () => {
    host.setConfig(0x04, 2, 0x0406);
    expect(host.pci.readConfig(4, 2) & 0x400).toBe(0x400);
    const fd = enable();
    host.setIrqs(INTX, NONE | TRIGGER, 0, 1);
    expect(host.signals(fd)).toBe(0);
  });

  // vfio_virqfd_enable looks whether one waits, and leaves it there; it looks for the eventfd before it looks for another one.
  test('an eventfd that is signalled already unmasks at once; a bad one is bad before it is one too many', () => {
    const fd = enable();
    host.setIrqs(INTX, NONE | MASK, 0, 1);
    interrupt();
    const resample = host.syscalls.eventfd(1, 0);
    const give = (unmask: number) => host.setIrqs(INTX, EVENTFD | UNMASK, 0, 1, [unmask]);
    expect([give(resample), host.signals(fd), host.signals(resample)]).toEqual(['0', 1, 1]);
    expect([give(99), give(host.group), give(host.eventfd())]).toEqual(['-EBADF', '-EINVAL', '-EBUSY']);
  });

  test('loopback, replacement, an eventfd taken away, and off', () => {
    const fd = enable();
    host.setIrqs(INTX, NONE | TRIGGER, 0, 1);
    host.setIrqs(INTX, BOOL | TRIGGER, 0, 1, [1]);
    host.setIrqs(INTX, BOOL | TRIGGER, 0, 1, [0]);
    expect(host.signals(fd)).toBe(2);
    const second = enable();
    host.setIrqs(INTX, NONE | TRIGGER, 0, 1);
    expect([host.signals(fd), host.signals(second)]).toEqual([0, 1]);
    expect(enable(-1)).toBe(-1);
    interrupt();
    expect([host.signals(second), host.setIrqs(INTX, NONE | UNMASK, 0, 1)]).toEqual([0, '0']);
    expect(host.setIrqs(INTX, NONE | TRIGGER, 0, 0)).toBe('0');
    expect(host.setIrqs(INTX, NONE | MASK, 0, 1)).toBe('-EINVAL');
  });

  test('not beside messages, nor messages beside it', () => {
    const fd = enable();
    for (const index of [MSI, MSIX]) expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('-EINVAL');
    host.setIrqs(INTX, NONE | TRIGGER, 0, 0);
    host.setIrqs(MSI, EVENTFD | TRIGGER, 0, 1, [fd]);
    expect(host.setIrqs(INTX, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('-EINVAL');
    expect(host.setIrqs(MSIX, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('-EINVAL');
  });
});

describe.each([
  ['MSI', MSI],
  ['MSI-X', MSIX],
])('%s', (_name, index) => {
  test('each message has its eventfd; the pin is silent', () => {
    const [done, failed] = [host.eventfd(), host.eventfd()];
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 2, [done, failed])).toBe('0');
    interrupt();
    expect([host.signals(done), host.signals(failed)]).toEqual([1, 0]);
    interrupt(0x1001);
    expect([host.signals(done), host.signals(failed), host.interrupts.isHigh(19)]).toEqual([0, 1, false]);
    expect(host.vectors()).toBe(2);
    expect(host.setIrqs(index, NONE | TRIGGER, 0, 0)).toBe('0');
    expect(host.vectors()).toBe(0);
    acknowledge();
    interrupt();
    expect(host.signals(done)).toBe(0);
  });

  test('as many as were set up first; one more is refused; a hole signals nobody', () => {
    const fd = host.eventfd();
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('0');
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 2, [fd, fd])).toBe('-EINVAL');
    expect(host.setIrqs(index, NONE | TRIGGER, 1, 1)).toBe('-EINVAL');
    host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [-1]);
    interrupt();
    expect(host.signals(fd)).toBe(0);
  });

  // vfio_msi_set_block: those before it are taken away with the one that fails.
  test('a descriptor that is none takes away those before it; at first it enables nothing', () => {
    const [one, two] = [host.eventfd(), host.eventfd()];
    const give = (...fds: number[]) => host.setIrqs(index, EVENTFD | TRIGGER, 0, fds.length, fds);
    expect([give(one, 99), host.vectors()]).toEqual(['-EBADF', 0]);
    expect([give(one, two), give(two, 99), host.setIrqs(index, NONE | TRIGGER, 0, 2)]).toEqual(['0', '-EBADF', '0']);
    expect([host.signals(one), host.signals(two)]).toEqual([0, 0]);
    // Those that were not enabled are refused before descriptors are looked at.
    host.setIrqs(index, NONE | TRIGGER, 0, 0);
    expect([give(one), give(99, 99)]).toEqual(['0', '-EINVAL']);
  });

  // pci_restore_msi_state; the MSI-X table does not survive the reset.
  test('messages come after a reset as before it', () => {
    const fds = [host.eventfd(), host.eventfd()];
    host.setIrqs(index, EVENTFD | TRIGGER, 0, 2, fds);
    expect(host.ioctl(host.device, VFIO_DEVICE_RESET)).toBe(0);
    interrupt();
    interrupt(0x1001);
    expect(fds.map(host.signals)).toEqual([1, 1]);
  });

  // vfio_pci_memory_lock_and_enable.
  test('can be enabled while memory is not decoded', () => {
    host.setConfig(0x04, 2, 0x0004);
    const fd = host.eventfd();
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('0');
    expect(host.pci.readConfig(4, 2)).toBe(0x0004);
    host.setConfig(0x04, 2, 0x0006);
    interrupt();
    expect(host.signals(fd)).toBe(1);
  });

  test('where the host has no vectors left', () => {
    const slot = { ...host.pci.hardware.slot, devfn: PCI_DEVFN(0x0e, 0) };
    const other = new PciDevice(host.kernel, new Device({ name: 'other' }), new Copier(slot).function, []);
    const take = () => allocateMessages(other, 1, false) as MessageVectors;
    const taken = Array.from({ length: VECTORS }, take);
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [host.eventfd()])).toBe('-ENOSPC');
    taken.pop()!.free();
    // As many as there could be; nothing is enabled.
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 2, [-1, -1])).toBe('1');
    expect(host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [host.eventfd()])).toBe('0');
    host.setIrqs(index, NONE | TRIGGER, 0, 0);
    for (const messages of taken) messages.free();
  });

  test('loopback by NONE and BOOL, only of what is enabled', () => {
    const fds = [host.eventfd(), host.eventfd()];
    expect(host.setIrqs(index, NONE | TRIGGER, 0, 1)).toBe('-EINVAL');
    expect(host.setIrqs(index, BOOL | TRIGGER, 0, 1, [1])).toBe('-EINVAL');
    host.setIrqs(index, EVENTFD | TRIGGER, 0, 2, fds);
    host.setIrqs(index, BOOL | TRIGGER, 0, 2, [0, 1]);
    host.setIrqs(index, NONE | TRIGGER, 0, 2);
    expect(fds.map(host.signals)).toEqual([1, 2]);
  });

  test('messages stop with bus mastering', () => {
    const fd = host.eventfd();
    host.setIrqs(index, EVENTFD | TRIGGER, 0, 1, [fd]);
    host.setConfig(0x04, 2, 0x0002);
    interrupt();
    expect(host.signals(fd)).toBe(0);
  });
});

test('the request to give the device back', () => {
  const fd = host.eventfd();
  expect(host.setIrqs(REQ, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('0');
  host.setIrqs(REQ, NONE | TRIGGER, 0, 1);
  host.setIrqs(REQ, BOOL | TRIGGER, 0, 1, [1]);
  expect(host.signals(fd)).toBe(2);
  // vfio_pci_set_ctx_trigger_single.
  expect(host.setIrqs(REQ, BOOL | TRIGGER, 0, 0)).toBe('-EINVAL');
  expect(host.setIrqs(REQ, EVENTFD | TRIGGER, 0, 0)).toBe('-EINVAL');
  expect([host.setIrqs(REQ, EVENTFD | TRIGGER, 0, 1, [-2]), host.setIrqs(REQ, NONE | TRIGGER, 0, 1)]).toEqual([
    '0',
    '0',
  ]);
  expect(host.signals(fd)).toBe(1);
  expect(host.setIrqs(REQ, NONE | TRIGGER, 0, 0)).toBe('0');
  expect(host.setIrqs(REQ, NONE | TRIGGER, 0, 1)).toBe('-EINVAL');
  expect(host.setIrqs(REQ, BOOL | TRIGGER, 0, 1, [1])).toBe('0');
  expect(host.signals(fd)).toBe(0);
});

test('MSI-X: what fires while nobody listens waits in the device until somebody does', () => {
  const fd = host.eventfd();
  host.setIrqs(MSIX, EVENTFD | TRIGGER, 0, 2, [-1, -1]);
  interrupt();
  expect(host.setIrqs(MSIX, EVENTFD | TRIGGER, 0, 1, [fd])).toBe('0');
  expect(host.signals(fd)).toBe(1);
});
