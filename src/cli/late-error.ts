/** What code of a user's file does when gvm's own is not there to see it: errors that nobody caught, an end of the process, an end that never comes. */

interface LateErrors {
  /** What is said of an error of a timer or a promise, if it is the user's. */
  describe(error: unknown): string | undefined;
  /** What is said when the process is ending before its command has; `here` is an error made where it ends. */
  cutShort(here: unknown): string | undefined;
  /** What is said at the end of a run in which the user's code has changed JavaScript's own objects, which then are as they were again. */
  spoilt(): string | undefined;
  /** What is said when the command has ended and something keeps the process from ending. */
  lingering(): string | undefined;
}

const NOTHING: LateErrors = {
  describe: () => undefined,
  cutShort: () => undefined,
  spoilt: () => undefined,
  lingering: () => undefined,
};

/** Whoever loads users' files sets them. */
export const lateErrors: LateErrors = { ...NOTHING };
