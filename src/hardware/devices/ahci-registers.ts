/** Offsets and bits of the Serial ATA AHCI 1.3.1 registers that the modeled controller has (chapter 3). */

export const AHCI_BYTES = 0x1000;

/** Generic host control. */
export const HBA = { CAP: 0x00, GHC: 0x04, IS: 0x08, PI: 0x0c, VS: 0x10 } as const;
/** Addresses have 64 bits; AHCI only; generation 1 speed; one command slot, one port. */
export const CAP_VALUE = 0x8014_0000;
export const VERSION_1_3_1 = 0x0001_0301;
export const GHC_RESET = 1;
export const GHC_INTERRUPTS = 2;
export const GHC_AHCI = 0x8000_0000;

/** The registers of port 0. */
export const PORT = {
  CLB: 0x100,
  CLBU: 0x104,
  FB: 0x108,
  FBU: 0x10c,
  IS: 0x110,
  IE: 0x114,
  CMD: 0x118,
  TFD: 0x120,
  SIG: 0x124,
  SSTS: 0x128,
  SERR: 0x130,
  CI: 0x138,
} as const;
/** PxIS: a register FIS came from the disk; a DMA met no memory; the disk reports an error. */
export const IS_REGISTER_FIS = 1;
export const IS_BUS_FATAL = 1 << 29;
export const IS_TASK_FILE_ERROR = 1 << 30;
/** PxCMD: start and the answer that the list runs; FIS receive and its answer. */
export const CMD_START = 1;
export const CMD_FIS_RECEIVE = 0x10;
export const CMD_FIS_RUNNING = 0x4000;
export const CMD_LIST_RUNNING = 0x8000;
/** Signature of a disk, and a link that is up at generation 1. */
export const SIGNATURE_ATA = 0x101;
export const LINK_UP = 0x113;

/** Bits of the ATA status and error registers, in PxTFD. */
export const ATA_ERR = 0x01;
export const ATA_DRDY = 0x40;
export const ATA_ABORTED = 0x04;
/** ATA commands that the disk knows (ACS-3, chapter 7). */
export const ATA = { READ_DMA_EXT: 0x25, WRITE_DMA_EXT: 0x35, FLUSH_CACHE_EXT: 0xea, IDENTIFY: 0xec } as const;
export const FIS_REGISTER_TO_DEVICE = 0x27;
export const FIS_REGISTER_TO_HOST = 0x34;
