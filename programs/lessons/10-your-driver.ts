/**
 * The host driver of lesson 10: it reads a text in the guest's memory and writes it back in capitals. A PCI function with 16 I/O
 * ports: the text's guest physical address at 0, its length at 8, which starts the work.
 */

import * as gvm from 'gvm/driver';
import * as uapi from 'gvm/uapi';

const [ADDRESS, LENGTH, BAR_SIZE] = [0, 8, 16];
const MOST = 4096;

/** One device: what lies behind its two regions. */
interface Shout {
  readonly config: DataView;
  readonly bar: DataView;
}
type Vdev = gvm.VfioDevice<Shout>;

function newDevice(): Shout {
  const config = new DataView(new ArrayBuffer(256));
  config.setUint32(uapi.PCI_VENDOR_ID, 0x5047_1234, true);
  config.setUint16(uapi.PCI_COMMAND, uapi.PCI_COMMAND_IO, true);
  config.setUint32(uapi.PCI_CLASS_REVISION, 0xff00_0001, true);
  config.setUint32(uapi.PCI_BASE_ADDRESS_0, uapi.PCI_BASE_ADDRESS_SPACE_IO, true);
  return { config, bar: new DataView(new ArrayBuffer(BAR_SIZE)) };
}

/** The length is there: to work. */
function shout({ kvm, state: { bar } }: Vdev): void {
  const gpa = bar.getBigUint64(ADDRESS, true);
  const text = new Uint8Array(Math.min(bar.getUint32(LENGTH, true), MOST));
  if (kvm === undefined || gvm.kvm_read_guest(kvm, gpa, text) < 0) {
    gvm.pr_err(`shout: nothing to read at 0x${gpa.toString(16)}`);
    return;
  }
  const loud = new TextDecoder().decode(text).toUpperCase();
  gvm.pr_info(`shout: "${loud}"`);
  gvm.kvm_write_guest(kvm, gpa, new TextEncoder().encode(loud));
}

/** Where a position in the device's file lies: regions are 2^40 apart. Undefined if there is nothing. */
function bytesAt({ state }: Vdev, position: number, count: number): Uint8Array | undefined {
  const views: Readonly<Record<number, DataView>> = {
    [uapi.VFIO_PCI_BAR0_REGION_INDEX]: state.bar,
    [uapi.VFIO_PCI_CONFIG_REGION_INDEX]: state.config,
  };
  const view = views[Math.floor(position / 2 ** 40)];
  const offset = position % 2 ** 40;
  if (view === undefined || offset + count > view.byteLength) return undefined;
  return new Uint8Array(view.buffer, offset, count);
}

const ops: gvm.VfioDeviceOps<Shout> = {
  open_device: () => 0,
  close_device: () => {},
  read(vdev, buffer, count, position) {
    const bytes = bytesAt(vdev, position, count);
    if (bytes === undefined) return -uapi.EINVAL;
    return gvm.copy_to_user(buffer, bytes) > 0 ? -uapi.EFAULT : count;
  },
  write(vdev, buffer, count, position) {
    const bytes = bytesAt(vdev, position, count);
    if (bytes === undefined) return -uapi.EINVAL;
    // QEMU keeps the configuration space's BAR and command; ours says what the device is.
    if (bytes.buffer === vdev.state.config.buffer) return count;
    if (gvm.copy_from_user(bytes, buffer) > 0) return -uapi.EFAULT;
    if (position === LENGTH) shout(vdev);
    return count;
  },
  // What QEMU asks before it shows the device to the guest.
  ioctl({ state }, request, argument) {
    const answer = (bytes: Uint8Array) => (gvm.copy_to_user(argument, bytes) > 0 ? -uapi.EFAULT : 0);
    if (request === uapi.VFIO_DEVICE_GET_INFO.number) {
      const info = { argsz: 16, flags: uapi.VFIO_DEVICE_FLAGS_PCI, num_regions: 9, num_irqs: 5 };
      return answer(uapi.vfio_device_info.encode(info).subarray(0, info.argsz));
    }
    if (request === uapi.VFIO_DEVICE_GET_REGION_INFO.number) {
      const asked = new Uint8Array(uapi.vfio_region_info.size);
      if (gvm.copy_from_user(asked, argument) > 0) return -uapi.EFAULT;
      const info = uapi.vfio_region_info.read(new DataView(asked.buffer));
      const isConfig = info.index === uapi.VFIO_PCI_CONFIG_REGION_INDEX;
      const isBar = info.index === uapi.VFIO_PCI_BAR0_REGION_INDEX;
      const size = isConfig ? state.config.byteLength : isBar ? BAR_SIZE : 0;
      const flags = uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE;
      const offset = BigInt(info.index) << 40n;
      return answer(uapi.vfio_region_info.encode({ ...info, flags, size: BigInt(size), offset }));
    }
    return gvm.refuse(uapi.EINVAL, `shout has no interrupts and no ioctl 0x${request.toString(16)}`);
  },
};

const driver: gvm.MdevDriver = {
  device_api: 'vfio-pci',
  max_instances: 1,
  probe(mdev) {
    const vdev = gvm.vfio_alloc_device(mdev, ops, newDevice());
    if (typeof vdev === 'number') return vdev;
    mdev.drvdata = vdev;
    const error = gvm.vfio_register_emulated_iommu_dev(vdev);
    if (error < 0) gvm.vfio_put_device(vdev);
    return error;
  },
  remove(mdev) {
    const vdev = mdev.drvdata as Vdev;
    gvm.vfio_unregister_group_dev(vdev);
    gvm.vfio_put_device(vdev);
  },
};

let card: { readonly cls: gvm.Class; readonly device: gvm.Device } | undefined;

export default {
  name: 'shout',
  init() {
    const cls = gvm.class_create('shout');
    if (typeof cls === 'number') return cls;
    const device = gvm.device_create(cls, 'shout');
    if (typeof device === 'number') {
      gvm.class_destroy(cls);
      return device;
    }
    card = { cls, device };
    let error = gvm.mdev_register_driver(driver);
    if (error === 0) {
      error = gvm.mdev_register_parent(device, driver, [{ sysfs_name: '1' }]);
      if (error < 0) gvm.mdev_unregister_driver(driver);
    }
    if (error < 0) {
      gvm.device_unregister(device);
      gvm.class_destroy(cls);
    }
    return error;
  },
  exit() {
    if (card === undefined) return;
    gvm.mdev_unregister_parent(card.device);
    gvm.mdev_unregister_driver(driver);
    gvm.device_unregister(card.device);
    gvm.class_destroy(card.cls);
  },
} satisfies gvm.KernelModule;
