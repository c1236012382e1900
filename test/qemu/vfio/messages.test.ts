/** MSI and MSI-X of an assigned device in QEMU: what the guest's writes to capability and table do to the device's interrupts. */

import { expect, test } from 'vitest';
import { plugIn } from '../../../src/cli/physical-devices.ts';
import { hostKeepsPages } from '../../linux/leaks.ts';
import { exitWith, Host } from '../bench.ts';

const NAME = '0000:06:0d.0';
const config = (offset: number) =>
  `mov eax, ${0x8000_2000 + offset}\nmov dx, 0xcf8\nout dx, eax\nmov dx, ${0xcfc + (offset & 2)}\n`;
/** BAR 2, which holds the MSI-X table, at 0x10000000; memory decoding and bus mastering on. */
const PLACED = `${config(0x18)}mov eax, 0x10000000\nout dx, eax\n${config(4)}mov ax, 6\nout dx, ax\nmov esi, 0x10000000\n`;
const MSI_FLAGS = 0x52;
const MSIX_FLAGS = 0x62;
const flags = (offset: number, value: number) => `${config(offset)}mov ax, ${value}\nout dx, ax\n`;
/** Entry `number` of the table: the local APIC's address, the vector, masked or not. */
const entry = (number: number, vector: number, masked: boolean) =>
  `mov dword [rsi + ${16 * number}], 0xfee00000\nmov dword [rsi + ${16 * number + 8}], ${vector}\nmov dword [rsi + ${16 * number + 12}], ${masked ? 1 : 0}\n`;

function run(guest: string, irqchip: boolean, events: string, options = '') {
  const host = new Host();
  plugIn(host.kernel, [`copier@${NAME}`]);
  hostKeepsPages(host.kernel);
  host.modprobe('vfio_pci');
  host.echo('vfio-pci', `/sys/bus/pci/devices/${NAME}/driver_override`);
  host.echo(NAME, '/sys/bus/pci/drivers_probe');
  const machine = irqchip ? [] : ['-M', 'pc,kernel-irqchip=off'];
  const devices = ['-device', 'isa-debug-exit', '-device', `vfio-pci,host=${NAME},addr=4${options}`];
  const { end, trace } = host.qemu([...machine, ...devices], PLACED + guest + exitWith('0'), events);
  expect(end?.reason).toBe('debug-exit');
  return {
    host,
    trace: trace
      .filter((line) => !/vfio_intx_(en|dis)able_kvm|vfio_intx_update/.test(line))
      .map((line) => line.replace(/ {2}\(.*?\)/, '')),
  };
}
const EVENTS = 'vfio_msi_enable,vfio_msi_disable,vfio_msix_enable,vfio_msix_disable,vfio_msix_vector_*,vfio_intx_*able';

test('MSI takes the place of INTx, and gives it back', () => {
  const { trace } = run(flags(MSI_FLAGS, 0x81) + flags(MSI_FLAGS, 0x80), true, EVENTS);
  expect(trace.slice(-4)).toEqual([
    'vfio_intx_disable',
    'vfio_msi_enable Enabled 1 MSI vectors',
    'vfio_intx_enable',
    'vfio_msi_disable',
  ]);
});

test('with two vectors granted the host is asked for two', () => {
  const { trace } = run(flags(MSI_FLAGS, 0x91), false, 'vfio_msi_enable,sys_ioctl');
  expect(trace.some((line) => line.includes('Enabled 2 MSI vectors'))).toBe(true);
  expect(trace.find((line) => line.includes('VFIO_PCI_MSI_IRQ_INDEX'))).toContain('argsz=28');
});

test('MSI-X: a vector is used when it is unmasked, released when it is masked, by entry or by function', () => {
  const steps = [
    entry(0, 0x40, true) + entry(1, 0x41, true),
    flags(MSIX_FLAGS, 0x8000),
    entry(1, 0x41, false),
    flags(MSIX_FLAGS, 0xc000),
    flags(MSIX_FLAGS, 0x8000),
    entry(1, 0x41, true),
    flags(MSIX_FLAGS, 0),
  ];
  const { trace } = run(steps.join(''), true, EVENTS);
  const from = trace.lastIndexOf('vfio_intx_disable');
  expect(trace.slice(from)).toEqual([
    'vfio_intx_disable',
    'vfio_msix_vector_do_use vector 0 used',
    'vfio_msix_vector_release vector 0 released',
    'vfio_msix_enable',
    'vfio_msix_vector_do_use vector 1 used',
    'vfio_msix_vector_release vector 1 released',
    'vfio_msix_vector_do_use vector 1 used',
    'vfio_msix_vector_release vector 1 released',
    'vfio_msix_vector_release vector 0 released',
    'vfio_msix_vector_release vector 1 released',
    'vfio_intx_enable',
    'vfio_msix_disable',
  ]);
});

test('every eventfd, route and vector is given back with the process', () => {
  const { host } = run(entry(0, 0x40, false) + entry(1, 0x41, false) + flags(MSIX_FLAGS, 0x8000), true, EVENTS);
  expect(host.kernel.pages.pinned).toBe(0);
  expect(host.kernel.modules.find('vfio_pci')?.references).toBe(0);
});

/** A DMA of no bytes is done at once, and says so with message 0. */
const COPIED = `${config(0x10)}mov eax, 0x10010000\nout dx, eax\nmov edi, 0x10010000\nmov dword [rdi + 0x0c], 0\nmov dword [rdi + 4], 5\nout 0x80, al\n`;

test('a message that waits behind the guest’s mask is among the pending bits, of which the device knows nothing', () => {
  const steps = [
    entry(0, 0x40, false) + flags(MSIX_FLAGS, 0x8000) + entry(0, 0x40, true),
    `mov eax, [rsi + 0x800]\n${COPIED}mov eax, [rsi + 0x800]\n`,
    entry(0, 0x40, false),
  ];
  const { trace } = run(steps.join(''), true, 'vfio_msix_pba_*,vfio_msi_interrupt,memory_region_ops_read');
  const told = trace.filter((line) => /pba|msi_interrupt/.test(line));
  expect(told.map((line) => line.replace(/cpu 0 mr \S+ addr \S+ /, ''))).toEqual([
    'vfio_msix_pba_disable',
    'vfio_msix_pba_enable',
    'vfio_msi_interrupt vector 0 0xfee00000/0x40',
    "memory_region_ops_read value 0x1 size 4 name 'msix-pba'",
    'vfio_msix_pba_disable',
  ]);
});

test('messages that are on together go to KVM’s table of routes at once', () => {
  const { trace } = run(
    entry(0, 0x40, false) +
      entry(1, 0x41, false) +
      flags(MSIX_FLAGS, 0x8000) +
      entry(1, 0x42, false) +
      flags(MSIX_FLAGS, 0),
    true,
    'kvm_irqchip_*,kvm_x86_*,vfio_msix_enable',
  );
  const from = trace.findIndex((line) => line.startsWith('kvm_irqchip_add_msi_route'));
  expect(trace.slice(from).map((line) => line.trim())).toEqual([
    'kvm_irqchip_add_msi_route dev vfio-pci vector 0 virq 2',
    'kvm_x86_add_msi_route Adding route entry for virq 2',
    'kvm_irqchip_add_msi_route dev vfio-pci vector 1 virq 24',
    'kvm_x86_add_msi_route Adding route entry for virq 24',
    'kvm_irqchip_commit_routes',
    'vfio_msix_enable',
    'kvm_x86_remove_msi_route Removing route entry for virq 2',
    'kvm_irqchip_release_virq virq 2',
    'kvm_x86_remove_msi_route Removing route entry for virq 24',
    'kvm_irqchip_release_virq virq 24',
  ]);
});

test('without KVM’s controllers a message goes through QEMU', () => {
  const { trace } = run(
    entry(0, 0x40, false) + flags(MSIX_FLAGS, 0x8000) + COPIED,
    false,
    'vfio_pci_msi,vfio_msi_interrupt',
  );
  expect(trace.map((line) => line.split(' ')[0]?.replace(':', ''))).toEqual(['vfio_pci_msi', 'vfio_msi_interrupt']);
});

// vfio_add_kvm_msi_virq, vfio_intx_enable_kvm.
test('x-no-kvm-msix, x-no-kvm-msi and x-no-kvm-intx keep interrupts from KVM', () => {
  const used = entry(0, 0x40, false) + flags(MSIX_FLAGS, 0x8000);
  const routes = (guest: string, options: string) =>
    run(guest, true, 'kvm_irqchip_add_msi_route', options).trace.length;
  expect([routes(used, ''), routes(used, ',x-no-kvm-msix=on')]).toEqual([1, 0]);
  const granted = flags(MSI_FLAGS, 0x81);
  expect([routes(granted, ''), routes(granted, ',x-no-kvm-msi=on')]).toEqual([1, 0]);
  const kvm = (options: string) => {
    const { trace } = run('', true, 'sys_ioctl', options);
    return trace.some((line) => line.includes('KVM_IRQFD'));
  };
  expect([kvm(''), kvm(',x-no-kvm-intx=on')]).toEqual([true, false]);
});

test('x-pci-vendor-id and its siblings are what the guest reads', () => {
  const ids = ',x-pci-vendor-id=0x8086,x-pci-device-id=0x10d3,x-pci-sub-vendor-id=0x1af4,x-pci-sub-device-id=0x1100';
  const { trace } = run(
    `${config(0)}in eax, dx\n${config(0x2c)}in eax, dx\n`,
    true,
    'vfio_pci_emulated_*,vfio_pci_read_config',
    ids,
  );
  expect(trace.filter((line) => line.includes('emulated'))).toEqual([
    `vfio_pci_emulated_vendor_id ${NAME} 0x8086`,
    `vfio_pci_emulated_device_id ${NAME} 0x10d3`,
    `vfio_pci_emulated_sub_vendor_id ${NAME} 0x1af4`,
    `vfio_pci_emulated_sub_device_id ${NAME} 0x1100`,
  ]);
  const read = trace.filter((line) => line.endsWith('0x10d38086') || line.endsWith('0x11001af4'));
  expect(read).toHaveLength(2);
});
