/**
 * Shapes of lines made ahead of time. The build puts here those of the guest library and of the programs, so that most sources are read
 * without the parser, which takes longer to build than a short source to assemble; without a build there are none.
 */

/** Shapes with their trees as JSON. */
export interface PreparedShapes {
  /** The token types whose letters the shapes are made of; shapes of other types are of no use. */
  readonly vocabulary: string;
  readonly statements: Readonly<Record<string, string>>;
  readonly expressions: Readonly<Record<string, string>>;
  readonly operands: Readonly<Record<string, string>>;
}

export const preparedShapes: PreparedShapes = { vocabulary: '', statements: {}, expressions: {}, operands: {} };
