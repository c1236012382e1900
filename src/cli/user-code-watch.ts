/**
 * Ends a run in which a device, driver or program of the user's own never returns. The guest's instructions are counted, the user's
 * JavaScript is not: a loop in it would hang gvm, and no handler of this thread would run any more.
 *
 * A second thread looks now and then, as a debugger does: it stops this one, asks it where it stands, and lets it go on. Where it
 * stands in the user's file, and neither the guest nor a program has come further for seconds, the place is named and the run is over.
 * Nothing of this exists for runs without such files, and nothing for the first seconds of the others.
 */

import type * as Inspector from 'node:inspector';
import { createRequire } from 'node:module';
import type * as Threads from 'node:worker_threads';
import { forgetBuiltIns } from './built-ins.ts';
import { EXIT } from './exit-status.ts';
import { lateErrors } from './late-error.ts';
import type { Output } from './output.ts';
import { changedBuiltIn, firstLine, placeOf } from './user-file.ts';

/** Between two looks. */
const INTERVAL_MILLISECONDS = 1000;
/** Processor time that one call of the user's code may take. Not time of the wall: a busy machine makes nothing fail. */
const PATIENCE_SECONDS = 3;
/** And looks for one that waits and uses none. */
const LOOKS = 60;
/** Intervals after which a look that has had no answer is given up: what it stopped this thread for may be over. */
const ANSWERED_WITHIN = 10;
/** The looking thread asks this thread by a global function, since it can only evaluate expressions. */
const QUESTION = Symbol.for('gvm.userCodeIsStuck');
/** Frames of a stack to look through: what is called from deep inside a callback is the callback's. */
const FRAMES = 200;

type What = 'device' | 'host driver' | 'program';

/** Watches the files of one process; a run adds its own. */
class UserCodeWatch {
  readonly #files = new Map<string, What>();
  #progress: () => string = () => '';
  #output: Output | undefined;
  /**
   * Who says that user code does not return, where nobody would read a run's own output any more; returns the exit status. Everything
   * ends with that.
   */
  onStuck: ((report: readonly string[]) => number) | undefined;
  /** What the last look found, and the first look that found it. */
  #last = '';
  #since = 0;
  #looks = 0;
  #started = false;

  /** Look after `file` from now on; `progress` differs whenever the guest, or a program, has come further. */
  add(file: string, what: What, output: Output, progress: () => string): void {
    this.#files.set(file, what);
    this.#output = output;
    this.#progress = progress;
    lateErrors.describe = (error) => this.#describe(error, 'in code that ran later');
    lateErrors.cutShort = (here) => this.#describe(here, '');
    lateErrors.spoilt = () => this.#spoilt();
    lateErrors.lingering = () =>
      `${file}: error: it has left something running that keeps gvm from ending: a timer, a thread, a connection\ngvm: a ${what} of your own failed`;
    if (!this.#started) this.#start();
  }

  /** An error of the user's, with its place; one of a timer or a promise came when nothing of gvm's was running, and says so. */
  #describe(error: unknown, when: string): string | undefined {
    for (const [file, what] of this.#files) {
      const place = placeOf(file, error);
      if (place !== undefined)
        return `${place}: error: ${firstLine(error)}${when && `, ${when}`}\ngvm: a ${what} of your own failed`;
    }
    return undefined;
  }

  #spoilt(): string | undefined {
    const changed = changedBuiltIn([...this.#files.keys()]);
    forgetBuiltIns();
    return changed && `${changed.message}\ngvm: a ${this.#files.get(changed.file)} of your own failed`;
  }

  #start(): void {
    const load = createRequire(import.meta.url);
    const { isMainThread, Worker } = load('node:worker_threads') as typeof Threads;
    // The looking thread can only stop the main one.
    if (!isMainThread) return;
    this.#started = true;
    Object.assign(globalThis, { [QUESTION]: () => this.#isStuck() });
    const worker = new Worker(`(${lookAfterMainThread})(require('node:inspector'), require('node:worker_threads'))`, {
      eval: true,
      workerData: {
        interval: INTERVAL_MILLISECONDS,
        answeredWithin: ANSWERED_WITHIN,
        question: `globalThis[Symbol.for('${QUESTION.description}')]()`,
      },
    });
    // What it throws it throws because this thread is ending.
    worker.on('error', () => {});
    worker.unref();
  }

  /** Asked while this thread stands still: true, after the report, if it is to be ended. */
  #isStuck(): boolean {
    const frames = Error.stackTraceLimit;
    Error.stackTraceLimit = FRAMES;
    const here = new Error('where the user’s code stands');
    Error.stackTraceLimit = frames;
    const found = [...this.#files].map(([file, what]) => ({ place: placeOf(file, here), what }));
    const user = found.find(({ place }) => place !== undefined);
    const progress = this.#progress();
    const { user: own, system } = process.cpuUsage();
    const seconds = (own + system) / 1e6;
    if (user === undefined || progress !== this.#last) {
      this.#last = progress;
      this.#since = seconds;
      this.#looks = 0;
      return false;
    }
    if (seconds - this.#since < PATIENCE_SECONDS && ++this.#looks < LOOKS) return false;
    const meanwhile = user.what === 'program' ? 'without a system call' : 'and has not returned';
    const report = [
      `${user.place}: error: it has run for ${PATIENCE_SECONDS} s ${meanwhile}`,
      `gvm: a ${user.what} of your own failed`,
    ];
    this.#output?.end();
    for (const line of report) this.#output?.message(line);
    process.exitCode = this.onStuck?.(report) ?? EXIT.HOST_FAILED;
    // A shell waits for lines that nobody will run any more.
    if ('unref' in process.stdin) process.stdin.unref();
    return true;
  }
}

export const userCodeWatch = new UserCodeWatch();

/** The whole program of the looking thread: it is passed on as text, so it refers to nothing but its parameters. */
export function lookAfterMainThread(inspector: typeof Inspector, { workerData }: typeof Threads): void {
  const { interval, answeredWithin, question } = workerData as Record<'interval' | 'answeredWithin', number> & {
    question: string;
  };
  let look: Inspector.Session | undefined;
  let since = 0;
  setInterval(() => {
    // One at a time: on a busy machine they would pile up, until the main thread does nothing but answer them.
    if (look !== undefined && ++since < answeredWithin) return;
    look?.disconnect();
    look = undefined;
    since = 0;
    const session = new inspector.Session();
    try {
      session.connectToMainThread();
    } catch {
      // That thread is ending: nobody is there to be asked, and nobody who would want to read of it.
      return;
    }
    look = session;
    const leave = (): void =>
      session.post('Debugger.resume', () => {
        session.disconnect();
        if (look === session) look = undefined;
      });
    session.on('Debugger.paused', ({ params }) => {
      const callFrameId = params.callFrames[0]!.callFrameId;
      session.post('Debugger.evaluateOnCallFrame', { callFrameId, expression: question }, (error, answer) => {
        // Without catch or finally: the user's own code could go on in one. A Ctrl-C that came just now has ended the question
        // in place of the user's code.
        const interrupted = /terminated/.test(error?.message ?? '');
        if (interrupted || answer?.result.value === true) session.post('Runtime.terminateExecution');
        leave();
      });
    });
    session.post('Debugger.enable');
    session.post('Debugger.pause');
  }, interval);
}
