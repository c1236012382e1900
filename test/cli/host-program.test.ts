/** A program of the user's own in the host's user space: `gvm host run prog.ts`, and as a line of the shell. */

import { describe, expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

const program = (body: string, head = '') => `${head}import * as uapi from 'gvm/uapi';
export default ({ syscalls, memory }, args) => {
  const page = syscalls.mmap(4096, 3, uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS, -1, 0);
  const say = (fd, text) => {
    const bytes = new TextEncoder().encode(text);
    memory.write(page, bytes);
    syscalls.write(fd, page, bytes.length);
  };
${body}
};
`;
const run = (file: string, ...args: string[]) =>
  gvmWith({ 'sub/prog.ts': file }, 'host', 'run', 'sub/prog.ts', ...args);

test('it prints, gets its arguments, and its status is told', () => {
  const file = program("  say(1, args.join('+') + '\\n'); say(2, 'aside\\n'); return args.length;");
  expect(run(file)).toEqual({ stdout: '\n', stderr: 'aside\n', status: 0 });
  expect(run(file, 'a', 'b')).toEqual({
    stdout: 'a+b\n',
    stderr: 'aside\ngvm: the program ended with status 2\n',
    status: 1,
  });
});

test('lines at its top prepare the host; what they may not is refused', () => {
  const head = '/**\n * gvm: --explain\n * host: modprobe mtty\n */\n// host: cat /sys/class/mdev_bus/mtty/uevent\n';
  const file = program("  syscalls.open('/dev/vfio/7', 2); return 0;", head);
  expect(run(file).stderr).toBe(
    '[host] mtty_dev: mtty_dev_init\n[host] mtty mtty: MDEV: Registered\n' +
      '[explain] ENOENT: open of /dev/vfio/7: /dev/vfio has no 7\n',
  );
  expect(run(program('', '// gvm: -m 64M\n'))).toMatchObject({
    stderr: 'sub/prog.ts:1: error: -m is no option that a program of the host may give itself\n',
    status: 2,
  });
  expect(run(program('', '// gvm: --trace\n'))).toMatchObject({
    stderr: 'sub/prog.ts:1: error: --trace takes a value\n',
    status: 2,
  });
  expect(run(program('', '// host: modprobe nothing\n')).stderr).toContain('Module nothing not found.');
});

test('--trace shows its system calls', () => {
  const file = program("  syscalls.close(syscalls.open('/dev/vfio/vfio', uapi.O_RDWR)); return 0;");
  for (const words of [
    ['run', './prog.js', '--trace', 'sys_close'],
    ['--trace', 'sys_close', 'run', './prog.js'],
  ])
    expect(gvmWith({ 'prog.js': file }, 'host', ...words).stderr).toMatch(
      /^\[syscall\] close\(3<\/dev\/vfio\/vfio>\) += 0\n$/,
    );
});

describe('one that fails ends with its place, and with no stack of ours', () => {
  test.each([
    ['it throws', "\n  throw new Error('no');", './sub/prog.ts:10: error: no', 5],
    ['it returns nothing', '', 'the program returned undefined, no exit status from 0 to 255', 5],
    ['it returns too much', 'return 256;', 'the program returned 256, no exit status from 0 to 255', 5],
    [
      'it touches memory that it has not',
      '\n  memory.read(64, 4);',
      './sub/prog.ts:10: error: segmentation fault in process prog: read of 0x40',
      5,
    ],
    [
      'it passes what is no integer',
      '\n  syscalls.write(syscalls.memfd_create("x", 0), page, 0.5);',
      './sub/prog.ts:10: error: argument 3 of write is 0.5, no integer',
      5,
    ],
    ['it names no file', '\n  syscalls.open(5, 0);', './sub/prog.ts:10: error: argument 1 of open is 5, no string', 5],
    [
      'it forgets an argument',
      '\n  syscalls.eventfd(0);',
      './sub/prog.ts:10: error: argument 2 of eventfd is undefined, no integer',
      5,
    ],
    [
      'it writes a text to its memory',
      "\n  memory.write(page, 'text');",
      "./sub/prog.ts:10: error: argument 2 of memory.write is 'text', no Uint8Array",
      5,
    ],
    [
      'it reads more than there is',
      '\n  memory.read(page, 2 ** 40);',
      './sub/prog.ts:10: error: argument 2 of memory.read is 1099511627776, no length',
      5,
    ],
    [
      'it changes what gvm works with',
      '\n  Map.prototype.get = () => undefined;',
      './sub/prog.ts:10: error: it changes Map.prototype.get, which gvm works with in the same process',
      5,
    ],
    [
      'it waits for what never comes',
      '\n  syscalls.read(syscalls.eventfd(0, 0), page, 8);',
      './sub/prog.ts:10: error: prog would sleep for ever in read of an eventfd',
      5,
    ],
  ])('%s', (_, body, message, status) => {
    const ran = run(program(`  ${body}`).replace(/^/, ''));
    expect(ran.stderr.replace(/^sub/gm, './sub')).toContain(message);
    expect([ran.stderr.includes('    at '), ran.status]).toEqual([false, status]);
  });

  test.each([
    ['no TypeScript', 'export default (', 'sub/prog.ts:1: error: Unexpected token'],
    ['no function', 'export default 5;', 'sub/prog.ts: error: the default export is no function'],
  ])('%s', (_, file, message) => {
    const ran = run(file);
    expect(ran.stderr).toContain(message);
    expect(ran.status).toBe(2);
  });

  const SPIN = 'for (let n = 0; n >= 0; n++) if (n > 1e9) n = 0;';
  test.each([
    [
      'of a program',
      program(`  ${SPIN}\n  return 0;`),
      './prog.ts',
      /^\.\/prog\.ts:9: error: .* 3 s without a system call\n/,
    ],
    [
      'of a host driver',
      `export default { name: 'spin', init() {\n  ${SPIN}\n} };`,
      'insmod ./prog.ts',
      /^\.\/prog\.ts:2: error: .* has not returned\n/,
    ],
  ])('a loop %s', { timeout: 120_000 }, (_, file, line, message) => {
    const ran = gvmWith({ 'prog.ts': file }, 'host', '-c', `${line}; echo behind`);
    expect(ran.stderr).toMatch(message);
    expect(ran.stderr).toMatch(/gvm: a (program|host driver) of your own failed\n$/);
    expect(ran).toMatchObject({ stdout: '', status: 5 });
  });

  test('a file that is not there', () => {
    expect(gvmWith({}, 'host', 'run', './prog.ts')).toEqual({
      stdout: '',
      stderr: 'gvm: ./prog.ts: No such file or directory\n',
      status: 2,
    });
  });
});

test('a line of the shell runs it, into a file too; its status ends the line', () => {
  const shell = (line: string) =>
    gvmWith({ 'prog.ts': program("  say(1, 'hello\\n'); return args.length;") }, 'host', '-c', line);
  expect(shell('./prog.ts; echo behind')).toMatchObject({ stdout: 'hello\nbehind\n', status: 0 });
  expect(shell('./prog.ts > /out; cat /out')).toMatchObject({ stdout: 'hello\n', status: 0 });
  expect(shell('./prog.ts x; echo behind')).toEqual({
    stdout: 'hello\n',
    stderr: './prog.ts: exit status 1\n',
    status: 2,
  });
  expect(shell('./other.ts')).toMatchObject({ stderr: './other.ts: No such file or directory\n', status: 2 });
});

test('a sleeping read wakes when the device is done: a driver of the user’s own, by its timer', () => {
  const driver = `import * as linux from 'gvm/driver';
let device, cls;
const driver = { device_api: 'vfio-pci', max_instances: 1,
  probe(mdev) { mdev.drvdata = linux.vfio_alloc_device(mdev, {
      ioctl(vdev, request, fd) { const eventfd = linux.eventfd_ctx_fdget(fd);
        if (typeof eventfd === 'number') return eventfd;
        linux.hrtimer_start(5000, () => linux.eventfd_signal(eventfd, 3)); return 0; } }, {});
    return linux.vfio_register_emulated_iommu_dev(mdev.drvdata); },
  remove(mdev) { linux.vfio_unregister_group_dev(mdev.drvdata); linux.vfio_put_device(mdev.drvdata); } };
export default { name: 'late', init() { cls = linux.class_create('late'); device = linux.device_create(cls, 'late');
    linux.mdev_register_driver(driver); return linux.mdev_register_parent(device, driver, [{ sysfs_name: 'a' }]); } };
`;
  const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
  const head = `// host: insmod ./late.ts\n// host: echo ${uuid} > /sys/class/mdev_bus/late/mdev_supported_types/late-a/create\n`;
  const body = `
  const container = syscalls.open('/dev/vfio/vfio', 2), group = syscalls.open('/dev/vfio/0', 2);
  memory.write(page, new Uint8Array(Int32Array.of(container).buffer));
  syscalls.ioctl(group, uapi.VFIO_GROUP_SET_CONTAINER.number, page);
  syscalls.ioctl(container, uapi.VFIO_SET_IOMMU.number, 3);
  memory.write(page, new TextEncoder().encode('${uuid}\\0'));
  const device = syscalls.ioctl(group, uapi.VFIO_GROUP_GET_DEVICE_FD.number, page);
  say(1, 'rmmod ' + syscalls.delete_module('late') + '\\n');
  const eventfd = syscalls.eventfd(0, 0);
  syscalls.ioctl(device, 0x3b64 + 50, eventfd);
  syscalls.read(eventfd, page, 8);
  say(1, memory.read(page, 1)[0] + ' after ' + syscalls.clock_gettime() + ' ns\\n');
  return -syscalls.ioctl(device, 0x3b64 + 50, 99);`;
  expect(gvmWith({ 'late.ts': driver, 'prog.ts': program(body, head) }, 'host', 'run', 'prog.ts')).toMatchObject({
    stdout: 'rmmod -11\n3 after 5000 ns\n',
    status: 1,
  });
});
