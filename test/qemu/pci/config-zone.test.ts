/** The coalesced zone of 0xcf8, as a real QEMU's calls were recorded (captures: ioctl-seq-mtty1-1-startup), and what it does. */

import { expect, test } from 'vitest';
import { exitWith, Host } from '../bench.ts';

const debugExit = ['-device', 'isa-debug-exit,iobase=0x501,iosize=0x04'];

test('QEMU registers the dword, and the reset control port cuts it in two', () => {
  const { trace } = new Host().qemu([], exitWith('0'), 'sys_ioctl');
  const zones = trace.flatMap((line) => /(KVM_\w+_COALESCED_MMIO), (\{.*\})/.exec(line)?.slice(1).join(' ') ?? []);
  expect(zones.map((line) => line.replace(/, pad=0/, ''))).toEqual([
    'KVM_REGISTER_COALESCED_MMIO {addr=0xcf8, size=4, pio=1}',
    'KVM_UNREGISTER_COALESCED_MMIO {addr=0xcf8, size=4, pio=1}',
    'KVM_REGISTER_COALESCED_MMIO {addr=0xcf8, size=1, pio=1}',
    'KVM_REGISTER_COALESCED_MMIO {addr=0xcfa, size=2, pio=1}',
  ]);
});

test('a dword leaves for QEMU, a byte at 0xcfb waits in the ring; the data port finds every address written', () => {
  // The byte is no configuration address: the host bridge answers still.
  const guest = `mov dx, 0xcf8\nmov eax, 0x80000000\nout dx, eax\nmov dx, 0xcfb\nmov al, 1\nout dx, al
mov dx, 0xcfc\nin eax, dx\nshr eax, 16\n${exitWith('eax')}`;
  const { end, trace } = new Host().qemu(debugExit, guest, 'kvm_pio,kvm_userspace_exit,memory_region_ops_write');
  expect(end).toEqual({ reason: 'debug-exit', code: 0x1237 * 2 + 1 });
  expect(trace.map((line) => line.replace(/ mr 0x\w+/, '').trimEnd()).slice(0, 7)).toEqual([
    'kvm_pio pio_write at 0xcf8 size 4 count 1 val 0x80000000',
    'kvm_userspace_exit reason KVM_EXIT_IO (2)',
    "memory_region_ops_write cpu 0 addr 0xcf8 value 0x80000000 size 4 name 'pci-conf-idx'",
    'kvm_pio pio_write at 0xcfb size 1 count 1 val 0x1',
    'kvm_userspace_exit reason KVM_EXIT_IO (2)',
    "memory_region_ops_write cpu 0 addr 0xcfb value 0x1 size 1 name 'pci-conf-idx'",
    'kvm_pio pio_read at 0xcfc size 4 count 1 val 0x12378086',
  ]);
});
