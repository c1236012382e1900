/** What a report's page asks about the guest: instructions, callers, sources, and the walk of the address it left for. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gva } from '../address.ts';
import { EXIT_REASON, exitReasonName } from '../hardware/vcpu/exit.ts';
import type { Place, ReportGuide } from '../observe/report/report.ts';
import { describeWalk } from './address-walk.ts';
import { returnAddresses } from './guest-callers.ts';
import { GuestCode } from './guest-code.ts';
import type { GuestProgram } from './guest-program.ts';
import type { Machine } from './machine.ts';

/** Words of each frame that may be return addresses. */
const STACK_WORDS = 24;
/** Callers shown. */
const CALLERS = 6;

/** `library` is the folder of the guest library's includes. */
export function reportGuide(machine: Machine, program: GuestProgram, library: string): ReportGuide {
  const code = new GuestCode(program);
  const places = new Map<bigint, Place | undefined>();
  const placeAt = (address: bigint): Place | undefined => {
    if (!places.has(address)) places.set(address, program.symbolizer().symbolize(address));
    return places.get(address);
  };
  const callers = (): Place[] => {
    const [cpu] = machine.cpus;
    if (cpu === undefined) return [];
    const found: Place[] = [];
    for (const address of returnAddresses(cpu, code, STACK_WORDS)) {
      // The line of the call is that of the byte before the return address.
      const place = placeAt(address - 1n);
      if (place !== undefined) found.push(place);
      if (found.length === CALLERS) break;
    }
    return found;
  };
  return {
    instruction: (rip) => code.text(rip) ?? '(not in the image)',
    places: (rip) => {
      const own = placeAt(rip);
      return [...(own === undefined ? [] : [own]), ...callers()];
    },
    source: (name) => readLines(name) ?? readLines(join(library, '../../..', name)),
    walk(index) {
      const vm = machine.kvm.vms[0];
      const exit = vm?.vcpus[index]?.cpu.exit;
      if (vm === undefined || exit === undefined) return undefined;
      const forMemory = exit.reason === EXIT_REASON.EPT_VIOLATION || exit.reason === EXIT_REASON.EPT_MISCONFIG;
      return forMemory ? describeWalk(vm, gva(BigInt(exit.guestLinear)), index) : undefined;
    },
    reason: exitReasonName,
  };
}

function readLines(path: string): readonly string[] | undefined {
  try {
    return readFileSync(path, 'utf8').replace(/\n$/, '').split('\n');
  } catch {
    return undefined;
  }
}
