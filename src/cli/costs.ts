/** `--costs model|FILE`: what the host's steps cost, as modeled, or with figures of the user's own. */

import { readFileSync } from 'node:fs';
import { events } from '../event.ts';
import { CostTable, modeledCosts } from '../observe/cost-table.ts';
import { fileError } from './file-error.ts';
import { UsageError } from './usage-error.ts';

/** The table that `named` asks for: a JSON object of nanoseconds by event replaces figures of the model. */
export function readCosts(named: string): CostTable {
  if (named === 'model') return modeledCosts;
  const text = textOf(named);
  let figures: unknown;
  try {
    figures = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`gvm: --costs ${named}: ${(error as Error).message}`);
  }
  if (typeof figures !== 'object' || figures === null || Array.isArray(figures)) {
    throw new UsageError(`gvm: --costs ${named}: not an object of nanoseconds by event, such as { "kvm_exit": 600 }`);
  }
  const known = new Set(events().map(({ title }) => title));
  const own = new Map<string, number>();
  for (const [event, cost] of Object.entries(figures)) {
    if (!known.has(event)) {
      throw new UsageError(`gvm: --costs ${named}: there is no event '${event}'; --trace help lists them`);
    }
    if (!Number.isInteger(cost) || (cost as number) < 0 || (cost as number) > 1e9) {
      throw new UsageError(
        `gvm: --costs ${named}: ${event} costs ${JSON.stringify(cost)}, not a whole number of nanoseconds up to 1000000000`,
      );
    }
    own.set(event, cost as number);
  }
  return new CostTable(own);
}

function textOf(named: string): string {
  try {
    return readFileSync(named, 'utf8');
  } catch (error) {
    throw new UsageError(`gvm: --costs ${named}: ${fileError(error)}`);
  }
}
