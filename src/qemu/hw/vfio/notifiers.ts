/**
 * The eventfds by which the host's driver talks to QEMU about the device (hw/vfio/pci.c: vfio_register_err_notifier,
 * vfio_register_req_notifier): it reports errors that it cannot recover from, and asks for its device back. Each function answers how to
 * undo it.
 */

import { VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX } from '../../../linux/uapi/vfio.ts';
import { Abort } from '../../error.ts';
import type { MainLoop } from '../../main-loop.ts';
import type { Machine } from '../machine.ts';
import type { PciDevice } from '../pci/pci-device.ts';
import type { VfioDevice } from './device.ts';

const nothing = () => undefined;

/** vfio_register_err_notifier. Fidelity: QEMU stops the machine until its monitor says more; here that is the end. */
export const registerErrorNotifier = (device: VfioDevice, mainLoop: MainLoop): (() => void) =>
  notifyBy(device, mainLoop, VFIO_PCI_ERR_IRQ_INDEX, () => {
    const what = 'Unrecoverable error detected. Please collect any data possible and then kill the guest';
    device.system.error(`vfio_err_notifier_handler(${device.name}) ${what}`);
    throw new Abort();
  });

/** vfio_register_req_notifier: nothing for a driver that does not ask. */
export function registerRequestNotifier(device: VfioDevice, machine: Machine, fn: PciDevice): () => void {
  if (device.irqVectors(VFIO_PCI_REQ_IRQ_INDEX) < 1) return nothing;
  return notifyBy(device, machine.mainLoop, VFIO_PCI_REQ_IRQ_INDEX, () => {
    const refused = machine.hotplug.requestUnplug(fn);
    if (refused !== undefined) device.system.error(`warning: vfio ${device.name}: ${refused}`);
  });
}

/** Have the driver signal the interrupt `index`, which is no interrupt of the device's, by an eventfd. */
function notifyBy(device: VfioDevice, mainLoop: MainLoop, index: number, notified: () => void): () => void {
  const { system } = device;
  const eventfd = system.eventNotifier();
  mainLoop.setFdHandler(eventfd, () => {
    if (system.testAndClear(eventfd)) notified();
  });
  const forget = () => {
    mainLoop.setFdHandler(eventfd, undefined);
    system.syscalls.close(eventfd);
  };
  const refused = device.signalTo(index, eventfd);
  if (refused !== undefined) {
    device.report(refused);
    forget();
    return nothing;
  }
  return () => {
    const kept = device.signalTo(index, -1);
    if (kept !== undefined) device.report(kept);
    forget();
  };
}
