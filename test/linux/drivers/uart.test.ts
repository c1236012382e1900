import { describe, expect, test } from 'vitest';
import { UART, Uart } from '../../../src/linux/drivers/uart.ts';

/** A port and a count of its interrupts. */
function port() {
  let interrupts = 0;
  const uart = new Uart(() => interrupts++);
  return { uart, interrupts: () => interrupts };
}
const write = (uart: Uart, ...bytes: number[]) => {
  for (const byte of bytes) uart.write(UART.DATA, byte);
};
const registers = (uart: Uart) => [0, 1, 2, 3, 4, 5, 6, 7].map((offset) => uart.read(offset));

describe('registers of a fresh port', () => {
  test('read as on the real mtty before anything was written', () => {
    expect(registers(port().uart)).toEqual([0x00, 0x00, 0xc1, 0x00, 0x00, 0x60, 0xb3, 0x00]);
  });

  test('the scratch register keeps a byte', () => {
    const { uart } = port();
    uart.write(UART.SCR, 0x5a);
    expect(uart.read(UART.SCR)).toBe(0x5a);
  });

  test('line and modem status ignore writes', () => {
    const { uart } = port();
    uart.write(UART.LSR, 0x11);
    uart.write(UART.MSR, 0x22);
    expect([uart.read(UART.LSR), uart.read(UART.MSR)]).toEqual([0x60, 0xb3]);
  });

  test('IER keeps eight bits and shows four', () => {
    const { uart } = port();
    uart.write(UART.IER, 0x41);
    expect(uart.read(UART.IER)).toBe(0x01);
  });
});

describe('divisor latch', () => {
  test('LCR bit 7 shows the divisor at 0 and 1, and clears it', () => {
    const { uart } = port();
    uart.write(UART.LCR, 0x83);
    uart.write(UART.DATA, 0x0c);
    uart.write(UART.IER, 0x01);
    expect([uart.read(UART.DATA), uart.read(UART.IER), uart.read(UART.LCR)]).toEqual([0x0c, 0x01, 0x83]);
    uart.write(UART.LCR, 0x03);
    expect([uart.read(UART.DATA), uart.read(UART.IER)]).toEqual([0, 0]);
    uart.write(UART.LCR, 0x80);
    expect([uart.read(UART.DATA), uart.read(UART.IER)]).toEqual([0, 0]);
  });

  test('divisor bytes are ORed in, not replaced', () => {
    const { uart } = port();
    uart.write(UART.LCR, 0x80);
    uart.write(UART.DATA, 0x0c);
    uart.write(UART.DATA, 0x03);
    expect(uart.read(UART.DATA)).toBe(0x0f);
  });
});

describe('the looped-back FIFO', () => {
  test('what is transmitted is received in order, with MCR.LOOP on or off', () => {
    for (const mcr of [0x00, 0x10]) {
      const { uart } = port();
      uart.write(UART.IIR, 0x07);
      uart.write(UART.MCR, mcr);
      write(uart, 0x48, 0x69);
      expect(uart.read(UART.LSR)).toBe(0x01);
      expect([uart.read(UART.DATA), uart.read(UART.DATA), uart.read(UART.LSR), uart.read(UART.DATA)]).toEqual([
        0x48, 0x69, 0x60, 0x00,
      ]);
    }
  });

  test('16-byte trap: the 16th unread byte makes the port look empty, and nothing can be read', () => {
    const { uart } = port();
    uart.write(UART.IIR, 0x07);
    for (let i = 0; i < 15; i++) write(uart, 0x30 + i);
    expect(uart.read(UART.LSR)).toBe(0x01);
    write(uart, 0x3f);
    expect([uart.read(UART.LSR), uart.read(UART.DATA), uart.count]).toEqual([0x60, 0x00, 16]);
    write(uart, 0x40);
    expect(uart.read(UART.LSR)).toBe(0x62);
    uart.write(UART.IIR, 0x07);
    expect([uart.read(UART.LSR), uart.count]).toEqual([0x62, 0]);
    write(uart, 0x41);
    expect([uart.read(UART.LSR), uart.read(UART.DATA)]).toEqual([0x01, 0x41]);
  });

  test('without the FIFO enabled one byte fits, and the second overruns', () => {
    const { uart } = port();
    uart.write(UART.IIR, 0x00);
    write(uart, 0x45, 0x46);
    expect([uart.read(UART.LSR), uart.read(UART.DATA), uart.read(UART.DATA)]).toEqual([0x03, 0x45, 0x00]);
  });

  test('reading LSR does not clear the overrun; the next byte that fits does', () => {
    const { uart } = port();
    uart.write(UART.IIR, 0x00);
    write(uart, 1, 2);
    expect([uart.read(UART.LSR), uart.read(UART.LSR)]).toEqual([0x03, 0x03]);
    uart.read(UART.DATA);
    write(uart, 3);
    expect(uart.read(UART.LSR)).toBe(0x01);
  });

  test('CTS drops only with automatic flow control and a full FIFO', () => {
    const { uart } = port();
    uart.write(UART.IIR, 0x00);
    write(uart, 1);
    expect(uart.read(UART.MSR)).toBe(0xb3);
    uart.write(UART.MCR, 0x20);
    expect(uart.read(UART.MSR)).toBe(0xa2);
  });
});

describe('interrupts', () => {
  test('THRI: enabling it on an empty port interrupts, and IIR says so', () => {
    const { uart, interrupts } = port();
    uart.write(UART.IER, 0x02);
    expect([interrupts(), uart.read(UART.IIR)]).toEqual([1, 0xc2]);
  });

  test('THRI: so does reading the last byte, and reading an empty port', () => {
    const { uart, interrupts } = port();
    write(uart, 1);
    uart.write(UART.IER, 0x02);
    expect(interrupts()).toBe(0);
    uart.read(UART.DATA);
    uart.read(UART.DATA);
    expect(interrupts()).toBe(2);
  });

  test('RDI: a byte interrupts at the trigger level, which any FCR write makes 1', () => {
    const { uart, interrupts } = port();
    uart.write(UART.IIR, 0xc7);
    uart.write(UART.IER, 0x01);
    write(uart, 0x55);
    expect([interrupts(), uart.read(UART.IIR)]).toEqual([1, 0xc4]);
    expect([uart.read(UART.DATA), uart.read(UART.IIR)]).toEqual([0x55, 0xc1]);
  });

  test('RDI: before the first FCR write the level is 0, so IIR claims data and no byte interrupts', () => {
    const { uart, interrupts } = port();
    uart.write(UART.IER, 0x01);
    expect(uart.read(UART.IIR)).toBe(0xc4);
    write(uart, 1);
    expect(interrupts()).toBe(0);
  });

  test('causes are ORed: an overrun with data and an empty-looking FIFO reads c6', () => {
    const { uart, interrupts } = port();
    uart.write(UART.IIR, 0x00);
    uart.write(UART.IER, 0x04);
    write(uart, 1, 2);
    expect([interrupts(), uart.read(UART.IIR)]).toEqual([1, 0xc6]);
  });

  test('MSI: OUT2 and RTS or DTR interrupt separately, and IIR cannot show it', () => {
    const { uart, interrupts } = port();
    uart.write(UART.IER, 0x08);
    uart.write(UART.MCR, 0x0b);
    expect([interrupts(), uart.read(UART.IIR)]).toEqual([2, 0xc1]);
  });
});

describe('a recorded guest', () => {
  // What the driver logged on a real host while a bare-metal guest made accesses of every width (each line one piece).
  const recorded: readonly (readonly ['w' | 'r', number, number])[] = [
    ['w', 7, 0x5a],
    ['r', 7, 0x5a],
    ['w', 0, 0x41],
    ['w', 4, 0x13],
    ['w', 6, 0xaa],
    ['w', 5, 0x11],
    ['w', 6, 0x22],
    ['w', 7, 0x01],
    ['w', 1, 0x00],
    ['w', 2, 0x0b],
    ['w', 4, 0x0d],
    ['w', 2, 0x00],
    ['w', 4, 0x0c],
    ['w', 3, 0x03],
    ['w', 4, 0x00],
    ['w', 6, 0x0d],
    ['w', 0, 0x45],
    ['w', 1, 0x00],
    ['w', 2, 0x00],
    ['w', 6, 0x55],
    ['w', 7, 0x66],
    ['r', 5, 0x01],
    ['r', 0, 0x45],
    ['r', 0, 0x00],
    ['r', 0, 0x00],
    ['r', 1, 0x00],
    ['r', 2, 0xc1],
    ['r', 3, 0x03],
    ['r', 4, 0x00],
    ['r', 5, 0x60],
    ['r', 6, 0xb3],
    ['r', 7, 0x66],
    ['w', 2, 0x07],
    ['w', 4, 0x10],
    ['r', 4, 0x10],
    ['r', 5, 0x60],
    ['w', 0, 0x48],
    ['w', 0, 0x69],
    ['r', 5, 0x01],
    ['r', 0, 0x48],
    ['r', 0, 0x69],
    ['r', 5, 0x60],
    ['r', 0, 0x00],
    ['r', 6, 0xb3],
    ['w', 3, 0x83],
    ['w', 0, 0x0c],
    ['w', 1, 0x01],
    ['r', 0, 0x0c],
    ['r', 1, 0x01],
    ['r', 3, 0x83],
    ['w', 3, 0x03],
    ['r', 1, 0x00],
  ];

  test('reads the same values', () => {
    const { uart } = port();
    const reads: unknown[] = [];
    for (const [what, offset, value] of recorded) {
      if (what === 'w') uart.write(offset, value);
      else reads.push(['r', offset, uart.read(offset)]);
    }
    expect(reads).toEqual(recorded.filter(([what]) => what === 'r'));
  });
});
