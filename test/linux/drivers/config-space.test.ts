import { describe, expect, test } from 'vitest';
import { ConfigSpace, numberAt, type Piece } from '../../../src/linux/drivers/config-space.ts';

const space = (bars: readonly number[]) =>
  new ConfigSpace({
    vendor: 0x4348,
    device: 0x3253,
    revision: 0x10,
    class: 0x070002,
    interruptPin: 1,
    bars,
    handledBars: 5,
  });

describe('initial values', () => {
  test('are the ones a guest read from the real device', () => {
    const config = space([8]);
    expect([0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x2c, 0x34, 0x3c].map((at) => config.dword(at).toString(16))).toEqual([
      '32534348',
      '2000001',
      '7000210',
      '0',
      '1',
      '0',
      '32534348',
      '0',
      '100',
    ]);
  });

  test('the space is 255 bytes long, and bytes past it read 0', () => {
    expect([space([8]).size, space([8]).read(0xfe, 4), space([8]).read(0x1000, 4)]).toEqual([0xff, 0, 0]);
  });
});

describe('BAR sizing: all ones reads back the size mask over the I/O bit', () => {
  test.each([
    [[8], 0x10, 0xfffffff9],
    [[8, 8], 0x14, 0xfffffff9],
    [[0x1000], 0x10, 0xfffff001],
    [[0x1000, 0x1000], 0x14, 0xfffff001],
    [[8], 0x14, 0],
    [[8], 0x18, 0],
    [[8], 0x20, 0],
  ])('BARs %j, offset 0x%s', (bars, offset, expected) => {
    const config = space(bars);
    config.write(offset, 4, 0xffffffff);
    expect(config.dword(offset)).toBe(expected);
  });

  test('an address is stored as it is, under the type bits', () => {
    const config = space([8]);
    config.write(0x10, 4, 0xc000);
    expect(config.dword(0x10)).toBe(0xc001);
    config.write(0x10, 4, 0xc005);
    expect(config.dword(0x10)).toBe(0xc005);
    config.write(0x10, 4, 0xfffffffe);
    expect(config.dword(0x10)).toBe(0xffffffff);
  });
});

describe('writes', () => {
  test.each([
    [0x04, [0x07, 0x00], 'taken'],
    [0x04, [0x78, 0x56, 0x34, 0x12], 'taken'],
    [0x06, [0xff, 0xff], 'taken'],
    [0x3d, [0x02], 'taken'],
    [0x24, [0xff, 0xff, 0xff, 0xff], 'unhandled'],
    [0x30, [0x00, 0xf8, 0xff, 0xff], 'unhandled'],
    [0x00, [0x78, 0x56, 0x34, 0x12], 'unhandled'],
    [0x40, [1, 0, 0, 0], 'unhandled'],
    [0x11, [0x12], 'unhandled'],
    [0x12, [0x01, 0x00], 'unhandled'],
    [0x0c, [0x08], 'unhandled'],
  ] as const)('at 0x%s of %j: %s, and nothing changes', (offset, bytes, outcome) => {
    const config = space([8]);
    const before = Array.from({ length: 64 }, (_, i) => config.dword(4 * i));
    expect(
      config.write(offset, bytes.length as Piece, numberAt(Uint8Array.from(bytes), 0, bytes.length as Piece)),
    ).toBe(outcome);
    expect(Array.from({ length: 64 }, (_, i) => config.dword(4 * i))).toEqual(before);
  });

  test('the interrupt line keeps its byte, of a dword only the first', () => {
    const config = space([8]);
    config.write(0x3c, 1, 0x09);
    expect(config.dword(0x3c)).toBe(0x109);
    config.write(0x3c, 4, 0x0a0b0c0d);
    expect(config.dword(0x3c)).toBe(0x10d);
  });
});

test('numberAt reads one, two and four bytes, and zeros behind the end', () => {
  const bytes = Uint8Array.of(0xaa, 0xbb, 0, 0x80);
  expect([numberAt(bytes, 0, 1), numberAt(bytes, 0, 2), numberAt(bytes, 0, 4), numberAt(bytes, 2, 4)]).toEqual([
    0xaa, 0xbbaa, 0x8000bbaa, 0x8000,
  ]);
});
