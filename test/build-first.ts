/** Builds dist/ before any test, so that tests of the command test these sources and not an older build. */

import { execFileSync } from 'node:child_process';

export const setup = (): void => {
  execFileSync(process.execPath, [new URL('../scripts/build.js', import.meta.url).pathname], { stdio: 'inherit' });
};
