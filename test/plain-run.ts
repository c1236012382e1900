/** `gvm run FILE` with no option given, for tests and benchmarks that run programs in their own process. */

import { DEFAULT_MAX_INSNS } from '../src/cli/run-options.ts';

export const plainRun = (file: string) =>
  ({
    file,
    qemu: [],
    trace: undefined,
    explain: false,
    maxInsns: DEFAULT_MAX_INSNS,
    exitMap: 'gvm',
    includes: [],
    defines: {},
  }) as const;
