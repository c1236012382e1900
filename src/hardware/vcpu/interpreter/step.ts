/** An instruction as it is executed: its form's function, and its own numbers. */

/** Executes the instruction of record `at`: 0 to go on, 1 + offset to jump in the page, or one of js-code.ts's OUTCOMEs. */
export type Step = (at: number) => number;

/** A number of an instruction's own, as its form takes it. */
export type Parameter = number | bigint;
