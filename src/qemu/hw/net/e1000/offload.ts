/**
 * What the card fills into frames on the driver's behalf: Internet checksums (RFC 1071), and the headers of the segments into
 * which it cuts a long TCP or UDP payload (82540EM manual, 3.5; hw/net/e1000.c: putsum, xmit_seg). The network's byte order.
 */

/** Where one checksum is summed up, and where it goes. */
interface ChecksumPlace {
  readonly start: number;
  readonly offset: number;
  /** Last byte; 0 for the end of the frame. */
  readonly end: number;
}

/** A context descriptor. */
export interface OffloadContext {
  readonly ip: ChecksumPlace;
  readonly payload: ChecksumPlace;
  readonly payloadLength: number;
  readonly headerLength: number;
  readonly segmentSize: number;
  readonly ipv4: boolean;
  readonly tcp: boolean;
}

const IPV4 = 0x0200_0000;
const TCP = 0x0100_0000;
/** FIN and PSH: only the last segment has them. */
const LAST_FLAGS = 0x9;

const nowhere: ChecksumPlace = { start: 0, offset: 0, end: 0 };
/** What a driver gets that asks for checksums or segments before it has said where: they go over the beginning of the frame. */
export const noContext: OffloadContext = {
  ip: nowhere,
  payload: nowhere,
  payloadLength: 0,
  headerLength: 0,
  segmentSize: 0,
  ipv4: false,
  tcp: false,
};

export function readContext(descriptor: DataView): OffloadContext {
  const place = (at: number) => ({
    start: descriptor.getUint8(at),
    offset: descriptor.getUint8(at + 1),
    end: descriptor.getUint16(at + 2, true),
  });
  const command = descriptor.getUint32(8, true);
  return {
    ip: place(0),
    payload: place(4),
    payloadLength: command & 0xf_ffff,
    headerLength: descriptor.getUint8(13),
    segmentSize: descriptor.getUint16(14, true),
    ipv4: (command & IPV4) !== 0,
    tcp: (command & TCP) !== 0,
  };
}

/** Sum up the frame's bytes of `place` and put the checksum there. */
export function insertChecksum(frame: DataView, size: number, { start, offset, end }: ChecksumPlace): void {
  const until = end !== 0 && end < size ? end + 1 : size;
  if (offset >= until - 1) return;
  let sum = 0;
  for (let at = start; at < until; at++) sum += frame.getUint8(at) << ((at - start) % 2 === 0 ? 8 : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  // All ones and all zeros are the same number, and zeros would mean "no checksum".
  frame.setUint16(offset, sum === 0xffff ? 0xffff : ~sum & 0xffff);
}

/** Make the `index`th segment's headers of the first one's; returns whether it is the last. */
export function prepareSegment(
  frame: DataView,
  size: number,
  index: number,
  context: OffloadContext,
  checksum: boolean,
): boolean {
  const ip = context.ip.start;
  if (context.ipv4) {
    frame.setUint16(ip + 2, size - ip);
    frame.setUint16(ip + 4, frame.getUint16(ip + 4) + index);
  } else frame.setUint16(ip + 4, size - ip);
  const start = context.payload.start;
  const length = size - start;
  let last = false;
  if (context.tcp) {
    const sent = index * context.segmentSize;
    frame.setUint32(start + 4, frame.getUint32(start + 4) + sent);
    // Unsigned: a payload longer than its context said has no last segment.
    if ((context.payloadLength - sent) >>> 0 > context.segmentSize) {
      frame.setUint8(start + 13, frame.getUint8(start + 13) & ~LAST_FLAGS);
    } else last = true;
  } else frame.setUint16(start + 4, length);
  if (checksum) {
    // The driver has put the pseudo-header's sum there, without the length.
    const sum = frame.getUint16(context.payload.offset) + (length & 0xffff);
    frame.setUint16(context.payload.offset, (sum >> 16) + (sum & 0xffff));
  }
  return last;
}
