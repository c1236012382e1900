/** `gvm test` as a user meets it: outcomes, exit status, and what it prints. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { json, junit, tap } from '../../../src/cli/test/summary.ts';
import { gvm, gvmUnder, gvmWith, gvmWithUnder } from '../gvm.ts';

const program = (body: string, head = '') =>
  `${head}        bits 64\n        default rel\n%include "linux/kernel.inc"\n        global init_module\n        section .text\ninit_module:\n${body}\n`;
const saying = (text: string, head = '') =>
  program(
    `        lea rdi, [text]\n        xor eax, eax\n        call printk\n        xor eax, eax\n        ret\n        section .rodata\ntext:   db "${text}", 10, 0`,
    head,
  );
const golden = (text: string) => `${gvmWith({ 'p.gasm': saying(text) }, 'run', 'p.gasm').stdout}[gvm] exit status 0\n`;

const testing = (files: Readonly<Record<string, string>>, ...args: string[]) => gvmWith(files, 'test', ...args);

describe('goldens', () => {
  test('a program that says what its golden says passes', () => {
    const ran = testing({ 'a.gasm': saying('hello'), 'a.golden': golden('hello') });
    expect(ran).toEqual({ status: 0, stdout: '1 passed\n', stderr: '' });
  });

  test('a difference shows the first line that differs, what was served then, and how to see it again', () => {
    const ran = testing({ 'a.gasm': saying('hullo'), 'a.golden': golden('hello') });
    expect(ran.status).toBe(6);
    expect(ran.stdout).toBe('1 failed\n');
    expect(ran.stderr).toMatch(
      /^FAIL: a\.gasm\na\.golden:\d+: the transcript is not the golden one, from this line on\n/,
    );
    expect(ran.stderr).toMatch(/ \| - hello\n +\d+ \| \+ hullo\n +\d+ \| {3}\[gvm\] exit status 0\n/);
    expect(ran.stderr).toMatch(
      /note: written while guest access \d+ was served, at .*\n +\[kvm\] kvm_exit: .*IO_INSTRUCTION/,
    );
    expect(ran.stderr).toContain('reproduce: gvm test a.gasm');
  });

  test.each([
    ['is missing', {}, 'has no golden (a.golden) and expects nothing itself; gvm test -u writes one'],
    ['has CRLF line ends', { 'a.golden': golden('hello').replaceAll('\n', '\r\n') }, 'the golden has CRLF line ends'],
    ['is cut off', { 'a.golden': golden('hello').slice(0, -40) }, 'it is truncated, or not a transcript of gvm'],
    [
      'is of another version',
      { 'a.golden': golden('hello').replace(/\n$/, ' (version 2)\n') },
      'the golden is of version 2, this gvm writes version 1',
    ],
    ['has no program', { 'b.golden': '', 'a.golden': golden('hello') }, 'FAIL: b.golden\nno program stands beside it'],
  ])('a golden that %s fails', (_, files, message) => {
    const ran = testing({ 'a.gasm': saying('hello'), ...(files as Record<string, string>) });
    expect(ran.stderr).toContain(message);
    expect(ran.status).toBe(6);
  });

  test('a difference in what cannot be seen is shown in quotes', () => {
    const ran = testing({ 'a.gasm': saying('hello'), 'a.golden': golden('hello \x1b[1m \t') });
    expect(ran.stderr).toMatch(/ \| - "hello \\u001b\[1m \\t"\n +\d+ \| \+ hello\n/);
  });

  test('a golden, and a source, that cannot be read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gvm-unreadable-'));
    try {
      writeFileSync(join(folder, 'a.gasm'), saying('hello'));
      mkdirSync(join(folder, 'a.golden'));
      symlinkSync('nowhere', join(folder, 'b.gasm'));
      const ran = gvm('test', folder);
      expect(ran.stderr).toBe(
        `FAIL: ${folder}/a.gasm\n${folder}/a.golden: Is a directory\nFAIL: ${folder}/b.gasm\n${folder}/b.gasm: No such file or directory\n`,
      );
      expect([ran.stdout, ran.status]).toEqual(['2 failed\n', 6]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('the commands that show a failure again are those of a shell', () => {
    const ran = testing({ "d e/it's.gasm": saying('hello', '; CHECK: no\n') });
    expect(ran.stderr).toContain(
      `reproduce: gvm test 'd e/it'\\''s.gasm'   (the run alone: gvm run 'd e/it'\\''s.gasm')\n`,
    );
  });

  test('-u writes it', () => {
    const ran = testing({ 'a.gasm': saying('hello') }, '-u');
    expect(ran.stdout).toBe('1 golden written\n');
    expect(ran.status).toBe(0);
  });

  test('-u is refused where CI is set', () => {
    const ran = gvmUnder({ CI: '1' }, 'test', 'programs', '-u');
    expect(ran.stderr).toContain('gvm test: -u is refused where CI is set');
    expect(ran.status).toBe(2);
  });

  test.each(['', 'false'])('CI=%s says that this is none', (ci) => {
    expect(gvmWithUnder({ CI: ci }, { 'a.gasm': saying('hello') }, 'test', '-u').stdout).toBe('1 golden written\n');
  });

  test('a prefix of check lines that is none is refused', () => {
    const ran = testing({ 'a.gasm': saying('hello') }, '--check-prefix', 'A B');
    expect(ran.stderr).toBe("gvm test: --check-prefix takes a letter, then letters, digits, - and _, not 'A B'\n");
    expect(ran.status).toBe(2);
  });

  test('a golden holds no path of the host', () => {
    const crash = program('        ud2', '; CHECK: init_module+0x0 (a.gasm:9)\n; CHECK: exit status 4\n');
    const ran = testing({ 'deep/down/a.gasm': crash }, 'deep');
    expect(ran.stderr).toBe('');
    expect(ran.status).toBe(0);
  });
});

describe('a program that tests itself', () => {
  const checking = (checks: string) =>
    `        bits 64\n        default rel\n%include "gvm/report.inc"\n        global init_module\n        section .text\ninit_module:\n` +
    `        sub rsp, 8\n        mov eax, 3\n${checks}\n        add rsp, 8\n        jmp report_summary\n`;

  test('passes by its status, without a golden, and none is written', () => {
    const file = { 'a.gasm': checking("        cmp eax, 3\n        report_if e, 'three is %d', eax") };
    expect(testing(file)).toEqual({ status: 0, stdout: '1 passed\n', stderr: '' });
    expect(testing(file, '-u').stdout).toBe('1 passed\n');
  });

  test('fails with the checks that failed, under their prefixes', () => {
    const ran = testing({
      'a.gasm': checking(
        "        invoke report_prefix_push, 'a'\n        invoke report_prefix_push, 'b'\n        mov eax, 3\n        cmp eax, 4\n        report_if e, 'four is %d', eax\n" +
          "        invoke report_prefix_pop\n        invoke report_xfail, 1, 1, 'surprise'\n        invoke report_xfail, 1, 0, 'known'\n        invoke report_skip, 'absent %d', 7\n        invoke report_info, 'said'",
      ),
    });
    expect(ran.status).toBe(6);
    expect(ran.stderr).toBe(
      'FAIL: a.gasm\nFAIL: a: b: four is 3\nXPASS: a: surprise\nSUMMARY: 4 tests, 2 unexpected failures, 1 expected failures, 1 skipped\n[gvm] exit status 1\n',
    );
  });

  test('that checked nothing is no failure', () => {
    const ran = testing({ 'a.gasm': checking("        invoke report_skip, 'no device'") }, '-v');
    expect(ran.status).toBe(0);
    expect(ran.stderr).toBe('UNSUPPORTED: a.gasm\nSUMMARY: 1 tests, 1 skipped\n');
  });

  test('prefixes that do not fit are left out, and popped all the same', () => {
    const long = 'x'.repeat(100);
    const pushes = `        invoke report_prefix_push, '${long}'\n`.repeat(70);
    const pops = '        invoke report_prefix_pop\n'.repeat(71);
    const check = "        mov al, 1\n        invoke report, al, 'end'\n";
    const { stdout } = gvmWith({ 'a.gasm': checking(pushes + check + pops + check) }, 'run', 'a.gasm');
    expect(stdout).toContain(`PASS: ${long}: ${long}: end\n`);
    expect(stdout).toContain('PASS: end\nSUMMARY: 2 tests\n');
  });
});

describe('expectations in the source', () => {
  test.each([
    ['CHECK that holds', saying('hello', '; CHECK: hel{{l+}}o\n'), 0, ''],
    [
      'CHECK that does not',
      saying('hello', '; CHECK: hallo\n'),
      6,
      'a.gasm:1:10: error: CHECK: expected text not found\n    1 | ; CHECK: hallo\n      |          ^',
    ],
    [
      'a directive that is none',
      saying('hello', '; CHECK-NXT: hello\n'),
      6,
      "a.gasm:1:3: error: there is no directive 'CHECK-NXT'",
    ],
    [
      'a bad end that no check asks for',
      program('        mov eax, -5\n        ret', '; CHECK: PCI\n'),
      6,
      'the run ended with exit status 1, which no check line asks for',
    ],
    ['bytes that are right', 'bits 64\nmov rax, rbx ; = 48 89 d8\nnop ; = 90\n', 0, ''],
    [
      'bytes that are wrong',
      'bits 64\nmov rax, rbx ; = 48 89 d9\n',
      6,
      'a.gasm:2: expected 48 89 d9, assembled 48 89 d8',
    ],
    ['bytes where there are none', 'bits 64\n; = 90\n', 6, 'a.gasm:2: expected 90, assembled nothing'],
    ['an error that comes', 'bits 64\nout dx, ebx ; error: does not take ebx\n', 0, ''],
    [
      'an error that does not',
      'bits 64\nout dx, eax ; error: does not take\n',
      6,
      'a.gasm:2: no error here; expected: does not take',
    ],
    [
      'an error nobody expects',
      'bits 64\nout dx, ebx ; error: does not take ebx\nmovv rax\n',
      6,
      'a.gasm:3: unexpected error: unknown instruction',
    ],
    ['XFAIL that fails', saying('hello', '; XFAIL: *\n; CHECK: hallo\n'), 0, ''],
    [
      'XFAIL that passes',
      saying('hello', '; XFAIL: *\n; CHECK: hello\n'),
      6,
      'XPASS: a.gasm\npasses, but is marked XFAIL: *',
    ],
    [
      'REQUIRES of what there is',
      saying('hello', '; REQUIRES: vfio-pci && (mtty || nothing)\n; CHECK: hello\n'),
      0,
      '',
    ],
    ['REQUIRES of what there is not', saying('hello', '; REQUIRES: warp-drive\n; CHECK: hallo\n'), 0, ''],
    ['UNSUPPORTED', saying('hello', '; UNSUPPORTED: vmbuf\n; CHECK: hallo\n'), 0, ''],
    [
      'a condition that is none',
      saying('hello', '; REQUIRES: a &&\n; CHECK: hello\n'),
      6,
      "condition 'a &&': a feature is missing",
    ],
    ['a run without end', program('.l: jmp .l', '; CHECK: never\n'), 6, 'TIMEOUT: a.gasm'],
  ])('%s', (_, source, status, message) => {
    const ran = testing({ 'a.gasm': source }, '--max-insns', '300000');
    expect(ran.stderr).toContain(message);
    expect(ran.status).toBe(status);
  });
});

describe('what does not come back', () => {
  const driver = (init: string) => `export default { name: 'x', init() { ${init} }, exit() {} };`;
  const loading = (file: string) => program('ret', `; host: insmod ./${file}\n; CHECK: never\n`);
  /** Tests that run nothing, so that none of them is in danger on a busy machine. */
  const bytes = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`b${i}.gasm`, 'bits 64\nret ; = c3\n']));
  const files = {
    'guest.gasm': program('.l: jmp .l', '; CHECK: never\n'),
    'line.gasm': loading('loop.ts'),
    'loop.ts': driver('for (;;);'),
    'quits.gasm': loading('quit.ts'),
    'quit.ts': driver('process.exit(3);'),
    ...bytes,
  };

  test('in a worker: the time is up, the place is told, and another worker goes on', () => {
    const ran = testing(files, '-j', '2', '--max-insns', '1e15', '--timeout', '2');
    expect(ran.stderr).toMatch(
      /^TIMEOUT: guest.gasm\ngvm: stopped after 2 s \(--timeout\), \d+ guest instructions, at rip .* \(guest.gasm:\d+\)$/m,
    );
    expect(ran.stderr).toMatch(
      /^TIMEOUT: line.gasm\nline.gasm:1: error: stopped after 2 s \(--timeout\): insmod .\/loop.ts$/m,
    );
    expect(ran.stderr).toContain('FAIL: quits.gasm\nthe process that ran it ended: the process was told to exit\n');
    expect([ran.stdout, ran.status]).toEqual(['16 passed, 1 failed, 2 timed out\n', 6]);
  });

  test('in the process itself, too; instructions are a limit of their own', () => {
    const alone = { 'guest.gasm': files['guest.gasm'] };
    expect(testing(alone, '--max-insns', '1e15', '--timeout', '1').stderr).toContain('stopped after 1 s (--timeout)');
    const counted = testing(alone, '--max-insns', '50000');
    expect(counted.stderr).toMatch(
      /^TIMEOUT: guest.gasm\ngvm: stopped after 50000 guest instructions \(--max-insns\) at rip/m,
    );
    for (const option of ['--timeout', '--max-insns']) {
      expect(testing(alone, option, '0')).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(`gvm test: ${option} takes a number of`),
      });
    }
  });
});

describe('--dump-input', () => {
  const [good, bad] = ['; CHECK: PCI: Using\n; CHECK-LABEL: hel{{l+}}o\n', '; CHECK: hello\n; CHECK-NEXT: world\n'];

  test('fail: the transcript of a test that fails, with what the checks matched, and where one did not', () => {
    const ran = testing({ 'a.gasm': saying('hello', bad), 'b.gasm': saying('hello', good) }, '--dump-input=fail');
    expect(ran.status).toBe(6);
    expect(ran.stderr.match(/<<<<<</g)).toHaveLength(1);
    const [dump] = /<<<<<<\n[\s\S]*>>>>>>/.exec(ran.stderr)!;
    expect(dump).toMatch(/\n {11}1: PCI: Using configuration type 1 for base access\n/);
    expect(dump).toMatch(
      /\d: hello\nCHECK:1 {7}\^~~~~\nCHECK-NEXT:2 {7}X error: expected text not found\n *\d+: \[gvm\] exit status 0\n>>>>>>$/,
    );
  });

  test('always: of one that passes, too; never is the default', () => {
    const file = { 'b.gasm': saying('hello', good) };
    const { stderr, status } = testing(file, '--dump-input', 'always');
    expect(status).toBe(0);
    expect(stderr).toMatch(/1: PCI: Using configuration type 1 for base access\nCHECK:1 {8}\^~{9}\n/);
    expect(stderr).toMatch(/: hello\nCHECK-LABEL:2 {2}\^~~~~\n/);
    expect(testing(file).stderr).toBe('');
    expect(testing(file, '--dump-input=sometimes').status).toBe(2);
  });
});

describe('100 MB printed', () => {
  const files = {
    'flood.ts': `import * as uapi from 'gvm/uapi';
export default ({ syscalls, memory }) => {
  const page = syscalls.mmap(4096, 3, uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS, -1, 0);
  memory.write(page, new TextEncoder().encode('x'.repeat(4095) + '\\n'));
  for (let count = 0; count < 25600; count++) syscalls.write(1, page, 4096);
  return 0;
};
`,
    'a.gasm': saying('hello', '; host: ./flood.ts\n'),
  };
  const limited = { NODE_OPTIONS: '--max-old-space-size=160' };

  test('a test fails by the size of its transcript, in bounded memory', () => {
    const { status, stderr } = gvmWithUnder(limited, files, 'test', '--dump-input=never');
    expect(stderr).toMatch(/^FAIL: a\.gasm\na\.gasm: the transcript has 1050\d{5} bytes; a test may have 16777216\n$/);
    expect(status).toBe(6);
  });

  test('a run goes on, in bounded memory', () => {
    const { status, stderr, stdout } = gvmWithUnder(limited, files, 'run', 'a.gasm');
    expect(stderr.length).toBe(25600 * (4096 + '[host] '.length));
    expect(stdout).toMatch(/hello\n$/);
    expect(status).toBe(0);
  });
});

test('a device that never returns fails its test; what ran before is told, and what did not run', {
  timeout: 120_000,
}, () => {
  const files = {
    'a.gasm': saying('hello', '; CHECK: hello\n'),
    'b.gasm': saying('hello', '; gvm: -device ./stuck.ts\n; CHECK: hello\n'),
    'c.gasm': saying('hello', '; CHECK: hello\n'),
    'stuck.ts':
      "export default { name: 'stuck', vendor: 1, device: 1, bars: [],\n reset() {\n  let n = 0;\n  while (true) n++;\n } };\n",
  };
  const { stdout, stderr, status } = testing(files, '-v');
  expect(stderr).toMatch(
    /^PASS: a\.gasm\nTIMEOUT: b\.gasm\n\.\/stuck\.ts:\d: error: it has run for 3 s and has not returned\ngvm: a device of your own failed\n {3}= reproduce: gvm run b\.gasm\nFAIL: c\.gasm\nwas not run: /,
  );
  expect([stdout, status]).toEqual(['1 passed, 1 failed, 1 timed out\n', 6]);
});

describe('--coverage', () => {
  test('who watches takes none of the guest’s time: a repeated string instruction counts as ever', () => {
    const source = `; CHECK: took [[#TOOK:]] and
bits 64
default rel
%include "gvm/driver.inc"
global init_module
init_module:
        rdtsc
        mov     r8d, eax
        lea     rdi, [buffer]
        mov     ecx, 500
        rep     stosq
        rdtsc
        sub     eax, r8d
        printk  \`took %u and\\n\`, eax
        xor     eax, eax
        ret
section .bss
buffer: resq 500
`;
    const files = { 'x.gasm': source };
    const took = (ran: { readonly stdout: string }) => /took \d+/.exec(ran.stdout)?.[0];
    const plain = took(gvmWith(files, 'run', 'x.gasm'));
    expect(plain).toMatch(/^took \d$/);
    expect(took(gvmWith(files, 'run', 'x.gasm', '--trace', 'guest_instruction[line=x.gasm:14]'))).toBe(plain);
    const covered = gvmWith(files, 'test', 'x.gasm', '--dump-input=always', '--coverage', 'lcov');
    expect([
      covered.stdout.includes(`${plain} and`) || covered.stderr.includes(`${plain} and`),
      covered.status,
    ]).toEqual([true, 0]);
  });

  const counted = [
    '        bits 64', //                     1
    '        global init_module', //          2
    '%include "count.inc"', //                3
    '        section .text', //               4
    'init_module: mov rdx, 0xffff888000000000', // 5
    '        mov ecx, 3', //                  6
    '.loop: dec ecx', //                      7
    '        jnz .loop', //                   8
    '        count eax', //                   9
    '        jz .never', //                  10
    '        mov rax, [rdx + 0x1900000]', //    11: leaves the guest, and is tried again
    '        xor eax, eax', //               12
    '        ret', //                        13
    '.never: ud2', //                        14
    '',
  ].join('\n');
  const include = '%macro count 1\n mov %1, 1\n test %1, %1\n%endmacro\n';

  test.each([1, 16])('%i programs: how often each line of code was executed', (many) => {
    const names = Array.from({ length: many }, (_, index) => `p${String(index).padStart(2, '0')}.gasm`);
    const { stdout: console } = gvmWith({ 'p.gasm': counted, 'count.inc': include }, 'run', 'p.gasm');
    const files = names.flatMap((name) => [
      [name, counted],
      [name.replace('gasm', 'golden'), `${console}[gvm] exit status 0\n`],
    ]);
    const folder = mkdtempSync(join(tmpdir(), 'gvm-coverage-'));
    const out = join(folder, 'lcov.info');
    const given = ['-j2', '--coverage', 'lcov', '--coverage-file', out];
    const ran = gvmWith({ 'count.inc': include, ...Object.fromEntries(files) }, 'test', ...given);
    expect(ran.stdout).toBe(`${many} passed\n`);
    const record = (name: string) =>
      `TN:\nSF:${name}\nDA:5,1\nDA:6,1\nDA:7,3\nDA:8,3\nDA:9,1\nDA:10,1\nDA:11,1\nDA:12,1\nDA:13,1\nDA:14,0\nLF:10\nLH:9\nend_of_record\n`;
    expect(readFileSync(out, 'utf8')).toBe(names.map(record).join(''));
    rmSync(folder, { recursive: true });
    expect(ran.stderr).toContain(`lines executed: ${9 * many} of ${10 * many} (90.0%)`);
  });
});

describe('reports', () => {
  const files = {
    'd/a.gasm': saying('hello', '; CHECK: hello\n'),
    'd/b.gasm': saying('hello', '; CHECK: <hallo>\n'),
    'd/c.gasm': saying('x', '; REQUIRES: warp-drive\n'),
  };

  test('--tap', () => {
    const { stdout } = testing(files, '--tap');
    expect(stdout).toMatch(
      /^TAP version 13\n1\.\.3\nok 1 - d\/a\.gasm\nnot ok 2 - d\/b\.gasm\n(# .*\n)+ok 3 - d\/c\.gasm # SKIP requires warp-drive\n$/,
    );
  });

  test('TAP knows # and \\\\ in a name from a directive', () => {
    const ran = testing({ 'a #TODO.gasm': saying('hello', '; CHECK: hello\n') }, '--tap');
    expect(ran.stdout).toBe('TAP version 13\n1..1\nok 1 - a \\#TODO.gasm\n');
  });

  test.each([
    [
      'a check',
      { 'd,e/a.gasm': saying('hello', '; CHECK: 100%\n') },
      'file=d%2Ce/a.gasm,line=1,col=10::CHECK: expected text',
    ],
    ['a directive', { 'a.gasm': '; CHECK-NXT: x\n' }, "file=a.gasm,line=1,col=3::there is no directive 'CHECK-NXT'"],
    [
      'a golden',
      { 'a.gasm': saying('hello'), 'a.golden': `x\n${golden('hello')}` },
      'file=a.golden,line=1::the transcript is not the golden one, from this line on\n',
    ],
    ['no golden', { 'a.gasm': saying('hello') }, 'file=a.gasm::has no golden (a.golden) and'],
  ])('in a GitHub workflow a failure is beside what it is about: %s', (_, tests, annotation) => {
    const ran = gvmWithUnder({ GITHUB_ACTIONS: 'true' }, tests as Record<string, string>, 'test');
    expect(ran.stderr).toContain(`::error ${annotation}`);
  });

  test('--json is one object', () => {
    const { v, counts, ok, tests } = JSON.parse(testing(files, '--json').stdout);
    expect({ v, counts, ok }).toEqual({ v: 1, counts: { PASS: 1, FAIL: 1, UNSUPPORTED: 1 }, ok: false });
    expect(tests[1]).toMatchObject({ name: 'd/b.gasm', outcome: 'FAIL' });
  });

  test('after Ctrl-C a reader of TAP or JSON can tell that tests are missing', () => {
    const ended = [{ name: 'a.gasm', outcome: 'PASS', report: [] }] as const;
    expect(tap(ended, 2)).toBe('TAP version 13\n1..3\nok 1 - a.gasm\nBail out! interrupted\n');
    expect(JSON.parse(json(ended, 2))).toMatchObject({ counts: { PASS: 1 }, unfinished: 2, ok: false });
    expect(JSON.parse(json(ended))).not.toHaveProperty('unfinished');
  });

  test("--junit's file is XML with counts, and what XML cannot hold is replaced", () => {
    const text = junit([
      { name: 'd/a.gasm', outcome: 'PASS', report: [] },
      { name: 'd/b.gasm', outcome: 'FAIL', report: ['CHECK: <hallo>\u0001'], seconds: 0.25 },
      { name: 'c.gasm', outcome: 'UNSUPPORTED', report: ['requires "x"'] },
    ]);
    expect(text).toContain('<testsuite name="gvm test" tests="3" failures="1" errors="0" skipped="1" time="0.250">');
    expect(text).toContain(
      '<testcase classname="d" name="b.gasm" time="0.250"><failure type="FAIL" message="CHECK: &lt;hallo&gt;\ufffd">',
    );
    expect(text).toContain(
      '<testcase classname="." name="c.gasm" time="0.000"><skipped message="requires &quot;x&quot;"/>',
    );
    const ran = testing(files, '--junit', 'no/such/folder');
    expect(ran.stderr).toContain('gvm test: cannot write no/such/folder: No such file or directory');
    expect(ran.status).toBe(2);
  });

  test('--filter and --shard choose, and shards leave nothing out', () => {
    expect(testing(files, '--filter', '/a', '-v').stderr).toBe('PASS: d/a.gasm\n');
    const names = ['1/2', '2/2'].flatMap((shard) =>
      testing(files, '--shard', shard, '-v').stderr.match(/d\/.\.gasm(?=\n)/g),
    );
    expect([...new Set(names)].sort()).toEqual(['d/a.gasm', 'd/b.gasm', 'd/c.gasm']);
  });

  test('over several workers the order is that of the names', () => {
    const many = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`t${10 + i}.gasm`, saying(`hello ${i}`, `; CHECK: hello ${i}{{$}}\n`)]),
    );
    const ran = testing({ ...many, 't05.gasm': 'nonsense\n' }, '-j', '2', '-v');
    expect(ran.stdout).toBe('20 passed, 1 failed\n');
    expect(ran.stderr.match(/t\d\d(?=\.gasm\n)/g)).toEqual([
      't05',
      ...Object.keys(many).map((name) => name.slice(0, 3)),
    ]);
  });
});

test.each([
  [['test', 'missing'], 'gvm test: missing: No such file or directory'],
  [['test', 'README.md/a.gasm'], 'gvm test: README.md/a.gasm: Not a directory'],
  [['test', 'README.md'], 'README.md is no test'],
  [['test', 'scripts'], 'gvm test: no tests in scripts'],
  [['test', 'programs', '--shard', '3/2'], "--shard takes I/N with 1 ≤ I ≤ N, not '3/2'"],
  [['test', 'programs', '--filter', '('], '--filter: Invalid regular expression'],
  [['test', 'programs', '-j', '0'], '-j takes a number of tests'],
  [['test', 'programs', '--tap', '--json'], 'mutually exclusive'],
] as const)('gvm %j', (args, message) => {
  const ran = gvm(...args);
  expect(ran.stderr).toContain(message);
  expect(ran.status).toBe(2);
});
