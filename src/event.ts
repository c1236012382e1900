/**
 * Tracepoints: one stream of typed events from every layer of the model.
 *
 * An event is declared once with {@link event}: its name as the kernel or QEMU spells it, its layer, its fields, its
 * text in the original's format, and one line of documentation. It is fired as
 * `if (kvmPio.on) kvmPio(stream, { … })`: while nobody listens, that is one load and one branch.
 */

/** Who speaks: `--trace` prints it, reports draw a lane for each. */
export type Layer = 'guest' | 'vcpu' | 'kvm' | 'qemu' | 'syscall' | 'host' | 'vfio' | 'mdev' | 'driver';

/** Type of one event field. `u64` and `s64` values are bigints, everything narrower (and addresses) a number. */
export type FieldType = 'bool' | 'u8' | 'u16' | 'u32' | 's32' | 'address' | 'u64' | 's64' | 'string';
type FieldValue<T extends FieldType> = T extends 'bool'
  ? boolean
  : T extends 'string'
    ? string
    : T extends 'u64' | 's64'
      ? bigint
      : number;
export type Schema = Readonly<Record<string, FieldType>>;
export type FieldsOf<S extends Schema> = { readonly [K in keyof S]: FieldValue<S[K]> };

/** The declaration of one event; call it to fire. `on` is true while any stream listens to it. */
export interface Event<S extends Schema = Schema> {
  (stream: EventStream, fields: FieldsOf<S>): void;
  /** The event's name as its original spells it: `kvm_pio`, `vfio_region_write`. (`name` is taken by Function.) */
  readonly title: string;
  readonly layer: Layer;
  readonly schema: S;
  readonly doc: string;
  readonly text: (fields: FieldsOf<S>) => string;
  /** Not told of on an exit's way: who listens to nothing else is no burden there. */
  readonly aside: boolean;
  on: boolean;
}

/** One fired event as a sink gets it. `time` is virtual nanoseconds; `access` the guest access that caused it, 0 if none. */
export interface EventRecord {
  readonly event: Event;
  readonly fields: Readonly<Record<string, boolean | number | bigint | string>>;
  readonly time: bigint;
  readonly access: number;
}

const registry = new Map<string, Event>();

/** Declare an event. `text` receives the fields and returns the words after the event's name; `aside` is {@link Event.aside}. */
export function event<const S extends Schema>(
  title: string,
  layer: Layer,
  schema: S,
  text: (fields: FieldsOf<S>) => string,
  doc: string,
  aside = false,
): Event<S> {
  const fire = (stream: EventStream, fields: FieldsOf<S>) => stream.emit(fire as unknown as Event, fields);
  const declared = fire as unknown as { -readonly [K in keyof Event<S>]: Event<S>[K] };
  // One by one: Object.assign on a function takes twenty times as long, and there are four hundred of them to be declared.
  declared.title = title;
  declared.layer = layer;
  declared.schema = schema;
  declared.text = text;
  declared.doc = doc;
  declared.aside = aside;
  declared.on = false;
  registry.set(title, fire as unknown as Event);
  return fire as unknown as Event<S>;
}

/** All declared events, by name. Only the modules that have been imported have declared theirs. */
export const events = (): readonly Event[] => [...registry.values()].sort((a, b) => (a.title < b.title ? -1 : 1));

/**
 * `kvm_*,!kvm_entry`: a later pattern overrules an earlier one. The guest's own steps (layer `guest`) are many and slow the
 * guest down: a pattern that begins with `*` does not mean them, `guest_*` does.
 */
export function matchingEvents(globs: string): readonly Event[] {
  const patterns = globs.split(',').map((glob) => {
    const negative = glob.startsWith('!');
    const words = (negative ? glob.slice(1) : glob)
      .split('*')
      .map((word) => word.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'));
    return { negative, open: glob.startsWith('*'), regex: new RegExp(`^${words.join('.*')}$`) };
  });
  const chosen = ({ title, layer }: Event) =>
    patterns.reduce(
      (on, { negative, open, regex }) =>
        regex.test(title) && !(open && layer === 'guest' && !negative) ? !negative : on,
      false,
    );
  return events().filter(chosen);
}

interface Subscription {
  readonly events: ReadonlySet<Event>;
  readonly sink: (record: EventRecord) => void;
}

/** Subscriptions to an event over all machines of this process: `on` is true while there is one. */
const listeners = new Map<Event, number>();
let subscribed = 0;
function listen(event: Event, change: 1 | -1): void {
  const count = (listeners.get(event) ?? 0) + change;
  listeners.set(event, count);
  event.on = count > 0;
  if (event.aside) return;
  subscribed += change;
  const on = subscribed > 0;
  if (watch.on !== on) watch.on = on;
}

/**
 * `on` while anybody listens to any event that is told of on an exit's way: sites there ask this first, `if (watch.on && kvmPio.on)`. In a
 * process in which it has never been so, it is a constant for the engine, which leaves the sites out. It is an object for that: of a
 * variable V8 knows no such thing.
 */
export const watch = { on: false };

/** The events of one machine, in order, delivered to its sinks. */
export class EventStream {
  readonly #now: () => bigint;
  readonly #sinks = new Set<Subscription>();
  /** Number of the guest access being served; {@link left} counts it up. */
  access = 0;
  /** rip of that access's instruction, in halves: a bigint at each exit would be an allocation. */
  #ripLow = 0;
  #ripHigh = 0;
  /**
   * Names a place of the guest's program, `file.gasm:12`, for events that carry one: a debugger's knowledge, which the machine
   * has not. Set by who knows the program.
   */
  placeOf: (rip: bigint) => string = () => '';

  /** Called for each new listener: who does more at once than events can be told of stops that. */
  onListener: () => void = () => {};

  /** `now` reads the machine's virtual clock, in nanoseconds. */
  constructor(now: () => bigint) {
    this.#now = now;
  }

  /** A vCPU has left the guest at the instruction `high`:`low`: what follows belongs to this access. Hot. */
  left(low: number, high: number): void {
    this.access++;
    this.#ripLow = low;
    this.#ripHigh = high;
  }

  /**
   * Where the instruction of the access being served stands. The registers do not tell: a write to a device's memory is served
   * when rip is past it.
   */
  get accessRip(): bigint {
    return BigInt.asUintN(64, (BigInt(this.#ripHigh) << 32n) | BigInt(this.#ripLow >>> 0));
  }

  /** Deliver every later firing of `chosen` to `sink`, until the returned function is called. */
  subscribe(chosen: Iterable<Event>, sink: (record: EventRecord) => void): () => void {
    this.onListener();
    const subscription = { events: new Set(chosen), sink };
    this.#sinks.add(subscription);
    for (const event of subscription.events) listen(event, 1);
    return () => {
      if (!this.#sinks.delete(subscription)) return;
      for (const event of subscription.events) listen(event, -1);
    };
  }

  /** End all subscriptions: the machine is gone, and other machines of this process need not pay for its listeners. */
  close(): void {
    for (const { events } of this.#sinks) for (const event of events) listen(event, -1);
    this.#sinks.clear();
  }

  /** The processor completes an instruction for the hypervisor: what it does belongs to the access being served. */
  serving = false;

  /**
   * Fire for the processor while the guest runs, with the number of the next access: what it does before it leaves the guest
   * belongs to the access that it leaves for.
   */
  ahead(fire: () => void): void {
    const number = this.access;
    if (!this.serving) this.access = number + 1;
    fire();
    this.access = number;
  }

  emit(fired: Event, fields: EventRecord['fields']): void {
    for (const { events: chosen, sink } of this.#sinks) {
      if (chosen.has(fired)) sink({ event: fired, fields, time: this.#now(), access: this.access });
    }
  }
}
