/** Two cards on a hub: frames, what waits for a card that cannot receive yet, and the pcap file, compared with Debian's. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { O_RDONLY } from '../../../src/linux/uapi/syscalls.ts';
import { System } from '../../../src/qemu/system.ts';
import { configWriteCommands, Unplugged } from '../pci/unplugged.ts';
import { qemuVersion, qtest } from '../qtest.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

const cards = (file: string, rom: string) => [
  ...['-m', '64'],
  ...['-netdev', 'hubport,id=a,hubid=0', '-netdev', 'hubport,id=b,hubid=0'],
  ...['-object', `filter-dump,id=dump,netdev=a,file=${file}`],
  ...['-object', `filter-dump,id=short,netdev=b,file=${file}.b,maxlen=20`],
  ...['-device', `e1000,addr=4,netdev=a${rom}`, '-device', `e1000,addr=5,netdev=b${rom}`],
];
const A = 0xe000_0000;
const B = 0xe010_0000;
const write = (address: number, value: number) => `writel 0x${address.toString(16)} 0x${(value >>> 0).toString(16)}`;
const read = (address: number) => `readl 0x${address.toString(16)}`;
const quad = (address: number, value: bigint) => `writeq 0x${address.toString(16)} 0x${value.toString(16)}`;
const RING = 0x10_0000;
const FRAME = 0x12_0000n;
const RECEIVED = 0x11_0000;
/** One frame of `size` bytes from card `from`, as its descriptor `n`. */
const send = (from: number, n: number, size: number) => [
  quad(RING + 16 * n, FRAME),
  quad(RING + 16 * n + 8, 0x0900_0000n | BigInt(size)),
  write(from + 0x3818, n + 1),
];
const look = [A, B].flatMap((card) =>
  [0xc8, 0x2810, 0x3810, 0x4074, 0x4080, 0x4088, 0x408c, 0x4090, 0x4094, 0x40c0, 0x40c8].map((at) => read(card + at)),
);
const place = (slot: number, bar: number) => [
  ...configWriteCommands(0, slot << 3, 0x10, 4, bar),
  ...configWriteCommands(0, slot << 3, 4, 2, 6),
];
const commands = [
  ...place(4, A),
  ...place(5, B),
  // To everybody, from 02:00:00:00:00:01.
  quad(Number(FRAME), 0x0002_ffff_ffff_ffffn),
  quad(Number(FRAME) + 8, 0x0403_0201_b588_0100n),
  write(A + 0x3800, RING),
  write(A + 0x3808, 128),
  write(A + 0x400, 2),
  quad(RECEIVED, 0x20_0000n),
  quad(RECEIVED + 16, 0x20_1000n),
  write(B + 0x2800, RECEIVED),
  write(B + 0x2808, 128),
  write(B + 0x2818, 3),
  // B is not enabled: it drops nothing, the hub waits.
  ...send(A, 0, 60),
  ...look,
  write(B + 0x100, 0x8002),
  ...send(A, 1, 64),
  ...look,
  'clock_step 1000000000',
  ...look,
  ...send(A, 2, 61),
  ...look,
  ...Array.from({ length: 40 }, (_, i) => read(RECEIVED + 4 * i)),
];

/** The records of a pcap file without their times. */
function records(bytes: Uint8Array): readonly string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = [Buffer.from(bytes.subarray(0, 24)).toString('hex')];
  for (let at = 24; at < bytes.length; at += 16 + view.getUint32(at + 8, true)) {
    const kept = view.getUint32(at + 8, true);
    found.push(
      `${view.getUint32(at + 12, true)}: ${Buffer.from(bytes.subarray(at + 16, at + 16 + kept)).toString('hex')}`,
    );
  }
  return found;
}

function fileOf(machine: Unplugged, path: string): Uint8Array {
  const { user } = machine.host.kernel.spawn('cat', () => {});
  const fd = user.syscalls.open(path, O_RDONLY);
  return new System(user, machine.stream).readFile(fd, 0, 4096) as Uint8Array;
}

oracle('frames wait for a card that cannot receive, and the dump has each when it was sent', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pcap-'));
  try {
    const ours = new Unplugged(cards('/tmp/dump.pcap', ''));
    const theirs = join(folder, 'dump.pcap');
    expect(ours.run(commands)).toEqual(qtest(cards(theirs, ',romfile='), commands));
    for (const suffix of ['', '.b']) {
      expect(records(fileOf(ours, `/tmp/dump.pcap${suffix}`))).toEqual(records(readFileSync(theirs + suffix)));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what is refused of -netdev, -object and a card’s properties', () => {
  const refusal = (...argv: string[]) => {
    try {
      new Unplugged(argv);
      return 'taken';
    } catch (error) {
      return (error as Error).message;
    }
  };
  const port = ['-netdev', 'hubport,id=a,hubid=0'];
  expect(refusal('-netdev', 'user,id=a')).toBe("Parameter 'type' does not accept value 'user'");
  expect(refusal('-netdev', 'hubport,hubid=0')).toBe("Parameter 'id' is missing");
  expect(refusal('-netdev', 'hubport,id=a,hubid=x')).toBe("Parameter 'hubid' expects a number");
  expect(refusal(...port, ...port)).toBe("Duplicate ID 'a' for netdev");
  expect(refusal('-netdev', 'hubport,id=a,hubid=0,mtu=3')).toBe("Invalid parameter 'mtu'");
  expect(refusal('-object', 'rng-random,id=r')).toBe("Parameter 'qom-type' does not accept value 'rng-random'");
  expect(refusal('-object', 'filter-dump,id=d,netdev=a,file=/tmp/x')).toContain('expects a network backend id');
  expect(refusal(...port, '-object', 'filter-dump,id=d,netdev=a,file=/none/x')).toBe(
    "net dump: can't open /none/x: No such file or directory",
  );
  expect(refusal('-device', 'e1000,netdev=a')).toBe("Property 'e1000.netdev' can't find value 'a'");
  expect(refusal(...port, '-device', 'e1000,netdev=a', '-device', 'e1000,netdev=a')).toBe(
    "Property 'e1000.netdev' can't take value 'a', it's in use",
  );
  expect(refusal('-device', 'e1000,mac=52:54')).toBe("Property 'e1000.mac' doesn't take value '52:54'");
});
