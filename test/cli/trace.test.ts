/** `gvm trace`, `--trace-out`, `--causal` and `gvm stat` as a user meets them. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { gvm, gvmWith, ROOT } from './gvm.ts';

const PROGRAM = 'programs/vm-buffer/vm-buffer.gasm';
const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gvm-trace-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a trace file', () => {
  test('.txt holds ftrace lines of the chosen events alone', () => {
    const path = join(folder, 't.txt');
    expect(gvm('run', PROGRAM, '--trace', 'kvm_pio[port=0x1000-0x1004]', '--trace-out', path).stderr).not.toContain(
      'kvm_pio',
    );
    const lines = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => !line.startsWith('#'));
    expect(lines).toEqual([
      expect.stringMatching(
        /^ qemu-system-x86-\d+ +\[000\] \.{5} +\d+\.\d{6}: kvm_pio: pio_write at 0x1000 size 4 count 1 val 0x100f0c0 $/,
      ),
      expect.stringMatching(
        /^ qemu-system-x86-\d+ +\[000\] \.{5} +\d+\.\d{6}: kvm_pio: pio_write at 0x1004 size 4 count 1 val 0x0 $/,
      ),
      '',
    ]);
  });

  test('.jsonl ends with the number of its events, .json is one JSON value', () => {
    const [lines, chrome] = [join(folder, 't.jsonl'), join(folder, 't.json')];
    expect(gvm('trace', PROGRAM, '-o', lines).status).toBe(0);
    const all = readFileSync(lines, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(all.at(-1)).toEqual({ end: true, events: all.length - 2 });
    expect(gvm('trace', PROGRAM, '-o', chrome).status).toBe(0);
    expect(JSON.parse(readFileSync(chrome, 'utf8')).traceEvents.length).toBeGreaterThan(all.length);
    expect(readdirSync(folder).sort()).toEqual(['t.json', 't.jsonl']);
  });

  test('times do not depend on which events are written', () => {
    const times = (events: string) =>
      gvm('trace', PROGRAM, '--trace', events, '--format', 'jsonl')
        .stdout.split('\n')
        .filter((line) => line.includes('"event":"mdev_access"'));
    expect(times('mdev_access')).toEqual(times('*'));
    expect(times('sys_*,mdev_access')).toEqual(times('*'));
    expect(times('mdev_access').length).toBeGreaterThan(2);
  });

  test('a run that never came to its end leaves none', () => {
    const path = join(folder, 't.txt');
    const ran = gvmWith(
      { 'p.gasm': '; host: modprobe nosuch\n global init_module\ninit_module: ret\n' },
      'trace',
      'p.gasm',
      '-o',
      path,
    );
    expect(ran.status).toBe(2);
    expect(readdirSync(folder)).toEqual([]);
  });

  const formats = ['txt', 'jsonl', 'json', 'html'];
  test.skipIf(!existsSync('/dev/full')).each(formats)('.%s on a full disk: the error says so', (format) => {
    const ran = gvm('trace', PROGRAM, '-o', '/dev/full', '--format', format);
    expect(ran.stderr).toContain('gvm: /dev/full: No space left on device');
    expect(ran.status).toBe(2);
  });

  test.each(formats)('.%s into a pipe whose reader has gone: an end as by SIGPIPE', (format) => {
    const command = `{ '${process.execPath}' dist/gvm.js trace ${PROGRAM} --format ${format}; echo "status $?" >&2; } | head -c 8`;
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: ROOT, encoding: 'utf8' });
    expect(stdout).toHaveLength(8);
    expect(stderr).toMatch(/\nstatus 141\n$/);
    expect(stderr).not.toContain('gvm:');
  });

  test('a run whose own output nobody reads any more leaves no file either', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gvm-half-'));
    const command = `'${process.execPath}' dist/gvm.js run ${PROGRAM} --trace-out ${folder}/t.txt 2>&1 | head -c 8`;
    spawnSync('sh', ['-c', command], { cwd: ROOT });
    const left = readdirSync(folder);
    rmSync(folder, { recursive: true });
    expect(left).toEqual([]);
  });

  test.each(formats)('.%s that cannot be written to its end leaves no file', (format) => {
    const folder = mkdtempSync(join(tmpdir(), 'gvm-half-'));
    // A limit of the shell's, in blocks of 1024 bytes: the file cannot grow beyond, as on a disk that is full.
    const command = `trap '' XFSZ; ulimit -f 8; '${process.execPath}' dist/gvm.js trace ${PROGRAM} -o ${folder}/t.${format}`;
    const { status, stderr } = spawnSync('bash', ['-c', command], { cwd: ROOT, encoding: 'utf8' });
    const left = readdirSync(folder);
    rmSync(folder, { recursive: true });
    expect(stderr).toMatch(/gvm: .*t\.\w+: File too large\n$/);
    expect(status).toBe(2);
    expect(left).toEqual([]);
  });

  test.each([
    [['-o', 'no/such/folder/t.txt'], 'no/such/folder/t.txt: No such file or directory'],
    [['-o', `${'x'.repeat(300)}.txt`], '.txt: File name too long'],
    [['-o', 'package.json/t.txt'], 'package.json/t.txt: Not a directory'],
    [['-o', 'src', '--format', 'txt'], 'src: Is a directory'],
    [['-o', 'trace.dat'], 'trace.dat: the name has to end in one of .txt, .jsonl, .json'],
    [['-o', 'trace'], 'trace: the name has to end in one of'],
    [['--trace', 'kvm_pioo'], "no event matches 'kvm_pioo'; did you mean `kvm_pio`? --trace help lists them"],
    [['--trace', 'kvm_poi'], "no event matches 'kvm_poi'; did you mean `kvm_pio`?"],
    [['--trace', 'warp'], "no event matches 'warp'; --trace help lists them"],
    [['--trace', 'kvm_*[nosuch=1]'], 'has no field'],
  ])('%j is refused', (args, message) => {
    const ran = gvm('trace', PROGRAM, ...args);
    expect(ran.stderr).toContain(message);
    expect(ran.status).toBe(2);
  });
});

test('a condition on a glob keeps the events that have such a field', () => {
  const ran = gvm('run', PROGRAM, '--trace', 'kvm_*[port=0x1004]');
  expect(ran.stderr.match(/^\[kvm\] .*$/gm)).toEqual([expect.stringContaining('pio_write at 0x1004')]);
});

describe("the guest's own steps", () => {
  const SOURCE = `        global  init_module
init_module:
        mov     rdi, 0xffff888003000000
        mov     byte [rdi], 1
        mov     edx, 0x80
        out     dx, al
        xor     eax, eax
        ret
`;
  const trace = (events: string) =>
    gvmWith({ 'p.gasm': SOURCE }, 'trace', 'p.gasm', '--format', 'jsonl', '--trace', events)
      .stdout.trimEnd()
      .split('\n')
      .slice(1, -1)
      .map((line) => JSON.parse(line));

  test('instructions carry their text and source line, and belong to the access they lead to', () => {
    const own = trace('guest_instruction[line=p.gasm:*],kvm_exit,kvm_pio[port=0x80]');
    const first = own.findIndex(({ event }) => event === 'guest_instruction');
    const pio = own.findIndex(({ event }) => event === 'kvm_pio');
    const steps = own.slice(first, pio + 1);
    expect(steps.filter(({ event }) => event === 'guest_instruction').map(({ fields }) => fields.text)).toEqual([
      'mov rdi, -0x777ffd000000',
      'mov byte [rdi], 1',
      'mov edx, 0x80',
      'out dx, al',
    ]);
    const out = steps.find(({ fields }) => fields.text === 'out dx, al');
    expect(out.fields.line).toBe('p.gasm:6');
    expect(out.access).toBe(steps.at(-1).access);
  });

  test('a first touch walks the guest tables once and the EPT twice: no entry, then the page', () => {
    const walks = trace(
      'guest_page_walk[address=0xffff888003000000],guest_ept_walk[gpa=0x3000000],kvm_page_fault[address=0x3000000]',
    );
    expect(walks.map(({ event, fields }) => fields.outcome ?? fields.physical ?? event)).toEqual([
      0x3000000,
      'not-present',
      'kvm_page_fault',
      0x3000000,
      'mapped',
      // The library touched it first; the program's own access walks again, for the TLB had forgotten the page.
      0x3000000,
      'mapped',
    ]);
    expect(walks[2].access).toBe(walks[1].access);
    expect(walks[3].access).toBe(walks[2].access + 1);
  });
});

test("KVM fetches the instruction that it emulates by the guest's tables", () => {
  const { stderr } = gvm(
    'run',
    'programs/edu/factorial.gasm',
    '--trace',
    'kvm_mmu_pagetable_walk,kvm_mmu_paging_element,kvm_emulate_insn',
  );
  expect(stderr).toMatch(
    /kvm_mmu_pagetable_walk: addr (ffffffff81[0-9a-f]+) pferr 10 F\n(\[kvm\] kvm_mmu_paging_element: pte [0-9a-f]+ level [432]\n){3}\[kvm\] kvm_emulate_insn: 0:\1:/,
  );
});

test('the driver core and sysfs: a device appears, is bound, and its attribute was written', () => {
  const { stderr } = gvm(
    'run',
    PROGRAM,
    '--trace',
    'really_probe,kobject_uevent[action=bind],sysfs_kf_write,device_add[bus=mdev]',
  );
  expect(stderr.match(/^\[host\] (device_add|really_probe|kobject_uevent|sysfs_kf_write).*$/gm)).toEqual([
    `[host] device_add: ${UUID} on bus mdev: /sys/devices/virtual/vmbuf/vmbuf/${UUID}`,
    `[host] really_probe: ${UUID} by driver vmbuf = 0`,
    `[host] kobject_uevent: bind@/devices/virtual/vmbuf/vmbuf/${UUID}`,
    `[host] sysfs_kf_write: /sys/devices/virtual/vmbuf/vmbuf/mdev_supported_types/vmbuf-1/create "${UUID}\\n" = 37`,
  ]);
});

test('--causal follows one access from the instruction to the driver and back', () => {
  const { stderr } = gvm('run', PROGRAM, '--causal', '--trace', 'vmbuf_read_guest');
  const [tree] =
    /^access \d+ {2}out {1,5}dx, eax {3}rip 0x[0-9a-f]+ outl\+0x\w+ \(lang\/library\/portio\.gasm:\d+\)\n(?: {2}.*\n)+/m.exec(
      stderr,
    )!;
  const steps = [...tree!.matchAll(/^( *)\[(\w+)\] (\w+)/gm)].map(([, , layer, name]) => `${layer} ${name}`);
  expect(steps.filter((step) => !step.startsWith('host'))).toEqual([
    'kvm kvm_exit',
    'kvm kvm_pio',
    'kvm kvm_userspace_exit',
    'syscall ioctl',
    'qemu kvm_run_exit',
    'qemu memory_region_ops_write',
    'vfio vfio_device_write',
    'mdev mdev_write',
    'driver mdev_access',
    'driver vmbuf_read_guest',
    'syscall pwrite64',
    'qemu vfio_region_write',
    'qemu kvm_vcpu_ioctl',
    'kvm kvm_entry',
  ]);
  expect(tree).toMatch(
    / {2}= guest \d+ ns, kvm \d+ ns, qemu \d+ ns, vfio \d+ ns, mdev \d+ ns, driver \d+ ns: \d+ ns \(modeled\)\n$/,
  );
  expect(stderr.match(/^access/gm)).toHaveLength(1);
});

describe('gvm stat', () => {
  test('tables of perf, without the console', () => {
    const { stdout, status } = gvm('stat', PROGRAM, '--event', 'road', '--event', 'device');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ +Road +Samples +Samples% +Time% +Min Time +Max Time +Avg time $/m);
    expect(stdout).toMatch(/^ +host driver +\d+ +[\d.]+% /m);
    expect(stdout).toMatch(new RegExp(`^ *${UUID} BAR 0 +2 `, 'm'));
    expect(stdout).not.toContain('PCI');
  });

  test('--json has all tables; --vs another run', () => {
    const { vmexit, ioport, vs, v } = JSON.parse(gvm('stat', PROGRAM, '--json', '--vs', PROGRAM).stdout);
    expect(v).toBe(1);
    expect(vmexit[0].key).toBe('IO_INSTRUCTION');
    expect(vs).toEqual(expect.objectContaining({ vmexit, ioport }));
    const { stdout } = gvm('stat', PROGRAM, '--vs', PROGRAM);
    expect(stdout).toMatch(/^ +IO_INSTRUCTION +\d+ +\d+ +same /m);
  });

  test('an unknown table is refused', () => {
    const ran = gvm('stat', PROGRAM, '--event', 'ports');
    expect(ran.stderr).toContain(
      "gvm stat: --event takes one of vmexit, ioport, mmio, device, road, line, all, not 'ports'; see gvm stat --help\n",
    );
    expect(ran.status).toBe(2);
  });
});

test('filter-dump’s file is brought to the real disk, and is the same in every run', () => {
  const dumped = (file: string) =>
    gvm('run', 'programs/e1000/interrupt.gasm', '-object', `filter-dump,id=d,netdev=a,file=${join(folder, file)}`);
  const [one, two] = ['one.pcap', 'two.pcap'].map((file) => {
    expect(dumped(file).status).toBe(0);
    return readFileSync(join(folder, file));
  }) as [Buffer, Buffer];
  expect(one.length).toBe(24 + 16 + 60);
  expect(two).toEqual(one);
  const nowhere = dumped('no/x');
  expect(nowhere.status).toBe(2);
  expect(nowhere.stderr).toContain('/no/x: No such file or directory');
});
