/** Runs that ended because the host's side failed, not the guest. */

import type { DriverFault } from '../linux/drivers/driver-fault.ts';
import type { HostFailure } from '../qemu/hw/machine.ts';
import type { QemuEnd } from './ending.ts';
import { EXIT } from './exit-status.ts';
import type { Output } from './output.ts';
import { describeFault } from './user-device.ts';
import { describeDriverFault } from './user-driver.ts';

export const isHostFailure = (end: QemuEnd | HostFailure): end is HostFailure =>
  end.reason === 'aborted' || end.reason === 'device-fault';

/** Report it; returns gvm's exit status. */
export function reportHostFailure({ fault }: HostFailure, output: Output): number {
  output.end();
  if (fault === undefined) output.message('gvm: QEMU gave up; its last message says why');
  else {
    output.message(describeFault(fault));
    output.message('gvm: a device of your own failed');
  }
  return EXIT.HOST_FAILED;
}

/** A driver of the user's failed, in a call of a program or of the shell. */
export function reportDriverFault(fault: DriverFault, output: Output): number {
  output.end();
  output.message(describeDriverFault(fault));
  output.message('gvm: a host driver of your own failed');
  return EXIT.HOST_FAILED;
}
