/** Who listens, and what that costs those who have nothing to tell. */

import { expect, test } from 'vitest';
import { EventStream, matchingEvents, watch } from '../../src/event.ts';
import '../../src/linux/core/kernel.ts';
import '../../src/linux/kvm/trace.ts';

test('an exit’s way is watched while anybody listens to an event that is told there, in whatever machine', () => {
  const [one, other] = [new EventStream(() => 0n), new EventStream(() => 0n)];
  expect(watch.on).toBe(false);
  const stop = one.subscribe(matchingEvents('kvm_pio,refusal'), () => {});
  expect(watch.on).toBe(true);
  other.subscribe(matchingEvents('kvm_exit'), () => {});
  stop();
  expect(watch.on).toBe(true);
  other.close();
  expect(watch.on).toBe(false);
});

test('refusals are told aside: who listens to nothing else leaves it alone', () => {
  const stream = new EventStream(() => 0n);
  const [refusal] = matchingEvents('refusal');
  const stop = stream.subscribe([refusal!], () => {});
  expect([refusal!.on, watch.on]).toEqual([true, false]);
  stop();
  expect(refusal!.on).toBe(false);
});

test('a machine is told of each new listener', () => {
  const stream = new EventStream(() => 0n);
  let told = 0;
  stream.onListener = () => told++;
  stream.subscribe(matchingEvents('kvm_pio'), () => {})();
  expect(told).toBe(1);
});
