/** The tree in sysfs, entry by entry, as on a real host: mtty loaded, and with one mtty-1. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bootHost, type Host, shown, typePath, UUID } from '../drivers/host.ts';

const recorded = (name: string): string[] =>
  readFileSync(new URL(`vectors/${name}.txt`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

/** What find, readlink and cat say of `path` and everything below it, without following links. */
function walk(host: Host, path: string): string[] {
  const { syscalls } = host;
  const target = syscalls.readlink(path);
  if (typeof target === 'string') return [`L ${path} -> ${target}`];
  const stat = syscalls.stat(path);
  if (typeof stat === 'number') return [`${path}: ${shown(stat)}`];
  if (stat.kind !== 'directory') {
    const readable = (stat.mode & 0o444) !== 0;
    const text = readable ? ` = [${host.cat(path).replaceAll('\n', '|')}]` : '';
    return [`F ${stat.mode.toString(8)} ${path}${text}`];
  }
  const entries = syscalls.readdir(path);
  const names = typeof entries === 'number' ? [] : entries.map(({ name }) => name);
  return [`D ${path}`, ...names.flatMap((name) => walk(host, `${path}/${name}`))];
}

const ROOTS = [
  '/sys/devices/virtual/mtty',
  '/sys/devices/virtual/vfio',
  '/sys/devices/virtual/misc/vfio',
  '/sys/class/mtty',
  '/sys/class/mdev_bus',
  '/sys/class/vfio',
  '/sys/bus/mdev',
  '/sys/kernel/iommu_groups',
];
const tree = (host: Host) =>
  ROOTS.flatMap((root) => walk(host, root))
    .map((line) => line.replaceAll(UUID, 'UUID'))
    .filter((line) => !line.endsWith(': -ENOENT'))
    // The record is of Linux 6.1, where a device of VFIO's had no node of its own yet.
    .filter((line) => !/\/vfio-dev\/vfio0\/dev = \[511:0\|\]$/.test(line))
    .map((line) => line.replace('MAJOR=511|MINOR=0|DEVNAME=vfio/devices/vfio0|', ''))
    .sort();

test('mtty loaded', () => {
  const host = bootHost();
  host.syscalls.init_module('mtty', '');
  expect(tree(host)).toEqual(recorded('sysfs-mtty-loaded').sort());
});

test('one mtty-1, and the same as before when it is removed', () => {
  const host = bootHost();
  host.syscalls.init_module('mtty', '');
  const before = tree(host);
  host.echo(`${typePath('mtty', 'mtty-1')}/create`, `${UUID}\n`);
  expect(tree(host)).toEqual(recorded('sysfs-one-mtty-1').sort());
  host.echo(`/sys/bus/mdev/devices/${UUID}/remove`, '1\n');
  expect(tree(host)).toEqual(before);
});

test('the nodes in /dev/vfio have the modes of the real ones', () => {
  const host = bootHost();
  host.syscalls.init_module('mtty', '');
  host.echo(`${typePath('mtty', 'mtty-1')}/create`, UUID);
  expect(['vfio', '0'].map((name) => host.syscalls.stat(`/dev/vfio/${name}`))).toEqual([
    { kind: 'character device', mode: 0o666 },
    { kind: 'character device', mode: 0o600 },
  ]);
});
