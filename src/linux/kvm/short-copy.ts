/** Copying the few bytes of one access. */

/** One by one, which for so few is quicker than a call of the engine's; and of a part of `from` a view would have to be made. Hot. */
export function copyShort(to: Uint8Array, from: Uint8Array, count: number): void {
  for (let i = 0; i < count; i++) to[i] = from[i]!;
}
