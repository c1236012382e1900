/**
 * JavaScript's own objects (and two of Node's), as they were before a file of the user's was loaded. gvm lives in one process with
 * that file: one that replaces `Array.prototype.push` replaces it for gvm as well, and what then goes wrong looks like gvm's defect.
 *
 * What compares and puts back uses nothing that could have been replaced: loops over indices, and functions taken before.
 */

const { defineProperty, deleteProperty, getOwnPropertyDescriptor, getPrototypeOf, has, ownKeys } = Reflect;
const toText = String;

/** An object of JavaScript's own, as one writes it: `Array.prototype`. */
interface BuiltIn {
  readonly name: string;
  readonly object: object;
  readonly keys: readonly PropertyKey[];
  /** Its functions and getters; undefined for what is neither: Error.stackTraceLimit is there to be set. */
  readonly mechanisms: readonly (PropertyDescriptor | undefined)[];
}

/** The global objects that are no functions. */
const NAMESPACES: ReadonlySet<string> = new Set(['Atomics', 'Intl', 'JSON', 'Math', 'Reflect', 'WebAssembly']);

/** Node's, which an assignment replaces behind their getters. */
const NODES = ['process', 'Buffer'] as const;
const nodes: Readonly<Record<(typeof NODES)[number], unknown>> = { process, Buffer };

let builtIns: readonly BuiltIn[] | undefined;

/** Note them: before the first file of the user's in a run. */
export function rememberBuiltIns(): void {
  if (builtIns !== undefined) return;
  // Of the global objects those of JavaScript itself are hidden, plain and native; what a test runner has put beside them is its own.
  const names = Object.getOwnPropertyNames(globalThis).filter((name) => {
    const { value, enumerable, writable } = getOwnPropertyDescriptor(globalThis, name)!;
    return enumerable === false && writable === true && (isNative(value) || NAMESPACES.has(name));
  });
  const values = new Map<string, object>([
    ...names.map((name) => [name, Reflect.get(globalThis, name)] as const),
    ['TypedArray', getPrototypeOf(Uint8Array)!],
  ]);
  const prototypes = [...values].flatMap(([name, { prototype }]: [string, { prototype?: unknown }]) =>
    isObject(prototype) ? [[`${name}.prototype`, prototype] as const] : [],
  );
  const iterator = getPrototypeOf([][Symbol.iterator]())!;
  builtIns = [
    builtIn('', globalThis, names),
    ...[...values, ...prototypes, ['ArrayIterator.prototype', iterator] as const].map(([name, object]) =>
      builtIn(name, object, ownKeys(object)),
    ),
  ];
}

/** The run is over: what others change from now on, such as a test runner, is theirs. */
export function forgetBuiltIns(): void {
  builtIns = undefined;
}

const isNative = (value: unknown): boolean =>
  typeof value === 'function' && Function.prototype.toString.call(value).endsWith('{ [native code] }');

const isObject = (value: unknown): value is object =>
  typeof value === 'function' || (typeof value === 'object' && value !== null);

const builtIn = (name: string, object: object, keys: readonly PropertyKey[]): BuiltIn => ({
  name,
  object,
  keys,
  mechanisms: keys.map((key) => {
    const descriptor = getOwnPropertyDescriptor(object, key)!;
    // prepareStackTrace is V8's hook, which jiti and others set.
    const isOne = descriptor.get !== undefined || isObject(descriptor.value);
    return isOne && key !== 'prepareStackTrace' ? descriptor : undefined;
  }),
});

/** Put back what has been changed since: the name of the first that was; undefined if all is as it was. */
export function putBackBuiltIns(): string | undefined {
  if (builtIns === undefined) return undefined;
  let found: string | undefined;
  // Additions first: a descriptor inherits what Object.prototype has.
  for (let index = 0; index < builtIns.length; index++) {
    const added = withoutAdditions(builtIns[index]!);
    found ??= added;
  }
  for (let index = 0; index < builtIns.length; index++) {
    const changed = withMechanisms(builtIns[index]!);
    found ??= changed;
  }
  for (let index = 0; index < NODES.length; index++) {
    const name = NODES[index]!;
    if (globalThis[name] === nodes[name]) continue;
    globalThis[name] = nodes[name] as never;
    found ??= name;
  }
  return found;
}

/** Take away what has been added and is in the way: to Object.prototype anything, elsewhere what hides an inherited function. */
function withoutAdditions({ name, object, keys }: BuiltIn): string | undefined {
  let found: string | undefined;
  const parent = getPrototypeOf(object);
  // Whatever else is added, a method of a set or a global, is nobody's concern.
  if (object !== Object.prototype && (parent === Object.prototype || parent === null)) return undefined;
  const now = ownKeys(object);
  for (let index = 0; index < now.length; index++) {
    const key = now[index]!;
    if (isAmong(keys, key)) continue;
    if (parent !== null && (!has(parent, key) || has(Object.prototype, key))) continue;
    if (deleteProperty(object, key)) found ??= nameOf(name, key);
  }
  return found;
}

/** Give back the functions and getters that were there. */
function withMechanisms({ name, object, keys, mechanisms }: BuiltIn): string | undefined {
  let found: string | undefined;
  for (let index = 0; index < keys.length; index++) {
    const was = mechanisms[index];
    if (was === undefined) continue;
    const now = getOwnPropertyDescriptor(object, keys[index]!);
    if (now !== undefined && now.value === was.value && now.get === was.get && now.set === was.set) continue;
    // One that can no more be changed stays, and cannot be helped.
    defineProperty(object, keys[index]!, was);
    found ??= nameOf(name, keys[index]!);
  }
  return found;
}

function isAmong(keys: readonly PropertyKey[], key: PropertyKey): boolean {
  for (let index = 0; index < keys.length; index++) if (keys[index] === key) return true;
  return false;
}

function nameOf(holder: string, key: PropertyKey): string {
  if (typeof key === 'symbol') return `${holder}[${key.description}]`;
  return holder === '' ? toText(key) : `${holder}.${toText(key)}`;
}
