/**
 * Who called whom in the guest, as far as its stack tells: words that may be return addresses, as Linux's unreliable unwinder finds them, and
 * where a function has more in its frame than that is searched, the frames that rbp chains (System V ABI, 3.2.2).
 */

import type { Vcpu } from '../hardware/vcpu/vcpu.ts';
import type { GuestCode } from './guest-code.ts';

const RSP = 4;
const RBP = 5;
const WORD = 8n;
/** What a frame may hold; beyond, rbp is no frame's. */
const LARGEST_FRAME = 0x4000n;
const MOST_FRAMES = 16;

/** Return addresses in the `words` words from the processor's rsp on, and from each frame on that lies beyond; the nearest first. */
export function* returnAddresses(cpu: Vcpu, code: GuestCode, words: number): Generator<bigint> {
  const memory = cpu.view();
  let from = cpu.register(RSP);
  let frame = cpu.register(RBP);
  for (let frames = 0; frames < MOST_FRAMES; frames++) {
    const bytes = memory.read(from, words * Number(WORD));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const end = from + BigInt(bytes.length);
    for (let at = from; at + WORD <= end; at += WORD) {
      const word = view.getBigUint64(Number(at - from), true);
      if (at === frame) frame = word;
      else if (code.followsCall(word)) yield word;
    }
    if (bytes.length < words * Number(WORD) || frame < end || frame > end + LARGEST_FRAME) return;
    from = frame;
  }
}
