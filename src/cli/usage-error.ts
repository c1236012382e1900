/** A mistake of the user: its text is the message, and the run ends with `status`. Never shown with a stack. */
export class UsageError extends Error {
  readonly status: number;

  constructor(message: string, status = 2) {
    super(message);
    this.status = status;
  }
}
