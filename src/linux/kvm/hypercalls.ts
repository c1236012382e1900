/**
 * VMCALL: what a guest may ask of KVM (arch/x86/kvm/x86.c: kvm_emulate_hypercall; Documentation/virt/kvm/x86/hypercalls.rst). CPUID
 * tells it of none, and Linux serves them all the same unless user space has KVM_CAP_ENFORCE_PV_FEATURE_CPUID.
 */

import { APIC_DESTINATION_LOGICAL, APIC_SHORTHAND, DELIVERY, messageOfCommand, SHORTHAND } from './apic-message.ts';
import { RAX, RBX, RCX, RDX, RSI } from './cpu.ts';
import { kvmHypercall } from './trace.ts';
import type { KvmVcpu } from './vcpu.ts';

/** Results of a hypercall are not errnos of the host, though most have their numbers. */
const KVM_EPERM = -1n;
const KVM_EINVAL = -22n;
const KVM_EOPNOTSUPP = -95n;
const KVM_ENOSYS = -1000n;

const VAPIC_POLL_IRQ = 1n;
const KICK_CPU = 5n;
const CLOCK_PAIRING = 9n;
const SEND_IPI = 10n;
const SCHED_YIELD = 11n;

const WORD = 64;

export function handleVmcall(vcpu: KvmVcpu): number {
  const { cpu } = vcpu;
  vcpu.stats.hypercalls++;
  const nr = cpu.register(RAX);
  if (kvmHypercall.on)
    kvmHypercall(vcpu.vm.kernel.stream, {
      nr,
      a0: cpu.register(RBX),
      a1: cpu.register(RCX),
      a2: cpu.register(RDX),
      a3: cpu.register(RSI),
    });
  const result = cpu.segment('ss').dpl === 0 ? serve(vcpu, nr) : KVM_EPERM;
  cpu.setRegister(RAX, BigInt.asUintN(64, result));
  cpu.skipInstruction();
  return 1;
}

function serve(vcpu: KvmVcpu, nr: bigint): bigint {
  switch (nr) {
    // It is the exit that counts; and a host with one processor has nobody to yield to.
    case VAPIC_POLL_IRQ:
    case SCHED_YIELD:
      return 0n;
    case KICK_CPU:
      return kick(vcpu);
    case SEND_IPI:
      return sendIpi(vcpu);
    // There is no wall clock to pair the guest's with.
    case CLOCK_PAIRING:
      return KVM_EOPNOTSUPP;
    default:
      return KVM_ENOSYS;
  }
}

/** kvm_pv_kick_cpu_op: end the halt of the processor whose APIC RCX names, or its next one. */
function kick({ cpu, vm }: KvmVcpu): bigint {
  vm.irqchip?.send({
    vector: 0,
    deliveryMode: DELIVERY.REMOTE_READ,
    logical: false,
    destination: Number(BigInt.asUintN(32, cpu.register(RCX))),
    levelTriggered: false,
    assert: false,
    shorthand: SHORTHAND.NONE,
  });
  return 0n;
}

/** kvm_pv_send_ipi: the command in RSI to each of 128 APICs from RDX on whose bit is set in RBX and RCX; how many took it. */
function sendIpi({ cpu, vm }: KvmVcpu): bigint {
  const command = Number(BigInt.asUintN(32, cpu.register(RSI)));
  if (command & (APIC_DESTINATION_LOGICAL | APIC_SHORTHAND)) return KVM_EINVAL;
  const { irqchip } = vm;
  if (irqchip === undefined) return KVM_EOPNOTSUPP;
  const first = Number(BigInt.asUintN(32, cpu.register(RDX)));
  const wanted = (cpu.register(RCX) << BigInt(WORD)) | cpu.register(RBX);
  let taken = 0;
  for (const lapic of irqchip.presentLapics()) {
    const index = lapic.id - first;
    if (index < 0 || index >= 2 * WORD || ((wanted >> BigInt(index)) & 1n) === 0n) continue;
    taken += lapic.accept(messageOfCommand(command, lapic.id));
  }
  return BigInt(taken);
}
