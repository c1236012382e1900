/**
 * Allocations that fail on purpose: failslab for objects (mm/failslab.c), fail_page_alloc for pages (mm/fail_page_alloc.c, once
 * mm/page_alloc.c), with their files in debugfs. What tests a driver's way out of an error is `echo 3 > /proc/self/fail-nth`.
 */

import { EINVAL } from '../uapi/errno.ts';
import { FaultAttribute, type FaultyTask } from './fault-attribute.ts';
import { GFP_DIRECT_RECLAIM_BIT, GFP_HIGHMEM_BIT } from './gfp.ts';
import { parseParameter } from './module-parameters.ts';
import { parseUnsigned, type Sysfs } from './sysfs.ts';

const DEBUGFS = '/sys/kernel/debug';
const MODE = 0o600;
const LONG = 2 ** 32;

interface FaultInjectionHost {
  readonly current: FaultyTask;
  readonly sysfs: Sysfs;
  printk(text: string): void;
  refuse(errno: number, because: string): number;
}

/** The capabilities of one kernel. */
export class FaultInjection {
  readonly #failslab: FaultAttribute;
  readonly #failPageAlloc: FaultAttribute;
  /** failslab/ignore-gfp-wait: only what may not sleep fails. */
  #slabIgnoresWait = true;
  #pageIgnoresWait = true;
  /** Pages of user space never fail. */
  #ignoresHighmem = true;
  /** Smaller blocks never fail: 2^order pages. */
  #minOrder = 1;

  constructor(host: FaultInjectionHost) {
    this.#failslab = new FaultAttribute(host, 'failslab');
    this.#failPageAlloc = new FaultAttribute(host, 'fail_page_alloc');
    const files = new DebugFiles(host);
    files.common('failslab', this.#failslab);
    files.flag('failslab/ignore-gfp-wait', {
      get: () => this.#slabIgnoresWait,
      set: (value) => (this.#slabIgnoresWait = value),
    });
    files.common('fail_page_alloc', this.#failPageAlloc);
    files.flag('fail_page_alloc/ignore-gfp-wait', {
      get: () => this.#pageIgnoresWait,
      set: (value) => (this.#pageIgnoresWait = value),
    });
    files.flag('fail_page_alloc/ignore-gfp-highmem', {
      get: () => this.#ignoresHighmem,
      set: (value) => (this.#ignoresHighmem = value),
    });
    files.number('fail_page_alloc/min-order', {
      get: () => this.#minOrder,
      set: (value) => (this.#minOrder = value),
    });
  }

  /** should_failslab: `what` is the object. */
  failslab(what: string, gfp: number): boolean {
    if (this.#slabIgnoresWait && gfp & GFP_DIRECT_RECLAIM_BIT) return false;
    return this.#failslab.shouldFail(what);
  }

  /** should_fail_alloc_page. */
  failPageAlloc(order: number, gfp: number): boolean {
    if (order < this.#minOrder) return false;
    if (this.#ignoresHighmem && gfp & GFP_HIGHMEM_BIT) return false;
    if (this.#pageIgnoresWait && gfp & GFP_DIRECT_RECLAIM_BIT) return false;
    return this.#failPageAlloc.shouldFail(order === 0 ? 'a page' : `${2 ** order} pages`);
  }
}

interface Setting<T> {
  readonly get: () => T;
  readonly set: (value: T) => void;
}

/** Files of debugfs (fs/debugfs/file.c: debugfs_create_ul, _atomic_t, _u32, _bool). */
class DebugFiles {
  readonly #host: FaultInjectionHost;

  constructor(host: FaultInjectionHost) {
    this.#host = host;
  }

  /** fault_create_debugfs_attr. */
  common(name: string, attribute: FaultAttribute): void {
    this.number(`${name}/probability`, {
      get: () => attribute.probability,
      set: (value) => (attribute.probability = value),
    });
    this.number(`${name}/interval`, { get: () => attribute.interval, set: (value) => (attribute.interval = value) });
    this.number(`${name}/times`, { get: () => attribute.times, set: (value) => (attribute.times = value | 0) }, true);
    this.number(`${name}/verbose`, { get: () => attribute.verbose, set: (value) => (attribute.verbose = value) });
    this.flag(`${name}/task-filter`, {
      get: () => attribute.taskFilter,
      set: (value) => (attribute.taskFilter = value),
    });
  }

  /** 32 bits; `signed` ones take a minus. */
  number(name: string, { get, set }: Setting<number>, signed = false): void {
    this.#file(name, `${signed ? 'a' : 'an unsigned'} number of 32 bits`, {
      show: () => String(get()),
      store: (text) => {
        const minus = signed && text.startsWith('-');
        const magnitude = parseUnsigned(minus ? text.slice(1) : text);
        if (magnitude === undefined || magnitude >= LONG) return false;
        set(minus ? -magnitude : magnitude);
        return true;
      },
    });
  }

  /** kstrtobool. */
  flag(name: string, { get, set }: Setting<boolean>): void {
    this.#file(name, 'Y or N', {
      show: () => (get() ? 'Y' : 'N'),
      store: (text) => {
        const value = parseParameter('boolean', text);
        if (value === undefined) return false;
        set(value === true);
        return true;
      },
    });
  }

  #file(name: string, takes: string, file: { show: () => string; store: (text: string) => boolean }): void {
    this.#host.sysfs.attribute(`${DEBUGFS}/${name}`, {
      mode: MODE,
      show: () => `${file.show()}\n`,
      store: (text) =>
        file.store(text)
          ? text.length
          : this.#host.refuse(EINVAL, `'${text.trim()}' is not ${takes}, which ${name} takes`),
    });
  }
}
