/**
 * `-object filter-dump`: every frame that passes a netdev, in a file that Wireshark reads (net/dump.c, net/filter-dump.c; libpcap's
 * format, version 2.4). Times are the virtual clock's: two runs write the same bytes.
 */

import { strerror } from '../../linux/uapi/errno.ts';
import { O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY } from '../../linux/uapi/syscalls.ts';
import { ConfigurationError } from '../error.ts';
import type { System } from '../system.ts';
import type { TimerList } from '../timer.ts';
import type { Filter } from './net-client.ts';

const MAGIC = 0xa1b2_c3d4;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER = 24;
const FRAME_HEADER = 16;

/** Open `path` and write its header; of each frame at most `maxlen` bytes are kept. Refusals are ConfigurationErrors. */
export function dumpTo(system: System, timers: TimerList, path: string, maxlen: number): Filter {
  const fd = system.syscalls.open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC);
  if (fd < 0) throw new ConfigurationError(`net dump: can't open ${path}: ${strerror(-fd)}`);
  system.output(fd, fileHeader(maxlen));
  return (frame) => {
    const kept = Math.min(frame.length, maxlen);
    const record = new Uint8Array(FRAME_HEADER + kept);
    const header = new DataView(record.buffer);
    const microseconds = Math.floor(timers.now / 1000);
    header.setUint32(0, Math.floor(microseconds / 1_000_000), true);
    header.setUint32(4, microseconds % 1_000_000, true);
    header.setUint32(8, kept, true);
    header.setUint32(12, frame.length, true);
    record.set(frame.subarray(0, kept), FRAME_HEADER);
    system.output(fd, record);
  };
}

function fileHeader(maxlen: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(FILE_HEADER));
  header.setUint32(0, MAGIC, true);
  header.setUint16(4, VERSION_MAJOR, true);
  header.setUint16(6, VERSION_MINOR, true);
  header.setUint32(16, maxlen, true);
  header.setUint32(20, LINKTYPE_ETHERNET, true);
  return new Uint8Array(header.buffer);
}
