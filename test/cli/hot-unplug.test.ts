/** An mdev is removed while the guest has it: who is told, and what becomes of it. */

import { expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
const program = (driver: string, type: string, device: string) => `; host: modprobe ${driver}
; host: echo ${UUID} > /sys/class/mdev_bus/${driver}/mdev_supported_types/${driver}-${type}/create
; host: at 0.5ms rmmod ${driver}
; host: at 1ms echo 1 > /sys/bus/mdev/devices/${UUID}/remove; at 1.5ms ls /dev/vfio
; host: at 2ms echo 1 > /sys/bus/mdev/devices/${UUID}/remove
; gvm: -device pci-bridge,id=br0,chassis_nr=1,addr=5
; gvm: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID},${device}
bits 64
default rel
%include "linux/delay.inc"
%include "linux/printk.inc"
%include "linux/io.inc"
global init_module
init_module: push rbx
        mov edi, 5
        call msleep
        mov edi, 0xae04
        call inl
        mov ebx, eax
        mov edi, 0xae0c
        call inl
        lea rdi, [text]
        mov esi, ebx
        mov edx, eax
        xor eax, eax
        call printk
        xor eax, eax
        pop rbx
        ret
text:   db 'slots to empty %#x of %#x', 10, 0
`;
const run = (driver: string, type: string, device: string) => {
  const { stdout, stderr, status } = gvmWith({ 'x.gasm': program(driver, type, device) }, 'run', 'x.gasm');
  return { told: /slots.*/.exec(stdout)?.[0], stderr, status };
};

test('a driver with a request function: the slot’s bit is up, the device stays until the guest ejects it or QEMU ends', () => {
  const { told, stderr, status } = run('vgpu', 'V1', 'addr=3');
  expect([told, status]).toEqual(['slots to empty 0x8 of 0xffffffdc', 0]);
  expect(stderr).toContain(
    '[host] rmmod: ERROR: Module vgpu is in use\n[host]    = note: it has 1 reference(s)\n[host] 0\n[host] vfio\n',
  );
  expect(stderr).toContain('[host] sh: cannot create /sys/bus/mdev/devices');
  expect(stderr.trimEnd().split('\n').at(-1)).toBe(`[host] vgpu ${UUID}: Removing from iommu group 0`);
});

test('mtty has none: the guest is not asked', () => {
  const { told, stderr } = run('mtty', '1', 'addr=3');
  expect(told).toBe('slots to empty 0x0 of 0xffffffdc');
  expect(stderr).not.toContain('hotplugging');
});

test('behind a bridge QEMU says that it cannot', () => {
  const { told, stderr } = run('vgpu', 'V1', 'bus=br0,addr=1');
  expect(told).toBe('slots to empty 0x0 of 0xffffffdc');
  expect(stderr).toContain(`warning: vfio ${UUID}: Bus 'br0' does not support hotplugging\n`);
});

test.each(['at', 'at soon ls', 'at 5 ls', 'at 5ms'])('%s is no time and command', (line) => {
  const { stderr, status } = gvmWith({}, 'host', '-c', line);
  expect([stderr, status]).toEqual(['at: a time with ns, us, ms or s has to come first, then a command\n', 2]);
});
