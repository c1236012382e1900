/**
 * Two ports of the board with nothing behind them (hw/i386/pc.c: pc_basic_device_init): 0x80, where firmware leaves its progress
 * and an `out` is a short delay (Linux's io_delay), and 0xf0, where the FPU's error line is let go (MS-DOS's way to report
 * floating-point exceptions; under KVM ioportF0_write does nothing).
 */

import { type MemoryRegion, type MemoryRegionOps, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';

/** ioport80_io_ops, ioportF0_io_ops. A wider access is the port's as well, whatever lies behind it. */
const silent: MemoryRegionOps = {
  read: () => -1,
  write: () => undefined,
  valid: sizes(0, 0),
  impl: sizes(1, 1),
};

/** Add both to the ports `io`. */
export function addSilentPorts(topology: MemoryTopology, io: MemoryRegion): void {
  io.addSubregion(0x80, topology.io('ioport80', 1, silent));
  io.addSubregion(0xf0, topology.io('ioportF0', 1, silent));
}
