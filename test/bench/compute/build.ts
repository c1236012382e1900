/** The workloads as files that run: gcc -O2 for the host, as a bare image of 64 bits, and as one of 32. */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = 'test/bench/compute';
/** In both images: see boot.S and boot32.S. */
const PARAMETERS = 0x40;

/** A folder of our own, and in it what the host runs; the images are for {@link withParameters}. */
export interface Built {
  readonly folder: string;
  readonly native: string;
  readonly image: Uint8Array;
  readonly image32: Uint8Array;
}

/** Compile all of it into a folder. */
export function build(folder: string): Built {
  const native = join(folder, 'native');
  const gcc = (...words: readonly string[]) =>
    execFileSync('gcc', ['-O2', '-w', '-mgeneral-regs-only', '-fcf-protection=none', ...words]);
  const image = (name: string, boot: string, ...width: readonly string[]) => {
    const file = join(folder, name);
    const bare = ['-ffreestanding', '-fno-stack-protector', '-fno-pic', '-no-pie', '-nostdlib', '-static'];
    const linking = [`-Wl,-T,${SOURCES}/image.ld`, '-Wl,--oformat=binary', '-Wl,--build-id=none'];
    gcc(...width, ...bare, ...linking, '-o', file, `${SOURCES}/${boot}`, `${SOURCES}/workloads.c`);
    return readFileSync(file);
  };
  gcc('-o', native, `${SOURCES}/workloads.c`, `${SOURCES}/native-main.c`);
  return {
    folder,
    native,
    image: image('image', 'boot.S'),
    image32: image('image32', 'boot32.S', '-m32', '-Wl,-m,elf_i386'),
  };
}

/** An image that runs so many rounds of a workload. */
export function withParameters(image: Uint8Array, which: number, rounds: number): Uint8Array {
  const own = Uint8Array.from(image);
  const view = new DataView(own.buffer);
  view.setUint32(PARAMETERS, which, true);
  view.setUint32(PARAMETERS + 4, rounds, true);
  return own;
}

/** … in a file, for a multiboot loader. */
export function kernelFile({ folder }: Built, image: Uint8Array, which: number, rounds: number): string {
  const file = join(folder, 'kernel');
  writeFileSync(file, withParameters(image, which, rounds));
  return file;
}
