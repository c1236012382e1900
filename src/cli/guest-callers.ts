/** Who called whom in the guest, as far as its stack tells: words that may be return addresses, as Linux's unreliable unwinder finds them. */

import type { Vcpu } from '../hardware/vcpu/vcpu.ts';
import type { GuestCode } from './guest-code.ts';

const RSP = 4;
const WORD = 8;

/** Return addresses among the `words` topmost words of the processor's stack, the nearest first. */
export function* returnAddresses(cpu: Vcpu, code: GuestCode, words: number): Generator<bigint> {
  const bytes = cpu.view().read(cpu.register(RSP), words * WORD);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + WORD <= bytes.length; at += WORD) {
    const address = view.getBigUint64(at, true);
    if (code.followsCall(address)) yield address;
  }
}
