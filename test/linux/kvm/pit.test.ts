/** The interval timer by its registers, as arch/x86/kvm/i8254.c has them: modes, latches, the gate, and ticks that wait. */

import { describe, expect, test } from 'vitest';
import { Clock } from '../../../src/linux/core/clock.ts';
import { Pit } from '../../../src/linux/kvm/pit.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { Bench } from './bench.ts';
import { Guest } from './guest.ts';

const TICK = 1e9 / 1_193_182;

/** A PIT alone, with its speaker port, and a clock that the test moves. */
class Timer {
  readonly clock = new Clock();
  ticks = 0;
  nmis = 0;
  readonly #ports = new Map<number, (data: Uint8Array, write: boolean) => void>();
  readonly pit: Pit;

  constructor(connected = true) {
    this.pit = new Pit(this.clock, {
      connected,
      setLine: (level) => {
        if (level) this.ticks++;
      },
      nmiWatchdog: () => this.nmis++,
    });
    const bus = {
      register: (base: number, length: number, device: Pit) => {
        for (let port = base; port < base + length; port++)
          this.#ports.set(port, (data, write) => void (write ? device.write(port, data) : device.read(port, data)));
        return 0;
      },
    };
    this.pit.register(bus as never, true);
  }

  out(port: number, ...values: number[]): void {
    for (const value of values) this.#ports.get(port)!(Uint8Array.of(value), true);
  }
  in(port: number): number {
    const data = Uint8Array.of(0xee);
    this.#ports.get(port)!(data, false);
    return data[0]!;
  }
  word(port: number): number {
    return this.in(port) | (this.in(port) << 8);
  }
  /** Let so many ticks of the 8254, and a bit, go by. */
  pass(ticks: number): void {
    this.clock.pass(ticks * TICK + 1);
    this.clock.expire();
  }
}

describe('what a counter shows and puts out', () => {
  // Of 100, after 30, 60 and 130 ticks: the count, and the output in bit 7 of the status.
  test.each([
    [0, [70, 40, 65506], [0, 0, 1]],
    [1, [70, 40, 65506], [1, 1, 0]],
    [2, [70, 40, 70], [0, 0, 0]],
    [3, [40, 80, 40], [1, 0, 1]],
    [4, [70, 40, 65506], [0, 0, 0]],
    [5, [70, 40, 65506], [0, 0, 0]],
  ])('mode %i', (mode, counts, outputs) => {
    const timer = new Timer();
    timer.out(0x43, 0xb0 | (mode << 1));
    timer.out(0x42, 100, 0);
    const seen = [30, 30, 70].map((ticks) => {
      timer.pass(ticks);
      timer.out(0x43, 0xe8);
      const status = timer.in(0x42);
      expect(status & 0x7f).toBe(0x30 | (mode << 1));
      return [timer.word(0x42), status >> 7];
    });
    expect(seen.map(([count]) => count)).toEqual(counts);
    expect(seen.map(([, output]) => output)).toEqual(outputs);
  });

  test('mode 2 puts out a pulse where KVM sees one: at the very tick of a reload; mode 4 at the end of its count', () => {
    for (const mode of [2, 4]) {
      const timer = new Timer();
      timer.out(0x43, 0xb0 | (mode << 1));
      timer.out(0x42, 100, 0);
      timer.pass(100);
      timer.out(0x43, 0xe8);
      expect(timer.in(0x42) >> 7).toBe(1);
    }
  });

  test('before it is programmed: no mode, the low byte of 65536, and counter 0 stands still', () => {
    const timer = new Timer();
    timer.out(0x43, 0xec);
    expect([timer.in(0x41), timer.in(0x42)]).toEqual([0xfe, 0xfe]);
    timer.pass(0x1010);
    expect([timer.in(0x40), timer.in(0x41)]).toEqual([0, 0xf0]);
    // One byte is a whole count.
    timer.out(0x41, 0x20);
    expect(timer.in(0x41)).toBe(0x20);
  });

  test('BCD is shown, and counts in binary', () => {
    const timer = new Timer();
    timer.out(0x43, 0xb1);
    timer.out(0x42, 0x00, 0x01);
    timer.pass(1);
    timer.out(0x43, 0xe8);
    expect([timer.in(0x42), timer.word(0x42)]).toEqual([0x31, 0xff]);
  });
});

describe('latches', () => {
  test('the first count and the first status stay; the status is read first, in the middle of a count too', () => {
    const timer = new Timer();
    timer.out(0x43, 0xb4);
    timer.out(0x42, 0x34, 0x12);
    timer.out(0x43, 0x80);
    timer.pass(9);
    timer.out(0x43, 0x80);
    expect(timer.in(0x42)).toBe(0x34);
    timer.out(0x43, 0xe8, 0xe8);
    expect([timer.in(0x42), timer.in(0x42)]).toEqual([0x34, 0x12]);
    expect(timer.word(0x42)).toBe(0x1234 - 9);
  });

  test('a control word leaves what is latched; one of a single byte is read once', () => {
    const timer = new Timer();
    timer.out(0x43, 0xa4);
    timer.out(0x42, 0x12);
    timer.out(0x43, 0x80, 0xb4);
    expect(timer.in(0x42)).toBe(0x12);
    expect(timer.word(0x42)).toBe(0x1200);
  });

  test('the control port leaves what is read from it', () => {
    expect(new Timer().in(0x43)).toBe(0xee);
    const guest = new Guest('mov eax, 0x12345678\n in al, 0x43\n mov ecx, eax\n in eax, 0x40\n out 0x80, al\n', 'none');
    guest.qemu.pass(guest.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {});
    guest.resume();
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
    expect(guest.qemu.answer(uapi.kvm_regs)).toMatchObject({ rcx: 0x12345678n, rax: 0n });
  });
});

describe('port 0x61', () => {
  test('a rising gate starts modes 1, 2, 3 and 5 again, not 0 and 4; the gate begins low', () => {
    for (const [mode, after] of [
      [0, 80],
      [1, 100],
      [2, 100],
      [4, 80],
      [5, 100],
    ] as const) {
      const timer = new Timer();
      expect(timer.in(0x61) & 0x23).toBe(0x00);
      timer.out(0x43, 0xb0 | (mode << 1));
      timer.out(0x42, 100, 0);
      timer.pass(20);
      timer.out(0x61, 3);
      expect(timer.word(0x42)).toBe(after);
      timer.pass(10);
      timer.out(0x61, 1);
      expect([timer.word(0x42), timer.in(0x61) & 3]).toEqual([after - 10, 1]);
    }
  });
});

describe('ticks', () => {
  const program = (timer: Timer, mode: number, count: number) => {
    timer.out(0x43, 0x30 | (mode << 1));
    timer.out(0x40, count & 0xff, count >> 8);
  };

  test('modes 0, 1 and 4 tick once, 2 and 3 again, 5 never', () => {
    const ticks = [0, 1, 2, 3, 4, 5].map((mode) => {
      const timer = new Timer();
      program(timer, mode, 1000);
      for (let i = 0; i < 3; i++) {
        timer.pass(1000);
        timer.pit.acknowledged();
      }
      return timer.ticks;
    });
    expect(ticks).toEqual([1, 1, 3, 3, 1, 0]);
  });

  test('a count of one byte, a new control word: the timer goes on as it was loaded', () => {
    const timer = new Timer();
    timer.out(0x43, 0x14);
    timer.out(0x40, 0xff);
    timer.out(0x43, 0x30);
    timer.pass(255);
    expect(timer.ticks).toBe(1);
    expect(timer.clock.nextDeadline).not.toBe(Number.POSITIVE_INFINITY);
  });

  test('periods are at least 200 µs, but for the first', () => {
    const timer = new Timer();
    program(timer, 2, 12);
    const deadlines = [0, 1, 2].map(() => {
      const { nextDeadline } = timer.clock;
      timer.clock.sleep();
      return nextDeadline;
    });
    expect(deadlines).toEqual([10_057, 210_057, 410_057]);
  });

  test('missed ticks follow, one at a time, as they are served', () => {
    const timer = new Timer();
    program(timer, 2, 1000);
    timer.pass(3500);
    expect(timer.ticks).toBe(1);
    for (let i = 0; i < 5; i++) timer.pit.acknowledged();
    expect(timer.ticks).toBe(3);
    timer.pit.reinject = false;
    timer.pass(2000);
    expect(timer.ticks).toBe(5);
  });

  test('a tick that was lost behind a mask does not stop the timer: the guest unmasks it, and it ticks', () => {
    // IRQ 0 at the I/O APIC alone, masked when the first tick comes.
    const port = (at: number, value: number) => `mov dx, ${at}\n mov al, ${value}\n out dx, al\n`;
    const masked = `${port(0x21, 0xff)}${port(0x43, 0x34)}${port(0x40, 0)}${port(0x40, 1)}`;
    const spin = 'mov ecx, 600000\n.spin: loop .spin\n';
    const open = 'mov ecx, 0xfec00000\n mov dword [rcx], 0x10\n mov dword [rcx + 0x10], 0x30\n';
    const enable = 'mov ebx, 0xfee00000\n mov dword [rbx + 0xf0], 0x1ff\n';
    const guest = new Guest(`${enable}${masked}${spin}${open}sti\n hlt\n hlt\n cli\n out 0x80, al\n`);
    guest.qemu.pass(guest.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {});
    expect(guest.resume()).toBe(0);
    expect(guest.taken).toEqual([0x30, 0x30]);
  });

  test('a tick is an NMI to a local APIC whose LINT0 says so', () => {
    const guest = new Guest(
      'mov ebx, 0xfee00000\n mov dword [rbx + 0xf0], 0x1ff\n mov dword [rbx + 0x350], 0x400\n' +
        'mov al, 0x30\n out 0x43, al\n mov al, 1\n out 0x40, al\n out 0x40, al\n hlt\n out 0x80, al\n',
      'none',
    );
    guest.qemu.pass(guest.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {});
    expect(guest.resume()).toBe(0);
    expect(guest.taken).toEqual([2]);
  });

  test('without interrupt controllers counter 0 stands still', () => {
    const timer = new Timer(false);
    program(timer, 2, 0x1234);
    timer.pass(100);
    expect([timer.word(0x40), timer.ticks]).toEqual([0x1234, 0]);
    const bench = new Bench();
    expect(bench.qemu.pass(bench.vmFd, uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {})).toBe(0);
  });
});
