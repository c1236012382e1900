/** Bit tests, scans and counts, BMI1, BMI2, CRC32 and random numbers (SDM vol. 2). */

import { type Row, row } from './row.ts';

/** bt, bts, btr, btc: a register opcode, and /n of 0F BA. */
function bitTest(name: string, opcode: string, n: number, lock: boolean): readonly Row[] {
  return [
    row(name, 'rmv, rv', `0f ${opcode} /r`, 'oszapc', { lock }),
    row(name, 'rmv, imm8', `0f ba /${n} ib`, 'oszapc', { lock }),
  ];
}

export const BITS: readonly Row[] = [
  ...bitTest('bt', 'a3', 4, false),
  ...bitTest('bts', 'ab', 5, true),
  ...bitTest('btr', 'b3', 6, true),
  ...bitTest('btc', 'bb', 7, true),
  row('bsf', 'rv, rmv', '0f bc /r', 'oszapc'),
  row('bsr', 'rv, rmv', '0f bd /r', 'oszapc'),
  row('tzcnt', 'rv, rmv', 'f3 0f bc /r', 'oszapc'),
  row('lzcnt', 'rv, rmv', 'f3 0f bd /r', 'oszapc'),
  row('popcnt', 'rv, rmv', 'f3 0f b8 /r', 'oszapc'),
  row('crc32', 'r32, rm8', 'f2 0f38 f0 /r'),
  row('crc32', 'r64, rm8', 'o64 f2 0f38 f0 /r'),
  row('crc32', 'r32, rm16', 'o16 f2 0f38 f1 /r'),
  row('crc32', 'r32, rm32!', 'o32 f2 0f38 f1 /r'),
  row('crc32', 'r64, rm64!', 'o64 f2 0f38 f1 /r'),
  row('rdrand', 'rmrv', 'np 0f c7 /6', 'oszapc'),
  row('rdseed', 'rmrv', 'np 0f c7 /7', 'oszapc'),
  row('andn', 'ry, vexy, rmy', 'vex 0f38 f2 /r', 'oszapc'),
  row('bextr', 'ry, rmy, vexy', 'vex 0f38 f7 /r', 'oszapc'),
  row('blsr', 'vexy, rmy', 'vex 0f38 f3 /1', 'oszapc'),
  row('blsmsk', 'vexy, rmy', 'vex 0f38 f3 /2', 'oszapc'),
  row('blsi', 'vexy, rmy', 'vex 0f38 f3 /3', 'oszapc'),
  row('bzhi', 'ry, rmy, vexy', 'vex 0f38 f5 /r', 'oszapc'),
  row('mulx', 'ry, vexy, rmy', 'vex f2 0f38 f6 /r'),
  row('pdep', 'ry, vexy, rmy', 'vex f2 0f38 f5 /r'),
  row('pext', 'ry, vexy, rmy', 'vex f3 0f38 f5 /r'),
  row('rorx', 'ry, rmy, rotate8', 'vex f2 0f3a f0 /r ib'),
  row('sarx', 'ry, rmy, vexy', 'vex f3 0f38 f7 /r'),
  row('shlx', 'ry, rmy, vexy', 'vex 66 0f38 f7 /r'),
  row('shrx', 'ry, rmy, vexy', 'vex f2 0f38 f7 /r'),
];
