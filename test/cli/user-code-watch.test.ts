/** The thread that looks after user code, with an inspector in place of the real one: how it looks, whatever the machine is busy with. */

import type * as Inspector from 'node:inspector';
import type * as Threads from 'node:worker_threads';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { lookAfterMainThread } from '../../src/cli/user-code-watch.ts';

const INTERVAL = 1000;
const ANSWERED_WITHIN = 10;

type Answer = (error: null, result?: unknown) => void;

/** Sessions as the thread makes them; each keeps what it has asked, and answers only when told to. */
class Session {
  static readonly open = new Set<Session>();
  static made = 0;
  readonly asked: string[] = [];
  readonly #listeners = new Map<string, (event: unknown) => void>();

  connectToMainThread(): void {
    Session.made++;
    Session.open.add(this);
  }
  disconnect(): void {
    Session.open.delete(this);
  }
  on(event: string, listener: (event: unknown) => void): void {
    this.#listeners.set(event, listener);
  }
  post(method: string, ...rest: unknown[]): void {
    this.asked.push(method);
    const answer = rest.at(-1) as Answer | undefined;
    if (typeof answer === 'function') answer(null, { result: { value: false } });
  }
  /** The main thread stands still at last. */
  pause(): void {
    this.#listeners.get('Debugger.paused')!({ params: { callFrames: [{ callFrameId: '0' }] } });
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  Session.open.clear();
  Session.made = 0;
  const workerData = { interval: INTERVAL, answeredWithin: ANSWERED_WITHIN, question: 'stuck' };
  lookAfterMainThread({ Session } as unknown as typeof Inspector, { workerData } as unknown as typeof Threads);
});
afterEach(() => {
  vi.useRealTimers();
});

test('a look that is answered is over, and the next one follows', () => {
  for (let looks = 1; looks <= 5; looks++) {
    vi.advanceTimersByTime(INTERVAL);
    expect([Session.made, Session.open.size]).toEqual([looks, 1]);
    const [session] = Session.open;
    session!.pause();
    expect(session!.asked).toEqual([
      'Debugger.enable',
      'Debugger.pause',
      'Debugger.evaluateOnCallFrame',
      'Debugger.resume',
    ]);
    expect(Session.open.size).toBe(0);
  }
});

test('looks do not pile up while a busy machine leaves them unanswered; one that got lost is given up', () => {
  vi.advanceTimersByTime(INTERVAL * ANSWERED_WITHIN);
  expect([Session.made, Session.open.size]).toEqual([1, 1]);
  vi.advanceTimersByTime(INTERVAL * 1000);
  expect([Session.made, Session.open.size]).toEqual([1 + 1000 / ANSWERED_WITHIN, 1]);
});
