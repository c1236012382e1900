/**
 * The x87 and SSE state of a vCPU, in the form of FXSAVE (arch/x86/include/asm/fpu/types.h).
 *
 * Fidelity: the CPU of the model has neither x87 nor SSE, so no guest instruction changes this state; KVM keeps it for user
 * space.
 */

import { bytes, type StructOf, struct, u8, u16, u32, u64 } from '../uapi/struct.ts';

/** struct fxregs_state. */
export const fxsave = struct('fxregs_state', {
  cwd: u16,
  swd: u16,
  twd: u8,
  reserved: u8,
  fop: u16,
  rip: u64,
  rdp: u64,
  mxcsr: u32,
  mxcsr_mask: u32,
  st_space: bytes(128),
  xmm_space: bytes(256),
  padding: bytes(96),
});
/** Bits of MXCSR that a CPU without denormals-are-zeros has. */
export const MXCSR_MASK = 0xffbf;

export type FpuState = StructOf<typeof fxsave>;

/** fpstate_init_user: all exceptions masked, 64-bit precision. */
export const initialFpu = (): FpuState => ({
  ...fxsave.read(new DataView(new ArrayBuffer(fxsave.size))),
  cwd: 0x37f,
  mxcsr: 0x1f80,
  mxcsr_mask: MXCSR_MASK,
});
