/**
 * Calls of macros with what became of them. A line of a file that calls a macro in the very words of an earlier line comes out as that one
 * did, as long as the names that were looked up for it mean the same: then it is neither scanned nor expanded nor assembled again.
 */

import type { Expansion, Span } from '../../syntax/source.ts';
import type { Work } from '../assembly.ts';
import type { SharedLine } from './line-template.ts';
import type { WatchedNames } from './watched-names.ts';

/** One line of a call, for all calls in these words. */
export interface CallLine {
  readonly line: SharedLine;
  /** Number of the call that it belongs to, see {@link Expansion.serial}: the one of the file, or one in a macro of that. */
  readonly serial: number;
}

/** One work for all the lines of a call; undefined where it is more than that. */
export type WorkOfCall = (lines: readonly CallLine[]) => Work | undefined;

/** A call as it comes out every time. */
export interface KnownCall {
  readonly work: Work;
  /** Numbers that it and the calls in it take. */
  readonly serials: number;
  /** Lines that macros made for it. */
  readonly produced: number;
}

/** A line of a file that is such a call; `serial` is the first of the numbers that it takes. */
export interface PlacedCall {
  readonly call: KnownCall;
  readonly span: Span;
  readonly serial: number;
}

/** Calls that are kept: a source whose calls are all different must not take all memory. */
const MOST_CALLS = 10_000;

class CallMemory {
  readonly #calls = new Map<string, KnownCall>();
  #version = 0;

  /** The call in these words; `version` of the macros' meanings. */
  find(text: string, version: number): KnownCall | undefined {
    this.#forgetOlder(version);
    return this.#calls.get(text);
  }

  keep(text: string, call: KnownCall, version: number): void {
    this.#forgetOlder(version);
    if (this.#calls.size < MOST_CALLS) this.#calls.set(text, call);
  }

  #forgetOlder(version: number): void {
    if (this.#version === version) return;
    this.#version = version;
    this.#calls.clear();
  }
}

/** Where the preprocessor stands: what a call may change of it, and what it must leave alone to be the same every time. */
export interface Standpoint {
  readonly serial: number;
  readonly produced: number;
  /** Version of the macros' meanings. */
  readonly version: number;
  /** Expansions so far that looked at more than the macros and their arguments. */
  readonly impurities: number;
  /** Diagnostics so far, with those that are not shown. */
  readonly said: number;
}

/** A call that is coming out for the first time. */
class CallRecording {
  readonly text: string;
  /** Line sources that were open at the call. */
  readonly depth: number;
  readonly #start: Standpoint;
  readonly #lines: CallLine[] = [];
  #hasFailed = false;

  constructor(text: string, depth: number, start: Standpoint) {
    this.text = text;
    this.depth = depth;
    this.#start = start;
  }

  /** To be called when something happens in the call that another in the same words would have to do again. */
  fail(): void {
    this.#hasFailed = true;
  }

  /** A line that came out, in a call of those around it; undefined where it is of this one call. */
  add(line: SharedLine | undefined, expansion: Expansion | undefined): void {
    if (line === undefined || expansion === undefined) this.#hasFailed = true;
    else this.#lines.push({ line, serial: expansion.serial });
  }

  /** The call, now that it has come out; undefined where another in the same words may come out differently. */
  finish(end: Standpoint, workOf: WorkOfCall): KnownCall | undefined {
    const { serial, produced, version, impurities, said } = this.#start;
    if (this.#hasFailed || version !== end.version || impurities !== end.impurities || said !== end.said)
      return undefined;
    const work = workOf(this.#lines);
    return work === undefined ? undefined : { work, serials: end.serial - serial, produced: end.produced - produced };
  }
}

/** The calls that a preprocessor remembers, and the one that is coming out. */
export class RememberedCalls {
  /** Without it no call is remembered. */
  workOf: WorkOfCall | undefined;
  readonly #memory = new CallMemory();
  readonly #watched: WatchedNames;
  readonly #standpoint: () => Standpoint;
  #recording: CallRecording | undefined;

  constructor(watched: WatchedNames, standpoint: () => Standpoint) {
    this.#watched = watched;
    this.#standpoint = standpoint;
  }

  get isRecording(): boolean {
    return this.#recording !== undefined;
  }

  find(text: string): KnownCall | undefined {
    return this.#memory.find(text, this.#watched.version);
  }

  /** Follows what becomes of a line, which calls a macro, from now on; `depth`: line sources that are open. */
  begin(text: string, depth: number): void {
    this.#watched.watching = true;
    this.#recording = new CallRecording(text, depth, this.#standpoint());
  }

  /** To be called before each line that is read: the call may have come out. */
  endAt(depth: number): void {
    const recording = this.#recording;
    if (recording?.depth !== depth) return;
    this.#watched.watching = false;
    this.#recording = undefined;
    const call = recording.finish(this.#standpoint(), this.workOf!);
    if (call !== undefined) this.#memory.keep(recording.text, call, this.#watched.version);
  }

  /** See {@link CallRecording.add}. */
  add(line: SharedLine | undefined, expansion: Expansion | undefined): void {
    this.#recording?.add(line, expansion);
  }

  /** See {@link CallRecording.fail}. */
  fail(): void {
    this.#recording?.fail();
  }
}
