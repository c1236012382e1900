/** A mistake in a check line itself, or a pattern that cannot be tried: never a mere mismatch. */
export class CheckFault extends Error {}
