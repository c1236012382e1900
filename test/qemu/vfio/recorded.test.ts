/**
 * QEMU's calls of KVM and VFIO beside those of a real one (QEMU 7.2.22, Linux 6.1.192), for mtty and for vmbuf: at start-up, and with a
 * guest. The files in recorded/ hold one call a line, with descriptors and addresses left out. A guest that makes the recorded port
 * accesses, in their order, is run; what QEMU then does, and what its preads give, has to be what was recorded.
 */

import { readFileSync } from 'node:fs';
import { assert, expect, test } from 'vitest';
import * as kvm from '../../../src/linux/uapi/kvm.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';
import { Host, MDEV } from '../bench.ts';
import { type Difference, running, startUp } from './recorded/differences.ts';

const recorded = (name: string): string[] =>
  readFileSync(new URL(`recorded/${name}.txt`, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');

/** The recording with each difference put in its place, which must be there. */
function expected(lines: readonly string[], differences: readonly Difference[]): string[] {
  let text = lines.join('\n');
  for (const { recorded: before, here } of differences) {
    expect(text).toContain(before.join('\n'));
    text = text.replace(before.join('\n'), here.join('\n'));
  }
  return text.split('\n');
}

const constants = new Map<string, number>(
  Object.entries({ ...kvm, ...vfio }).flatMap(([name, value]) => (typeof value === 'number' ? [[name, value]] : [])),
);
/** `A|B` or a number. */
const numberOf = (text: string): number =>
  text.split('|').reduce((sum, word) => {
    const value = constants.get(word) ?? Number(/^VFIO_PCI_BAR(\d)_REGION_INDEX$/.exec(word)?.[1] ?? word);
    assert(!Number.isNaN(value), `${word} is a constant of neither KVM nor VFIO`);
    return sum + value;
  }, 0);
const hex = (value: number) => `0x${value.toString(16)}`;

/** What of a structure is compared. */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  VFIO_DEVICE_SET_IRQS: ['argsz', 'flags', 'index', 'start', 'count'],
  VFIO_IOMMU_MAP_DMA: ['argsz', 'flags', 'iova', 'size'],
  KVM_IRQFD: ['gsi', 'flags'],
  KVM_CREATE_DEVICE: ['type'],
  KVM_SET_DEVICE_ATTR: ['group', 'attr'],
};

/** Bytes of a string as strace prints it, in hexadecimal. */
function bytesOf(text: string): string {
  const names: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', f: '\f', v: '\v' };
  const plain = text.replace(/\\([0-7]{1,3}|.)/g, (_, code: string) =>
    /^[0-7]/.test(code) ? String.fromCharCode(Number.parseInt(code, 8)) : (names[code] ?? code),
  );
  return Array.from(plain, (character) => character.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}

/** A system call in the words of the recording; undefined if it has nothing to do with it. */
function callText(line: string): string | undefined {
  const [, name, args = '', result = ''] = /^sys_\w+ (\w+)\((.*)\) += (.*)$/.exec(line) ?? [];
  const kind = /^\d+<(?:anon_inode:)?([^>]*)>/.exec(args)?.[1] ?? '';
  if (name === 'openat') return /"(\/dev\/vfio\/.*)"/.exec(args)?.[1]?.replace(/^/, 'open ');
  if (name === 'eventfd2') return 'eventfd';
  if (name === 'close') return kind === '[eventfd]' ? 'close eventfd' : undefined;
  if ((name === 'pread64' || name === 'pwrite64') && kind === '[vfio-device]') {
    const [, text = '', count, position] = /"(.*)"(?:\.\.\.)?, (\d+), (\d+)$/.exec(args) ?? [];
    const [region, offset] = [Math.floor(Number(position) / 2 ** 40), Number(position) % 2 ** 40];
    const shown = Number(count) <= 8 ? bytesOf(text) : '...';
    return `${name.replace('64', '')} region${region}+${hex(offset)} ${count} ${shown}`;
  }
  const request = name === 'ioctl' ? (/> *, (\w+)/.exec(args)?.[1] ?? '') : '';
  if (!request.startsWith('VFIO_') && MEMBERS[request] === undefined) return undefined;
  const error = result.startsWith('-1') ? ` ${result.split(' ')[1]}` : '';
  const input = args.split(' => ')[0] ?? '';
  if (request === 'VFIO_CHECK_EXTENSION' || request === 'VFIO_SET_IOMMU') {
    return `${request} ${numberOf(input.split(', ').at(-1) ?? '')}${error}`;
  }
  const members = (MEMBERS[request] ?? ['argsz', 'index']).flatMap((member) => {
    const text = new RegExp(`[{ ]${member}=([\\w|]+)`).exec(input)?.[1];
    return text === undefined ? [] : [`${member}=${hex(numberOf(text))}`];
  });
  return [request, ...members].join(' ') + error;
}

/** QEMU's calls, and the exits that come back to it with a port access. */
function sequence(trace: readonly string[]): string[] {
  const lines: string[] = [];
  let written: string | undefined;
  let waiting = -1;
  for (const line of trace) {
    const pio = /^kvm_pio pio_(write|read) at (\w+) size (\d) count (\d+) val 0x(\w+)/.exec(line);
    if (pio !== null) {
      const [, way, port, size, count, value = ''] = pio;
      const place = `${size} ${port}${count === '1' ? '' : ` x${count}`}`;
      if (way === 'write') written = `run out ${place} ${value.padStart(2 * Number(size), '0')}`;
      else if (waiting >= 0) lines[waiting] = `run in ${place}`;
    } else if (line.startsWith('kvm_userspace_exit')) {
      // A read is told when its value is there: at the next entry.
      waiting = written === undefined ? lines.length : -1;
      lines.push(written ?? 'run in');
      written = undefined;
    } else {
      const call = callText(line);
      if (call !== undefined) lines.push(call);
    }
  }
  return lines;
}

/** A guest that makes the accesses of the lines `run …`. */
function replay(lines: readonly string[]): string {
  const registers: Readonly<Record<string, string>> = { 1: 'al', 2: 'ax', 4: 'eax' };
  const letters: Readonly<Record<string, string>> = { 1: 'b', 2: 'w', 4: 'd' };
  return lines
    .flatMap((line) => {
      const [, way, size = '', port, count, value] =
        /^run (in|out) (\d) (\w+)(?: x(\d+))?(?: (\w+))?$/.exec(line) ?? [];
      if (way === undefined) return [];
      if (count !== undefined)
        return [`mov edx, ${port}`, 'mov edi, 0x90000', `mov ecx, ${count}`, `rep ins${letters[size]}`];
      if (way === 'in') return [`mov edx, ${port}`, `in ${registers[size]}, dx`];
      return [`mov edx, ${port}`, `mov eax, 0x${value}`, `out dx, ${registers[size]}`];
    })
    .join('\n');
}

const EVENTS = 'sys_*,kvm_pio,kvm_userspace_exit';
const MACHINE = ['-nodefaults', '-m', '64'];
const DEVICES = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04', '-device', `vfio-pci,sysfsdev=${MDEV},addr=4`];
/** What the firmware had done by the time the guest was recorded: BAR 0, COMMAND, the interrupt's line. */
const configured = (bar: number): string =>
  [
    ['0x80002010', bar],
    ['0x80002004', 0x103],
    ['0x8000203c', 0x0b],
  ]
    .map(
      ([register, value]) =>
        `mov eax, ${register}\nmov edx, 0xcf8\nout dx, eax\nmov edx, 0xcfc\nmov eax, ${value}\nout dx, eax`,
    )
    .join('\n');

function run(driver: 'mtty' | 'vmbuf', guest: string): string[] {
  const host = new Host();
  host.createMdev(driver, driver === 'vmbuf' ? 'class=0xff bars=1 bar_size=0x1000' : '');
  const { init, trace } = host.qemu([...MACHINE, ...DEVICES], guest, EVENTS);
  expect(init).toBeUndefined();
  const all = sequence(trace);
  return all.slice(all.indexOf('open /dev/vfio/0'));
}

test('start-up', () => {
  const calls = run('mtty', 'hlt\n');
  const wanted = expected(recorded('start-up'), startUp);
  expect(calls.slice(0, wanted.length)).toEqual(wanted);
});

test.each([
  ['mtty', 0xc010],
  ['vmbuf', 0xc000],
] as const)('%s with its guest', (driver, bar) => {
  const lines = expected(recorded(driver), running);
  const mark = 'run out 1 0x80 7e';
  const calls = run(driver, `${configured(bar)}\nmov al, 0x7e\nout 0x80, al\n${replay(lines)}`);
  const from = calls.indexOf(mark) + 1;
  expect(from).toBeGreaterThan(0);
  expect(calls.slice(from, from + lines.length)).toEqual(lines);
});
