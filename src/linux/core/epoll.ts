/**
 * epoll: a set of files, and which of them are ready (fs/eventpoll.c). Files with a wait queue put themselves on the ready
 * list when they wake; the others are asked at every wait. Level-triggered only.
 */

import { EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM } from '../uapi/errno.ts';
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, type Sleeper } from '../uapi/syscalls.ts';
import type { FileOperations, OpenFile } from './file.ts';
import type { RefusingContext } from './uaccess.ts';

interface Item {
  readonly fd: number;
  readonly file: OpenFile;
  events: number;
  queued: boolean;
  leave: (() => void) | undefined;
}

const NOTHING: readonly number[] = [];

/** eventpoll_fops. */
export const epollOperations: FileOperations = { release: (file) => (file.privateData as Epoll).release() };

/** is_file_epoll. Hot: comparing the operations is quicker than `instanceof`. */
export const isEpollFile = (file: OpenFile): file is OpenFile<Epoll> => file.operations === epollOperations;

interface EpollHost extends RefusingContext {
  kmalloc(what: string): boolean;
}

/** struct eventpoll. */
export class Epoll {
  readonly #items = new Map<number, Item>();
  readonly #kernel: EpollHost;
  /** Items that may be ready, in the order in which they woke. */
  #ready: Item[] = [];
  /** Threads that wait for such. */
  readonly #sleepers: Sleeper[] = [];

  constructor(kernel: EpollHost) {
    this.#kernel = kernel;
  }

  /** epoll_ctl: 0 or -errno. `file` is what `fd` names now. */
  control(operation: number, fd: number, file: OpenFile | undefined, events: number): number {
    const kernel = this.#kernel;
    if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open: epoll cannot watch it`);
    if (file.privateData === this) return kernel.refuse(EINVAL, 'an epoll set does not wait for itself');
    const item = this.#items.get(fd);
    switch (operation) {
      case EPOLL_CTL_ADD:
        if (isEpollFile(file) && file.privateData.reaches(this))
          return kernel.refuse(ELOOP, `fd ${fd} is an epoll set that waits for this one`);
        if (item !== undefined) return kernel.refuse(EEXIST, `the epoll set has fd ${fd} already`);
        if (!kernel.kmalloc('struct epitem')) return -ENOMEM;
        this.#add({ fd, file, events, queued: false, leave: undefined });
        return 0;
      case EPOLL_CTL_DEL:
        if (item === undefined) return kernel.refuse(ENOENT, `the epoll set does not have fd ${fd}`);
        this.#remove(item);
        return 0;
      case EPOLL_CTL_MOD:
        if (item === undefined) return kernel.refuse(ENOENT, `the epoll set does not have fd ${fd}`);
        item.events = events;
        this.#queue(item);
        return 0;
      default:
        return kernel.refuse(EINVAL, `epoll_ctl has no operation ${operation}`);
    }
  }

  /** ep_loop_check: whether this set, or one that it waits for, waits for `set`. */
  reaches(set: Epoll): boolean {
    for (const { file } of this.#items.values())
      if (isEpollFile(file) && (file.privateData === set || file.privateData.reaches(set))) return true;
    return false;
  }

  /** epoll_wait with timeout 0: the descriptors that are ready now, each of them again at the next wait if it still is. */
  wait(): readonly number[] {
    return this.#ready.length === 0 ? NOTHING : this.#collect();
  }

  /** epoll_wait without a timeout: `thread` sleeps until an item may be ready, unless one may be now. */
  sleep(thread: Sleeper): void {
    if (this.#ready.length > 0) return;
    thread.asleep = true;
    this.#sleepers.push(thread);
  }

  /** The last descriptor of the set is closed. */
  release(): void {
    for (const item of this.#items.values()) item.leave?.();
    this.#items.clear();
    this.#ready = [];
  }

  #add(item: Item): void {
    this.#items.set(item.fd, item);
    item.leave = item.file.operations.wait?.(item.file, () => this.#queue(item));
    this.#queue(item);
  }

  #remove(item: Item): void {
    item.leave?.();
    this.#items.delete(item.fd);
    this.#ready = this.#ready.filter((other) => other !== item);
  }

  #queue(item: Item): void {
    if (item.queued) return;
    item.queued = true;
    this.#ready.push(item);
    for (const thread of this.#sleepers.splice(0)) thread.asleep = false;
  }

  #collect(): readonly number[] {
    const asked = this.#ready;
    this.#ready = [];
    const ready: number[] = [];
    for (const item of asked) {
      item.queued = false;
      const holds = ((item.file.operations.poll?.(item.file) ?? item.events) & item.events) !== 0;
      if (holds) ready.push(item.fd);
      if (holds || item.leave === undefined) this.#queue(item);
    }
    return ready;
  }
}
