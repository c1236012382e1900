/**
 * x86_emulate_instruction: complete the instruction at RIP through the CPU's own definition of it, with memory and ports
 * served by `Emulation`, and turn what it then needs into an exit (arch/x86/kvm/x86.c).
 */

import { gva, PAGE_SIZE } from '../../address.ts';
import { RCX } from './cpu.ts';
import { guestBytes } from './guest-paging.ts';
import { kvmEmulateInsn } from './trace.ts';
import { kvmMmuPagetableWalk, kvmMmuPagingElement } from './trace-mmu.ts';
import type { KvmVcpu } from './vcpu.ts';

const UD_VECTOR = 6;
const PF_VECTOR = 14;
const EFER_LMA = 1n << 10n;
const CR0_PE = 1n;
/** Bytes of the longest instruction. */
const LONGEST = 15;
/** Bits of RCX that are zero where the emulator lets a repeated instruction pause. */
const BATCH_MASK = 0x3ff;

/** Emulate the instruction that exited: 1 to go on in the guest, 0 to return to user space. */
export function emulateInstruction(vcpu: KvmVcpu): number {
  // KVM fetches the instruction by the guest's page tables and then tells of it.
  if (kvmEmulateInsn.on || kvmMmuPagetableWalk.on || kvmMmuPagingElement.on) trace(vcpu, false);
  vcpu.stats.insn_emulation++;
  vcpu.clearExceptions();
  vcpu.emulation.begin();
  return carryOut(vcpu);
}

function carryOut(vcpu: KvmVcpu): number {
  const { cpu, emulation } = vcpu;
  for (;;) {
    const outcome = cpu.emulate(emulation);
    if (outcome === 'undecodable') return failed(vcpu);
    if (outcome === 'exception') return injectEmulated(vcpu);
    if (!emulation.gathers) {
      emulation.storeGathered();
      if (emulation.needed !== 'nothing') return exitToUser(vcpu);
      // A repeated string instruction that is not over stays at its address. KVM goes on by itself while data of INS are
      // left, and without such until the count reaches a multiple of 1024: then the guest gets a chance to take an interrupt.
      if (outcome !== 'paused' || emulation.inputUsedUp) return 1;
      if (!emulation.inputLeft && (cpu.halves[2 * RCX]! & BATCH_MASK) === 0) return 1;
    }
    emulation.nextElement();
  }
}

/** inject_emulated_exception. */
function injectEmulated(vcpu: KvmVcpu): number {
  const { vector, errorCode, faultAddress } = vcpu.cpu.lastException!;
  if (vector === PF_VECTOR) {
    vcpu.stats.pf_guest++;
    vcpu.cpu.setControl(2, faultAddress);
  }
  vcpu.queueException(vector, errorCode);
  return 1;
}

function exitToUser(vcpu: KvmVcpu): number {
  const { emulation } = vcpu;
  if (emulation.needed === 'pio-out') return completePioOut(vcpu);
  if (emulation.needed !== 'mmio-write') emulation.hideFlags();
  if (emulation.needed === 'pio-in') vcpu.completion = completePioIn;
  else {
    vcpu.stats.mmio_exits++;
    emulation.exitMmio();
    vcpu.completion = completeMmio;
  }
  return 0;
}

/** OUTS waits for nothing: only further elements that the same pass has put out are shown first. */
function completePioOut(vcpu: KvmVcpu): number {
  vcpu.completion = vcpu.emulation.exitPioOut() ? completePioOut : undefined;
  return 0;
}

function completePioIn(vcpu: KvmVcpu): number {
  vcpu.emulation.completePioIn();
  vcpu.emulation.showFlags();
  vcpu.emulation.rewind();
  return carryOut(vcpu);
}

function completeMmio(vcpu: KvmVcpu): number {
  const { emulation } = vcpu;
  if (!emulation.completeMmio()) {
    emulation.exitMmio();
    vcpu.completion = completeMmio;
    return 0;
  }
  // A write's instruction had finished before user space saw it.
  if (emulation.needed === 'mmio-write') return 1;
  emulation.showFlags();
  emulation.rewind();
  return carryOut(vcpu);
}

/** handle_emulation_failure: #UD, and at CPL 0 user space is told. */
function failed(vcpu: KvmVcpu): number {
  const { cpu } = vcpu;
  if (kvmEmulateInsn.on) trace(vcpu, true);
  vcpu.stats.insn_emulation_fail++;
  if (!vcpu.vm.exitOnEmulationFailure) {
    vcpu.queueException(UD_VECTOR);
    if (cpu.segment('ss').dpl !== 0) return 1;
  }
  const { exit } = cpu;
  vcpu.run.emulationFailed(fetchedBytes(vcpu), [exit.reason, exit.qualification, exit.idtVectoring, 0, 0]);
  return 0;
}

/** __do_insn_fetch_bytes: what the decoder has fetched at RIP, which is as much as an instruction may have, but no further page for nothing. */
function fetchedBytes(vcpu: KvmVcpu): Uint8Array {
  const { cpu } = vcpu;
  const at = gva(codeBase(vcpu) + cpu.rip);
  const inPage = PAGE_SIZE - Number(BigInt.asUintN(12, at));
  const fits = cpu.exit.instructionLength <= inPage;
  return guestBytes(vcpu, at, fits ? Math.min(inPage, LONGEST) : LONGEST);
}

/** The instruction at RIP, as far as it can be fetched. */
function instructionBytes(vcpu: KvmVcpu): Uint8Array {
  const { cpu } = vcpu;
  return guestBytes(vcpu, gva(codeBase(vcpu) + cpu.rip), cpu.exit.instructionLength || LONGEST);
}

const is64Bit = (vcpu: KvmVcpu) => (vcpu.cpu.efer & EFER_LMA) !== 0n && vcpu.cpu.segment('cs').l !== 0;
const codeBase = (vcpu: KvmVcpu) => (is64Bit(vcpu) ? 0n : vcpu.cpu.segment('cs').base);

function trace(vcpu: KvmVcpu, fails: boolean): void {
  const { cpu } = vcpu;
  const bytes = Array.from(instructionBytes(vcpu), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const protectedMode = cpu.segment('cs').db ? 'prot32' : 'prot16';
  const mode = is64Bit(vcpu) ? 'prot64' : (cpu.control(0) & CR0_PE) !== 0n ? protectedMode : 'real';
  if (!kvmEmulateInsn.on) return;
  kvmEmulateInsn(vcpu.vm.kernel.stream, { csBase: codeBase(vcpu), rip: cpu.rip, bytes, mode, failed: fails });
}
