/**
 * Frames between two ends of a wire: a network card and its backend are each other's peer (net/net.c, net/queue.c). What a
 * peer cannot take yet waits, in order, until it says that it can.
 */

import type { EventStream } from '../../event.ts';
import { event } from '../../event.ts';

/** Frames that may wait for one receiver; further ones are lost (nq_maxlen). */
const LONGEST_QUEUE = 10_000;

const mac = (frame: Uint8Array, at: number): string =>
  [...frame.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

export const netFrame = event(
  'net_frame',
  'qemu',
  { from: 'string', to: 'string', size: 'u32', source: 'string', destination: 'string', type: 'u16', what: 'string' },
  (e) =>
    `${e.from} -> ${e.to}: ${e.size} bytes ${e.source} > ${e.destination} type 0x${e.type.toString(16).padStart(4, '0')} ${e.what}`,
  'A frame went from one network client to its peer, or could not.',
);

/** What a card or a backend does with frames that come to it. */
export interface Receiver {
  canReceive(): boolean;
  /** Take `frame`. `refused`: keep it for later. `dropped` and `taken` are the same to the sender. */
  receive(frame: Uint8Array): 'taken' | 'dropped' | 'refused';
}

/** Sees every frame that passes a client; `filter-dump` is one. */
export type Filter = (frame: Uint8Array) => void;

export class NetClient {
  readonly name: string;
  readonly #stream: EventStream;
  readonly #receiver: Receiver;
  readonly #filters: Filter[] = [];
  /** Frames for this client that wait until it can receive. */
  readonly #incoming: Uint8Array[] = [];
  #delivering = false;
  #peer: NetClient | undefined;
  /** What else to flush when this client can receive again: a hub's other ports. */
  onReady: (() => void) | undefined;

  constructor(stream: EventStream, name: string, receiver: Receiver) {
    this.#stream = stream;
    this.name = name;
    this.#receiver = receiver;
  }

  get peer(): NetClient | undefined {
    return this.#peer;
  }

  /** Put this client and `peer` at the two ends of a wire. */
  connect(peer: NetClient): void {
    this.#peer = peer;
    peer.#peer = this;
  }

  /** qemu_del_nic: the wire goes, with the frames that wait for this client. */
  disconnect(): void {
    if (this.#peer !== undefined) this.#peer.#peer = undefined;
    this.#peer = undefined;
    this.#incoming.length = 0;
  }

  addFilter(filter: Filter): void {
    this.#filters.push(filter);
  }

  /** qemu_can_send_packet: whether the peer would take a frame now; without one everything vanishes at once. */
  canSend(): boolean {
    return this.#peer === undefined || this.#peer.#receiver.canReceive();
  }

  /** qemu_send_packet: to the peer, at once or when it can receive. */
  send(frame: Uint8Array): void {
    const peer = this.#peer;
    if (peer === undefined) {
      if (netFrame.on) this.#trace('nothing', frame, 'lost: no peer');
      return;
    }
    for (const filter of this.#filters) filter(frame);
    for (const filter of peer.#filters) filter(frame);
    peer.#take(this, frame);
  }

  /** qemu_receive_packet: what this client sends comes back to it, if it can receive now. */
  loopBack(frame: Uint8Array): void {
    const taken = this.#receiver.canReceive() ? this.#receiver.receive(frame) : 'refused';
    if (netFrame.on) this.#trace(this.name, frame, taken === 'refused' ? 'lost: cannot receive' : taken);
  }

  /** qemu_flush_queued_packets: this client can receive again. */
  flush(): void {
    this.#peer?.onReady?.();
    this.flushIncoming();
  }

  /** qemu_net_queue_flush. */
  flushIncoming(): void {
    const sender = this.#peer;
    if (this.#delivering || sender === undefined) return;
    for (let frame = this.#incoming.shift(); frame !== undefined; frame = this.#incoming.shift()) {
      if (this.#deliver(sender, frame)) continue;
      this.#incoming.unshift(frame);
      return;
    }
  }

  #take(sender: NetClient, frame: Uint8Array): void {
    if (this.#delivering || !sender.canSend() || !this.#deliver(sender, frame)) this.#keep(sender, frame);
    else this.flushIncoming();
  }

  #keep(sender: NetClient, frame: Uint8Array): void {
    const full = this.#incoming.length >= LONGEST_QUEUE;
    if (!full) this.#incoming.push(frame.slice());
    if (netFrame.on) sender.#trace(this.name, frame, full ? 'lost: queue full' : 'waits');
  }

  #deliver(sender: NetClient, frame: Uint8Array): boolean {
    this.#delivering = true;
    const taken = this.#receiver.receive(frame);
    this.#delivering = false;
    if (taken !== 'refused' && netFrame.on) sender.#trace(this.name, frame, taken);
    return taken !== 'refused';
  }

  #trace(to: string, frame: Uint8Array, what: string): void {
    netFrame(this.#stream, {
      from: this.name,
      to,
      size: frame.length,
      source: mac(frame, 6),
      destination: mac(frame, 0),
      type: ((frame[12] ?? 0) << 8) | (frame[13] ?? 0),
      what,
    });
  }
}
