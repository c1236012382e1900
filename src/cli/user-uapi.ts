/**
 * What files of the user's import as `gvm/uapi`: a bundle of its own, loaded with the first of them. To export its hundreds of names
 * takes milliseconds, and few runs ask for one.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type * as uapi from '../linux/uapi/public.ts';

/** Beside the built command; or where the build has put it, when gvm runs from its sources, as in tests. */
const PLACES = ['./gvm-uapi.cjs', '../../dist/gvm-uapi.cjs'];

/** The names of uapi/public.ts. */
export function userUapi(): typeof uapi {
  const place = PLACES.find((path) => existsSync(new URL(path, import.meta.url)));
  if (place === undefined) throw new Error('gvm-uapi.cjs is not built: npm run build');
  return createRequire(import.meta.url)(place) as typeof uapi;
}
