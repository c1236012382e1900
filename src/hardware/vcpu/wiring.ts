/** The parts of one vCPU put together, and the names under which generated code reaches them. */

import type { Hpa } from '../../address.ts';
import type { EventStream } from '../../event.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { CodeCache } from './code-cache.ts';
import { ControlServices } from './control-services.ts';
import { DebugRegisters } from './debug-registers.ts';
import { Divider } from './divider.ts';
import { Execution } from './execution.ts';
import { FarTransfers } from './far-transfers.ts';
import { Flags } from './flags.ts';
import * as bits from './interpreter/bits.ts';
import { type Environment, FormCompiler } from './interpreter/form.ts';
import type { Records } from './interpreter/records.ts';
import { meanings } from './meanings.ts';
import { Mmu } from './mmu.ts';
import { MsrServices } from './msr-services.ts';
import { PendingEvent } from './pending-event.ts';
import { Ports } from './ports.ts';
import type { Processor } from './processor.ts';
import { Segments } from './segments.ts';
import { Services } from './services.ts';
import { CpuState } from './state.ts';
import { TableServices } from './table-services.ts';
import { WholeStrings } from './whole-strings.ts';

/** One vCPU's parts, those among them that only the vCPU itself and its hypervisor need. */
export interface Parts extends Processor {
  readonly controls: ControlServices;
  readonly msrs: MsrServices;
  readonly code: CodeCache;
  readonly execution: Execution;
  readonly ports: Ports;
}

/** `stateAt` is a zeroed page frame of host RAM for the CPU's registers. */
export function wire(memory: PhysicalMemory, stateAt: Hpa, stream: EventStream): Parts {
  const state = new CpuState(memory, stateAt);
  const event = new PendingEvent();
  const code = new CodeCache(memory);
  const debug = new DebugRegisters();
  const mmu = new Mmu(memory, state, event, debug, stream);
  const segments = new Segments(memory, state, mmu, event);
  const flags = new Flags(state);
  const processor: Processor = {
    memory,
    state,
    mmu,
    event,
    segments,
    flags,
    debug,
    blocking: { shadow: 0, nmi: false },
  };
  const execution = new Execution(processor, code);
  const controls = new ControlServices(processor);
  const msrs = new MsrServices(processor, () => execution.retired);
  const ports = new Ports(processor);
  const forms = new FormCompiler(meanings, environmentOf(processor, code.records, controls, msrs, ports));
  code.connect(forms, () => mmu.tlb.flushWrites());
  flags.write(0);
  return { ...processor, controls, msrs, code, execution, ports };
}

function environmentOf(
  processor: Processor,
  records: Records,
  controls: ControlServices,
  msrs: MsrServices,
  ports: Ports,
): Environment {
  const { memory, mmu, flags } = processor;
  const { quads, words, halves, bytes, bounce } = processor.state;
  const { tlb } = mmu;
  return {
    R: quads,
    L: words,
    S: halves,
    B: bytes,
    V: memory.view,
    W: records.words,
    Q: records.quads,
    F: records.doubles,
    bounce,
    readTags: tlb.readTags,
    readHosts: tlb.readHosts,
    writeTags: tlb.writeTags,
    writeHosts: tlb.writeHosts,
    mmu,
    flags,
    services: new Services(processor),
    controls,
    msrs,
    tables: new TableServices(processor),
    transfers: new FarTransfers(processor, msrs),
    divider: new Divider(),
    bits,
    ports,
    strings: new WholeStrings(processor),
  };
}
