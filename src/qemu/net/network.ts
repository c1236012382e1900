/** The machine's network: what `-netdev` and `-object filter-dump` ask for, and the names and addresses of its cards. */

import { ConfigurationError } from '../error.ts';
import { type KeyValueOption, OptionError } from '../key-values.ts';
import type { System } from '../system.ts';
import type { TimerList } from '../timer.ts';
import { dumpTo } from './filter-dump.ts';
import { Hub } from './hub.ts';
import type { NetClient } from './net-client.ts';

/** qemu_macaddr_default_if_unset: the first card's address ends in 56. */
const DEFAULT_MAC = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56] as const;
const DEFAULT_MAXLEN = 65_536;

export class Network {
  readonly #system: System;
  readonly #timers: TimerList;
  readonly #hubs = new Map<number, Hub>();
  readonly #netdevs = new Map<string, NetClient>();
  readonly #named = new Map<string, number>();
  #macs = 0;

  constructor(system: System, timers: TimerList) {
    this.#system = system;
    this.#timers = timers;
  }

  /** `-netdev hubport,id=ID,hubid=N`. Refusals are OptionErrors. */
  addNetdev({ where, kind, values }: KeyValueOption): void {
    if (kind !== 'hubport') {
      throw new OptionError(where, `Parameter 'type' does not accept value '${kind}'`, 'Known: hubport');
    }
    const { id, hubid } = required(where, values, ['id', 'hubid']);
    if (this.#netdevs.has(id!)) throw new OptionError(where, `Duplicate ID '${id}' for netdev`);
    const number = Number(hubid);
    if (!/^\d+$/.test(hubid!)) throw new OptionError(where, "Parameter 'hubid' expects a number");
    const hub = this.#hubs.get(number) ?? new Hub(this.#system.stream);
    this.#hubs.set(number, hub);
    this.#netdevs.set(id!, hub.addPort(id!));
  }

  /** `-object filter-dump,id=ID,netdev=NETDEV,file=PATH[,maxlen=N]`. Refusals are OptionErrors. */
  addFilterDump({ where, values }: KeyValueOption): void {
    const { netdev, file } = required(where, values, ['id', 'netdev', 'file'], ['maxlen']);
    const maxlen = values.get('maxlen');
    if (maxlen !== undefined && !/^[1-9]\d*$/.test(maxlen)) {
      throw new OptionError(where, "Property 'filter-dump.maxlen' doesn't take value '0'");
    }
    const client = this.#netdevs.get(netdev!);
    if (client === undefined) throw new OptionError(where, "Parameter 'netdev' expects a network backend id");
    try {
      client.addFilter(dumpTo(this.#system, this.#timers, file!, Number(maxlen ?? DEFAULT_MAXLEN)));
    } catch (error) {
      throw error instanceof ConfigurationError ? new OptionError(where, error.message) : error;
    }
  }

  /** Put the card `client` at the other end of `netdev`. Refusals are ConfigurationErrors. */
  connect(netdev: string, client: NetClient): void {
    const backend = this.#netdevs.get(netdev);
    if (backend === undefined) {
      throw new ConfigurationError(`Property 'e1000.netdev' can't find value '${netdev}'`);
    }
    if (backend.peer !== undefined) {
      throw new ConfigurationError(`Property 'e1000.netdev' can't take value '${netdev}', it's in use`);
    }
    client.connect(backend);
  }

  /** The address of a card that was given none. */
  nextMac(): readonly number[] {
    const [a, b, c, d, e, f] = DEFAULT_MAC;
    return [a, b, c, d, e, f + this.#macs++];
  }

  /** assign_name: the name of a card without an id, `e1000.0`. */
  nextName(model: string): string {
    const number = this.#named.get(model) ?? 0;
    this.#named.set(model, number + 1);
    return `${model}.${number}`;
  }
}

/** The values, after checking that those needed are there and no others than the optional ones. */
function required(
  where: string,
  values: ReadonlyMap<string, string>,
  needed: readonly string[],
  optional: readonly string[] = [],
): Readonly<Record<string, string>> {
  for (const name of needed) if (!values.has(name)) throw new OptionError(where, `Parameter '${name}' is missing`);
  for (const name of values.keys()) {
    if (![...needed, ...optional].includes(name)) throw new OptionError(where, `Invalid parameter '${name}'`);
  }
  return Object.fromEntries(values);
}
