/**
 * Shapes of lines made ahead of time. The build puts here those of the guest library and of the programs, so that most sources are read
 * without the parser, which takes longer to build than a short source to assemble; without a build there are none.
 */

import type { PreparedShapes } from './line-shapes.ts';

export const preparedShapes: PreparedShapes = { vocabulary: '', statements: {}, expressions: {} };
