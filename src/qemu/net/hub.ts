/** Hubs: a frame that comes to one port goes out of all others (net/hub.c). `-netdev hubport` makes a port. */

import type { EventStream } from '../../event.ts';
import { NetClient } from './net-client.ts';

export class Hub {
  readonly #stream: EventStream;
  readonly #ports: NetClient[] = [];

  constructor(stream: EventStream) {
    this.#stream = stream;
  }

  /** A new port; what is connected to it hears all others. */
  addPort(name: string): NetClient {
    const others = () => this.#ports.filter((port) => port !== added);
    const added: NetClient = new NetClient(this.#stream, name, {
      canReceive: () => others().some((port) => port.canSend()),
      receive: (frame) => {
        for (const port of others()) port.send(frame);
        return 'taken';
      },
    });
    added.onReady = () => {
      for (const port of others()) port.flushIncoming();
    };
    this.#ports.push(added);
    return added;
  }
}
