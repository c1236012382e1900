/** vfio-pci against the model's kernel: the order of calls recorded on a real host, config space, BAR accesses, refusals. */

import { describe, expect, test } from 'vitest';
import { exitWith, type Finished, Host, MDEV, UUID } from '../bench.ts';

const DEVICE = ['-device', 'isa-debug-exit', '-device', `vfio-pci,sysfsdev=${MDEV},addr=4`];
const config = (offset: number) => `mov eax, ${0x8000_2000 + offset}\nmov dx, 0xcf8\nout dx, eax\nmov dx, 0xcfc\n`;
/** BAR0 at 0xc000, COMMAND.IO on. */
const PLACED = `${config(0x10)}mov eax, 0xc000\nout dx, eax\n${config(4)}mov ax, 1\nout dx, ax\n`;

function mtty(guest: string, events = ''): Finished & { readonly log: readonly string[] } {
  const host = new Host();
  host.createMdev('mtty');
  // With interrupt controllers more is asked of the device: recorded.test.ts has that.
  return { ...host.qemu(['-M', 'pc,kernel-irqchip=off', ...DEVICE], guest, events), log: host.log };
}

/** One line a call, as the recording has it: what the fd is, the call, the arguments that matter. */
function shortened(trace: readonly string[]): string[] {
  const vfio = trace.flatMap((line) => {
    const call = /^sys_\w+ (\w+)\((.*)\) += (.*)$/.exec(line);
    if (call === null) return [];
    const [, name, args, result] = call;
    const kind = /^\d+<(?:anon_inode:)?([^>]*)>/.exec(args!)?.[1];
    if (name === 'openat') return [`open ${/"(.*)"/.exec(args!)![1]}`];
    if (name === 'eventfd2') return ['eventfd'];
    if (name === 'close') return kind === '[eventfd]' ? ['close eventfd'] : [];
    if (name === 'pread64' || name === 'pwrite64') {
      if (kind !== '[vfio-device]') return [];
      const [, bytes, count, position] = /"(.*)"(?:\.\.\.)?, (\d+), (\d+)$/.exec(args!)!;
      const at = Number(position) % 2 ** 40;
      const region = Math.floor(Number(position) / 2 ** 40);
      return [`${name} region${region}+0x${at.toString(16)} ${count}${Number(count) <= 4 ? ` "${bytes}"` : ''}`];
    }
    if (name !== 'ioctl' || !(/vfio/.test(kind!) || /KVM_(CREATE_DEVICE|SET_DEVICE_ATTR)/.test(args!))) return [];
    const request = /> *, (\w+)/.exec(args!)![1];
    const detail =
      /(?:flags=VFIO_IRQ[\w|]*|index=\w+|type=\w+|attr=\d+|argsz=\d+|VFIO_TYPE1v2_IOMMU|iova=\w+, size=\w+)/g;
    const details = (args!.split(' => ')[0]!.match(detail) ?? []).join(' ').replace(/VFIO_IRQ_SET_/g, '');
    return [`${request} ${details}${result!.startsWith('-1') ? ` ${result!.split(' ')[1]}` : ''}`.trim()];
  });
  return vfio.slice(vfio.indexOf('open /dev/vfio/0'));
}

describe('set-up', () => {
  const BAR = 'GET_REGION_INFO argsz=32 index=VFIO_PCI_BAR';
  const regions = [0, 1, 2, 3, 4, 5].map((n) => `VFIO_DEVICE_${BAR}${n}_REGION_INDEX`);
  const irq = (data: string, action: string, index: string, argsz: number) =>
    `VFIO_DEVICE_SET_IRQS argsz=${argsz} flags=DATA_${data}|VFIO_IRQ_SET_ACTION_${action} index=VFIO_PCI_${index}_IRQ_INDEX`.replace(
      'VFIO_IRQ_SET_',
      '',
    );
  const intxOn = ['pread64 region7+0x3d 1 "\\1"', 'eventfd', irq('EVENTFD', 'TRIGGER', 'INTX', 24)];
  const quiesce = [
    irq('NONE', 'TRIGGER', 'INTX', 20),
    'close eventfd',
    'pread64 region7+0x4 2 "\\1\\0"',
    'pwrite64 region7+0x4 2 "\\0\\0"',
  ];
  const noBusReset = 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO argsz=12 ENOTTY';
  const clearBars = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map(
    (at) => `pwrite64 region7+0x${at.toString(16)} 4 "\\0\\0\\0\\0"`,
  );
  const reset = (...middle: string[]) => [...quiesce, ...middle, ...intxOn, ...clearBars];

  test('every call of VFIO in the recorded order, up to the guest’s first instruction', () => {
    const { trace } = mtty(exitWith('0'), 'sys_*');
    const calls = shortened(
      trace.slice(
        0,
        trace.findIndex((line) => line.includes('KVM_RUN')),
      ),
    );
    // What the recording has beside these belongs to its irqchip (MASK, KVM_IRQFD, UNMASK around each INTx) and its BIOS.
    expect(calls.filter((call) => !call.startsWith('open /boot'))).toEqual([
      'open /dev/vfio/0',
      'VFIO_GROUP_GET_STATUS argsz=8',
      'open /dev/vfio/vfio',
      'VFIO_GET_API_VERSION',
      'VFIO_CHECK_EXTENSION VFIO_TYPE1v2_IOMMU',
      'VFIO_GROUP_SET_CONTAINER',
      'VFIO_SET_IOMMU VFIO_TYPE1v2_IOMMU',
      'VFIO_IOMMU_GET_INFO argsz=24',
      'VFIO_IOMMU_GET_INFO argsz=68',
      'KVM_CREATE_DEVICE type=KVM_DEV_TYPE_VFIO',
      'KVM_SET_DEVICE_ATTR attr=1',
      'VFIO_IOMMU_MAP_DMA argsz=32 iova=0, size=67108864',
      'VFIO_GROUP_GET_DEVICE_FD',
      'VFIO_DEVICE_GET_INFO argsz=20',
      ...regions,
      'VFIO_DEVICE_GET_REGION_INFO argsz=32 index=VFIO_PCI_CONFIG_REGION_INDEX',
      'VFIO_DEVICE_GET_IRQ_INFO argsz=16 index=VFIO_PCI_ERR_IRQ_INDEX EINVAL',
      'pread64 region7+0x0 255',
      'pread64 region7+0x30 4 "\\0\\0\\0\\0"',
      'pwrite64 region7+0x30 4 "\\0\\370\\377\\377"',
      'pread64 region7+0x30 4 "\\0\\0\\0\\0"',
      'pwrite64 region7+0x30 4 "\\0\\0\\0\\0"',
      'pread64 region7+0x10 4 "\\1\\0\\0\\0"',
      'pread64 region7+0x3d 1 "\\1"',
      ...intxOn,
      'VFIO_DEVICE_GET_IRQ_INFO argsz=16 index=VFIO_PCI_REQ_IRQ_INDEX',
      'eventfd',
      irq('EVENTFD', 'TRIGGER', 'REQ', 24),
      ...reset(noBusReset),
      ...reset(noBusReset),
    ]);
  });

  test('QEMU’s own trace of it', () => {
    const { trace } = mtty(
      exitWith('0'),
      'vfio_realize,vfio_listener_*,vfio_mdev,vfio_get_device,vfio_region_setup,vfio_pop*',
    );
    expect(trace.slice(0, 5)).toEqual([
      `vfio_realize  (${UUID}) group 0`,
      expect.stringMatching(/^vfio_listener_region_add_ram region_add \[ram\] 0x0 - 0x3ffffff \[0x[0-9a-f]+\]$/),
      `vfio_mdev  (${UUID}) is_mdev 1`,
      `vfio_get_device Device ${UUID} flags: 2, regions: 9, irqs: 5`,
      `vfio_region_setup Device ${UUID}, region 0 "${UUID} BAR 0", flags: 0x3, offset: 0x0, size: 0x8`,
    ]);
    expect(trace.slice(-2)).toEqual([
      `vfio_populate_device_config Device ${UUID} config:\n  size: 0xff, offset: 0x70000000000, flags: 0x3`,
      'vfio_populate_device_get_irq_info_failure VFIO_DEVICE_GET_IRQ_INFO failure: Invalid argument',
    ]);
  });

  test('a second device of the same kind shares the container', () => {
    const second = 'aaaaaaaa-509f-382f-3c1e-e6bfe0fa1001';
    const host = new Host();
    host.createMdev('mtty');
    host.echo(second, '/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create');
    const other = ['-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${second}`];
    const { init, trace } = host.qemu([...DEVICE, ...other], exitWith('0'), 'sys_*');
    expect(init).toBeUndefined();
    const count = (text: string) => trace.filter((line) => line.includes(text)).length;
    expect([count('"/dev/vfio/vfio"'), count('SET_CONTAINER'), count('MAP_DMA'), count('CREATE_DEVICE')]).toEqual([
      1, 2, 1, 1,
    ]);
  });
});

describe('configuration space', () => {
  test('sizing shows the size by QEMU’s copy: no pread reaches the device', () => {
    const guest = `${config(0x10)}mov eax, 0xffffffff\nout dx, eax\nin eax, dx\nnot eax\nmov dx, 0x501\nout dx, eax`;
    const { end, trace } = mtty(guest, 'vfio_pci_*_config,sys_pread64');
    expect(end?.code).toBe(6 * 2 + 1);
    expect(trace.slice(-2)).toEqual([
      `vfio_pci_write_config  (${UUID}, @0x10, 0xffffffff, len=0x4)`,
      `vfio_pci_read_config  (${UUID}, @0x10, len=0x4) 0xfffffff9`,
    ]);
  });

  test('a write goes to the device first, then maps the BAR', () => {
    const { trace } = mtty(
      PLACED + exitWith('0'),
      'vfio_pci_write_config,pci_update_mappings_*,sys_pwrite64,pci_cfg_write',
    );
    const from = trace.findIndex((line) => line.startsWith('pci_cfg_write'));
    expect(trace.slice(from).map((line) => line.split(' ')[0])).toEqual([
      ...['pci_cfg_write', 'vfio_pci_write_config', 'sys_pwrite64'],
      ...['pci_cfg_write', 'vfio_pci_write_config', 'sys_pwrite64', 'pci_update_mappings_add'],
    ]);
    expect(trace.at(-1)).toBe('pci_update_mappings_add vfio-pci 00:04.0 0,0xc000+0x8');
  });

  test('COMMAND is read from the device, but decides by QEMU’s copy: with 0 written it reads 1 and the ports are dead', () => {
    const guest = `${PLACED}${config(4)}xor eax, eax\nout dx, ax\nin ax, dx\nmov ebx, eax\nmov dx, 0xc000\nin al, dx\n`;
    const status = 'movzx eax, al\nshl ebx, 8\nor eax, ebx\nmov dx, 0x501\nout dx, eax';
    expect(mtty(guest + status).end?.code).toBe(0x01ff * 2 + 1);
  });
});

describe('a BAR of 8 bytes: how outl 0xddccbbaa arrives at the driver', () => {
  // Recorded on a real host with mtty: what pwrite got.
  test.each([
    [0, ['0x0, 0xddccbbaa, 4']],
    [1, ['0x1, 0xaa, 1', '0x2, 0xccbb, 2', '0x4, 0xdd, 1']],
    [2, ['0x2, 0xbbaa, 2', '0x4, 0xddcc, 2']],
    [3, ['0x3, 0xaa, 1', '0x4, 0xccbb, 2', '0x6, 0xdd, 1']],
    [4, ['0x4, 0xddccbbaa, 4']],
    [5, ['0x5, 0xaa, 1', '0x6, 0xccbb, 2']],
    [6, ['0x6, 0xbbaa, 2']],
    [7, ['0x7, 0xaa, 1']],
  ])('at offset %i', (offset, writes) => {
    const guest = `${PLACED}mov eax, 0xddccbbaa\nmov dx, ${0xc000 + offset}\nout dx, eax\n${exitWith('0')}`;
    const { trace } = mtty(guest, 'vfio_region_write,kvm_userspace_exit');
    const seen = trace.filter((line) => line.startsWith('vfio_region_write'));
    expect(seen).toEqual(writes.map((text) => `vfio_region_write  (${UUID}:region0+${text})`));
  });

  test('inl at 6 misses two bytes: they read ff', () => {
    // MSR and SCR of an untouched port: 0xb0 (ready, no loop) and 0; the bytes behind the BAR are nobody's.
    const guest = `${PLACED}mov dx, 0xc006\nin eax, dx\nshr eax, 16\nmov dx, 0x501\nout dx, eax`;
    expect(mtty(guest).end?.code).toBe(0xffff * 2 + 1);
  });
});

describe('refused', () => {
  const start = (prepare: (host: Host) => void, argv = DEVICE) => {
    const host = new Host();
    prepare(host);
    return host.qemu(argv, exitWith('0'));
  };

  test('a UUID nobody created', () => {
    const { init, stderr } = start((host) => host.modprobe('mtty'));
    expect(init).toBe(1);
    expect(stderr).toContain(`vfio ${MDEV}: no such host device: No such file or directory`);
  });

  test('the same device twice', () => {
    const { init, stderr } = start(
      (host) => host.createMdev('mtty'),
      [...DEVICE, '-device', `vfio-pci,sysfsdev=${MDEV}`],
    );
    expect(init).toBe(1);
    expect(stderr).toContain(`vfio ${UUID}: device is already attached`);
  });

  test('a group that another process has open', () => {
    const { init, stderr } = start((host) => {
      host.createMdev('mtty');
      host.kernel.spawn('other', () => {}).user.syscalls.open('/dev/vfio/0', 2);
    });
    expect(init).toBe(1);
    expect(stderr).toContain(`vfio ${UUID}: failed to open /dev/vfio/0: Device or resource busy`);
  });
});
