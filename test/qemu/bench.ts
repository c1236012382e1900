/** A booted host, and QEMU on it with a guest written in place: what the tests of src/qemu run. */

import { assemble } from '../../lang/assembler/assemble.ts';
import { formatDiagnostic } from '../../lang/assembler/diagnostics.ts';
import { KERNEL_LAYOUT, link } from '../../lang/object/link.ts';
import { hva, MiB } from '../../src/address.ts';
import { EventStream, matchingEvents } from '../../src/event.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { Kernel } from '../../src/linux/core/kernel.ts';
import { registerMtty } from '../../src/linux/drivers/mtty.ts';
import { registerVmbuf } from '../../src/linux/drivers/vmbuf.ts';
import { initKvm, type KvmModule } from '../../src/linux/kvm/kvm.ts';
import { initMdev } from '../../src/linux/mdev/core.ts';
import { O_WRONLY, type UserProcess } from '../../src/linux/uapi/syscalls.ts';
import { initVfio } from '../../src/linux/vfio/init.ts';
import { Qemu } from '../../src/qemu/main.ts';
import { watchLeaks } from '../linux/leaks.ts';

export const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
export const MDEV = `/sys/bus/mdev/devices/${UUID}`;

/** An ELF image of `source`, whose entry is `startup_64`. */
export function guestImage(source: string): Uint8Array {
  const text = `bits 64\ndefault rel\nglobal startup_64\nsection .text\nstartup_64:\n${source}\n`;
  const assembled = assemble({ name: 'guest.gasm', text }, { includePath: () => undefined });
  if ('diagnostics' in assembled) throw new Error(assembled.diagnostics.map(formatDiagnostic).join('\n'));
  const linked = link([assembled.object], [], KERNEL_LAYOUT);
  if ('diagnostics' in linked) throw new Error(linked.diagnostics.map(formatDiagnostic).join('\n'));
  return linked.image;
}

/** Write `value` (an immediate or register) to isa-debug-exit: the guest's last instruction. */
export const exitWith = (value: string): string => `mov eax, ${value}\nmov dx, 0x501\nout dx, eax\n`;

export interface Finished {
  /** Exit code of a QEMU that did not get to running; undefined if it ran. */
  readonly init: number | undefined;
  readonly end: ReturnType<Qemu['run']> | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** The events asked for, as `name text`. */
  readonly trace: readonly string[];
}

export class Host {
  readonly stream: EventStream;
  readonly kernel: Kernel;
  readonly kvm: KvmModule;
  readonly log: string[] = [];
  readonly #shell: UserProcess;

  constructor() {
    this.stream = new EventStream(() => 0n);
    this.kernel = new Kernel({ memory: new PhysicalMemory(MiB(256)), stream: this.stream });
    this.kvm = initKvm(this.kernel);
    watchLeaks(this.kernel);
    initVfio(this.kernel);
    initMdev(this.kernel);
    registerMtty(this.kernel.modules);
    registerVmbuf(this.kernel.modules);
    this.kernel.log.subscribe((line) => this.log.push(line));
    this.#shell = this.kernel.spawn('sh', () => {}).user;
  }

  /** `modprobe NAME PARAMETERS`. */
  modprobe(name: string, parameters = ''): void {
    const result = this.#shell.syscalls.init_module(name, parameters);
    if (result !== 0) throw new Error(`modprobe ${name}: ${result}`);
  }

  /** `echo TEXT > PATH`. */
  echo(text: string, path: string): void {
    const { syscalls, memory } = this.#shell;
    const buffer = hva(syscalls.mmap(4096, 3, 0x22, -1, 0));
    memory.write(buffer, new TextEncoder().encode(`${text}\n`));
    const fd = syscalls.open(path, O_WRONLY);
    const result = fd < 0 ? fd : syscalls.write(fd, buffer, text.length + 1);
    if (result < 0) throw new Error(`echo > ${path}: ${result}`);
    syscalls.close(fd);
    syscalls.munmap(buffer, 4096);
  }

  /** An mdev of mtty's first type, or of vmbuf, named {@link UUID}. */
  createMdev(driver: 'mtty' | 'vmbuf', parameters = ''): void {
    this.modprobe(driver, parameters);
    const type = driver === 'mtty' ? 'mtty-1' : 'vmbuf-1';
    this.echo(UUID, `/sys/class/mdev_bus/${driver}/mdev_supported_types/${type}/create`);
  }

  /** Run QEMU with `argv`; `guest` is the kernel's source, undefined for no -kernel. `events` is a glob to trace. */
  qemu(argv: readonly string[], guest?: string, events = ''): Finished {
    let stdout = '';
    let stderr = '';
    const trace: string[] = [];
    if (events !== '') {
      this.stream.subscribe(matchingEvents(events), ({ event, fields }) =>
        trace.push(`${event.title} ${event.text(fields as never)}`),
      );
    }
    const { process, user } = this.kernel.spawn('qemu-system-x86_64', (fd, bytes) => {
      const text = new TextDecoder().decode(bytes);
      if (fd === 1) stdout += text;
      else stderr += text;
    });
    const kernel: string[] = [];
    if (guest !== undefined) {
      this.kernel.files.createFile('/boot/guest.elf', guestImage(guest));
      kernel.push('-kernel', '/boot/guest.elf');
    }
    const qemu = new Qemu(user, this.stream, [...argv, ...kernel]);
    const init = qemu.init();
    const end = init === undefined ? qemu.run() : undefined;
    process.exit();
    return { init, end, stdout, stderr, trace };
  }
}
