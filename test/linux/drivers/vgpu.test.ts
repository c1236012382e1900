/** vgpu behind its device file, by either interface: what it reads of the guest, in which thread, and what it leaves behind. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { plus } from '../../../src/address.ts';
import { matchingEvents } from '../../../src/event.ts';
import { initKvm, type KvmModule } from '../../../src/linux/kvm/kvm.ts';
import { EFAULT, EINVAL, ENODEV } from '../../../src/linux/uapi/errno.ts';
import { POLLIN } from '../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import {
  bootHost,
  CONFIG,
  cString,
  expectNothingLeft,
  type Host,
  int,
  openDevice,
  shown,
  typePath,
  UUID,
} from './host.ts';
import { createVm, RAM, setGroup } from './vm.ts';

const [STATUS, COMMANDS, WORDS, SUBMIT, FENCE, ERROR, TABLE] = [4, 8, 0x10, 0x14, 0x18, 0x1c, 0x20];
const [DONE, FAILED] = [2, 3];
const [BY_VCPU, BY_WORKER, BY_WORKER_AS_VCPU] = [1, 2, 3];
const [STORE, FENCE_COMMAND, END] = [0x1000_0000, 0x2000_0000, 0x3000_0000];
const [COMMAND, BAR0] = [CONFIG + 4, CONFIG + 0x10];
const MEMORY = 2;

let host: Host;
let module: KvmModule;
let device: number;
let group: number;
let vm: ReturnType<typeof createVm>;

const dwords = (...values: number[]) => [...new Uint8Array(Uint32Array.from(values).buffer)];
const put = (register: number, value: number) => host.pwrite(device, register, dwords(value));
function get(register: number): number {
  const bytes = host.pread(device, register, 4);
  return new DataView(Uint8Array.from(bytes as number[]).buffer).getUint32(0, true);
}
/** Commands at guest physical 0x1000, and a table at 0x2000 whose entry 1 leads to 0x3000. */
function submit(who: number, commands: readonly number[], at = 0x1000): void {
  host.memory.write(plus(vm.ram, 0x2008), Uint8Array.from(dwords(0x3001, 0)));
  if (at + 4 * commands.length <= RAM) host.memory.write(plus(vm.ram, at), Uint8Array.from(dwords(...commands)));
  put(TABLE, 2);
  put(COMMANDS, at);
  put(WORDS, commands.length);
  put(SUBMIT, who);
}
const outcome = () => [get(STATUS), get(ERROR)];
const buses = () => module.vms.map(({ mmioBus }) => mmioBus.deviceCount);

/** A device of vgpu that a VM has, opened as QEMU opens it: the group is with the VM before the device is opened. */
function boot(parameters: string, withVm = true): void {
  host = bootHost();
  module = initKvm(host.kernel);
  const opened = openDevice(host, 'vgpu', 'vgpu-V1', parameters);
  ({ group, device } = opened);
  if (!withVm) return;
  vm = createVm(host);
  host.syscalls.close(device);
  expect(setGroup(host, vm.vfio, 1n, group)).toBe('0');
  device = host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID));
}

afterEach(() => expectNothingLeft(host));

describe.each(['api=6.1', 'api=5.10'])('%s', (api) => {
  beforeEach(() => boot(api));

  test('the commands are read and carried out before the write returns', () => {
    submit(BY_VCPU, [STORE, 0x1010, 0xcafe, FENCE_COMMAND, 5, END, 0xffff_ffff]);
    expect([...outcome(), get(FENCE)]).toEqual([DONE, 0, 5]);
    expect([...host.memory.read(plus(vm.ram, 0x3010), 4)]).toEqual([0xfe, 0xca, 0, 0]);
  });

  test.each([
    ['commands past the end of RAM', [END], RAM, EFAULT],
    ['commands that cross the end of RAM', [0, 0, END], RAM - 4, EFAULT],
    ['an unmapped graphics address', [STORE, 0x2000, 1], 0x1000, EFAULT],
    ['a graphics address past the table', [STORE, 0x20_0000, 1], 0x1000, EFAULT],
    ['no command', [0x7700_0000], 0x1000, EINVAL],
  ])('%s', (_, commands, at, errno) => {
    submit(BY_VCPU, commands, at);
    expect(outcome()).toEqual([FAILED, errno]);
  });

  test('nobody to read them', () => {
    submit(9, [END]);
    expect(outcome()).toEqual([FAILED, EINVAL]);
  });

  test('a worker reads them later, by access_remote_vm; copy_from_user fails there', () => {
    const seen: string[] = [];
    host.kernel.stream.subscribe(matchingEvents('vgpu_guest_access'), ({ event, fields }) => {
      seen.push(event.text(fields as never).replace(/^.*?\) /, ''));
    });
    submit(BY_WORKER, [STORE, 0x1000, 1, END]);
    expect(outcome()).toEqual([1, 0]);
    host.kernel.clock.sleep();
    expect(outcome()).toEqual([DONE, 0]);
    put(SUBMIT, BY_WORKER_AS_VCPU);
    host.kernel.clock.sleep();
    expect(outcome()).toEqual([FAILED, EFAULT]);
    expect(seen).toEqual([
      'read_gpa(0x2000, len 4096) in test by copy_from_user = 0',
      'read_gpa(0x1000, len 16) in kworker/u2:vgpu by access_remote_vm = 0',
      'write_gpa(0x3000, len 4) in kworker/u2:vgpu by access_remote_vm = 0',
      'read_gpa(0x1000, len 16) in kworker/u2:vgpu by copy_from_user = -14',
    ]);
    expect(host.refusals.at(-1)).toMatch(
      /^kworker\/u2:vgpu has nothing at 0x7.*: that is an address of the VM's process$/,
    );
  });

  test('a reset forgets queued work', () => {
    submit(BY_WORKER, [END]);
    expect(host.ioctl(device, uapi.VFIO_DEVICE_RESET)).toBe(0);
    expect([host.kernel.clock.sleep(), get(STATUS)]).toEqual([false, 0]);
  });

  test('KVM has the BAR while memory is on, where it is', () => {
    const command = (bits: number) => host.pwrite(device, COMMAND, [bits, 0]);
    expect(buses()).toEqual([0]);
    host.pwrite(device, BAR0, dwords(0xfebf_0000));
    command(MEMORY);
    expect(buses()).toEqual([1]);
    const [{ mmioBus } = { mmioBus: undefined }] = module.vms;
    const word = new Uint8Array(4);
    expect([mmioBus?.read(0xfebf_0000, word), String.fromCharCode(...word)]).toEqual([0, 'VGPU']);
    host.pwrite(device, BAR0, dwords(0xfebe_0000));
    expect([mmioBus?.read(0xfebf_0000, word), mmioBus?.read(0xfebe_0000, word)]).toEqual([-95, 0]);
    command(0);
    expect(buses()).toEqual([0]);
    command(MEMORY);
    host.syscalls.close(device);
    expect(buses()).toEqual([0]);
  });

  test('killing the process with everything open, and work queued, leaves nothing', () => {
    host.pwrite(device, COMMAND, [MEMORY, 0]);
    submit(BY_WORKER, [END]);
    expectNothingLeft(host);
    expect(module.vms).toEqual([]);
  });

  test('the VM that user space has closed lives until the device is closed', () => {
    host.pwrite(device, COMMAND, [MEMORY, 0]);
    for (const fd of [vm.vfio, vm.fd]) host.syscalls.close(fd);
    submit(BY_VCPU, [END]);
    expect([...outcome(), module.vms.length]).toEqual([DONE, 0, 1]);
    host.syscalls.close(device);
    expect(module.vms).toEqual([]);
  });

  test("the group leaves the VM: 5.10's notifier tells the driver, 6.1's device keeps what it was opened with", () => {
    host.pwrite(device, COMMAND, [MEMORY, 0]);
    expect(setGroup(host, vm.vfio, 2n, group)).toBe('0');
    submit(BY_VCPU, [END]);
    expect([...outcome(), buses()]).toEqual(api === 'api=6.1' ? [DONE, 0, [1]] : [FAILED, ENODEV, [0]]);
  });
});

test('without a VM there is no memory to read', () => {
  boot('', false);
  put(SUBMIT, BY_VCPU);
  expect(outcome()).toEqual([FAILED, ENODEV]);
});

test('four devices, then EUSERS by 6.1 and ENOSPC by 5.10', () => {
  const fill = (api: string) => {
    boot(api, false);
    const create = (n: number) => shown(host.echo(`${typePath('vgpu', 'vgpu-V1')}/create`, UUID.slice(0, -1) + n));
    return [host.cat(`${typePath('vgpu', 'vgpu-V1')}/available_instances`), create(2), create(3), create(4), create(5)];
  };
  expect(fill('api=6.1')).toEqual(['3\n', '36', '36', '36', '-EUSERS']);
  expect(fill('api=5.10')).toEqual(['3\n', '36', '36', '36', '-ENOSPC']);
});

test('an api of another time is refused', () => {
  host = bootHost();
  expect(shown(host.syscalls.init_module('vgpu', 'api=4.4'))).toBe('-EINVAL');
  expect(host.syscalls.readdir('/sys/class/mdev_bus')).toEqual([]);
});

test('removed while it is open, it asks for itself by the request eventfd; mtty does not', () => {
  const asks = (driver: string, type: string) => {
    host = bootHost();
    initKvm(host.kernel);
    ({ device } = openDevice(host, driver, type));
    const value = { argsz: 20 };
    host.ioctlStruct(device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, value);
    const eventfd = host.syscalls.eventfd(0, 0);
    const header = uapi.vfio_irq_set.encode({
      argsz: 24,
      flags: uapi.VFIO_IRQ_SET_DATA_EVENTFD | uapi.VFIO_IRQ_SET_ACTION_TRIGGER,
      index: uapi.VFIO_PCI_REQ_IRQ_INDEX,
      count: 1,
    });
    const wiring = Uint8Array.from([...header, ...int(eventfd)]);
    expect(host.ioctlBytes(device, uapi.VFIO_DEVICE_SET_IRQS, wiring)).toBe(0);
    host.echo(`/sys/bus/mdev/devices/${UUID}/remove`, '1\n');
    return host.syscalls.poll(eventfd, POLLIN) === POLLIN;
  };
  expect([asks('vgpu', 'vgpu-V1'), asks('mtty', 'mtty-1')]).toEqual([true, false]);
});
