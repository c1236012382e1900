/**
 * The registers of an 82540EM, one row each: where it lies, what it is after reset, what reading and writing it does (Intel
 * PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, chapter 13; the parts of it that QEMU has:
 * hw/net/e1000.c, macreg_readops and macreg_writeops).
 */

/**
 * What a read does besides giving the value. `clear`: a counter that starts anew. `clear-pair`: the upper half of a 64-bit
 * counter, with which the lower one starts anew too.
 */
export type ReadEffect = 'value' | 'clear' | 'clear-pair' | 'icr' | 'eecd' | 'eerd';
/** What a write does: store the bits of a mask, or something of its own. */
export type WriteEffect =
  | number
  | 'ctrl'
  | 'eecd'
  | 'mdic'
  | 'icr'
  | 'ics'
  | 'ims'
  | 'imc'
  | 'rctl'
  | 'transmit'
  | 'rdt';

interface RegisterRow {
  readonly name: string;
  readonly at: number;
  /** Registers in a row, 1 if not told. */
  readonly count?: number;
  readonly reset?: number;
  /** Undefined: reads 0. */
  readonly read?: ReadEffect;
  /** Undefined: read-only. */
  readonly write?: WriteEffect;
}

/** Bytes of BAR 0. */
export const MMIO_SIZE = 0x2_0000;

export const CTRL = 0x0;
export const CTRL_RST = 0x0400_0000;
export const CTRL_VME = 0x4000_0000;
export const STATUS = 0x8;
export const STATUS_LU = 0x2;
export const EECD = 0x10;
export const EERD = 0x14;
export const MDIC = 0x20;
export const VET = 0x38;
export const ICR = 0xc0;
export const ITR = 0xc4;
export const ICS = 0xc8;
export const IMS = 0xd0;
export const IMC = 0xd8;
export const RCTL = 0x100;
export const TCTL = 0x400;
export const TCTL_EN = 0x2;
export const RDBAL = 0x2800;
export const RDBAH = 0x2804;
export const RDLEN = 0x2808;
export const RDH = 0x2810;
export const RDT = 0x2818;
export const RDTR = 0x2820;
export const RADV = 0x282c;
export const TDBAL = 0x3800;
export const TDBAH = 0x3804;
export const TDLEN = 0x3808;
export const TDH = 0x3810;
export const TDT = 0x3818;
export const TADV = 0x382c;
export const MPC = 0x4010;
export const PRC64 = 0x405c;
export const GPRC = 0x4074;
export const BPRC = 0x4078;
export const MPRC = 0x407c;
export const GPTC = 0x4080;
export const GORCL = 0x4088;
export const GOTCL = 0x4090;
export const RNBC = 0x40a0;
export const ROC = 0x40ac;
export const TORL = 0x40c0;
export const TOTL = 0x40c8;
export const TPR = 0x40d0;
export const TPT = 0x40d4;
export const PTC64 = 0x40d8;
export const MPTC = 0x40f0;
export const BPTC = 0x40f4;
export const TSCTC = 0x40f8;
export const MTA = 0x5200;
export const RA = 0x5400;
export const RAH_AV = 0x8000_0000;
export const VFTA = 0x5600;

// Interrupt causes: bits of ICR, ICS, IMS and IMC
export const CAUSE_TXDW = 0x01;
export const CAUSE_TXQE = 0x02;
export const CAUSE_LSC = 0x04;
export const CAUSE_RXDMT0 = 0x10;
export const CAUSE_RXO = 0x40;
export const CAUSE_RXT0 = 0x80;
export const CAUSE_MDAC = 0x200;

// RCTL
export const RCTL_EN = 0x2;
export const RCTL_SBP = 0x4;
export const RCTL_UPE = 0x8;
export const RCTL_MPE = 0x10;
export const RCTL_LPE = 0x20;
export const RCTL_BAM = 0x8000;
export const RCTL_VFE = 0x4_0000;
export const RCTL_SECRC = 0x400_0000;

const ALL = 0xffff_ffff;
const BITS_16 = 0xffff;
const BITS_13 = 0x1fff;
const BITS_11 = 0x7ff;
/** A ring is a multiple of 128 bytes, at most 1 MiB. */
const RING_LENGTH = 0xf_ff80;

/** Made when the first card is: a machine without one does not pay for it. */
const rows = (): readonly RegisterRow[] => {
  const plain = (name: string, at: number, write: WriteEffect = ALL, count = 1): RegisterRow => ({
    name,
    at,
    count,
    read: 'value',
    write,
  });
  const readOnly = (name: string, at: number, count = 1): RegisterRow => ({ name, at, count, read: 'value' });
  const counter = (name: string, at: number): RegisterRow => ({ name, at, read: 'clear' });
  const pair = (name: string, at: number): RegisterRow[] => [
    readOnly(`${name}L`, at),
    { name: `${name}H`, at: at + 4, read: 'clear-pair' },
  ];
  return [
    { ...plain('CTRL', CTRL, 'ctrl'), reset: 0x0014_0240 },
    { ...readOnly('STATUS', STATUS), reset: 0x8008_0783 },
    { name: 'EECD', at: EECD, read: 'eecd', write: 'eecd' },
    { name: 'EERD', at: EERD, read: 'eerd', write: ALL },
    plain('MDIC', MDIC, 'mdic'),
    { ...plain('VET', VET), reset: 0x8100 },
    { name: 'ICR', at: ICR, read: 'icr', write: 'icr' },
    plain('ITR', ITR, BITS_16),
    plain('ICS', ICS, 'ics'),
    plain('IMS', IMS, 'ims'),
    { name: 'IMC', at: IMC, write: 'imc' },
    plain('RCTL', RCTL, 'rctl'),
    plain('TCTL', TCTL, 'transmit'),
    plain('AIT', 0x458, BITS_16),
    { ...plain('LEDCTL', 0xe00), reset: 0x602 },
    { ...plain('PBA', 0x1000), reset: 0x0010_0030 },
    plain('RDFH', 0x2410, BITS_13),
    plain('RDFT', 0x2418, BITS_13),
    plain('RDFHS', 0x2420, BITS_13),
    plain('RDFTS', 0x2428, BITS_13),
    plain('RDFPC', 0x2430, BITS_13),
    plain('RDBAL', RDBAL),
    plain('RDBAH', RDBAH),
    plain('RDLEN', RDLEN, RING_LENGTH),
    plain('RDH', RDH, BITS_16),
    plain('RDT', RDT, 'rdt'),
    plain('RDTR', RDTR, BITS_16),
    plain('RADV', RADV, BITS_16),
    plain('TDFH', 0x3410, BITS_11),
    plain('TDFT', 0x3418, BITS_11),
    plain('TDFHS', 0x3420, BITS_13),
    plain('TDFTS', 0x3428, BITS_13),
    plain('TDFPC', 0x3430, BITS_13),
    plain('TDBAL', TDBAL),
    plain('TDBAH', TDBAH),
    plain('TDLEN', TDLEN, RING_LENGTH),
    plain('TDH', TDH, BITS_16),
    plain('TDT', TDT, 'transmit'),
    plain('TXDCTL', 0x3828),
    plain('TADV', TADV, BITS_16),
    // CRCERRS, ALGNERRC, SYMERRS, RXERRC, MPC
    readOnly('CRCERRS', 0x4000, 5),
    ...['SCC', 'ECOL', 'MCC', 'LATECOL'].map((name, i) => readOnly(name, 0x4014 + 4 * i)),
    ...['COLC', undefined, 'DC', 'TNCRS', 'SEQEC', 'CEXTERR', 'RLEC', undefined].flatMap((name, i) =>
      name === undefined ? [] : [readOnly(name, 0x4028 + 4 * i)],
    ),
    ...['XONRXC', 'XONTXC', 'XOFFRXC', 'XOFFTXC'].map((name, i) => readOnly(name, 0x4048 + 4 * i)),
    plain('FCRUC', 0x4058),
    ...['PRC64', 'PRC127', 'PRC255', 'PRC511', 'PRC1023', 'PRC1522', 'GPRC', 'BPRC', 'MPRC', 'GPTC'].map((name, i) =>
      counter(name, PRC64 + 4 * i),
    ),
    ...pair('GORC', GORCL),
    ...pair('GOTC', GOTCL),
    readOnly('RNBC', RNBC),
    counter('RUC', 0x40a4),
    readOnly('RFC', 0x40a8),
    counter('ROC', ROC),
    ...['RJC', 'MGTPRC', 'MGTPDC', 'MGTPTC'].map((name, i) => readOnly(name, 0x40b0 + 4 * i)),
    ...pair('TOR', TORL),
    ...pair('TOT', TOTL),
    ...['TPR', 'TPT', 'PTC64', 'PTC127', 'PTC255', 'PTC511', 'PTC1023', 'PTC1522', 'MPTC', 'BPTC', 'TSCTC'].map(
      (name, i) => counter(name, TPR + 4 * i),
    ),
    readOnly('TSCTFC', 0x40fc),
    plain('MTA', MTA, ALL, 128),
    plain('RA', RA, ALL, 32),
    plain('VFTA', VFTA, ALL, 128),
    plain('WUC', 0x5800),
    plain('WUFC', 0x5808),
    plain('WUS', 0x5810),
    { ...readOnly('MANC', 0x5820), reset: 0x0022_2300 },
    plain('IPAV', 0x5838),
    plain('IP4AT', 0x5840, ALL, 7),
    plain('IP6AT', 0x5880, ALL, 4),
    plain('WUPM', 0x5a00, ALL, 32),
    plain('SWSM', 0x5b50),
    plain('FFLT', 0x5f00, BITS_11, 7),
    plain('FFMT', 0x9000, 0xf, 255),
    plain('FFVT', 0x9800, ALL, 255),
    plain('PBM', 0x1_0000, ALL, 0x4000),
  ];
};

/** The row of every dword of the BAR; undefined where there is no register. */
let byIndex: readonly (RegisterRow | undefined)[] | undefined;

function table(): readonly (RegisterRow | undefined)[] {
  if (byIndex === undefined) {
    const filled = new Array<RegisterRow | undefined>(MMIO_SIZE / 4).fill(undefined);
    for (const row of rows()) filled.fill(row, row.at / 4, row.at / 4 + (row.count ?? 1));
    byIndex = filled;
  }
  return byIndex;
}

/** The values, by offset in the BAR. */
export class Registers {
  readonly #values = new Uint32Array(MMIO_SIZE / 4);
  readonly #table = table();

  /** The row at `offset`, undefined where there is no register. */
  row(offset: number): RegisterRow | undefined {
    return this.#table[offset >>> 2];
  }

  get(offset: number): number {
    return this.#values[offset >>> 2]!;
  }

  set(offset: number, value: number): void {
    this.#values[offset >>> 2] = value;
  }

  reset(): void {
    this.#values.fill(0);
    for (const row of rows()) if (row.reset !== undefined) this.set(row.at, row.reset);
  }

  /** A 64-bit address in two registers, the lower first; the last four bits are not decoded. */
  ringBase(low: number): number {
    return this.get(low + 4) * 2 ** 32 + this.get(low) - (this.get(low) & 0xf);
  }

  /** One more, but a full counter stays full. */
  count(offset: number): void {
    if (this.get(offset) !== 0xffff_ffff) this.set(offset, this.get(offset) + 1);
  }

  /** The 64-bit counter whose lower half is at `low` grows by `bytes`. */
  countBytes(low: number, bytes: number): void {
    const sum = (BigInt(this.get(low + 4)) << 32n) + BigInt(this.get(low)) + BigInt(bytes);
    const stays = sum >> 64n !== 0n ? 0xffff_ffff_ffff_ffffn : sum;
    this.set(low, Number(stays & 0xffff_ffffn));
    this.set(low + 4, Number(stays >> 32n));
  }

  /** A frame of `size` bytes among six counters by size, from `first` for 64 bytes on. */
  countSize(first: number, size: number): void {
    if (size < 64) return;
    const limits = [64, 127, 255, 511, 1023];
    const bucket = limits.findIndex((limit) => size <= limit);
    this.count(first + 4 * (bucket < 0 ? limits.length : bucket));
  }
}
