/** Events of the processor itself. */

import { event } from '../../event.ts';

export const guestException = event(
  'guest_exception',
  'vcpu',
  { vector: 'u8', rip: 'u64', error_code: 'u32' },
  (e) => `vector ${e.vector} rip 0x${e.rip.toString(16)} error_code 0x${e.error_code.toString(16)}`,
  'An instruction of the guest raised an exception, which goes to its IDT.',
);
