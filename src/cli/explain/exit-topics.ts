/** Why a guest is left: VMX exit reasons with the bits of their qualification, and KVM's reasons to return to user space. */

import { EPT_QUALIFICATION, EXIT_REASON, IO_QUALIFICATION } from '../../hardware/vcpu/exit.ts';
import { kvmExits } from '../../linux/uapi/kvm-run.ts';
import { layout } from './ioctl-topics.ts';
import type { TopicSource } from './topic-source.ts';

const meanings: Readonly<Record<keyof typeof EXIT_REASON, string>> = {
  EXCEPTION_NMI: 'An exception that the hypervisor intercepts, or an NMI.',
  EXTERNAL_INTERRUPT: 'An interrupt of the host arrived.',
  TRIPLE_FAULT: 'The delivery of a double fault failed: the processor would shut down.',
  INTERRUPT_WINDOW: 'The guest can take an interrupt now, as the hypervisor had asked to hear.',
  NMI_WINDOW: 'The guest can take an NMI now.',
  CPUID: 'The guest executed CPUID.',
  HLT: 'The guest executed HLT.',
  INVLPG: 'The guest executed INVLPG.',
  RDTSC: 'The guest executed RDTSC.',
  VMCALL: 'The guest executed VMCALL: a call of the hypervisor.',
  CR_ACCESS: 'The guest accessed a control register that is not its own.',
  DR_ACCESS: 'The guest accessed a debug register.',
  IO_INSTRUCTION: 'The guest executed IN, OUT, INS or OUTS; every port leaves the guest.',
  MSR_READ: 'The guest executed RDMSR for a register that the processor does not keep.',
  MSR_WRITE: 'The guest executed WRMSR for a register that the processor does not keep.',
  INVALID_STATE: 'The entry failed: the state of the guest is not one that a processor can be in.',
  MWAIT: 'The guest executed MWAIT.',
  MONITOR: 'The guest executed MONITOR.',
  PAUSE_INSTRUCTION: 'The guest spins: many PAUSEs in a row.',
  TPR_BELOW_THRESHOLD: 'The guest lowered its task priority, so that a waiting interrupt may go in.',
  EPT_VIOLATION: 'A guest physical address has no entry in the EPT, or one that forbids the access.',
  EPT_MISCONFIG:
    'An EPT entry has a reserved combination of bits: with KVM an MMIO entry, whose accesses it emulates at once.',
  PREEMPTION_TIMER: 'The time that the hypervisor had given the guest is over.',
  WBINVD: 'The guest executed WBINVD.',
  PML_FULL: 'The log of modified pages is full.',
};

/** Bits of the qualification (info1 of kvm_exit), by the reasons that have some. */
const qualifications: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  IO_INSTRUCTION: {
    SIZE_MASK: 'bits 2:0: size of the access - 1',
    IN: 'IN or INS; else OUT or OUTS',
    STRING: 'INS or OUTS',
    REPEATED: 'with a REP prefix',
    IMMEDIATE: 'the port is in the instruction, not in DX',
    PORT_SHIFT: 'bits 31:16: the port',
  } satisfies Record<keyof typeof IO_QUALIFICATION, string>,
  EPT_VIOLATION: {
    READ: 'the access was a read',
    WRITE: 'a write',
    FETCH: 'an instruction fetch',
    READABLE: 'the entries on the way allow reading',
    WRITABLE: 'they allow writing',
    EXECUTABLE: 'they allow execution',
    LINEAR_ADDRESS_VALID: 'the guest linear address is known',
    FINAL_TRANSLATION: 'the access was to the address itself, not to a paging structure of the guest',
    NMI_UNBLOCKING: 'IRET had unblocked NMIs and was cut short',
  } satisfies Record<keyof typeof EPT_QUALIFICATION, string>,
};
const bitsOf: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  IO_INSTRUCTION: IO_QUALIFICATION,
  EPT_VIOLATION: EPT_QUALIFICATION,
};

export const exitTopics: TopicSource = {
  kind: 'exit reason',
  names: () => Object.keys(EXIT_REASON),
  explain(name) {
    const reason = EXIT_REASON[name as keyof typeof EXIT_REASON];
    const bits = Object.entries(qualifications[name] ?? {}).map(([bit, meaning]) => {
      const value = meaning.startsWith('bits ') ? '' : `0x${bitsOf[name]![bit]!.toString(16)}`;
      return `    ${value.padStart(6)}  ${meaning}`;
    });
    return [
      `  ${meanings[name as keyof typeof EXIT_REASON]}`,
      '',
      `  number     ${reason} (VMX basic exit reason, SDM vol. 3C appendix C)`,
      `  show it    gvm run FILE --trace 'kvm_exit[reason=${reason}]'`,
      ...(bits.length === 0 ? [] : ['', '  info1 of kvm_exit, the exit qualification:', ...bits]),
    ];
  },
};

export const userExitTopics: TopicSource = {
  kind: 'reason of KVM_RUN to return',
  names: () => kvmExits().map(({ name }) => name),
  explain(name) {
    const { number, struct } = kvmExits().find((each) => each.name === name)!;
    return [
      `  kvm_run.exit_reason = ${number}: KVM_RUN returns to user space, which has to do something.`,
      '',
      `  show it    gvm run FILE --trace 'kvm_userspace_exit[reason=${number}]'`,
      ...(struct === undefined ? [] : ['', '  What it needs is in the union of kvm_run:', ...layout(struct)]),
    ];
  },
};
