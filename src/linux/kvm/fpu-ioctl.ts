/**
 * A guest's x87 and SSE state as KVM keeps it for user space: KVM_GET/SET_FPU, KVM_GET/SET_XSAVE, KVM_GET/SET_XCRS
 * (arch/x86/kvm/x86.c; arch/x86/kernel/fpu/core.c: fpu_copy_uabi_to_guest_fpstate).
 *
 * The CPU has no XSAVE: there are no extended control registers, and an XSAVE area is an FXSAVE area with its header.
 */

import { EINVAL } from '../uapi/errno.ts';
import {
  KVM_GET_FPU,
  KVM_GET_XCRS,
  KVM_GET_XSAVE,
  KVM_SET_FPU,
  KVM_SET_XCRS,
  KVM_SET_XSAVE,
  kvm_fpu,
  kvm_xcrs,
  kvm_xsave,
} from '../uapi/kvm.ts';
import { fxsave, MXCSR_MASK } from './fpu-state.ts';
import type { IoctlTable } from './ioctl-table.ts';
import type { KvmVcpu } from './vcpu.ts';

/** Offset of XSTATE_BV, the first word of the header behind the legacy area. */
const XSTATE_BV = 512;
/** XFEATURE_MASK_FPSSE. */
const X87_AND_SSE = 3n;

/** Add the rows to the vCPU's table. */
export const fpuIoctls = (table: IoctlTable<KvmVcpu>): IoctlTable<KvmVcpu> =>
  table
    .gives(KVM_GET_FPU, kvm_fpu, ({ fpu }) => ({
      fpr: fpu.st_space,
      fcw: fpu.cwd,
      fsw: fpu.swd,
      ftwx: fpu.twd,
      last_opcode: fpu.fop,
      last_ip: fpu.rip,
      last_dp: fpu.rdp,
      xmm: fpu.xmm_space,
    }))
    // MXCSR passes neither way: kvm_arch_vcpu_ioctl_set_fpu.
    .takes(KVM_SET_FPU, kvm_fpu, (vcpu, given) => {
      vcpu.fpu = {
        ...vcpu.fpu,
        st_space: given.fpr,
        cwd: given.fcw,
        swd: given.fsw,
        twd: given.ftwx,
        fop: given.last_opcode,
        rip: given.last_ip,
        rdp: given.last_dp,
        xmm_space: given.xmm,
      };
      return 0;
    })
    .gives(KVM_GET_XSAVE, kvm_xsave, ({ fpu }) => {
      const region = new Uint8Array(kvm_xsave.size);
      const view = new DataView(region.buffer);
      fxsave.write(view, fpu);
      view.setBigUint64(XSTATE_BV, X87_AND_SSE, true);
      return { region };
    })
    .takes(KVM_SET_XSAVE, kvm_xsave, (vcpu, { region }) => {
      const view = new DataView(region.buffer);
      const given = fxsave.read(view);
      if (view.getBigUint64(XSTATE_BV, true) & ~X87_AND_SSE)
        return vcpu.kernel.refuse(EINVAL, 'the CPU has no state beyond x87 and SSE');
      if (given.mxcsr & ~MXCSR_MASK) return vcpu.kernel.refuse(EINVAL, 'MXCSR has reserved bits set');
      vcpu.fpu = { ...given, mxcsr_mask: MXCSR_MASK };
      return 0;
    })
    .gives(KVM_GET_XCRS, kvm_xcrs, () => ({ nr_xcrs: 0 }))
    .takes(KVM_SET_XCRS, kvm_xcrs, ({ kernel }) => kernel.refuse(EINVAL, 'the CPU has no XSAVE, so no XCR0'));
