/**
 * Guests that write and read the registers of the interrupt controllers in the kernel, at random. The model runs them in 64-bit mode, the host
 * in protected mode without paging, which works also with a KVM that has to interpret its guests; their few instructions have no prefixes and
 * are the same bytes in both. No guest takes an interrupt: what is compared is what the controllers make of it.
 */

import type { Draws } from '../../linux/syscalls/draws.ts';

const LAPIC = 0xfee00000;
const IOAPIC = 0xfec00000;
/** Where a value that was read is shown. */
const SHOWN = 0x80;
/** The host's turn: it may move interrupt lines. */
export const TURN = 0x81;
export const OVER = 0x82;
const OPERATIONS = 40;
const BETWEEN_TURNS = 4;

const LAPIC_READ = [
  0x20, 0x30, 0x80, 0xa0, 0xd0, 0xe0, 0xf0, 0x100, 0x110, 0x170, 0x180, 0x190, 0x200, 0x210, 0x270, 0x280, 0x300, 0x310,
  0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0,
];
/** What may be written: numbers that mean something, or any. */
const LAPIC_WRITTEN: Readonly<Record<number, (draws: Draws) => number>> = {
  48: any,
  128: (draws) => draws.pick([0, 0x10, 0x50, 0x8f, 0xff]),
  176: () => 0,
  208: any,
  224: (draws) => draws.pick([0xffffffff, 0x0fffffff]),
  240: (draws) => draws.pick([0x1ff, 0x1ff, 0xff, 0x12f, 0x3ff]),
  256: any,
  512: any,
  640: any,
  // A fixed or lowest-priority message, to one or by a shorthand, edge or level.
  768: (draws) =>
    vector(draws) | (draws.next(2) << 8) | (1 << 14) | (draws.next(4) << 18) | (draws.once(6) ? 1 << 15 : 0),
  784: (draws) => draws.pick([0, 0, 0x1000000, 0xff000000]),
  800: (draws) => any(draws) | 0x10000,
  816: any,
  832: any,
  848: any,
  864: any,
  880: any,
  992: any,
};

function any(draws: Draws): number {
  return draws.next(2 ** 31);
}

function vector(draws: Draws): number {
  return 0x20 + draws.next(0xd0);
}

const out = (port: number, value: number) => [`mov edx, ${port}`, `mov al, ${value}`, 'out dx, al'];

function lapic(draws: Draws): string[] {
  const at = `mov ebx, ${LAPIC}`;
  if (draws.once(2)) return [at, `mov eax, [rbx + ${draws.pick(LAPIC_READ)}]`, `out ${SHOWN}, eax`];
  const register = Number(draws.pick(Object.keys(LAPIC_WRITTEN)));
  return [at, `mov dword [rbx + ${register}], ${LAPIC_WRITTEN[register]!(draws) >>> 0}`];
}

function ioapic(draws: Draws): string[] {
  const register = draws.pick([0, 1, 2, 0x10 + draws.next(48), 0x10 + 2 * draws.next(8)]);
  const select = [`mov ebx, ${IOAPIC}`, `mov dword [rbx], ${register}`];
  if (draws.once(2)) return [...select, 'mov eax, [rbx + 0x10]', `out ${SHOWN}, eax`];
  const bits = [12, 13, 14, 15].reduce((sum, bit) => sum | (draws.next(2) << bit), 0);
  const low = vector(draws) | (draws.next(2) << 8) | bits | (draws.once(3) ? 1 << 16 : 0);
  return [...select, `mov dword [rbx + 0x10], ${register & 1 ? draws.pick([0, 0, 0x1000000]) : low}`];
}

/** OCW2's and OCW3's commands but for the poll, of which Linux tells more since 6.1. */
const COMMANDS = [0x20, 0x60, 0x63, 0xa0, 0xc0, 0xc5, 0x0a, 0x0b, 0x68, 0x48, 0x80, 0];

function pic(draws: Draws): string[] {
  const chip = draws.pick([0x20, 0xa0]);
  switch (draws.next(5)) {
    case 0:
      return [
        ...out(chip, draws.pick([0x11, 0x13, 0x19])),
        ...out(chip + 1, draws.pick([0x20, 0x28, 0x70])),
        ...out(chip + 1, chip === 0x20 ? 4 : 2),
        ...out(chip + 1, draws.pick([1, 3, 0x11])),
        ...out(chip + 1, draws.pick([0, 0xff, draws.next(256)])),
      ];
    case 1:
      return out(chip, draws.pick(COMMANDS));
    case 2:
      return out(draws.pick([chip + 1, 0x4d0, 0x4d1]), draws.next(256));
    default:
      return [`mov edx, ${draws.pick([chip, chip + 1, 0x4d0, 0x4d1])}`, 'in al, dx', `out ${SHOWN}, al`];
  }
}

/** A program, whose instructions mean the same in either mode. */
export function registerProgram(draws: Draws): string {
  const lines: string[] = [];
  for (let i = 0; i < OPERATIONS; i++) {
    if (i % BETWEEN_TURNS === 0) lines.push(`out ${TURN}, al`);
    lines.push(...draws.pick([lapic, ioapic, pic])(draws));
  }
  return ['bits 64', ...lines, `out ${OVER}, al`, 'hlt'].join('\n');
}
