/**
 * What firmware would have done to the RAM below 1 MiB by the time a kernel looks at it.
 *
 * After a reset the i440FX shows the PCI bus from 0xc0000 to 0xfffff. SeaBIOS makes that RAM, to run from it (make_bios_writable_intel
 * in src/fw/shadow.c). Fidelity: there is no firmware here, and no copy of one to protect, so all of it is left writable.
 */

import type { Machine } from './hw/machine.ts';
import { PAM, PAM_REGISTERS } from './hw/pci/pam.ts';

const READ_AND_WRITE = 0x33;
/** The first register's low half is reserved. */
const BIOS_READ_AND_WRITE = 0x30;

/** Program the host bridge. */
export function makeShadowRam(machine: Machine): void {
  machine.hostBridge.writeConfig(PAM, BIOS_READ_AND_WRITE, 1);
  for (let index = 1; index < PAM_REGISTERS; index++) machine.hostBridge.writeConfig(PAM + index, READ_AND_WRITE, 1);
}
