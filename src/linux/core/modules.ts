/**
 * Loadable modules (kernel/module, kernel/params.c): what insmod, modprobe and rmmod reach, parameters, use counts, and
 * /sys/module. The host's drivers are TypeScript, so "the file" of a module is its registration here.
 */

import { EAGAIN, EBUSY, EEXIST, EINVAL, ENOENT, ERANGE } from '../uapi/errno.ts';
import {
  isTooWide,
  type ParameterKind,
  type ParameterValue,
  parseParameter,
  showParameter,
  splitParameters,
} from './module-parameters.ts';
import type { Sysfs } from './sysfs.ts';

/** Values of a load, by parameter name; those not given are absent. */
export type Parameters = Readonly<Record<string, ParameterValue>>;

/** A driver that can be loaded. `K` is the kernel it is written for. */
export interface LoadableModule<K> {
  readonly name: string;
  readonly parameters: Readonly<Record<string, ParameterKind>>;
  /** module_init: 0 or -errno, which fails the load. */
  init(kernel: K, parameters: Parameters): number;
  /** module_exit; a module without one cannot be unloaded. */
  exit?(kernel: K): void;
}

/** One loaded module: `struct module`. */
export class LoadedModule {
  readonly name: string;
  #references = 0;
  #live = true;

  constructor(name: string) {
    this.name = name;
  }

  get references(): number {
    return this.#references;
  }

  /** try_module_get: false once the module is on its way out. */
  tryGet(): boolean {
    if (!this.#live) return false;
    this.#references++;
    return true;
  }

  /** module_put. */
  put(): void {
    this.#references--;
  }

  /** No more references from now on. */
  going(): void {
    this.#live = false;
  }
}

interface ModuleHost {
  readonly sysfs: Sysfs;
  printk(text: string): void;
  refuse(errno: number, because: string): number;
}

/** The modules that exist on the host, and those that are loaded. */
export class ModuleRegistry<K = unknown> {
  readonly #kernel: K;
  readonly #host: ModuleHost;
  readonly #known = new Map<string, LoadableModule<K>>();
  readonly #loaded = new Map<string, LoadedModule>();

  /** `kernel` is handed to the modules; `host` is the same kernel as far as this file knows it. */
  constructor(kernel: K, host: ModuleHost) {
    this.#kernel = kernel;
    this.#host = host;
  }

  /** Put a module where modprobe finds it. */
  register(module: LoadableModule<K>): void {
    this.#known.set(canonicalName(module.name), module);
  }

  /** Names of the modules that could be loaded, sorted. */
  available(): readonly string[] {
    return [...this.#known.keys()].sort();
  }

  /** Loaded modules in the order of their loading; lsmod. */
  loaded(): readonly LoadedModule[] {
    return [...this.#loaded.values()];
  }

  /** The loaded module of this name (find_module). */
  find(name: string): LoadedModule | undefined {
    return this.#loaded.get(canonicalName(name));
  }

  /**
   * Load `name` with `key=value …`. -ENOENT: no such module; -EEXIST: loaded already; -EINVAL: a value is malformed; or what
   * the module's init returned. An unknown parameter is logged and ignored, as Linux does (unknown_module_param_cb).
   */
  load(name: string, text: string): number {
    const module = this.#known.get(canonicalName(name));
    if (module === undefined)
      return this.#host.refuse(ENOENT, `there is no module ${name}; there are ${this.available().join(', ')}`);
    if (this.#loaded.has(canonicalName(name)))
      return this.#host.refuse(EEXIST, `module ${module.name} is loaded already`);
    const parameters = this.#parse(module, text);
    if (typeof parameters === 'number') return parameters;
    const loaded = new LoadedModule(module.name);
    this.#loaded.set(canonicalName(name), loaded);
    this.#show(module, loaded, parameters);
    const result = module.init(this.#kernel, parameters);
    if (result < 0) this.#forget(module);
    return Math.min(result, 0);
  }

  /** Unload: -ENOENT not loaded, -EAGAIN in use (EWOULDBLOCK), -EBUSY it has no exit. */
  unload(name: string): number {
    const loaded = this.find(name);
    const module = this.#known.get(canonicalName(name));
    if (loaded === undefined || module === undefined) return this.#host.refuse(ENOENT, `module ${name} is not loaded`);
    if (loaded.references > 0) {
      return this.#host.refuse(EAGAIN, `module ${loaded.name} is in use: ${loaded.references} reference(s)`);
    }
    if (module.exit === undefined) return this.#host.refuse(EBUSY, `module ${loaded.name} has no exit function`);
    loaded.going();
    module.exit(this.#kernel);
    this.#forget(module);
    return 0;
  }

  #parse(module: LoadableModule<K>, text: string): Parameters | number {
    const values: Record<string, ParameterValue> = {};
    for (const { key, value } of splitParameters(text)) {
      const kind = module.parameters[key];
      if (kind === undefined) {
        this.#host.printk(`${module.name}: unknown parameter '${key}' ignored`);
        continue;
      }
      const parsed = parseParameter(kind, value);
      if (parsed === undefined) {
        this.#host.printk(`${module.name}: \`${value ?? ''}' invalid for parameter \`${key}'`);
        return this.#unsuitable(kind, key, value);
      }
      values[key] = parsed;
    }
    return values;
  }

  #unsuitable(kind: ParameterKind, key: string, text: string | undefined): number {
    if (text === undefined) return this.#host.refuse(EINVAL, `parameter ${key} takes a value: ${key}=…`);
    if (isTooWide(kind, text)) return this.#host.refuse(ERANGE, `parameter ${key}: ${text} has more than 32 bits`);
    return this.#host.refuse(EINVAL, `parameter ${key}: '${text}' is no ${kind}`);
  }

  #show(module: LoadableModule<K>, loaded: LoadedModule, parameters: Parameters): void {
    const { sysfs } = this.#host;
    const directory = `/sys/module/${module.name}`;
    sysfs.directory(`${directory}/holders`);
    sysfs.attribute(`${directory}/initstate`, { mode: 0o444, show: () => 'live\n' });
    sysfs.attribute(`${directory}/refcnt`, { mode: 0o444, show: () => `${loaded.references}\n` });
    for (const [key, kind] of Object.entries(module.parameters)) {
      const value = parameters[key];
      if (value === undefined) continue;
      sysfs.attribute(`${directory}/parameters/${key}`, { mode: 0o444, show: () => showParameter(kind, value) });
    }
  }

  #forget(module: LoadableModule<K>): void {
    this.#loaded.delete(canonicalName(module.name));
    this.#host.sysfs.remove(`/sys/module/${module.name}`);
  }
}

/** A dash and an underscore are the same in a module's name. */
const canonicalName = (name: string): string => name.replaceAll('-', '_');
