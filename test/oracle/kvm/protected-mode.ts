/** What brings machine.c's vCPU to a program: flat segments, protection on, no paging. */

import * as uapi from '../../../src/linux/uapi/kvm.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import { machineCode } from '../../linux/kvm/guest.ts';
import { hex, lineAt, REAL } from './real-kvm.ts';

const GDT_AT = 0x5000;
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const FLAT_CODE = 0x00cf9b000000ffffn;
const FLAT_DATA = 0x00cf93000000ffffn;

const put = (at: number, bytes: Uint8Array) => `put ${(REAL.ram + at).toString(16)} ${hex(bytes)}`;

/** The lines for a new machine, with interrupt controllers or without; CPUID's leaf 1 is there, without which its timer has one mode. */
export function protectedMode(program: string, codeAt: number, irqchip: boolean): string[] {
  const segment = (type: number, selector: number) =>
    ({ base: 0n, limit: 0xffffffff, selector, type, present: 1, db: 1, s: 1, g: 1 }) as StructValue<
      typeof uapi.kvm_segment.members
    >;
  const data = segment(3, DATA_SELECTOR);
  const sregs = {
    cs: segment(11, CODE_SELECTOR),
    ds: data,
    es: data,
    ss: data,
    fs: data,
    gs: data,
    gdt: { base: BigInt(GDT_AT), limit: 31, padding: new Uint8Array(6) },
    cr0: 0x11n,
  };
  const cpuid = new Uint8Array(uapi.kvm_cpuid2.size + uapi.kvm_cpuid_entry2.size);
  cpuid.set(uapi.kvm_cpuid2.encode({ nent: 1 }));
  cpuid.set(uapi.kvm_cpuid_entry2.encode({ function: 1, eax: 0x600, edx: 1 << 9 }), uapi.kvm_cpuid2.size);
  const set = <M extends Members>(
    ioctl: { readonly number: number },
    struct: Struct<M>,
    value: Partial<StructValue<M>>,
  ) => lineAt(REAL.vcpu, ioctl, struct.encode(value));
  return [
    `new ${Number(irqchip)}`,
    put(codeAt, machineCode(program)),
    put(GDT_AT + CODE_SELECTOR, new Uint8Array(BigUint64Array.of(FLAT_CODE, FLAT_DATA).buffer)),
    lineAt(REAL.vcpu, uapi.KVM_SET_CPUID2, cpuid),
    set(uapi.KVM_SET_SREGS, uapi.kvm_sregs, { ...sregs, apic_base: 0xfee00900n }),
    set(uapi.KVM_SET_REGS, uapi.kvm_regs, { rip: BigInt(codeAt), rsp: 0x10000n, rflags: 2n }),
  ];
}
