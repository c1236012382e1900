/**
 * Port accesses without a string prefix: no decoding, straight from the exit qualification to the bus or to user space
 * (arch/x86/kvm/x86.c: kvm_fast_pio and its completions; vmx.c: handle_io).
 */

import { watch } from '../../event.ts';
import { IO_QUALIFICATION } from '../../hardware/vcpu/exit.ts';
import { emulateInstruction } from './emulate.ts';
import { kvmPio } from './trace.ts';
import type { KvmVcpu } from './vcpu.ts';

/** A port that old BIOSes poke; RIP must already be past the instruction when user space sees it. */
const QUIRK_PORT = 0x7e;

/** Bytes of the access under way, one view for each size. */
const word = new Uint32Array(1);
const byte = new Uint8Array(word.buffer, 0, 1);
const half = new Uint8Array(word.buffer, 0, 2);
const whole = new Uint8Array(word.buffer, 0, 4);
const bytesOf = (size: 1 | 2 | 4): Uint8Array => (size === 1 ? byte : size === 2 ? half : whole);

/** handle_io: 1 to go on in the guest, 0 to return to user space. */
export function handleIo(vcpu: KvmVcpu): number {
  const { qualification } = vcpu.cpu.exit;
  vcpu.stats.io_exits++;
  if (qualification & IO_QUALIFICATION.STRING) return emulateInstruction(vcpu);
  const size = ((qualification & IO_QUALIFICATION.SIZE_MASK) + 1) as 1 | 2 | 4;
  const port = qualification >>> IO_QUALIFICATION.PORT_SHIFT;
  return qualification & IO_QUALIFICATION.IN ? fastIn(vcpu, size, port) : fastOut(vcpu, size, port);
}

function fastOut(vcpu: KvmVcpu, size: 1 | 2 | 4, port: number): number {
  const { cpu, run, vm } = vcpu;
  const value = cpu.readAccumulator(size);
  if (watch.on && kvmPio.on) kvmPio(vm.kernel.stream, { write: true, port, size, count: 1, value });
  word[0] = value;
  if (vm.pioBus.write(port, bytesOf(size)) === 0) {
    cpu.skipInstruction();
    return 1;
  }
  run.exitOut(size, port, value);
  if (port === QUIRK_PORT) {
    cpu.skipInstruction();
    return 0;
  }
  vcpu.leaveForPort();
  vcpu.completion = completeOut;
  return 0;
}

function completeOut(vcpu: KvmVcpu): number {
  if (vcpu.atPortAccess) vcpu.cpu.skipInstruction();
  return 1;
}

function fastIn(vcpu: KvmVcpu, size: 1 | 2 | 4, port: number): number {
  const { run, vm } = vcpu;
  vcpu.pioSize = size;
  vcpu.pioPort = port;
  // A device may leave the data as they are: then AL and AX stay.
  word[0] = size === 4 ? 0 : vcpu.cpu.halves[0]!;
  if (vm.pioBus.read(port, bytesOf(size)) === 0) {
    finishIn(vcpu, word[0]!);
    return 1;
  }
  run.exitIn(size, port);
  vcpu.leaveForPort();
  vcpu.completion = completeIn;
  return 0;
}

function completeIn(vcpu: KvmVcpu): number {
  if (vcpu.atPortAccess) finishIn(vcpu, vcpu.run.pioValue(vcpu.pioSize));
  return 1;
}

function finishIn(vcpu: KvmVcpu, value: number): void {
  const { cpu, pioPort: port, pioSize: size } = vcpu;
  if (watch.on && kvmPio.on) {
    // The rest is of RAX.
    const read = value % 2 ** (8 * size);
    kvmPio(vcpu.vm.kernel.stream, { write: false, port, size, count: 1, value: read });
  }
  cpu.writeAccumulator(size, value);
  cpu.skipInstruction();
}
