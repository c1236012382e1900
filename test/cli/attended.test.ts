/** A run with somebody before the terminal: limits of time, Ctrl-C, progress, and running again on save. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Transcript } from '../../src/cli/output.ts';
import { Progress, short } from '../../src/cli/progress.ts';
import { COMMAND, gvm } from './gvm.ts';

const ENDLESS = `        global  init_module
init_module:
        mov     edx, 0x501
.again: inc     rcx
        jmp     .again
`;
const ENDING = ENDLESS.replace('.again: inc     rcx\n        jmp     .again', '        xor     eax, eax\n        ret');

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gvm-attended-'));
  file = join(folder, 'p.gasm');
  writeFileSync(file, ENDLESS);
});
/** What a test has started, which may go on for ever where the test fails. */
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** gvm, told of what it prints. */
class Started {
  readonly child: ChildProcess;
  text = '';
  readonly #waiting = new Set<() => void>();

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, [COMMAND, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Here is nobody's CI.
      env: { ...process.env, CI: '' },
    });
    started.push(this.child);
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.on('data', (bytes: Buffer) => {
        this.text += bytes.toString();
        for (const look of this.#waiting) look();
      });
  }

  /** When so many lines like that have been printed. */
  said(pattern: RegExp, times = 1): Promise<void> {
    return new Promise((done) => {
      const look = () => {
        if ((this.text.match(new RegExp(pattern, 'g'))?.length ?? 0) >= times) done();
      };
      this.#waiting.add(look);
      look();
    });
  }

  get ended(): Promise<number | null> {
    return new Promise((done) => this.child.on('close', done));
  }
}

test('--timeout ends a run with status 124 and the place', () => {
  const ran = gvm('run', file, '--max-insns', '1e15', '--timeout', '0.5');
  expect(ran.stderr).toMatch(/gvm: stopped after 0\.5 s \(--timeout\), \d+ guest instructions, at rip 0x[0-9a-f]+ \w+/);
  expect(ran.status).toBe(124);
  expect(gvm('run', file, '--timeout', '-1')).toMatchObject({ status: 2 });
});

/** Of tests in this thread, and shared out. */
test.each([1, 17])(
  'Ctrl-C tells of the %i tests that have ended, with status 130',
  { timeout: 60_000 },
  async (count) => {
    for (let n = 0; n < count; n++) writeFileSync(join(folder, `a${n}.gasm`), ENDING);
    const report = join(folder, 'junit.xml');
    const ran = new Started('test', folder, '-u', '--max-insns', '1e15', '--junit', report);
    const ended = () => Array.from({ length: count }, (_, n) => join(folder, `a${n}.golden`)).every(existsSync);
    while (!ended()) await setTimeout(20);
    ran.child.kill('SIGINT');
    expect(await ran.ended).toBe(130);
    expect(ran.text).toMatch(new RegExp(`${count} goldens? written, 1 unfinished: interrupted\n$`));
    expect(readFileSync(report, 'utf8').match(/<testcase/g)).toHaveLength(count);
  },
);

test('Ctrl-C says where the guest was, with status 130, and leaves no trace file', { timeout: 30_000 }, async () => {
  const ran = new Started('run', file, '--max-insns', '1e15', '--trace-out', join(folder, 't.jsonl'));
  await ran.said(/PCI: Probing/);
  await setTimeout(300);
  ran.child.kill('SIGINT');
  expect(await ran.ended).toBe(130);
  expect(ran.text).toMatch(
    /gvm: interrupted after \d+ guest instructions at rip 0x[0-9a-f]+ \w+\+0x[0-9a-f]+ \(.*:\d+\)\n$/,
  );
  expect(readdirSync(folder)).toEqual(['p.gasm']);
});

test('Ctrl-C ends a device of the user’s own that does not return', { timeout: 30_000 }, async () => {
  const read = "read() { console.error('here'); for (let n = 0; n >= 0; n++) if (n > 1e9) n = 0; return 0; }";
  const bars = `[{ space: 'io', size: 16, registers: [{ name: 'a', offset: 0, size: 1,\n ${read} }] }]`;
  writeFileSync(join(folder, 'dev.mjs'), `export default { name: 'dev', vendor: 0x1234, device: 1, bars: ${bars} };`);
  const config = (register: number, value: number) =>
    `mov eax, ${0x8000_2000 + register}\nmov edx, 0xcf8\nout dx, eax\nmov eax, ${value}\nmov edx, 0xcfc\nout dx, eax\n`;
  const guest = `${config(0x10, 0x1000)}${config(4, 1)}mov edx, 0x1000\nin al, dx\nret\n`;
  writeFileSync(file, `; gvm: -device ./dev.mjs,addr=4\nglobal init_module\ninit_module:\n${guest}`);
  const ran = new Started('run', file);
  await ran.said(/here/);
  ran.child.kill('SIGINT');
  expect(await ran.ended).toBe(130);
  expect(ran.text).toMatch(
    /gvm: interrupted after \d+ guest instructions at rip 0x[0-9a-f]+ init_module\+\S+ \(.*\)\n$/,
  );
});

test('--watch runs again when the program is saved, and ends a run that goes on', { timeout: 60_000 }, async () => {
  const watched = new Started('run', file, '--watch', '--max-insns', '1e15');
  await watched.said(/PCI: Probing/);
  writeFileSync(file, ENDING);
  await watched.said(/gvm: status 0; waiting for a change of p\.gasm/);
  writeFileSync(file, ENDING.replace('xor     eax, eax', 'mov     eax, -3'));
  await watched.said(/gvm: status 1; waiting/);
  watched.child.kill('SIGINT');
  expect(await watched.ended).toBe(130);
});

const hasScript = spawnSync('script', ['--version']).status === 0;
test.skipIf(!hasScript)(
  'on a terminal a long run shows how it goes; the line is gone when it ends',
  { timeout: 30_000 },
  () => {
    const command = `${process.execPath} ${COMMAND} run ${file} --max-insns 1e15 --timeout 2.5`;
    const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
      encoding: 'utf8',
      env: { ...process.env, CI: undefined },
    });
    const shown = stdout.replaceAll('\x1b[K', '<wipe>');
    expect(shown).toMatch(
      /\r<wipe>gvm: 1\.\d s {2}[\d.]+[kMG]? instructions \([\d.]+[kMG]?\/s\) {2}[\d.]+k? exits \([\d.]+k?\/s\)/,
    );
    expect(shown).toMatch(/\r<wipe>gvm: stopped after 2\.5 s/);
  },
);

test('progress is wiped before other words, and never written where there is no terminal', () => {
  let now = 0;
  const written: string[] = [];
  const progress = (isTerminal: boolean) =>
    new Progress(new Transcript(), {
      write: (text) => written.push(text),
      now: () => now,
      isTerminal: () => isTerminal,
    });
  const shown = progress(true);
  shown.tick(5);
  expect(written).toEqual([]);
  now = 2000;
  shown.tick(4_000_000);
  expect(written).toEqual(['\r\x1b[Kgvm: 2.0 s  4.00M instructions (2.00M/s)  0 exits (0/s)']);
  shown.line('host', 'text');
  shown.message('more');
  expect(written.slice(1)).toEqual(['\r\x1b[K']);
  const silent = progress(false);
  now = 9000;
  silent.tick(1);
  expect(written).toHaveLength(2);
  expect([950, 12_345, 4.56e6, 1.5e9].map(short)).toEqual(['950', '12.3k', '4.56M', '1.50G']);
});

test('without a terminal, CI or not, nothing of progress is on stderr', () => {
  expect(gvm('run', 'programs/vm-buffer/vm-buffer.gasm').stderr).not.toContain('\x1b');
});

test('a guest that prints without end takes no memory for it', { timeout: 60_000 }, () => {
  writeFileSync(
    file,
    `; gvm: -serial stdio
        global  init_module
init_module:
        mov     edx, 0x3f8
        mov     ecx, 3000000
.again: mov     al, 'x'
        out     dx, al
        dec     ecx
        jnz     .again
        xor     eax, eax
        ret
`,
  );
  const command = `${process.execPath} --max-old-space-size=200 ${COMMAND} run ${file} | wc -c; exit \${PIPESTATUS[0]}`;
  const { stdout, status } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect(Number(stdout)).toBeGreaterThan(3_000_000);
});
