/** Stack frames as `%stacksize` knows them (NASM manual §4.8), and the one being laid out. */

/** A layout: bytes of a stack slot, the register that holds the frame, and where the first argument lies behind it. */
interface Layout {
  readonly slot: number;
  readonly pointer: string;
  readonly firstArgument: number;
}

export const LAYOUTS: ReadonlyMap<string, Layout> = new Map([
  ['flat', { slot: 4, pointer: 'ebp', firstArgument: 8 }],
  ['flat64', { slot: 8, pointer: 'rbp', firstArgument: 16 }],
  ['large', { slot: 2, pointer: 'bp', firstArgument: 4 }],
  ['small', { slot: 2, pointer: 'bp', firstArgument: 6 }],
]);

/** What an argument or a local variable may be as large as, in bytes. */
export const SIZES: ReadonlyMap<string, number> = new Map([
  ['byte', 1],
  ['word', 2],
  ['dword', 4],
  ['qword', 8],
  ['tword', 10],
  ['oword', 16],
]);

/** The frame as the directives have laid it out so far. */
export class StackFrame {
  layout: Layout | undefined;
  /** Where the next argument lies. */
  argument = 0;
  /** Bytes of the locals so far. */
  locals = 0;

  begin(layout: Layout): void {
    this.layout = layout;
    this.argument = layout.firstArgument;
    this.locals = 0;
  }
}
