/** Work on strings while preprocessing (NASM manual §4.2). Strings are bytes. */

import { stringBytes } from '../../syntax/literals.ts';
import * as t from '../../syntax/tokens.ts';

/** Bytes of strings one after another, commas between them or not; the token that is none where there is one. */
export function concatenated(tokens: readonly t.Token[]): Uint8Array | t.Token {
  const bytes: number[] = [];
  for (const token of tokens) {
    if (token.tokenType === t.Comma) continue;
    if (token.tokenType !== t.Text) return token;
    for (const byte of stringBytes(token.image)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** `%substr`: `count` bytes from `start`, counted from 1; a negative count ends so many before the end (-1: at the end). */
export function part(bytes: Uint8Array, start: bigint, count: bigint): Uint8Array {
  const length = BigInt(bytes.length);
  const from = start < 1n ? 0n : start - 1n;
  const wanted = count < 0n ? count + length + 1n - from : count;
  if (wanted <= 0n || from >= length) return new Uint8Array(0);
  const end = from + wanted > length ? length : from + wanted;
  return bytes.subarray(Number(from), Number(end));
}
