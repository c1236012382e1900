/**
 * A host driver whose BAR can be mapped in part: registers, then a page of memory. It says so by the capability SPARSE_MMAP of the region,
 * as i915's KVMGT does of the part of the aperture that is the guest's.
 *
 * BAR 0, of 8 KiB: at 0 the doorbell, whose value is the number of words to add up; at 4 their sum; from 0x1000 on the words.
 */

import {
  alloc_page,
  type Class,
  class_create,
  class_destroy,
  copy_from_user,
  copy_to_user,
  type Device,
  device_create,
  device_unregister,
  free_page,
  type KernelModule,
  type MdevDriver,
  mdev_register_driver,
  mdev_register_parent,
  mdev_unregister_driver,
  mdev_unregister_parent,
  type Page,
  pr_info,
  refuse,
  type VfioDevice,
  type VfioDeviceOps,
  vfio_alloc_device,
  vfio_put_device,
  vfio_register_emulated_iommu_dev,
  vfio_unregister_group_dev,
  vm_insert_page,
} from 'gvm/driver';
import * as uapi from 'gvm/uapi';

const [BAR_SIZE, WORDS, CONFIG_SIZE] = [0x2000, 0x1000, 256];
const [DOORBELL, SUM] = [0, 4];

interface Sparse {
  readonly config: DataView;
  readonly registers: DataView;
  readonly words: Page;
}
type Vdev = VfioDevice<Sparse>;

let card: { readonly cls: Class; readonly device: Device } | undefined;

function configSpace(): DataView {
  const config = new DataView(new ArrayBuffer(CONFIG_SIZE));
  config.setUint16(uapi.PCI_VENDOR_ID, 0x1234, true);
  config.setUint16(uapi.PCI_DEVICE_ID, 0x50ae, true);
  config.setUint16(uapi.PCI_COMMAND, uapi.PCI_COMMAND_MEMORY, true);
  config.setUint8(uapi.PCI_CLASS_REVISION + 3, 0xff);
  return config;
}

const answer = (argument: number, bytes: Uint8Array): number => (copy_to_user(argument, bytes) > 0 ? -uapi.EFAULT : 0);

/** The region, and behind it the capability, where the caller has room: one area, the page of words. */
function regionInfo(argument: number): number {
  const bytes = new Uint8Array(uapi.vfio_region_info.size);
  if (copy_from_user(bytes, argument) > 0) return -uapi.EFAULT;
  const info = uapi.vfio_region_info.read(new DataView(bytes.buffer));
  if (info.index >= uapi.VFIO_PCI_NUM_REGIONS) return refuse(uapi.EINVAL, `there is no region ${info.index}`);
  const rights = uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE;
  const offset = BigInt(info.index) << 40n;
  if (info.index !== uapi.VFIO_PCI_BAR0_REGION_INDEX) {
    const size = info.index === uapi.VFIO_PCI_CONFIG_REGION_INDEX ? BigInt(CONFIG_SIZE) : 0n;
    return answer(argument, uapi.vfio_region_info.encode({ ...info, flags: rights, size, offset }));
  }
  const chain = [
    ...uapi.vfio_info_cap_header.encode({ id: uapi.VFIO_REGION_INFO_CAP_SPARSE_MMAP, version: 1 }),
    ...uapi.vfio_region_info_cap_sparse_mmap.encode({ nr_areas: 1 }),
    ...uapi.vfio_region_sparse_mmap_area.encode({ offset: BigInt(WORDS), size: 0x1000n }),
  ];
  const whole = bytes.length + chain.length;
  const fits = info.argsz >= whole;
  const region = uapi.vfio_region_info.encode({
    ...info,
    argsz: fits ? info.argsz : whole,
    flags: rights | uapi.VFIO_REGION_INFO_FLAG_MMAP | uapi.VFIO_REGION_INFO_FLAG_CAPS,
    cap_offset: fits ? bytes.length : 0,
    size: BigInt(BAR_SIZE),
    offset,
  });
  return answer(argument, Uint8Array.from([...region, ...(fits ? chain : [])]));
}

/** What of the registers or of configuration space a position names. */
function bytesAt({ state }: Vdev, position: number, count: number): Uint8Array | undefined {
  const [region, offset] = [Math.floor(position / 2 ** 40), position % 2 ** 40];
  const view = region === uapi.VFIO_PCI_CONFIG_REGION_INDEX ? state.config : region === 0 ? state.registers : undefined;
  if (view === undefined || offset + count > view.byteLength) return undefined;
  return new Uint8Array(view.buffer, offset, count);
}

const ops: VfioDeviceOps<Sparse> = {
  read(vdev, buffer, count, position) {
    const bytes = bytesAt(vdev, position, count);
    if (bytes === undefined) return refuse(uapi.EINVAL, `nothing to read at 0x${position.toString(16)}`);
    return copy_to_user(buffer, bytes) > 0 ? -uapi.EFAULT : count;
  },
  write(vdev, buffer, count, position) {
    const bytes = bytesAt(vdev, position, count);
    if (bytes === undefined) return refuse(uapi.EINVAL, `nothing to write at 0x${position.toString(16)}`);
    if (position >= 2 ** 40) return count;
    if (copy_from_user(bytes, buffer) > 0) return -uapi.EFAULT;
    if (position !== DOORBELL) return count;
    const { registers, words } = vdev.state;
    const number = registers.getUint32(DOORBELL, true);
    const view = new DataView(words.bytes.buffer, words.bytes.byteOffset);
    let sum = 0;
    for (let i = 0; i < number; i++) sum += view.getUint32(4 * i, true);
    registers.setUint32(SUM, sum, true);
    pr_info(`sparse ${vdev.name}: ${number} words, together ${sum}`);
    return count;
  },
  ioctl(_vdev, request, argument) {
    switch (request) {
      case uapi.VFIO_DEVICE_GET_INFO.number: {
        const info = {
          argsz: 16,
          flags: uapi.VFIO_DEVICE_FLAGS_PCI | uapi.VFIO_DEVICE_FLAGS_RESET,
          num_regions: 9,
          num_irqs: 5,
        };
        return answer(argument, uapi.vfio_device_info.encode(info).subarray(0, info.argsz));
      }
      case uapi.VFIO_DEVICE_GET_REGION_INFO.number:
        return regionInfo(argument);
      case uapi.VFIO_DEVICE_RESET.number:
        return 0;
      default:
        return refuse(uapi.EINVAL, 'there is no interrupt, and nothing else to ask for');
    }
  },
  // Nobody has the device open any more, or the page mapped.
  release: ({ state }) => free_page(state.words),
  mmap({ state }, area) {
    const offset = area.offset % 2 ** 40;
    if (offset !== WORDS || area.length !== 0x1000) return refuse(uapi.EINVAL, 'only the page of words can be mapped');
    return vm_insert_page(area, 0, state.words);
  },
};

const driver: MdevDriver = {
  device_api: 'vfio-pci',
  max_instances: 1,
  probe(mdev) {
    const words = alloc_page();
    if (words === undefined) return -uapi.ENOMEM;
    const registers = new DataView(new ArrayBuffer(WORDS));
    const vdev = vfio_alloc_device(mdev, ops, { config: configSpace(), registers, words });
    if (typeof vdev === 'number') {
      free_page(words);
      return vdev;
    }
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
  name: 'sparse',
  parameters: {},
  init() {
    const cls = class_create('sparse');
    if (typeof cls === 'number') return cls;
    const device = device_create(cls, 'sparse');
    if (typeof device === 'number') {
      class_destroy(cls);
      return device;
    }
    card = { cls, device };
    let error = mdev_register_driver(driver);
    if (error === 0) {
      error = mdev_register_parent(device, driver, [{ sysfs_name: 'a', pretty_name: 'Words' }]);
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
} satisfies KernelModule<Record<never, never>>;
