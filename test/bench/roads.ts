/**
 * The roads that an access can take, beside each other. Each is measured in a process of its own, as `gvm run` is one: what V8 has
 * seen of the others would be in its code.
 */

import { spawnSync } from 'node:child_process';
import { loadOfQemu, portReadOfMdev, portReadOfQemu, portWriteToMdev, portWriteToQemu, storeToQemu } from './exits.ts';
import { kvmRoads } from './kvm.ts';
import { type Figure, median } from './measure.ts';
import { portWriteOn } from './port-write.ts';
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

/** Other machines' port write, to a device of user space as well. */
function besideOthers(times: Readonly<Record<Road, number>>): Figure[] {
  const [tcg, v86, kvm] = [portWriteOn('tcg'), portWriteOn('v86'), portWriteOn('kvm')];
  const beside = (ours: string, road: Road, theirs: string, time: number | string, limit: string): Figure => ({
    name: `port write to ${ours}, beside ${theirs} to its own`,
    ...(typeof time === 'string'
      ? { value: '', limit: time }
      : { value: `${times[road].toFixed(0)} : ${time.toFixed(0)} ns, ${(times[road] / time).toFixed(2)} ×`, limit }),
  });
  return [
    beside('a device of QEMU', 'qemu', "QEMU TCG's", tcg, 'at most 1 ×'),
    beside('an mdev driver', 'mdev', "QEMU TCG's", tcg, 'at most 0.5 ×'),
    beside('a device of QEMU', 'qemu', "v86's", v86, ''),
    beside('a device of QEMU', 'qemu', "real KVM's", kvm, ''),
  ];
}
