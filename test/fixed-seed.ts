/** Properties draw the same cases in every run, so that a red build stays red; GVM_SEED tries others. */

import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env['GVM_SEED'] ?? 20230601) });
