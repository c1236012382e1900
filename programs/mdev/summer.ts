/**
 * A host driver of one's own, in one file: a PCI function that adds up the bytes of a buffer in the guest's memory.
 *
 * BAR 0 has 16 ports: the buffer's guest physical address at 0 and 4, its length at 8, which starts the work; the sum at 12. After
 * `delay` microseconds, a parameter of the module, the function raises its interrupt. With the parameter `dma` it reads the buffer by I/O
 * address, as a physical device would, and needs no VM: QEMU maps the guest's memory one to one.
 *
 * The functions are those of Linux 6.1, and what is done with them is what samples/vfio-mdev/mtty.c does.
 */

import {
  type Class,
  class_create,
  class_destroy,
  copy_from_user,
  copy_to_user,
  type Device,
  device_create,
  device_unregister,
  type Eventfd,
  eventfd_ctx_fdget,
  eventfd_signal,
  hrtimer_start,
  type KernelModule,
  kvm_read_guest,
  type MdevDriver,
  mdev_register_driver,
  mdev_register_parent,
  mdev_unregister_driver,
  mdev_unregister_parent,
  pr_info,
  refuse,
  type VfioDevice,
  type VfioDeviceOps,
  vfio_alloc_device,
  vfio_dma_rw,
  vfio_put_device,
  vfio_register_emulated_iommu_dev,
  vfio_set_irqs_validate_and_prepare,
  vfio_unregister_group_dev,
} from 'gvm/driver';
import * as uapi from 'gvm/uapi';

const BAR_SIZE = 16;
const CONFIG_SIZE = 256;
const [ADDRESS, LENGTH, SUM] = [0, 8, 12];
/** The longest buffer. */
const MOST = 0x10000;

/** One device. */
interface Summer {
  readonly config: DataView;
  readonly registers: DataView;
  interrupt: Eventfd | undefined;
}
type Vdev = VfioDevice<Summer>;

let delay = 1;
let byDma = false;
let card: { readonly cls: Class; readonly device: Device } | undefined;

/** Vendor and device, I/O ports on, class "other", an I/O BAR, INTA#. */
function configSpace(): DataView {
  const config = new DataView(new ArrayBuffer(CONFIG_SIZE));
  config.setUint16(uapi.PCI_VENDOR_ID, 0x1234, true);
  config.setUint16(uapi.PCI_VENDOR_ID + 2, 0x50ad, true);
  config.setUint16(uapi.PCI_COMMAND, uapi.PCI_COMMAND_IO, true);
  config.setUint32(uapi.PCI_CLASS_REVISION, 0xff000001, true);
  config.setUint32(uapi.PCI_BASE_ADDRESS_0, uapi.PCI_BASE_ADDRESS_SPACE_IO, true);
  config.setUint8(uapi.PCI_INTERRUPT_PIN, 1);
  return config;
}

const regionOf = (position: number) => Math.floor(position / 2 ** 40);

/** The bytes that an access reaches, in a buffer of their own: configuration space or BAR 0. */
function bytesAt({ state }: Vdev, position: number, count: number): Uint8Array | undefined {
  const region = regionOf(position);
  const offset = position % 2 ** 40;
  const view =
    region === uapi.VFIO_PCI_CONFIG_REGION_INDEX
      ? state.config
      : region === uapi.VFIO_PCI_BAR0_REGION_INDEX
        ? state.registers
        : undefined;
  if (view === undefined || offset + count > view.byteLength) return undefined;
  return new Uint8Array(view.buffer, offset, count);
}

/** The length has been written: add up, and interrupt a little later. */
function sum(vdev: Vdev): void {
  const { name, kvm, state } = vdev;
  const gpa = state.registers.getBigUint64(ADDRESS, true);
  const buffer = new Uint8Array(Math.min(state.registers.getUint32(LENGTH, true), MOST));
  let error: number;
  if (byDma) error = vfio_dma_rw(vdev, Number(gpa), buffer, false);
  else error = kvm === undefined ? -uapi.ENODEV : kvm_read_guest(kvm, gpa, buffer);
  const total = error < 0 ? 0 : buffer.reduce((before, byte) => before + byte, 0);
  pr_info(`summer ${name}: ${buffer.length} bytes at 0x${gpa.toString(16)}: ${error < 0 ? error : total}`);
  state.registers.setUint32(SUM, total, true);
  hrtimer_start(delay * 1000, () => {
    if (state.interrupt !== undefined) eventfd_signal(state.interrupt, 1);
  });
}

/** Encode what an ioctl answers at the caller's pointer. */
const answer = (argument: number, bytes: Uint8Array): number => (copy_to_user(argument, bytes) > 0 ? -uapi.EFAULT : 0);

/** The structure at the caller's pointer; undefined if it is not there. */
function argumentOf(argument: number, size: number): DataView | undefined {
  const bytes = new Uint8Array(size);
  return copy_from_user(bytes, argument) > 0 ? undefined : new DataView(bytes.buffer);
}

function ioctl(vdev: Vdev, request: number, argument: number): number {
  switch (request) {
    case uapi.VFIO_DEVICE_GET_INFO.number: {
      const info = { argsz: 16, flags: uapi.VFIO_DEVICE_FLAGS_PCI, num_regions: 9, num_irqs: 5 };
      return answer(argument, uapi.vfio_device_info.encode(info).subarray(0, info.argsz));
    }
    case uapi.VFIO_DEVICE_GET_REGION_INFO.number: {
      const asked = argumentOf(argument, uapi.vfio_region_info.size);
      if (asked === undefined) return -uapi.EFAULT;
      const info = uapi.vfio_region_info.read(asked);
      if (info.index >= uapi.VFIO_PCI_NUM_REGIONS) return refuse(uapi.EINVAL, `there is no region ${info.index}`);
      const sizes: Readonly<Record<number, number>> = {
        [uapi.VFIO_PCI_BAR0_REGION_INDEX]: BAR_SIZE,
        [uapi.VFIO_PCI_CONFIG_REGION_INDEX]: CONFIG_SIZE,
      };
      const flags = uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE;
      const [size, offset] = [BigInt(sizes[info.index] ?? 0), BigInt(info.index) << 40n];
      return answer(argument, uapi.vfio_region_info.encode({ ...info, flags, size, offset }));
    }
    case uapi.VFIO_DEVICE_GET_IRQ_INFO.number: {
      const asked = argumentOf(argument, uapi.vfio_irq_info.size);
      if (asked === undefined) return -uapi.EFAULT;
      const info = uapi.vfio_irq_info.read(asked);
      if (info.index !== uapi.VFIO_PCI_INTX_IRQ_INDEX) return refuse(uapi.EINVAL, 'there is INTx and nothing else');
      const flags = uapi.VFIO_IRQ_INFO_EVENTFD | uapi.VFIO_IRQ_INFO_MASKABLE | uapi.VFIO_IRQ_INFO_AUTOMASKED;
      return answer(argument, uapi.vfio_irq_info.encode({ ...info, flags, count: 1 }));
    }
    case uapi.VFIO_DEVICE_SET_IRQS.number:
      return setIrqs(vdev, argument);
    default:
      return refuse(uapi.ENOTTY, `summer has no ioctl 0x${request.toString(16)}`);
  }
}

function setIrqs({ state }: Vdev, argument: number): number {
  const asked = argumentOf(argument, uapi.vfio_irq_set.size);
  if (asked === undefined) return -uapi.EFAULT;
  const header = uapi.vfio_irq_set.read(asked);
  const size = vfio_set_irqs_validate_and_prepare(header, 1, uapi.VFIO_PCI_NUM_IRQS);
  if (size < 0) return size;
  const eventfds = uapi.VFIO_IRQ_SET_ACTION_TRIGGER | uapi.VFIO_IRQ_SET_DATA_EVENTFD;
  if ((header.flags & eventfds) !== eventfds || size === 0) return 0;
  const data = argumentOf(argument + uapi.vfio_irq_set.size, size);
  if (data === undefined) return -uapi.EFAULT;
  const eventfd = eventfd_ctx_fdget(data.getInt32(0, true));
  if (typeof eventfd === 'number') return eventfd;
  state.interrupt = eventfd;
  return 0;
}

const ops: VfioDeviceOps<Summer> = {
  open_device: ({ name, kvm }) => {
    pr_info(`summer ${name}: opened, ${kvm === undefined ? 'no VM' : 'by a VM'}`);
    return 0;
  },
  close_device: ({ name }) => pr_info(`summer ${name}: closed`),
  read(vdev, buffer, count, position) {
    const bytes = bytesAt(vdev, position, count);
    if (bytes === undefined) return refuse(uapi.EINVAL, `summer has no register at 0x${position.toString(16)}`);
    return copy_to_user(buffer, bytes) > 0 ? -uapi.EFAULT : count;
  },
  write(vdev, buffer, count, position) {
    const bytes = bytesAt(vdev, position, count);
    if (bytes === undefined) return refuse(uapi.EINVAL, `summer has no register at 0x${position.toString(16)}`);
    // Of configuration space the interrupt line is kept: firmware leaves it there. The BAR's address QEMU has.
    const inConfig = regionOf(position) === uapi.VFIO_PCI_CONFIG_REGION_INDEX;
    if (inConfig && position % 2 ** 40 !== uapi.PCI_INTERRUPT_LINE) return count;
    if (copy_from_user(bytes, buffer) > 0) return -uapi.EFAULT;
    if (position === LENGTH) sum(vdev);
    return count;
  },
  ioctl,
};

const driver: MdevDriver = {
  device_api: 'vfio-pci',
  max_instances: 2,
  probe(mdev) {
    const registers = new DataView(new ArrayBuffer(BAR_SIZE));
    const vdev = vfio_alloc_device(mdev, ops, { config: configSpace(), registers, interrupt: undefined });
    if (typeof vdev === 'number') return vdev;
    mdev.drvdata = vdev;
    const error = vfio_register_emulated_iommu_dev(vdev);
    if (error < 0) vfio_put_device(vdev);
    return error;
  },
  remove(mdev) {
    const vdev = mdev.drvdata as Vdev;
    vfio_unregister_group_dev(vdev);
    vfio_put_device(vdev);
  },
};

export default {
  name: 'summer',
  parameters: { delay: 'integer', dma: 'boolean' },
  init(parameters) {
    delay = parameters.delay ?? delay;
    byDma = parameters.dma ?? byDma;
    if (delay < 0) return refuse(uapi.EINVAL, `delay is ${delay} microseconds`);
    const cls = class_create('summer');
    if (typeof cls === 'number') return cls;
    const device = device_create(cls, 'summer');
    if (typeof device === 'number') {
      class_destroy(cls);
      return device;
    }
    card = { cls, device };
    let error = mdev_register_driver(driver);
    if (error === 0) {
      error = mdev_register_parent(device, driver, [{ sysfs_name: 'a', pretty_name: 'Adding machine' }]);
      if (error < 0) mdev_unregister_driver(driver);
    }
    if (error < 0) {
      device_unregister(device);
      class_destroy(cls);
    }
    return error;
  },
  exit() {
    if (card === undefined) return;
    mdev_unregister_parent(card.device);
    mdev_unregister_driver(driver);
    device_unregister(card.device);
    class_destroy(card.cls);
  },
} satisfies KernelModule<{ delay: 'integer'; dma: 'boolean' }>;
