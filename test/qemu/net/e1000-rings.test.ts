/** The rings of e1000 in PHY loopback, descriptor by descriptor, against Debian's: what is sent comes back through the filters. */

import { expect, test } from 'vitest';
import { configWriteCommands, Unplugged } from '../pci/unplugged.ts';
import { qemuVersion, qtest } from '../qtest.ts';

/** Skipped without a QEMU: `apt-get install qemu-system-x86`. */
const oracle = qemuVersion() === undefined ? test.skip : test;

const CARD = '-m 64 -device e1000,addr=4';
/** Each answer behind the command that asked, so that a difference names its register or address. */
const told = (commands: readonly string[], answers: readonly number[]) =>
  commands.filter((command) => /^(in|read)/.test(command)).map((command, i) => `${command}: ${hex(answers[i]!)}`);
const same = (commands: readonly string[]) =>
  expect(told(commands, new Unplugged(CARD.split(' ')).run(commands))).toEqual(
    told(commands, qtest(`${CARD},romfile=`.split(' '), commands)),
  );

const DEVFN = 4 << 3;
const BAR0 = 0xe000_0000;
const write = (offset: number, value: number) =>
  `writel 0x${(BAR0 + offset).toString(16)} 0x${(value >>> 0).toString(16)}`;
const read = (offset: number) => `readl 0x${(BAR0 + offset).toString(16)}`;
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const hex = (value: number | bigint) => `0x${value.toString(16)}`;

const TX_RING = 0x10_0000;
const RX_RING = 0x11_0000;
const FRAMES = 0x12_0000;
const BUFFERS = 0x20_0000;
/** Descriptors of either ring: the least there can be. */
const RING = 8;

// Commands of a transmit descriptor
const EOP = 0x0100_0000;
const RS = 0x0800_0000;
const DEXT = 0x2000_0000;
const VLE = 0x4000_0000;
const DATA = 0x0010_0000;
const TSE = 0x0400_0000;

const bytesAt = (address: number, bytes: readonly number[]) => {
  const padded = [...bytes, ...times((8 - (bytes.length % 8)) % 8, () => 0)];
  return times(padded.length / 8, (i) => {
    const word = padded.slice(8 * i, 8 * i + 8).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    return `writeq ${hex(address + 8 * i)} ${hex(word)}`;
  });
};
const dump = (address: number, bytes: number) => times(Math.ceil(bytes / 4), (i) => `readl ${hex(address + 4 * i)}`);
const mac = (text: string) => text.split(':').map((byte) => Number.parseInt(byte, 16));
const OWN = '52:54:00:12:34:56';
const frame = (to: string, size: number, rest: readonly number[] = [0x88, 0xb5]) => {
  const head = [...mac(to), ...mac('02:00:00:00:00:01'), ...rest];
  return [...head, ...times(Math.max(0, size - head.length), (i) => (i * 7) & 0xff)].slice(0, size);
};

/** A card in loopback with both rings, and what it tells. */
class Session {
  readonly commands: string[] = [];
  #tail = 0;
  #frames = FRAMES;

  constructor(receive: number, { length = RING, free = RING - 1, vme = false } = {}) {
    this.commands.push(
      ...configWriteCommands(0, DEVFN, 0x10, 4, BAR0),
      ...configWriteCommands(0, DEVFN, 4, 2, 6),
      ...(vme ? [write(0, 0x4014_0240)] : []),
      write(0x20, 0x0420_4140),
      ...times(length, (i) =>
        bytesAt(RX_RING + 16 * i, [...littleEndian(BUFFERS + 0x1000 * i, 8), ...times(8, () => 0)]),
      ).flat(),
      write(0x2800, RX_RING),
      write(0x2808, 16 * length),
      write(0x2818, free),
      write(0x3800, TX_RING),
      write(0x3808, 16 * RING),
      write(0x400, 2),
    );
    this.control(receive);
  }

  /** Write RCTL, after which nothing is received for a second. */
  control(value: number): void {
    this.commands.push(write(0x100, value), 'clock_step 1000000000');
  }

  /** Put `words` (two quadwords) up as the next descriptor, and tell the card. */
  descriptor(address: number, command: number, upper = 0): void {
    const at = TX_RING + 16 * this.#tail;
    this.#tail = (this.#tail + 1) % RING;
    this.commands.push(
      ...bytesAt(at, [...littleEndian(address, 8), ...littleEndian(command, 4), ...littleEndian(upper, 4)]),
    );
    this.commands.push(write(0x3818, this.#tail), ...dump(at + 8, 8), read(0x3810));
  }

  /** Send `bytes` with one legacy descriptor. */
  send(bytes: readonly number[], command = EOP | RS, upper = 0): void {
    this.descriptor(this.place(bytes), (command | bytes.length) >>> 0, upper);
  }

  place(bytes: readonly number[]): number {
    const at = this.#frames;
    this.#frames += Math.ceil(bytes.length / 16) * 16;
    this.commands.push(...bytesAt(at, bytes));
    return at;
  }

  /** Rings, causes and counters as they stand; the first `size` bytes of every receive buffer. */
  look(size = 64): void {
    this.commands.push(
      ...dump(RX_RING, 16 * RING),
      ...times(RING, (i) => dump(BUFFERS + 0x1000 * i, size)).flat(),
      ...[0x2810, 0x2818, 0x3810, 0x3818, 0xc8].map(read),
      ...times(64, (i) => read(0x4000 + 4 * i)),
    );
  }

  /** The card takes as many again. */
  free(tail: number): void {
    this.commands.push(write(0x2818, tail));
  }
}

const littleEndian = (value: number, bytes: number) => times(bytes, (i) => Math.floor(value / 2 ** (8 * i)) % 256);

oracle(
  'a frame before RCTL has settled is lost; then it comes back, padded, with its FCS counted',
  { timeout: 30_000 },
  () => {
    const session = new Session(0x8002);
    session.commands.splice(-1, 1);
    session.send(frame(OWN, 60));
    session.look();
    session.commands.push('clock_step 1000000000');
    for (const size of [60, 59, 14, 61, 64, 65, 127, 128, 252]) {
      session.send(frame(OWN, size));
      session.look();
      session.free(size % RING);
    }
    same(session.commands);
  },
);

oracle('filters: broadcast, multicast, others’ frames, exact addresses, hash, VLAN', { timeout: 60_000 }, () => {
  const frames = [
    'ff:ff:ff:ff:ff:ff',
    '01:00:5e:00:00:01',
    '33:33:00:00:12:34',
    OWN,
    '52:54:00:12:34:57',
    '02:00:00:00:00:02',
  ].map((to) => frame(to, 60));
  const tagged = [0x81, 0, 0x20, 0x05, 0x88, 0xb5];
  const vlan = [frame(OWN, 64, tagged), frame('ff:ff:ff:ff:ff:ff', 64, [0x81, 0, 0, 0x25, 0x88, 0xb5])];
  const session = new Session(0x2);
  // A second exact address, one hash bit (of 01:00:5e:00:00:01, bits 47:36), VLAN 5.
  const hash = ((0x01 << 8) >> 4) & 0xfff;
  session.commands.push(write(0x5408, 0x0000_0002), write(0x540c, 0x8000_0200));
  session.commands.push(write(0x5200 + 4 * (hash >> 5), (1 << (hash & 31)) >>> 0), write(0x5600, 0x20));
  for (const control of [0x2, 0x8002, 0xa, 0x12, 0x801a, 0x4_800a, 0x3002, 0x0400_8002]) {
    session.control(control);
    [...frames, ...vlan].forEach((bytes, i) => {
      session.send(bytes);
      session.look(24);
      session.free(i);
    });
  }
  same(session.commands);
});

oracle(
  'long frames over several buffers, longest frames, too few descriptors, a full ring',
  { timeout: 60_000 },
  () => {
    const session = new Session(0x3_8002, { free: 3 });
    // 256-byte buffers: three of them hold 700 bytes and no more.
    for (const size of [252, 253, 700, 764, 765]) {
      session.send(frame(OWN, size));
      session.look(256);
    }
    session.free(2);
    session.look();
    session.control(0x8002);
    for (const size of [1514, 1518, 1522, 1523]) {
      session.send(frame(OWN, size));
      session.free(1);
    }
    session.look(1528);
    session.control(0x8022);
    session.send(frame(OWN, 1523));
    session.look(1528);
    session.control(0x0202_8022);
    session.send(frame(OWN, 4000));
    session.look(16);
    same(session.commands);
  },
);

oracle(
  'descriptors: without RS, several for a frame, null buffers, tails outside of the ring',
  { timeout: 30_000 },
  () => {
    const session = new Session(0x8002);
    session.send(frame(OWN, 60), EOP);
    session.look();
    const bytes = frame(OWN, 90);
    session.send(bytes.slice(0, 20), RS);
    session.send(bytes.slice(20, 50), 0);
    session.send(bytes.slice(50), EOP | RS, 0xffff_fffe);
    session.look(96);
    session.commands.push(
      ...bytesAt(
        RX_RING + 32,
        times(16, () => 0),
      ),
    );
    session.send(frame(OWN, 62));
    session.look();
    session.free(100);
    session.send(frame(OWN, 63));
    session.look();
    session.commands.push(write(0x3810, 200), write(0x3818, 3), read(0x3810), read(0x3818), read(0xc8));
    same(session.commands);
  },
);

oracle('VLAN tags put in and taken out', { timeout: 30_000 }, () => {
  const session = new Session(0x8002, { vme: true });
  session.send(frame(OWN, 60), EOP | RS | VLE, 0xa123_0000);
  session.look();
  session.send(frame(OWN, 100), EOP | RS, 0xa123_0000);
  session.look(104);
  session.send(frame(OWN, 64, [0x81, 0, 0x20, 0x05, 0x88, 0xb5]));
  session.look();
  same(session.commands);
});

oracle('a VLAN tag in frames that are too short for the addresses before it', { timeout: 30_000 }, () => {
  const session = new Session(0x8018 | 2, { vme: true });
  session.send(frame(OWN, 60));
  for (const size of [7, 0, 12]) session.send(frame(OWN, size), EOP | RS | VLE, 0xa123_0000);
  session.send(frame(OWN, 1));
  session.look();
  same(session.commands);
});

/** An IPv4 header with `protocol` and checksum 0, and a TCP or UDP header; as a driver leaves them to the card. */
const packet = (protocol: number, payload: number) => {
  const ip = [0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
  const tcp = [0x12, 0x34, 0, 80, 1, 2, 3, 0xfe, 0, 0, 0, 0, 0x50, 0x19, 0x20, 0, 0x14, 0x1a, 0, 0];
  const udp = [0x12, 0x34, 0, 53, 0, 0, 0x14, 0x1a];
  const data = times(payload, (i) => (i * 13 + 1) & 0xff);
  return [...mac(OWN), ...mac('02:00:00:00:00:01'), 8, 0, ...ip, ...(protocol === 6 ? tcp : udp), ...data];
};
/** Context: where the IP checksum and the payload's lie; the rest as for segmentation. */
const context = (protocol: number, command: number, headerLength = 0, segmentSize = 0): [number, number, number] => {
  const checksum = protocol === 6 ? 34 + 16 : 34 + 6;
  const low = 14 + (24 << 8) + 33 * 0x1_0000 + 34 * 2 ** 32 + checksum * 2 ** 40;
  return [low, command, ((headerLength << 8) | (segmentSize << 16)) >>> 0];
};
const IXSM_TXSM = 0x300;

oracle('checksums of IP, TCP and UDP', { timeout: 30_000 }, () => {
  const session = new Session(0x8002);
  for (const protocol of [6, 17]) {
    for (const payload of [0, 1, 20, 33]) {
      for (const options of [0x100, 0x200, IXSM_TXSM]) {
        session.descriptor(...context(protocol, DEXT | RS));
        const bytes = packet(protocol, payload);
        session.send(bytes, DEXT | DATA | EOP | RS, options);
        session.look(96);
        session.commands.push(read(0xc0), write(0x2818, (payload + 3) % RING));
      }
    }
  }
  same(session.commands);
});

oracle('segmentation of TCP and UDP', { timeout: 30_000 }, () => {
  const session = new Session(0x8002);
  for (const [protocol, header] of [
    [6, 54],
    [17, 42],
  ] as const) {
    for (const payload of [0, 50, 100, 130, 250]) {
      const ip = 0x0200_0000 | (protocol === 6 ? 0x0100_0000 : 0);
      session.descriptor(...context(protocol, (DEXT | TSE | RS | ip | payload) >>> 0, header, 50));
      const bytes = packet(protocol, payload);
      session.send(bytes.slice(0, 60), DEXT | DATA | TSE | RS, IXSM_TXSM);
      if (bytes.length > 60) session.send(bytes.slice(60), DEXT | DATA | TSE | EOP | RS, IXSM_TXSM);
      session.look(112);
      session.commands.push(write(0x2810, 0), write(0x2818, RING - 1), read(0xc0));
    }
  }
  same(session.commands);
});

oracle('checksums and segments before any context, and frames shorter than an address', { timeout: 30_000 }, () => {
  // Promiscuous: the checksum falls on the address.
  const session = new Session(0x8018 | 2);
  const bytes = frame('03:00:00:00:00:07', 60);
  for (const [command, options] of [
    [DEXT | DATA | EOP | RS, 0x200],
    [DEXT | DATA | EOP | RS, 0x100],
    [DEXT | DATA | EOP | RS, IXSM_TXSM],
    [DEXT | DATA | TSE | EOP | RS, IXSM_TXSM],
  ] as const)
    session.send(bytes, command, options);
  session.look();
  session.commands.push(write(0x2810, 0), write(0x2818, RING - 1), read(0xc0));
  for (const size of [5, 3, 1, 0]) session.send(frame('ff:ff:ff:ff:ff:ff', size));
  session.send(frame('01:00:00:00:00:07', 60));
  session.send([0xff]);
  session.look();
  same(session.commands);
});
