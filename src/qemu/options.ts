/** The command line: QEMU's own words (qemu-options.hx, softmmu/vl.c), as far as this VMM has what they ask for. */

import { MiB } from '../address.ts';
import { checkId, type KeyValueOption, OptionError, parseKeyValues, refusing } from './key-values.ts';
import { parseSize } from './size.ts';

/** One `-device`, taken apart: `name,prop=value,…`. */
export interface DeviceOption {
  /** As the user wrote it, for messages: `-device pci-bridge,id=br`. */
  readonly where: string;
  readonly model: string;
  readonly id: string | undefined;
  readonly bus: string | undefined;
  readonly values: ReadonlyMap<string, string>;
  readonly help: boolean;
}

export interface Options {
  /** Bytes of guest RAM; undefined if nothing was said. */
  readonly memory: number | undefined;
  /** `-machine memory-backend=ID`: the object that RAM is. */
  readonly memoryBackend: string | undefined;
  readonly kernel: string | undefined;
  /** What COM1 is connected to; `none` leaves the port out. */
  readonly serial: 'stdio' | 'null' | 'none';
  readonly devices: readonly DeviceOption[];
  readonly netdevs: readonly KeyValueOption[];
  readonly objects: readonly KeyValueOption[];
  /** KVM's own interrupt controllers: on but for `kernel-irqchip=off`. */
  readonly irqchip: boolean;
  /** The option that has named the accelerator, as messages name it. */
  readonly accel: string | undefined;
  /** `-help`: print the options and do nothing. */
  readonly help: boolean;
}

/** RAM of a guest that says nothing of it. */
export const DEFAULT_MEMORY = MiB(64);
const RAM_GRANULE = 8192;

/** What the options add up to while they are read. */
interface Reading {
  memory: number | undefined;
  memoryBackend: string | undefined;
  kernel: string | undefined;
  serial: Options['serial'] | undefined;
  defaults: boolean;
  irqchip: boolean;
  accel: string | undefined;
  help: boolean;
  readonly devices: DeviceOption[];
  readonly netdevs: KeyValueOption[];
  readonly objects: KeyValueOption[];
}

/** One option: without `value` it stands alone; `where` names it in messages. */
interface OptionRow {
  readonly names: readonly string[];
  readonly value?: string;
  readonly doc: string;
  take(reading: Reading, where: string, value: string): void;
}

const nothing = () => undefined;
/** The options there are, each once: parsing, arity and help read this table. */
const table: readonly OptionRow[] = [
  {
    names: ['m'],
    value: '[size=]MEGS[KMG]',
    doc: 'Guest RAM, 64M if not given',
    take: (reading, where, value) => {
      reading.memory = parseMemory(where, value) || DEFAULT_MEMORY;
    },
  },
  {
    names: ['device'],
    value: 'NAME[,PROPERTY=VALUE]…',
    doc: 'Add a device; `help` lists them, `NAME,help` the properties of one',
    take: (reading, where, value) => {
      reading.devices.push(parseDevice(where, value));
    },
  },
  {
    names: ['netdev'],
    value: 'hubport,id=ID,hubid=N',
    doc: 'A port of hub N, for the card with `netdev=ID`; a hub passes frames on to its other ports',
    take: (reading, where, value) => {
      reading.netdevs.push(parseKeyValues(where, value, 'type'));
    },
  },
  {
    names: ['object'],
    value: 'TYPE,id=ID[,PROPERTY=VALUE]…',
    doc: '`filter-dump,id=ID,netdev=ID,file=PATH[,maxlen=N]` writes the frames that pass a netdev to a pcap file; `iommufd,id=ID` is for devices with `iommufd=ID`; `memory-backend-ram,id=ID,size=SIZE` and `memory-backend-memfd,id=ID,size=SIZE[,hugetlb=on[,hugetlbsize=1G]]` are memory for `memdev=ID` or the machine',
    take: (reading, where, value) => {
      reading.objects.push(parseKeyValues(where, value, 'qom-type'));
    },
  },
  {
    names: ['kernel'],
    value: 'PATH',
    doc: 'ELF64 image to run',
    take: (reading, _where, value) => {
      reading.kernel = value;
    },
  },
  {
    names: ['serial'],
    value: 'stdio|null|none',
    doc: 'What COM1 is connected to',
    take: (reading, where, value) => {
      reading.serial = parseSerial(where, value);
    },
  },
  {
    names: ['debugcon'],
    value: 'stdio|null',
    doc: 'What the debug port 0xe9 is connected to',
    take: (reading, where, value) => {
      reading.devices.push(parseDevice(where, `isa-debugcon,iobase=0xe9,chardev=${value}`));
    },
  },
  {
    names: ['nodefaults'],
    doc: 'No serial port unless -serial asks for it',
    take: (reading) => {
      reading.defaults = false;
    },
  },
  {
    names: ['M', 'machine'],
    value: 'pc[,kernel-irqchip=on|off][,memory-backend=ID]',
    doc: 'The machine: there is one; kernel-irqchip is on, and off is without interrupt controllers; RAM may be an object',
    take: (reading, where, value) => {
      Object.assign(reading, parseMachine(where, value));
    },
  },
  {
    names: ['accel'],
    value: 'kvm',
    doc: 'The accelerator: there is one',
    take: (reading, where, value) => {
      if (!/^kvm(,|$)/.test(value)) throw new OptionError(where, `invalid accelerator ${value}`);
      reading.accel = where;
    },
  },
  {
    names: ['display'],
    value: 'none',
    doc: 'There is no display',
    take: (_reading, where, value) => {
      if (value !== 'none') throw new OptionError(where, `Parameter 'type' does not accept value '${value}'`);
    },
  },
  {
    names: ['help', 'h'],
    doc: 'Print this list',
    take: (reading) => {
      reading.help = true;
    },
  },
  { names: ['enable-kvm'], doc: 'As -accel kvm', take: nothing },
  { names: ['nographic'], doc: 'As -display none -serial stdio', take: nothing },
  { names: ['no-reboot'], doc: 'A reset ends QEMU, as it always does here', take: nothing },
];

const rowOf = (name: string) => table.find((row) => row.names.includes(name));

/** For whoever splits a command line: every option's name without dash, and whether a value follows it. */
export const optionArity: ReadonlyMap<string, boolean> = new Map(
  table.flatMap((row) => row.names.map((name) => [name, row.value !== undefined] as const)),
);

/** What `-help` prints. */
export function optionHelp(): string {
  const lines = table.map(({ names, value, doc }) => {
    const form = `-${names.join(', -')}${value === undefined ? '' : ` ${value}`}`;
    return `${form.padEnd(32)} ${doc}`;
  });
  return `${lines.join('\n')}\n`;
}

/** Parse the arguments after the program's name. Throws OptionError. */
export function parseOptions(argv: readonly string[]): Options {
  const reading: Reading = {
    memory: undefined,
    memoryBackend: undefined,
    kernel: undefined,
    serial: undefined,
    defaults: true,
    irqchip: true,
    accel: undefined,
    help: false,
    devices: [],
    netdevs: [],
    objects: [],
  };
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    const name = word.replace(/^--?/, '');
    if (name === word) throw new OptionError(word, `Could not open '${word}': disk images are not supported`);
    const row = rowOf(name);
    if (row === undefined) {
      const known = [...optionArity.keys()].map((one) => `-${one}`).join(', ');
      throw new OptionError(word, 'invalid option', `Known: ${known}`);
    }
    if (row.value === undefined) row.take(reading, word, '');
    else {
      const value = argv[++i];
      if (value === undefined) throw new OptionError(word, 'requires an argument');
      row.take(reading, `-${name} ${value}`, value);
    }
  }
  const { serial, defaults, ...rest } = reading;
  checkIds(rest.devices);
  return { ...rest, serial: serial ?? (defaults ? 'stdio' : 'none') };
}

/**
 * Bytes of memory that `argv` asks for: the guest's RAM, the default where it says nothing of it, and objects. What cannot be
 * understood counts for nothing.
 */
export function requestedMemory(argv: readonly string[]): number {
  const valuesOf = (name: string) => argv.filter((_, i) => new RegExp(`^--?${name}$`).test(argv[i - 1] ?? ''));
  const ram = sizeOfMemory(valuesOf('m').at(-1) ?? '') || DEFAULT_MEMORY;
  const objects = valuesOf('object').map((object) => /^memory-backend-.*,size=([^,]+)/.exec(object)?.[1] ?? '');
  return objects.reduce((sum, size) => sum + (parseSize(size, 1) ?? 0), ram);
}

/** `-m 64`, `-m 64M`, `-m 1.5G`, `-m size=64M`: MiB without a suffix; rounded up to 8 KiB. */
function parseMemory(where: string, value: string): number {
  const size = sizeOfMemory(value);
  if (size === undefined) {
    throw new OptionError(
      where,
      "Parameter 'size' expects a non-negative number below 2^64",
      'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.',
    );
  }
  return size;
}

function sizeOfMemory(value: string): number | undefined {
  const size = parseSize(value.replace(/^size=/, ''), MiB(1));
  return size && Math.ceil(size / RAM_GRANULE) * RAM_GRANULE;
}

function parseSerial(where: string, value: string): Options['serial'] {
  if (value === 'stdio' || value === 'none' || value === 'null') return value;
  if (value === 'mon:stdio') return 'stdio';
  throw new OptionError(where, `'${value}' is not a valid char driver`, 'Known: stdio, null, none');
}

/** What `-machine` says; nothing of what it leaves open. */
function parseMachine(where: string, value: string): Partial<Pick<Reading, 'irqchip' | 'memoryBackend'>> {
  const said: Partial<Pick<Reading, 'irqchip' | 'memoryBackend'>> = {};
  const [type, ...properties] = value.replace(/^type=/, '').split(',');
  const leading = /^(accel|memory-backend)=/.test(type!);
  if (type !== 'pc' && !/^pc-i440fx-\d/.test(type!) && !leading) {
    throw new OptionError(where, 'unsupported machine type', 'Supported machines are: pc');
  }
  for (const property of leading ? [type!, ...properties] : properties) {
    const irqchip = /^kernel[-_]irqchip=(on|off)$/.exec(property)?.[1];
    const memory = /^memory-backend=(.+)$/.exec(property)?.[1];
    if (irqchip !== undefined) said.irqchip = irqchip === 'on';
    else if (memory !== undefined) said.memoryBackend = memory;
    else if (!/^(accel=kvm|usb=off)$/.test(property)) {
      throw new OptionError(where, `Property 'pc-machine.${property.replace(/=.*/, '')}' not found`);
    }
  }
  return said;
}

function parseDevice(where: string, text: string): DeviceOption {
  const { kind: model, values: all, help } = parseKeyValues(where, text, 'driver');
  const values = new Map(all);
  const id = take(values, 'id');
  if (id !== undefined) refusing(where, () => checkId(id));
  return { where, model, id, bus: take(values, 'bus'), values, help };
}

function take(values: Map<string, string>, key: string): string | undefined {
  const value = values.get(key);
  values.delete(key);
  return value;
}

function checkIds(devices: readonly DeviceOption[]): void {
  const seen = new Set<string>();
  for (const { id, where } of devices) {
    if (id === undefined) continue;
    if (seen.has(id)) throw new OptionError(where, `Duplicate ID '${id}' for device`);
    seen.add(id);
  }
}
