/**
 * The guest's PCI functions as lspci prints them (pciutils 3.9, with no database of names: classes by their names, vendors and devices
 * by number).
 */

import * as pci from '../linux/uapi/pci.ts';
import type { PciBus } from '../qemu/hw/pci/pci-bus.ts';
import type { PciDevice } from '../qemu/hw/pci/pci-device.ts';

export interface LspciOptions {
  readonly verbose: boolean;
  readonly numeric: boolean;
  /** Of configuration space, 0 for none. */
  readonly bytes: number;
}

/** Classes of the devices there may be, as pci.ids names them; of others the base class. */
const classes: Readonly<Record<number, string>> = {
  [pci.PCI_CLASS_NOT_DEFINED]: 'Non-VGA unclassified device',
  [pci.PCI_CLASS_NETWORK_ETHERNET]: 'Ethernet controller',
  [pci.PCI_CLASS_BRIDGE_HOST]: 'Host bridge',
  [pci.PCI_CLASS_BRIDGE_ISA]: 'ISA bridge',
  [pci.PCI_CLASS_BRIDGE_PCI]: 'PCI bridge',
  [pci.PCI_CLASS_COMMUNICATION_SERIAL]: 'Serial controller',
};
const baseClasses: Readonly<Record<number, string>> = {
  0: 'Unclassified device',
  1: 'Mass storage controller',
  2: 'Network controller',
  3: 'Display controller',
  4: 'Multimedia controller',
  5: 'Memory controller',
  6: 'Bridge',
  7: 'Communication controller',
  8: 'Generic system peripheral',
  255: 'Unassigned class',
};
const capabilityNames: Readonly<Record<number, string>> = {
  [pci.PCI_CAP_ID_PM]: 'Power Management',
  [pci.PCI_CAP_ID_MSI]: 'MSI',
  [pci.PCI_CAP_ID_EXP]: 'Express',
  [pci.PCI_CAP_ID_MSIX]: 'MSI-X',
  [pci.PCI_CAP_ID_AF]: 'PCI Advanced Features',
};
/** PCI_CAP_ID_SLOTID, PCI_CAP_ID_VNDR, and PCI_CAP_ID_SSVID, the subsystem of a bridge. */
const CAP_ID_SLOT = 0x04;
const CAP_ID_VENDOR = 0x09;
const CAP_ID_BRIDGE_SUBSYSTEM = 0x0d;

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');

/** All functions, by bus, slot and function. */
export function lspci(root: PciBus, options: LspciOptions): readonly string[] {
  const functions = below(root)
    .sort((a, b) => key(a) - key(b))
    .map(functionOf);
  return functions.flatMap((each) => [
    headline(each, options.numeric),
    ...(options.verbose ? verboseLines(each) : []),
    ...dump(each, options.bytes),
    ...(options.verbose || options.bytes > 0 ? [''] : []),
  ]);
}

/** A function with its configuration space as the guest reads it: an assigned device's is not all QEMU's. */
interface PciFunction {
  readonly device: PciDevice;
  readonly config: Uint8Array;
  readonly view: DataView;
}

function functionOf(device: PciDevice): PciFunction {
  const config = new Uint8Array(pci.PCI_CFG_SPACE_SIZE);
  const view = new DataView(config.buffer);
  for (let at = 0; at < config.length; at += 4) view.setUint32(at, device.readConfig(at, 4), true);
  return { device, config, view };
}

const below = (bus: PciBus): PciDevice[] => [...bus.devices, ...bus.children.flatMap(below)];
const key = (device: PciDevice): number => device.location.bus * 256 + device.devfn;

function className(code: number): string {
  const exact = classes[code];
  if (exact !== undefined) return exact;
  return `${baseClasses[code >> 8] ?? 'Class'} [${hex(code, 4)}]`;
}

function headline({ device, view, config }: PciFunction, numeric: boolean): string {
  const { bus, slot, func } = device.location;
  const code = view.getUint16(pci.PCI_CLASS_DEVICE, true);
  const ids = `${hex(view.getUint16(pci.PCI_VENDOR_ID, true), 4)}:${hex(view.getUint16(pci.PCI_DEVICE_ID, true), 4)}`;
  const revision = config[pci.PCI_REVISION_ID]!;
  const what = numeric ? `${hex(code, 4)}: ${ids}` : `${className(code)}: Device ${ids}`;
  return `${hex(bus, 2)}:${hex(slot, 2)}.${func} ${what}${revision === 0 ? '' : ` (rev ${hex(revision, 2)})`}`;
}

/** The `-v` of lspci: what is in configuration space, tabs as it has them. */
function verboseLines(each: PciFunction): string[] {
  const { view, config } = each;
  const { isBridge } = each.device;
  const lines: string[] = [];
  const subsystem = view.getUint16(pci.PCI_SUBSYSTEM_VENDOR_ID, true);
  if (!isBridge && subsystem !== 0)
    lines.push(`Subsystem: Device ${hex(subsystem, 4)}:${hex(view.getUint16(pci.PCI_SUBSYSTEM_ID, true), 4)}`);
  lines.push(`Flags: ${flagWords(each).join(', ')}`);
  lines.push(...barLines(each));
  if (isBridge) lines.push(...bridgeLines(each));
  for (
    let at =
      (view.getUint16(pci.PCI_STATUS, true) & pci.PCI_STATUS_CAP_LIST) === 0
        ? 0
        : config[pci.PCI_CAPABILITY_LIST]! & 0xfc;
    at !== 0;
    at = config[at + pci.PCI_CAP_LIST_NEXT]! & 0xfc
  )
    lines.push(`Capabilities: [${hex(at, 2)}] ${capability(each, at)}`);
  return lines.map((line) => `\t${line}`);
}

/** Bits of the command register that only lspci looks at. */
const PCI_COMMAND_FAST_BACK = 0x200;

function flagWords({ view, config }: PciFunction): string[] {
  const command = view.getUint16(pci.PCI_COMMAND, true);
  const status = view.getUint16(pci.PCI_STATUS, true);
  const master = (command & pci.PCI_COMMAND_MASTER) !== 0;
  const irq = config[pci.PCI_INTERRUPT_PIN] === 0 ? 0 : config[pci.PCI_INTERRUPT_LINE];
  const speeds = ['fast', 'medium', 'slow', '??'];
  return [
    ...(master ? ['bus master'] : []),
    ...((command & PCI_COMMAND_FAST_BACK) === 0 ? [] : ['fast Back2Back']),
    ...((status & pci.PCI_STATUS_66MHZ) === 0 ? [] : ['66MHz']),
    `${speeds[(status >> 9) & 3]} devsel`,
    ...(master ? [`latency ${config[pci.PCI_LATENCY_TIMER]}`] : []),
    ...(irq === 0 ? [] : [`IRQ ${irq}`]),
  ];
}

const sizeText = (bytes: number): string => {
  const units = ['', 'K', 'M', 'G', 'T'];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && value % 1024 === 0) [value, unit] = [value / 1024, unit + 1];
  return `[size=${value}${units[unit]}]`;
};

function barLines({ device, view }: PciFunction): string[] {
  const command = view.getUint16(pci.PCI_COMMAND, true);
  return device.bars.flatMap(({ index, type, region }) => {
    if (index >= 6) return [];
    const low = view.getUint32(pci.PCI_BASE_ADDRESS_0 + 4 * index, true);
    if ((type & pci.PCI_BASE_ADDRESS_SPACE_IO) !== 0) {
      const address = (low & pci.PCI_BASE_ADDRESS_IO_MASK) >>> 0;
      const off = (command & pci.PCI_COMMAND_IO) === 0 ? ' [disabled]' : '';
      return [`I/O ports at ${address === 0 ? '<unassigned>' : hex(address, 4)}${off} ${sizeText(region.size)}`];
    }
    const wide = (type & pci.PCI_BASE_ADDRESS_MEM_TYPE_64) !== 0;
    const high = wide ? view.getUint32(pci.PCI_BASE_ADDRESS_0 + 4 * index + 4, true) : 0;
    const address = high * 2 ** 32 + ((low & pci.PCI_BASE_ADDRESS_MEM_MASK) >>> 0);
    const off = (command & pci.PCI_COMMAND_MEMORY) === 0 ? ' [disabled]' : '';
    const kind = `(${wide ? 64 : 32}-bit, ${(type & pci.PCI_BASE_ADDRESS_MEM_PREFETCH) === 0 ? 'non-' : ''}prefetchable)`;
    return [`Memory at ${address === 0 ? '<unassigned>' : hex(address, 8)} ${kind}${off} ${sizeText(region.size)}`];
  });
}

function bridgeLines({ view, config }: PciFunction): string[] {
  const buses = [pci.PCI_PRIMARY_BUS, pci.PCI_SECONDARY_BUS, pci.PCI_SUBORDINATE_BUS].map((at) => hex(config[at]!, 2));
  const io = [pci.PCI_IO_BASE, pci.PCI_IO_LIMIT].map((at) => (config[at]! & pci.PCI_IO_RANGE_MASK) << 8);
  const memory = (at: number) => (view.getUint16(at, true) & pci.PCI_MEMORY_RANGE_MASK) * 0x1_0000;
  const high = (at: number) => view.getUint32(at, true) * 2 ** 32;
  const window = (name: string, base: number, last: number, digits: number, bits: number) => {
    const range = base > last ? '[disabled]' : `${hex(base, digits)}-${hex(last, digits)} ${sizeText(last - base + 1)}`;
    return `${name} behind bridge: ${range} [${bits}-bit]`;
  };
  const wide = (config[pci.PCI_PREF_MEMORY_BASE]! & pci.PCI_PREF_RANGE_TYPE_64) !== 0;
  return [
    `Bus: primary=${buses[0]}, secondary=${buses[1]}, subordinate=${buses[2]}, sec-latency=${config[pci.PCI_SEC_LATENCY_TIMER]}`,
    window('I/O', io[0]!, io[1]! + 0xfff, 4, (config[pci.PCI_IO_BASE]! & 0xf) === 0 ? 16 : 32),
    window('Memory', memory(pci.PCI_MEMORY_BASE), memory(pci.PCI_MEMORY_LIMIT) + 0xf_ffff, 8, 32),
    window(
      'Prefetchable memory',
      memory(pci.PCI_PREF_MEMORY_BASE) + (wide ? high(pci.PCI_PREF_BASE_UPPER32) : 0),
      memory(pci.PCI_PREF_MEMORY_LIMIT) + (wide ? high(pci.PCI_PREF_LIMIT_UPPER32) : 0) + 0xf_ffff,
      wide ? 16 : 8,
      wide ? 64 : 32,
    ),
  ];
}

function capability({ view, config }: PciFunction, at: number): string {
  const id = config[at]!;
  const flags = view.getUint16(at + pci.PCI_MSI_FLAGS, true);
  const sign = (on: number) => (on === 0 ? '-' : '+');
  switch (id) {
    case pci.PCI_CAP_ID_MSI:
      return (
        `MSI: Enable${sign(flags & pci.PCI_MSI_FLAGS_ENABLE)} Count=${1 << ((flags >> 4) & 7)}/${1 << ((flags >> 1) & 7)} ` +
        `Maskable${sign(flags & 0x100)} 64bit${sign(flags & pci.PCI_MSI_FLAGS_64BIT)}`
      );
    case pci.PCI_CAP_ID_MSIX:
      return (
        `MSI-X: Enable${sign(flags & pci.PCI_MSIX_FLAGS_ENABLE)} Count=${(flags & pci.PCI_MSIX_FLAGS_QSIZE) + 1} ` +
        `Masked${sign(flags & pci.PCI_MSIX_FLAGS_MASKALL)}`
      );
    case CAP_ID_VENDOR:
      return `Vendor Specific Information: Len=${hex(config[at + 2]!, 2)} <?>`;
    case CAP_ID_SLOT: {
      const slots = config[at + 2]! & 0x1f;
      const first = (config[at + 2]! & 0x20) === 0 ? '-' : '+';
      return `Slot ID: ${slots} slots, First${first}, chassis ${hex(config[at + 3]!, 2)}`;
    }
    case CAP_ID_BRIDGE_SUBSYSTEM:
      return `Subsystem: Device ${hex(view.getUint16(at + 4, true), 4)}:${hex(view.getUint16(at + 6, true), 4)}`;
    default:
      return capabilityNames[id] ?? `#${hex(id, 2)} [${hex(view.getUint16(at + 2, true), 4)}]`;
  }
}

const dump = ({ config }: PciFunction, bytes: number): string[] =>
  Array.from({ length: bytes / 16 }, (_, row) => {
    const part = config.subarray(row * 16, row * 16 + 16);
    return `${hex(row * 16, 2)}: ${[...part].map((byte) => hex(byte, 2)).join(' ')}`;
  });
