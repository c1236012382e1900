/** Every instruction's meaning, under the key that the instruction table gives it. */

import { arithmetic } from './meanings/arithmetic.ts';
import { bitFields } from './meanings/bit-fields.ts';
import { controlFlow } from './meanings/control-flow.ts';
import { logic } from './meanings/logic.ts';
import { moves } from './meanings/moves.ts';
import { segmentation } from './meanings/segmentation.ts';
import { shifts } from './meanings/shifts.ts';
import { strings } from './meanings/strings.ts';
import { system } from './meanings/system.ts';
import type { Meaning } from './ops.ts';

export const meanings: Readonly<Record<string, Meaning>> = {
  ...arithmetic,
  ...logic,
  ...shifts,
  ...moves,
  ...controlFlow,
  ...strings,
  ...bitFields,
  ...segmentation,
  ...system,
};
