/** Every program under programs/ against its golden transcript: console, host log, asked-for events and exit status, in order. */

import { describe, expect, test } from 'vitest';
import { DEFAULT_MAX_INSNS } from '../../src/cli/run-options.ts';
import { discover } from '../../src/cli/test/discover.ts';
import { transcriptOf } from '../../src/cli/test/run-test.ts';
import { expectGolden, library } from '../expect-golden.ts';

const { sources, orphans } = discover(['programs'], { filter: undefined, shard: undefined });

describe.each(sources)('%s', (file) => {
  test('its transcript is the golden one', () => expectGolden(file));
  test('a second run gives the same bytes', () => {
    const transcript = () => transcriptOf(file, library, { maxInsns: DEFAULT_MAX_INSNS }).transcript;
    expect(transcript()).toBe(transcript());
  });
});

test('no golden is left without its program', () => {
  expect(orphans).toEqual([]);
});
