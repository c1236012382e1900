import { expect, test } from 'vitest';
import { hva } from '../../../src/address.ts';
import type { Event } from '../../../src/event.ts';
import { OpenFile } from '../../../src/linux/core/file.ts';
import { refusal } from '../../../src/linux/core/kernel.ts';
import {
  EACCES,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  EMFILE,
  ENODEV,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTTY,
} from '../../../src/linux/uapi/errno.ts';
import {
  MAP_SHARED,
  O_APPEND,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/linux/uapi/syscalls.ts';
import { boot, program } from './machine.ts';

test('descriptors: the lowest free number, 1024 at most, EBADF for a closed one', () => {
  const { syscalls } = program(boot());
  expect([syscalls.open('/dev/null', O_RDWR), syscalls.open('/dev/null', O_RDWR)]).toEqual([3, 4]);
  expect(syscalls.close(3)).toBe(0);
  expect(syscalls.close(3)).toBe(-EBADF);
  expect(syscalls.open('/dev/null', O_RDONLY)).toBe(3);
  for (let fd = 5; fd < 1024; fd++) expect(syscalls.open('/dev/null', O_RDONLY)).toBe(fd);
  expect(syscalls.open('/dev/null', O_RDONLY)).toBe(-EMFILE);
});

test('the wrong call for a file: EBADF by access mode, EINVAL, ENOTTY, ENODEV, EACCES without a method', () => {
  const kernel = boot();
  kernel.files.registerDevice('/dev/bare', 0o600, (flags) => new OpenFile('/dev/bare', {}, flags, undefined));
  const { syscalls, scratch } = program(kernel);
  const bare = syscalls.open('/dev/bare', O_RDWR);
  expect(syscalls.read(bare, scratch, 1)).toBe(-EINVAL);
  expect(syscalls.write(bare, scratch, 1)).toBe(-EINVAL);
  expect(syscalls.ioctl(bare, 0xae00, 0)).toBe(-ENOTTY);
  expect(syscalls.mmap(4096, PROT_READ, MAP_SHARED, bare, 0)).toBe(-ENODEV);
  expect(syscalls.poll(bare, POLLIN | POLLOUT)).toBe(POLLIN | POLLOUT);
  const readOnly = syscalls.open('/dev/null', O_RDONLY);
  expect(syscalls.write(readOnly, scratch, 1)).toBe(-EBADF);
  expect(syscalls.mmap(4096, PROT_READ | PROT_WRITE, MAP_SHARED, readOnly, 0)).toBe(-EACCES);
  expect(syscalls.mmap(4096, PROT_READ, MAP_SHARED, 99, 0)).toBe(-EBADF);
  expect(syscalls.poll(99, POLLIN)).toBe(POLLNVAL);
  expect(syscalls.read(readOnly, hva(0x7fff_ffff_f000), 1)).toBe(-EFAULT);
  expect(syscalls.pread(readOnly, scratch, 1, -1)).toBe(-EINVAL);
});

test('files of the root file system: create, truncate, append, positions', () => {
  const { echo, cat, syscalls, scratch, memory } = program(boot());
  expect(echo('/tmp/a', 'one\n', O_WRONLY)).toBe(-ENOENT);
  expect(echo('/tmp/a', 'one\n', O_WRONLY | O_CREAT)).toBe(4);
  expect(echo('/tmp/a', 'two\n', O_WRONLY | O_APPEND)).toBe(4);
  expect(cat('/tmp/a')).toBe('one\ntwo\n');
  expect(echo('/tmp/a', 'x', O_WRONLY)).toBe(1);
  expect(cat('/tmp/a')).toBe('xne\ntwo\n');
  expect(echo('/tmp/a', '3', O_WRONLY | O_TRUNC)).toBe(1);
  expect(cat('/tmp/a')).toBe('3');
  const fd = syscalls.open('/tmp/a', O_RDWR);
  expect(syscalls.pwrite(fd, scratch, 1, 4)).toBe(1);
  expect(syscalls.read(fd, scratch, 100)).toBe(5);
  expect([...memory.read(scratch, 4)]).toEqual([0x33, 0, 0, 0]);
  expect([syscalls.ftruncate(fd, 2), syscalls.ftruncate(fd, 3), cat('/tmp/a')]).toEqual([0, 0, '3\0\0']);
  expect([syscalls.ftruncate(fd, 2 ** 40), syscalls.pwrite(fd, scratch, 1, 2 ** 40)]).toEqual([-ENOSPC, -ENOSPC]);
});

test('paths: links, dots, slashes, loops', () => {
  const kernel = boot();
  const { syscalls, cat } = program(kernel);
  const { files } = kernel;
  files.createFile('/etc/modules/list', new TextEncoder().encode('mtty'));
  files.symlink('/etc/link', 'modules/../modules/list');
  files.symlink('/absolute', '/etc/modules');
  files.symlink('/loop', 'loop');
  expect(cat('/etc/link')).toBe('mtty');
  expect(cat('//etc/./modules/../link')).toBe('mtty');
  expect(cat('/absolute/list')).toBe('mtty');
  expect(cat('/../../etc/link')).toBe('mtty');
  expect(files.canonical('/absolute/list')).toBe('/etc/modules/list');
  expect(syscalls.readlink('/absolute')).toBe('/etc/modules');
  expect(syscalls.readlink('/etc')).toBe(-EINVAL);
  expect(syscalls.stat('/loop')).toBe(-ELOOP);
  expect(syscalls.stat('/etc/link/x')).toBe(-ENOTDIR);
  expect(syscalls.open('/etc/modules/list/', O_RDONLY)).toBe(-ENOTDIR);
  expect(syscalls.stat('/none')).toBe(-ENOENT);
  expect(syscalls.stat('')).toBe(-ENOENT);
  expect(syscalls.open('/etc', O_WRONLY)).toBe(-EISDIR);
  expect(cat('/etc')).toBe(-EISDIR);
  expect(syscalls.stat('/etc/link')).toEqual({ kind: 'file', mode: 0o644 });
  expect(syscalls.readdir('/etc')).toEqual([
    { name: 'link', kind: 'symlink' },
    { name: 'modules', kind: 'directory' },
  ]);
  expect(syscalls.readdir('/etc/link')).toBe(-ENOTDIR);
});

test('device nodes come and go, with the directory made for them', () => {
  const kernel = boot();
  const { files } = kernel;
  const { syscalls } = program(kernel);
  const open = (flags: number) => new OpenFile('/dev/vfio/0', {}, flags, undefined);
  expect(files.registerDevice('/dev/vfio/0', 0o600, open)).toBe(0);
  expect(files.registerDevice('/dev/vfio/0', 0o600, open)).toBe(-EEXIST);
  expect(syscalls.stat('/dev/vfio/0')).toEqual({ kind: 'character device', mode: 0o600 });
  const fd = syscalls.open('/dev/vfio/0', O_RDWR);
  expect(files.unregisterDevice('/dev/vfio/0')).toBe(0);
  expect(syscalls.stat('/dev/vfio')).toBe(-ENOENT);
  expect(syscalls.close(fd)).toBe(0);
});

test('sysfs minds the mode even for root, and answers EIO where a method is missing', () => {
  const kernel = boot();
  const { syscalls, echo, cat } = program(kernel);
  let stored = '';
  kernel.sysfs.attribute('/sys/kernel/x/create', {
    mode: 0o200,
    store: (text) => {
      stored = text;
      return text.length;
    },
  });
  kernel.sysfs.attribute('/sys/kernel/x/name', { mode: 0o444, show: () => 'Single port serial\n' });
  kernel.sysfs.attribute('/sys/kernel/x/mute', { mode: 0o644 });
  // captures: mdev-lifecycle, "read create attr", "write to read-only name"
  expect(cat('/sys/kernel/x/create')).toBe(-EACCES);
  expect(echo('/sys/kernel/x/name', 'x', O_WRONLY)).toBe(-EACCES);
  expect(echo('/sys/kernel/x/new', 'x', O_WRONLY | O_CREAT)).toBe(-EACCES);
  expect(echo('/sys/kernel/x/create', 'ab\xff\n'.slice(0, 2), O_WRONLY)).toBe(2);
  expect(stored).toBe('ab');
  expect(cat('/sys/kernel/x/name')).toBe('Single port serial\n');
  expect(cat('/sys/kernel/x/mute')).toBe(-EIO);
  expect(echo('/sys/kernel/x/mute', 'x', O_WRONLY)).toBe(-EIO);
  expect(kernel.sysfs.attribute('/sys/kernel/x/name', { mode: 0o444 })).toBe(-EEXIST);
  const fd = syscalls.open('/sys/kernel/x/name', O_RDONLY);
  kernel.sysfs.remove('/sys/kernel/x');
  expect(syscalls.read(fd, hva(0), 10)).toBe(-ENODEV);
});

test('an attribute is shown at each read from the start, and read on in pieces', () => {
  const kernel = boot();
  const { syscalls, memory, scratch } = program(kernel);
  let value = 24;
  kernel.sysfs.attribute('/sys/kernel/count', { mode: 0o444, show: () => `${value}\n` });
  const fd = syscalls.open('/sys/kernel/count', O_RDONLY);
  const text = (count: number) => new TextDecoder().decode(memory.read(scratch, count));
  expect(syscalls.read(fd, scratch, 1)).toBe(1);
  value = 99;
  expect(syscalls.read(fd, scratch, 10)).toBe(2);
  expect(text(2)).toBe('4\n');
  expect(syscalls.pread(fd, scratch, 10, 0)).toBe(3);
  expect(text(3)).toBe('99\n');
});

// Texts from the captured trees (sysfs-02-one-mtty1).
test.each([
  ['/sys/class/mtty/mtty', '/sys/devices/virtual/mtty/mtty', '../../devices/virtual/mtty/mtty'],
  [
    '/sys/devices/virtual/mtty/mtty/U/mdev_type',
    '/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1',
    '../mdev_supported_types/mtty-1',
  ],
  ['/sys/devices/virtual/mtty/mtty/U/vfio-dev/vfio0/device', '/sys/devices/virtual/mtty/mtty/U', '../../../U'],
  [
    '/sys/devices/virtual/mtty/mtty/U/iommu_group',
    '/sys/kernel/iommu_groups/0',
    '../../../../../kernel/iommu_groups/0',
  ],
  ['/sys/module/mtty/drivers/mdev:mtty', '/sys/bus/mdev/drivers/mtty', '../../../bus/mdev/drivers/mtty'],
])('link %s', (at, target, text) => {
  const kernel = boot();
  kernel.sysfs.directory(target);
  kernel.sysfs.link(at, target);
  expect(kernel.files.readlink(at)).toBe(text);
  expect(kernel.files.canonical(at)).toBe(target);
});

test('standard input is empty, output reaches whoever started the program', () => {
  const { syscalls, memory, scratch, printed } = program(boot());
  memory.write(scratch, new TextEncoder().encode('hello\n'));
  expect(syscalls.write(1, scratch, 6)).toBe(6);
  expect(syscalls.write(2, scratch, 3)).toBe(3);
  expect(printed).toEqual(['1:hello\n', '2:hel']);
  expect(syscalls.read(0, scratch, 10)).toBe(0);
  expect(syscalls.write(0, scratch, 1)).toBe(-EBADF);
});

test('exit closes every descriptor, after the memory', () => {
  const kernel = boot();
  const { process, syscalls } = program(kernel);
  const order: string[] = [];
  process.mm.onInvalidate(() => order.push('memory'));
  const release = () => {
    expect(kernel.current).toBe(process);
    order.push('file');
  };
  kernel.files.registerDevice('/dev/x', 0o600, (flags) => new OpenFile('/dev/x', { release }, flags, undefined));
  syscalls.open('/dev/x', O_RDWR);
  process.exit();
  process.exit();
  expect(order).toEqual(['memory', 'file']);
  expect(process.files.open()).toEqual([]);
  expect(kernel.current.pid).toBe(0);
});

test('a refusal says which rule was broken', () => {
  const kernel = boot();
  const { syscalls, scratch } = program(kernel);
  const reasons: string[] = [];
  kernel.stream.subscribe([refusal as unknown as Event], ({ event, fields }) =>
    reasons.push(event.text(fields as never)),
  );
  kernel.sysfs.attribute('/sys/kernel/create', { mode: 0o200, store: (text) => text.length });
  syscalls.open('/dev/vfio/9', O_RDWR);
  syscalls.open('/sys/kernel/create', O_RDONLY);
  syscalls.close(77);
  syscalls.write(0, scratch, 1);
  syscalls.pread(1, scratch, 1, 0);
  syscalls.mmap(4096, PROT_READ, 0, -1, 0);
  expect(reasons).toEqual([
    'ENOENT: open of /dev/vfio/9: /dev has no vfio',
    'EACCES: /sys/kernel/create has mode 0200: nobody may read it',
    'EBADF: fd 77 is not open in process test',
    'EBADF: /dev/pts/0 was not opened for write',
    'ESPIPE: /dev/pts/0 has no positions',
    'EINVAL: mmap wants one of MAP_SHARED and MAP_PRIVATE',
  ]);
});
