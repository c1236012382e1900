/**
 * The roads that an access can take, beside each other. Each is measured in a process of its own, as `gvm run` is one: what V8 has
 * seen of the others would be in its code.
 */

import { spawnSync } from 'node:child_process';
import { type AccessKind, accessOn, type Machine } from './access.ts';
import { loadOfQemu, portReadOfMdev, portReadOfQemu, portWriteToMdev, portWriteToQemu, storeToQemu } from './exits.ts';
import { kvmRoads } from './kvm.ts';
import { type Figure, median } from './measure.ts';
import { barLoads } from './vfio.ts';

type Library = Parameters<typeof portWriteToQemu>[0];

const ROADS = {
  qemu: portWriteToQemu,
  mdev: portWriteToMdev,
  qemuRead: portReadOfQemu,
  mdevRead: portReadOfMdev,
  mmioQemu: storeToQemu,
  mmioQemuRead: loadOfQemu,
  ...barLoads,
  ...kvmRoads,
} as const;
type Road = keyof typeof ROADS;
/** Processes a road: V8 decides anew in each. */
const PROCESSES = 5;

/** `bench.mjs road NAME`: print the nanoseconds of one access. */
export function printRoad(name: string, library: Library): void {
  console.log(ROADS[name as Road](library));
}

function nanoseconds(road: Road): number {
  const once = () => {
    const { stdout, status } = spawnSync(process.execPath, [...process.execArgv, process.argv[1]!, 'road', road], {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`the road ${road} ended with status ${status}`);
    return Number(stdout);
  };
  return median(Array.from({ length: PROCESSES }, once));
}

/** The rows for the table. */
export function roadFigures(): readonly Figure[] {
  const times = Object.fromEntries((Object.keys(ROADS) as Road[]).map((road) => [road, nanoseconds(road)])) as Record<
    Road,
    number
  >;
  const plain = (name: string, road: Road, limit = ''): Figure => ({
    name,
    value: `${times[road].toFixed(0)} ns`,
    limit,
  });
  const ratio = (name: string, road: Road, beside: Road, limit: string): Figure => ({
    name,
    value: `${(times[road] / times[beside]).toFixed(2)} ×`,
    limit,
  });
  const half = 'at most 0.5 × one to a device of QEMU';
  const short = (name: string, road: Road): Figure => ({
    name,
    value: `${times[road].toFixed(0)} ns, ${(times[road] / times.qemu).toFixed(2)} ×`,
    limit: half,
  });
  const figures = [
    plain('port write to a device of QEMU and back', 'qemu'),
    plain('port write to an mdev driver and back', 'mdev', 'at most 2000 ns'),
    ratio('the same, beside one to a device of QEMU', 'mdev', 'qemu', 'at most 1.5 ×'),
    plain('port read of a device of QEMU', 'qemuRead'),
    plain('port read of an mdev driver', 'mdevRead'),
    plain('store to MMIO of a device of QEMU and back', 'mmioQemu'),
    plain('load from MMIO of a device of QEMU', 'mmioQemuRead'),
    plain('port write, KVM to user space and back, no device', 'user'),
    plain('store to MMIO, KVM to user space and back, no device', 'mmio'),
    short('port write, device in the kernel', 'kernel'),
    short('port write, ioeventfd', 'ioeventfd'),
    plain('EPT violation, first touch of RAM', 'violation', 'at most 2000 ns'),
    plain('load from a mapped BAR, no exit', 'mapped', 'at most 300 ns'),
    ratio('the same, trapped', 'trapped', 'mapped', 'at least 3 ×'),
  ];
  return [...figures, ...besideOthers(times)];
}

/** Who stands beside gvm, and how the table calls what an access reaches there. */
const OTHERS: readonly { readonly machine: Machine; readonly their: string; readonly kinds: readonly AccessKind[] }[] =
  [
    { machine: 'tcg', their: "QEMU TCG's", kinds: ['OUT', 'IN', 'STORE', 'LOAD'] },
    { machine: 'v86', their: "v86's", kinds: ['OUT', 'IN'] },
    { machine: 'kvm', their: "real KVM's", kinds: ['OUT', 'IN', 'STORE', 'LOAD'] },
  ];

/** Which road of ours an access of other machines is beside, with its limit on QEMU's translator. */
const BESIDE: Readonly<
  Record<AccessKind, readonly { readonly road: Road; readonly ours: string; readonly limit: string }[]>
> = {
  OUT: [
    { road: 'qemu', ours: 'port write to a device of QEMU', limit: 'at most 1 ×' },
    { road: 'mdev', ours: 'port write to an mdev driver', limit: 'at most 0.5 ×' },
  ],
  IN: [{ road: 'qemuRead', ours: 'port read of a device of QEMU', limit: '' }],
  STORE: [{ road: 'mmioQemu', ours: 'store to MMIO of a device of QEMU', limit: '' }],
  LOAD: [{ road: 'mmioQemuRead', ours: 'load from MMIO of a device of QEMU', limit: '' }],
};

/** Other machines' accesses, to a device of user space as well. */
function besideOthers(times: Readonly<Record<Road, number>>): Figure[] {
  return OTHERS.flatMap(({ machine, their, kinds }) =>
    kinds.flatMap((kind) => {
      const time = accessOn(machine, kind);
      return BESIDE[kind].map(({ road, ours, limit }) => ({
        name: `${ours}, beside ${their} to its own`,
        ...(typeof time === 'string'
          ? { value: '', limit: time }
          : {
              value: `${times[road].toFixed(0)} : ${time.toFixed(0)} ns, ${(times[road] / time).toFixed(2)} ×`,
              limit: machine === 'tcg' ? limit : '',
            }),
      }));
    }),
  );
}
