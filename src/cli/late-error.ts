/** Errors that nobody caught, of code that ran after gvm's own had returned: a timer or a promise of a user's file. */

/** What is said of such an error, if it is the user's; whoever loads users' files sets it. */
export const lateErrors: { describe: (error: unknown) => string | undefined } = { describe: () => undefined };
