/**
 * A driver in user space, without QEMU (seed 002, "user access vfio"): it takes a PCI device from VFIO, maps memory for its DMA, lets it
 * copy, and waits for its interrupt on an eventfd. What Linux's Documentation/driver-api/uapi.rst shows in C, step by step, with the same
 * calls. `gvm host run programs/vfio/user-driver.ts` runs it; with `iommufd` behind, it has the device by the road of Linux 6.6, by
 * the device's own node and /dev/iommu.
 *
 * Before it runs somebody has bound the device to vfio-pci and left the group to this process:
 *
 * gvm: --plug copier@06:0d.0
 * host: modprobe vfio-pci
 * host: echo vfio-pci > /sys/bus/pci/devices/0000:06:0d.0/driver_override
 * host: echo 0000:06:0d.0 > /sys/bus/pci/drivers_probe
 *
 * The device is the copier (its data sheet: src/hardware/devices/copier.ts).
 */

import * as uapi from 'gvm/uapi';
import type { Program } from 'gvm/user';

const DEVICE = '0000:06:0d.0';
/** Registers in BAR0, and bits of CONTROL and of COMMAND in configuration space. */
const [CONTROL, STATUS, LENGTH, ADDRESS] = [0x04, 0x08, 0x0c, 0x10];
const [START, TO_MEMORY, INTERRUPT] = [1, 2, 4];
const [COMMAND, MEMORY_AND_MASTER] = [4, 6];
/** Where the device finds the two pages: its own addresses, which need not be those of the process. */
const IOVA = 0x10_0000;

/** A call failed: what it was, and the errno. */
class Failure extends Error {}

/** An address in this process. */
type Address = ReturnType<typeof hva>;
const { hva, PAGE_SIZE, strerror } = uapi;

/** Run the driver: its exit status. `road`: `iommufd`, or by the group. */
const main: Program = ({ syscalls, memory }, [road]) => {
  const anonymous = (bytes: number): Address =>
    hva(
      must(
        'mmap',
        syscalls.mmap(bytes, uapi.PROT_READ | uapi.PROT_WRITE, uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS, -1, 0),
      ),
    );
  const scratch = anonymous(PAGE_SIZE);

  const print = (line: string): void => {
    const bytes = new TextEncoder().encode(`${line}\n`);
    memory.write(scratch, bytes);
    syscalls.write(1, scratch, bytes.length);
  };
  const pass = (bytes: Uint8Array): Address => {
    memory.write(scratch, bytes);
    return scratch;
  };
  /** An ioctl that takes a structure and answers in it. */
  const ask = <M extends uapi.Members>(
    fd: number,
    request: uapi.Ioctl,
    shape: uapi.Struct<M>,
    value: Partial<uapi.StructValue<M>>,
  ) => {
    must(request.name, syscalls.ioctl(fd, request.number, pass(shape.encode(value))));
    const answer = memory.read(scratch, shape.size);
    return shape.read(new DataView(answer.buffer, answer.byteOffset));
  };
  const word = (address: number): number => {
    const bytes = memory.read(hva(address), 4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  };
  const setWord = (address: number, value: number): void =>
    memory.write(hva(address), new Uint8Array(Uint32Array.of(value).buffer));

  /** By group and container: both pages mapped, and the device. */
  const openByGroup = (pages: Address): number => {
    // The group: the smallest set of devices that the IOMMU can keep apart from the rest.
    const link = syscalls.readlink(`/sys/bus/pci/devices/${DEVICE}/iommu_group`);
    if (typeof link === 'number') throw new Failure(`${DEVICE}: ${strerror(-link)}`);
    const number = link.split('/').at(-1);
    const container = must('open', syscalls.open('/dev/vfio/vfio', uapi.O_RDWR));
    const group = must(`open /dev/vfio/${number}`, syscalls.open(`/dev/vfio/${number}`, uapi.O_RDWR));
    const { flags } = ask(group, uapi.VFIO_GROUP_GET_STATUS, uapi.vfio_group_status, { argsz: 8 });
    if ((flags & uapi.VFIO_GROUP_FLAGS_VIABLE) === 0) throw new Failure(`group ${number} is not viable`);
    print(`group ${number} is viable`);

    // The container: an address space for the DMA of its groups.
    const fd = pass(new Uint8Array(Int32Array.of(container).buffer));
    must('SET_CONTAINER', syscalls.ioctl(group, uapi.VFIO_GROUP_SET_CONTAINER.number, fd));
    must('SET_IOMMU', syscalls.ioctl(container, uapi.VFIO_SET_IOMMU.number, uapi.VFIO_TYPE1v2_IOMMU));
    ask(container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, {
      argsz: uapi.vfio_iommu_type1_dma_map.size,
      flags: uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE,
      vaddr: BigInt(pages),
      iova: BigInt(IOVA),
      size: BigInt(2 * PAGE_SIZE),
    });
    print(`2 pages mapped for DMA at iova 0x${IOVA.toString(16)}`);
    const name = pass(new TextEncoder().encode(`${DEVICE}\0`));
    return must('GET_DEVICE_FD', syscalls.ioctl(group, uapi.VFIO_GROUP_GET_DEVICE_FD.number, name));
  };

  /** By the device's own node and an iommufd: the same. */
  const openByNode = (pages: Address): number => {
    // The node: sysfs has its name below the device.
    const nodes = syscalls.readdir(`/sys/bus/pci/devices/${DEVICE}/vfio-dev`);
    if (typeof nodes === 'number') throw new Failure(`${DEVICE}: ${strerror(-nodes)}`);
    const path = `/dev/vfio/devices/${nodes.map(({ name }) => name).find((name) => name.startsWith('vfio'))}`;
    const device = must(`open ${path}`, syscalls.open(path, uapi.O_RDWR));
    const iommufd = must('open /dev/iommu', syscalls.open('/dev/iommu', uapi.O_RDWR));
    const { out_devid: id } = ask(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, uapi.vfio_device_bind_iommufd, {
      argsz: uapi.vfio_device_bind_iommufd.size,
      iommufd,
    });
    print(`${path} is bound: object ${id} of the iommufd`);

    // The address space, with the pages in it, and the device in that.
    const { out_ioas_id: ioas } = ask(iommufd, uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, {
      size: uapi.iommu_ioas_alloc.size,
    });
    const { pt_id: pagetable } = ask(device, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, uapi.vfio_device_attach_iommufd_pt, {
      argsz: uapi.vfio_device_attach_iommufd_pt.size,
      pt_id: ioas,
    });
    print(`address space ${ioas}, page table ${pagetable}`);
    ask(iommufd, uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, {
      size: uapi.iommu_ioas_map.size,
      flags: uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE,
      ioas_id: ioas,
      user_va: BigInt(pages),
      length: BigInt(2 * PAGE_SIZE),
      iova: BigInt(IOVA),
    });
    print(`2 pages mapped for DMA at iova 0x${IOVA.toString(16)}`);
    return device;
  };

  try {
    const pages = anonymous(2 * PAGE_SIZE);
    const device = road === 'iommufd' ? openByNode(pages) : openByGroup(pages);
    const info = ask(device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz: 16 });
    print(`${DEVICE}: ${info.num_regions} regions, ${info.num_irqs} interrupt indexes`);
    const region = (index: number) =>
      ask(device, uapi.VFIO_DEVICE_GET_REGION_INFO, uapi.vfio_region_info, { argsz: 32, index });
    const config = region(uapi.VFIO_PCI_CONFIG_REGION_INDEX);
    must('read of the ids', syscalls.pread(device, scratch, 4, Number(config.offset)));
    print(`vendor and device ${word(scratch).toString(16)}`);
    const command = pass(Uint8Array.of(MEMORY_AND_MASTER, 0));
    must('write of COMMAND', syscalls.pwrite(device, command, 2, Number(config.offset) + COMMAND));

    // Its registers, as memory of this process.
    const bar = region(uapi.VFIO_PCI_BAR0_REGION_INDEX);
    const mapped = syscalls.mmap(
      Number(bar.size),
      uapi.PROT_READ | uapi.PROT_WRITE,
      uapi.MAP_SHARED,
      device,
      Number(bar.offset),
    );
    const registers = must('mmap of BAR 0', mapped);

    // Its interrupt, as an eventfd: the first message of MSI-X.
    const irq = ask(device, uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.vfio_irq_info, {
      argsz: 16,
      index: uapi.VFIO_PCI_MSIX_IRQ_INDEX,
    });
    const done = must('eventfd', syscalls.eventfd(0, 0));
    const header = uapi.vfio_irq_set.encode({
      argsz: uapi.vfio_irq_set.size + 4,
      flags: uapi.VFIO_IRQ_SET_DATA_EVENTFD | uapi.VFIO_IRQ_SET_ACTION_TRIGGER,
      index: uapi.VFIO_PCI_MSIX_IRQ_INDEX,
      start: 0,
      count: 1,
    });
    const wiring = pass(Uint8Array.from([...header, ...new Uint8Array(Int32Array.of(done).buffer)]));
    must('SET_IRQS', syscalls.ioctl(device, uapi.VFIO_DEVICE_SET_IRQS.number, wiring));
    print(`MSI-X has ${irq.count} messages; the first goes to an eventfd`);

    // From the first page into the device, and from there into the second.
    const text = 'copied by the device';
    memory.write(pages, new TextEncoder().encode(text));
    const copy = (iova: number, direction: number): bigint => {
      setWord(registers + ADDRESS, iova);
      setWord(registers + LENGTH, text.length);
      setWord(registers + CONTROL, START | INTERRUPT | direction);
      if ((must('poll', syscalls.poll(done, uapi.POLLIN)) & uapi.POLLIN) === 0) return 0n;
      must('read of the eventfd', syscalls.read(done, scratch, 8));
      const count = memory.read(scratch, 8);
      return new DataView(count.buffer, count.byteOffset).getBigUint64(0, true);
    };
    print(`into the device: ${copy(IOVA, 0)} interrupt, status ${word(registers + STATUS)}`);
    print(`out of the device: ${copy(IOVA + PAGE_SIZE, TO_MEMORY)} interrupt, status ${word(registers + STATUS)}`);
    print(`second page: "${new TextDecoder().decode(memory.read(hva(pages + PAGE_SIZE), text.length))}"`);

    // An address that nobody mapped: the IOMMU stops it, and the device says so.
    setWord(registers + STATUS, 3);
    print(
      `beyond the mapping: ${copy(IOVA + 2 * PAGE_SIZE, TO_MEMORY)} interrupts, status ${word(registers + STATUS)}`,
    );
    return 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    print(`user-driver: ${error.message}`);
    return 1;
  }
};

export default main;

/** The result of a call that has to succeed. */
function must(what: string, result: number): number {
  if (result < 0) throw new Failure(`${what}: ${strerror(-result)}`);
  return result;
}
