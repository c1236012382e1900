/**
 * User space debugs the guest: KVM_SET_GUEST_DEBUG, KVM_GET/SET_DEBUGREGS, and the exceptions that become KVM_EXIT_DEBUG
 * (arch/x86/kvm/x86.c: kvm_arch_vcpu_ioctl_set_guest_debug, kvm_update_dr7; vmx.c: handle_exception_nmi).
 */

import { VECTOR } from '../../hardware/vcpu/pending-event.ts';
import { EBUSY, EINVAL } from '../uapi/errno.ts';
import { KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, kvm_debugregs } from '../uapi/kvm.ts';
import {
  KVM_GUESTDBG_BLOCKIRQ,
  KVM_GUESTDBG_ENABLE,
  KVM_GUESTDBG_INJECT_BP,
  KVM_GUESTDBG_INJECT_DB,
  KVM_GUESTDBG_SINGLESTEP,
  KVM_GUESTDBG_USE_HW_BP,
  KVM_GUESTDBG_USE_SW_BP,
  KVM_SET_GUEST_DEBUG,
  kvm_debug_exit_arch,
  kvm_guest_debug,
} from '../uapi/kvm-debug.ts';
import { KVM_EXIT_DEBUG, KVM_RUN_UNION } from '../uapi/kvm-run.ts';
import type { StructOf } from '../uapi/struct.ts';
import { LAST_VMENTRY_CPU } from './cpu.ts';
import type { IoctlTable } from './ioctl-table.ts';
import type { KvmVcpu } from './vcpu.ts';

/** KVM_GUESTDBG_VALID_MASK: what KVM_CHECK_EXTENSION says of KVM_CAP_SET_GUEST_DEBUG2; KVM_SET_GUEST_DEBUG does not ask for it. */
export const GUESTDBG_VALID =
  KVM_GUESTDBG_ENABLE |
  KVM_GUESTDBG_SINGLESTEP |
  KVM_GUESTDBG_USE_SW_BP |
  KVM_GUESTDBG_USE_HW_BP |
  KVM_GUESTDBG_INJECT_DB |
  KVM_GUESTDBG_INJECT_BP |
  KVM_GUESTDBG_BLOCKIRQ;

const BREAKPOINTS = [0, 1, 2, 3] as const;
const TF = 1n << 8n;
/** DR6_ACTIVE_LOW: bits that read as one. */
const DR6_ONES = 0xffff0ff0;
const TO_BE_SEEN = 1 << VECTOR.DB;

/** Add the rows to the vCPU's table. */
export const debugIoctls = (table: IoctlTable<KvmVcpu>): IoctlTable<KvmVcpu> =>
  table
    .takes(KVM_SET_GUEST_DEBUG, kvm_guest_debug, setGuestDebug)
    .gives(KVM_GET_DEBUGREGS, kvm_debugregs, ({ cpu }) => ({
      db: new Uint8Array(BigUint64Array.from(BREAKPOINTS, (number) => cpu.debugRegister(number)).buffer),
      dr6: cpu.debugRegister(6),
      dr7: cpu.debugRegister(7),
    }))
    .takes(KVM_SET_DEBUGREGS, kvm_debugregs, (vcpu, { db, dr6, dr7, flags }) => {
      if (flags !== 0n) return vcpu.kernel.refuse(EINVAL, 'debug registers have no flags');
      if (dr6 >> 32n || dr7 >> 32n) return vcpu.kernel.refuse(EINVAL, 'DR6 and DR7 have 32 bits');
      const addresses = new DataView(db.buffer);
      for (const number of BREAKPOINTS) vcpu.cpu.setDebugRegister(number, addresses.getBigUint64(number * 8, true));
      vcpu.cpu.setDebugRegister(6, dr6);
      vcpu.cpu.setDebugRegister(7, dr7);
      return 0;
    });

/** kvm_arch_vcpu_ioctl_set_guest_debug. */
function setGuestDebug(vcpu: KvmVcpu, { control, debugreg }: StructOf<typeof kvm_guest_debug>): number {
  const { cpu, kernel } = vcpu;
  if (control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
    if (vcpu.exceptionPending) return kernel.refuse(EBUSY, 'an exception is queued already');
    vcpu.queueException(control & KVM_GUESTDBG_INJECT_DB ? VECTOR.DB : VECTOR.BP);
  }
  // The trap flag that single-stepping has set is not the guest's.
  const rflags = guestFlags(vcpu);
  vcpu.guestDebug = control & KVM_GUESTDBG_ENABLE ? control : 0;
  const registers = new DataView(debugreg.buffer);
  const ownBreakpoints = (vcpu.guestDebug & KVM_GUESTDBG_USE_HW_BP) !== 0;
  cpu.borrowBreakpoints(
    ownBreakpoints
      ? {
          addresses: BREAKPOINTS.map((number) => registers.getBigUint64(number * 8, true)),
          control: registers.getInt32(7 * 8, true),
        }
      : undefined,
  );
  cpu.exceptionBitmap =
    (vcpu.guestDebug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP) ? TO_BE_SEEN : 0) |
    (vcpu.guestDebug & KVM_GUESTDBG_USE_SW_BP ? 1 << VECTOR.BP : 0);
  vcpu.singleStepRip = cpu.rip;
  setGuestFlags(vcpu, rflags);
  vcpu.requestEvent();
  return 0;
}

/** kvm_get_rflags: without the trap flag of user space's single-stepping. */
export const guestFlags = ({ cpu, guestDebug }: KvmVcpu): bigint =>
  guestDebug & KVM_GUESTDBG_SINGLESTEP ? cpu.rflags & ~TF : cpu.rflags;

/** kvm_set_rflags: with it, while the guest stands where the stepping began. */
export function setGuestFlags(vcpu: KvmVcpu, rflags: bigint): void {
  const { cpu, guestDebug } = vcpu;
  const steps = (guestDebug & KVM_GUESTDBG_SINGLESTEP) !== 0 && cpu.rip === vcpu.singleStepRip;
  cpu.rflags = steps ? rflags | TF : rflags;
}

/**
 * handle_exception_nmi, for the exceptions that user space debugs with: KVM_EXIT_DEBUG tells which, and where; one in the delivery of another
 * event is an internal error.
 */
export function handleException(vcpu: KvmVcpu): number {
  const { cpu, run } = vcpu;
  const { idtVectoring, interruption } = cpu.exit;
  if (idtVectoring !== 0) {
    run.simultaneous([idtVectoring, interruption, 0, LAST_VMENTRY_CPU]);
    return 0;
  }
  const exception = interruption & 0xff;
  run.exit(KVM_EXIT_DEBUG);
  kvm_debug_exit_arch.write(
    run.view,
    {
      exception,
      pc: cpu.rip,
      dr6: exception === VECTOR.DB ? BigInt((cpu.exit.qualification | DR6_ONES) >>> 0) : 0n,
      dr7: cpu.debugRegister(7),
    },
    KVM_RUN_UNION,
  );
  return 0;
}
