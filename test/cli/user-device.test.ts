/** A device of the user's own: `-device ./mydev.ts`, and what happens when it is wrong. */

import { expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

/** Reads dword 0 of BAR 0 and ends with it as status. */
const DRIVER = `; gvm: -device ./mydev.ts,addr=4
bits 64
default rel
%include "linux/kernel.inc"
%include "linux/pci.inc"
global init_module
init_module: lea rdi, [driver]
        jmp pci_register_driver
probe:  push rbx
        mov rbx, rdi
        call pci_enable_device
        mov rdi, rbx
        call pci_set_master
        mov rdi, rbx
        xor esi, esi
        xor edx, edx
        call pci_iomap
        mov dword [rax + 4], 7
        mov eax, [rax]
        lea rdi, [text]
        mov esi, eax
        xor eax, eax
        call printk
        xor eax, eax
        pop rbx
        ret
text:   db 'read %u', 10, 0
name:   db 'mydev', 0
align 8
ids:    dd PCI_DEVICE(0x1234, 1)
        dq 0
        PCI_ID_END
section .data
driver: dq 0, 0, name, ids, probe, 0
`;

const runWith = (device: string) => gvmWith({ 'mydev.ts': device, 'driver.gasm': DRIVER }, 'run', 'driver.gasm');

/** A description with these registers, and other properties in front of the BAR. */
const device = (registers: string, more = '') =>
  `export default { name: 'mydev', vendor: 0x1234, device: 1, ${more}\n` +
  `  bars: [{ space: 'memory', size: 16, registers: [\n${registers}\n] }] };\n`;

test('its registers are what the guest reads and writes', () => {
  const { stdout, status } = runWith(
    device(
      "{ name: 'a', offset: 0, read: (d) => d.state.n * 6 },\n{ name: 'b', offset: 4, write: (d, v) => { d.state.n = v; } }",
      'state: () => ({ n: 0 }),',
    ),
  );
  expect([stdout.includes('read 42\n'), status]).toEqual([true, 0]);
});

test('timers and DMA: what it wrote into the guest’s memory is what it reads back', () => {
  const { stderr, stdout, status } = runWith(
    device(
      `{ name: 'a', offset: 0, read: (d) => d.dmaRead(0x3000000, 2)[1] },
       { name: 'b', offset: 4, write: (d, v) => { d.dmaWrite(0x3000000, Uint8Array.of(1, v)); d.after(5, () => d.log('later')); } }`,
    ),
  );
  expect([stdout.includes('read 7\n'), stderr.includes('mydev: later\n'), status]).toEqual([true, true, 0]);
});

test.each([
  [
    'throws',
    "{ name: 'a', offset: 0,\n  read() { throw new Error('no') } }",
    "./mydev.ts:4: error: BAR 0 register 'a' at 0x0: no",
  ],
  [
    'throws no error',
    "{ name: 'a', offset: 0,\n  read() { throw 'no' } }",
    "./mydev.ts:3: error: BAR 0 register 'a' at 0x0: no",
  ],
  [
    'answers nothing',
    "{ name: 'a', offset: 0, read() {} }",
    "./mydev.ts:3: error: BAR 0 register 'a' at 0x0: read gave undefined",
  ],
  ['answers a fraction', "{ name: 'a', offset: 0, read: () => 0.5 }", 'read gave 0.5, which is no integer'],
  ['answers a negative number', "{ name: 'a', offset: 0, read: () => -1 }", 'read gave -1, which is no integer'],
  ['answers too much', "{ name: 'a', offset: 0, read: () => 2 ** 32 }", 'which is no integer from 0 to 0xffffffff'],
  ['answers a promise', "{ name: 'a', offset: 0, read: async () => { throw new Error('x') } }", 'gave a promise'],
  ['writes later', "{ name: 'b', offset: 4, write: async () => { throw new Error('x') } }", 'gave a promise'],
  [
    'answers what has no text',
    "{ name: 'a', offset: 0, read: () => Object.create(null) }",
    'gave an object without a text',
  ],
  [
    'throws what answers nothing',
    "{ name: 'a', offset: 0, read() { throw new Proxy({}, { getPrototypeOf() { throw 1 } }) } }",
    "register 'a' at 0x0: [object Object]",
  ],
  ['sets no timer', "{ name: 'b', offset: 4, write: (d) => d.after('5', () => {}) }", "nanoseconds, not '5'"],
  ['calls nothing later', "{ name: 'b', offset: 4, write: (d) => d.after(5, 5) }", 'after() takes a function, not 5'],
  ['has no pin', "{ name: 'b', offset: 4, write: (d) => d.setInterrupt(true) }", 'setInterrupt() needs a pin'],
  ['reads nowhere', "{ name: 'b', offset: 4, write: (d) => d.dmaRead(-1, 4) }", 'no bus address: -1'],
  [
    'reads beyond 64 bits',
    "{ name: 'b', offset: 4, write: (d) => d.dmaRead(1n << 64n, 4) }",
    'no bus address: 18446744',
  ],
  [
    'reads too much',
    "{ name: 'b', offset: 4, write: (d) => d.dmaRead(0, 2 ** 32) }",
    'DMA of 4294967296 bytes: a device',
  ],
  [
    'writes a list',
    "{ name: 'b', offset: 4, write: (d) => d.dmaWrite(0, [1]) }",
    'dmaWrite() takes a Uint8Array, not 1',
  ],
  [
    'throws later',
    "{ name: 'b', offset: 4, write: (d) => d.after(1, () => {\n throw new Error('late') }) }",
    './mydev.ts:4: error: after: late',
  ],
])('a device that %s ends the run with status 5 and the place', (_, registers, message) => {
  const { stderr, status } = runWith(device(registers));
  expect(stderr).toContain(message);
  expect([stderr.endsWith('gvm: a device of your own failed\n'), status]).toEqual([true, 5]);
});

test.each([
  ["state() { throw new Error('no') },", './mydev.ts:1: error: state: no\n'],
  ['reset() { throw null },', './mydev.ts:1: error: reset: threw null\n'],
  ['reset() { throw { code: 1 } },', './mydev.ts:1: error: reset: threw [object Object]\n'],
  ['reset() { throw new RangeError() },', 'error: reset: RangeError without a message\n'],
  ['async reset() {},', './mydev.ts:1: error: reset: gave a promise'],
  ['state: async () => ({}),', './mydev.ts:1: error: state: gave a promise'],
])('one that fails before the guest runs: %s', (more, message) => {
  const { stderr, status } = runWith(device('', more));
  expect(stderr).toContain(message);
  expect([stderr.endsWith('gvm: a device of your own failed\n'), status]).toEqual([true, 5]);
});

test.each([
  ["setTimeout(() => { throw new Error('late') }, 0)", './mydev.ts:3: error: late, in code that ran later\n'],
  ["Promise.reject(new Error('late'))", './mydev.ts:3: error: late, in code that ran later\n'],
])('what it leaves behind and fails when all is over: %s', (left, message) => {
  const { stderr, status } = runWith(device(`{ name: 'b', offset: 4, write() { ${left} } }`));
  expect(stderr.endsWith(`${message}gvm: a device of your own failed\n`)).toBe(true);
  expect(status).toBe(5);
});

test.each([
  ['read() { process.exit(0) }', './mydev.ts:3: error: it ends the process\n'],
  [
    'read: () => { setInterval(() => {}, 10); return 0 }',
    './mydev.ts: error: it has left something running that keeps',
  ],
])('what would end gvm, or never let it end: %s', (read, message) => {
  const { stderr, status } = runWith(device(`{ name: 'a', offset: 0, ${read} }`));
  expect(stderr).toContain(message);
  expect([stderr.endsWith('gvm: a device of your own failed\n'), status]).toEqual([true, 5]);
});

test('DMA where a guest has sent it: a 64-bit register’s value is an address, and one that nothing answers is no fault of the device', () => {
  const tried = `{ name: 'a', offset: 0, read(d) {
    const into = new Uint8Array(4);
    const there = d.dmaWrite(0x3000000n, Uint8Array.of(1, 2, 3, 4)) && d.dmaRead(0x3000000n, into);
    const far = [2n ** 64n - 1n, 0xffff888001011080n, 0xffff888001011080, 0x3fffffen].map((at) => d.dmaRead(at, new Uint8Array(4)));
    d.log([there, into.join(''), ...far, d.dmaWrite(1n << 60n, into), d.dmaRead(1n << 60n, 2).join('')].join(' '));
    return 0;
  } }`;
  const { stderr, status } = runWith(device(tried));
  expect(stderr).toContain('mydev: true 1234 false false false false false 00\n');
  for (const warned of [
    'read of 4 bytes at address 0xffffffffffffffff: nothing is there, reads 0\n',
    "read of 4 bytes at address 0x3fffffe: goes over the end of 'pc.ram', the rest reads 0\n",
    'write of 4 bytes at address 0x1000000000000000: nothing is there, ignored\n',
  ])
    expect(stderr).toContain(`warning: DMA of mydev: ${warned}`);
  expect(status).toBe(0);
});

test('a device that the guest has not made a bus master hears that nothing moved', () => {
  const tried =
    "{ name: 'a', offset: 0, read(d) { d.log([d.dmaWrite(64, Uint8Array.of(1)), d.dmaRead(64, new Uint8Array(1))].join(' ')); return 0; } }";
  const quiet = DRIVER.replace('call pci_set_master', 'nop');
  const { stderr, status } = gvmWith({ 'mydev.ts': device(tried), 'driver.gasm': quiet }, 'run', 'driver.gasm');
  expect([stderr.endsWith('mydev: false false\n'), status]).toEqual([true, 0]);
  expect(stderr).toContain(
    'DMA of mydev: write of 1 byte at address 0x40: the guest has not made the device a bus master (see pci_set_master), ignored\n',
  );
});

test('DMA that goes on from memory into a register is whole, and what it misses there is the device’s', () => {
  const tried = `{ name: 'a', offset: 0, read: () => 9 },
    { name: 'b', offset: 4, write: (d) => d.after(10, () => {
      for (const length of [8, 12]) { const into = new Uint8Array(length); d.log([d.dmaRead(0x3fffffc, into), ...into].join()); }
    }) }`;
  const { stderr } = runWith(device(tried));
  expect(stderr).toBe(
    `mydev: true,0,0,0,0,9,0,0,0
qemu-system-x86_64: warning: DMA of mydev: read of 8 bytes of mydev BAR 0 offset 0x0: register 'a' is 4 bytes wide, reads 0
mydev: true${',0'.repeat(12)}\n`,
  );
});

test('a timer that comes again in no time lets the guest go on', () => {
  const again = 'write(d) { const again = () => d.after(0, again); again(); }';
  const { stdout, status } = runWith(device(`{ name: 'b', offset: 4, ${again} }`));
  expect([stdout.includes('read 0\n'), status]).toEqual([true, 0]);
});

test('a register for each byte of 64 KiB is no matter', () => {
  const many = device('').replace(
    'size: 16, registers: [\n\n]',
    "size: 65536, registers: Array.from({ length: 65536 }, (_, i) => ({ name: 'r' + i, offset: i, size: 1 }))",
  );
  const { stderr, status } = runWith(many);
  expect(stderr).toContain("mydev BAR 0 offset 0x0: register 'r0' is 1 bytes wide");
  expect(status).toBe(0);
});

test('ten thousand timers are no matter', () => {
  const many = 'for (let i = 0; i < 10000; i++) d.after(1e9 - i, () => {})';
  const { stdout, status } = runWith(device(`{ name: 'b', offset: 4, write(d) { ${many} } }`));
  expect([stdout.includes('read 0\n'), status]).toEqual([true, 0]);
});

test.each([
  ['export const x = 1;', './mydev.ts: error: there is no default export'],
  ['', './mydev.ts: error: there is no default export'],
  [device('', 'msxi: 3,'), 'msxi: a device has no such property; it has name, vendor, device,'],
  [
    "export default { name: 'x', vendor: 1, device: 1, bars: [{ space: 'io', size: 8, regs: [] }] }",
    'bars[0].regs: a BAR has no such property; it has space, size, registers',
  ],
  [
    device("{ name: 'a', offset: 0, raed: () => 1 }"),
    'bars[0].registers[0].raed: a register has no such property; it has name, offset, size, initial, read, write',
  ],
  [
    "import { pr_info } from 'gvm/driver';\npr_info('x');",
    "./mydev.ts:1: error: 'gvm/driver' is the kernel: it is there for",
  ],
  [
    "import * as device from 'gvm/device';\ndevice.Device;",
    "./mydev.ts:2: error: 'gvm/device' has no Device: it has types, which only `import type` gets",
  ],
  [device('', 'msi: 3,'), 'msi is 3, not one of 1, 2, 4, 8, 16, 32'],
  [device("{ name: 'a', offset: 2 }"), 'bars[0].registers[0].offset is 2, no multiple of the size 4'],
  [device("{ name: 'a', offset: 16 }"), 'bars[0].registers[0].offset is 16, no integer from 0 to 0xc'],
  [device("{ name: 'a', offset: 0 }, { name: 'b', offset: 0, size: 1 }"), "register 'b' lies over register 'a'"],
  [device("{ name: 'a', offset: 0, read: 5 }"), 'bars[0].registers[0].read is 5, no function'],
  [device("{ name: 'a', offset: 0, size: 1, initial: 256 }"), 'initial is 256, no unsigned number of 1 bytes'],
  [
    "export default { name: 'x', vendor: 1, device: 1, bars: [{ space: 'io', size: 12, registers: [] }] }",
    'bars[0].size is 12, no power of two',
  ],
  ["export default { name: 'x', vendor: 1, device: 1, bars: new Array(1) }", 'bars[0] is undefined, no object'],
  [
    "export default { name: 'x', vendor: 1, device: 1, bars: new Array(4e9) }",
    'bars is a list of 4000000000, there can be 6',
  ],
  ["export default { name: 'x', vendor: 1, device: 1, get bars() { throw new Error('no') } }", 'cannot be read: no'],
  ['export default { name: Object.create(null) }', 'name is an object without a text, no name'],
  ["export default { name: 'x', vendor: 70000, device: 1, bars: [] }", 'vendor is 70000, no integer from 0 to 0xfffe'],
  ['export default {', './mydev.ts:1: error: Unexpected token'],
  ["throw new Error('at once')", './mydev.ts:1: error: at once'],
])('a file that describes no device is refused: %j', (text, message) => {
  const { stderr, status } = runWith(text);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

test.each([
  ["Array.prototype.push = () => { throw new Error('no') };", 'Array.prototype.push'],
  ['(Object.prototype as any).get = () => 1;', 'Object.prototype.get'],
  ['Uint8Array.prototype.set = () => undefined;', 'Uint8Array.prototype.set'],
  ['Array.prototype[Symbol.iterator] = function* () {};', 'Array.prototype[Symbol.iterator]'],
  ['Math.min = () => NaN;', 'Math.min'],
  ['delete (globalThis as any).Map;', 'Map'],
  ['(globalThis as any).process = undefined;', 'process'],
])('one that changes what gvm works with: %s', (change, name) => {
  const said = `error: it changes ${name}, which gvm works with in the same process\n`;
  const loading = runWith(`${change}\n${device('')}`);
  expect([loading.stderr.endsWith(`./mydev.ts:1: ${said}`), loading.status]).toEqual([true, 2]);
  if (name === 'Math.min') return; // gvm's own loops would not end: the watch for those takes seconds
  const running = runWith(device(`{ name: 'b', offset: 4,\n write() { ${change} } }`));
  expect(running.stderr.endsWith(`./mydev.ts:4: ${said}gvm: a device of your own failed\n`)).toBe(true);
  expect(running.status).toBe(5);
});

test('what it only adds to built-ins, or freezes, is its own affair', () => {
  const more =
    'Object.freeze(Math); (BigInt.prototype as any).toJSON = String; (Array.prototype as any).twice = () => 2; Error.stackTraceLimit = 5;\n';
  const { stdout, status } = runWith(`${more}${device("{ name: 'a', offset: 0, read: () => ([] as any).twice() }")}`);
  expect([stdout.includes('read 2\n'), status]).toEqual([true, 0]);
});

test('one that never returns: the place, status 5, and nothing of it runs on', { timeout: 120_000 }, () => {
  const { stderr, stdout, status } = runWith(
    `${device("{ name: 'a', offset: 0,\n  read: () => spin() }")}
function spin() {
  try {
    for (let n = 0; n >= 0; n++) if (n > 1e9) n = 0;
  } finally {
    console.log('it goes on');
  }
}
`,
  );
  expect(stderr).toMatch(
    /\.\/mydev\.ts:[89]: error: it has run for 3 s and has not returned\ngvm: a device of your own failed\n$/,
  );
  expect([stdout.includes('it goes on'), status]).toEqual([false, 5]);
});

const WITH_PROPERTIES = device(
  "{ name: 'a', offset: 0 }",
  `properties: { queues: { type: 'uint8', default: 2, description: 'Rings' }, mac: { type: 'mac' }, name: { type: 'str' },
     fast: { type: 'bool', default: true }, at: { type: 'uint64', default: 1n << 32n }, port: { type: 'uint16' }, big: { type: 'uint32' } },
   state(values) {
     if (values.queues > 4) throw new RangeError('queues is ' + values.queues);
     console.error(Object.entries(values).map(([name, value]) => name + '=' + value).join(' '));
   },`,
);
const withProperties = (words: string) =>
  gvmWith(
    { 'mydev.ts': WITH_PROPERTIES, 'driver.gasm': DRIVER.replace('addr=4', `addr=4${words}`) },
    'run',
    'driver.gasm',
  );

test.each([
  ['', 'queues=2 mac=undefined name=undefined fast=true at=4294967296 port=0 big=0\n'],
  [
    ',queues=3,mac=52:54:00:00:00:01,name=x,fast=off,at=4K,port=0xffff,big=1',
    'queues=3 mac=82,84,0,0,0,1 name=x fast=false at=4096 port=65535 big=1\n',
  ],
])('properties: %j', (words, told) => {
  const { stderr, status } = withProperties(words);
  expect([stderr.startsWith(told), status]).toEqual([true, 0]);
});

test.each([
  [',quees=3', 2, "Property './mydev.ts.quees' not found\nDid you mean 'queues'?"],
  [',queues=many', 2, "Parameter 'queues' expects integer"],
  [',queues=256', 2, "Parameter 'queues' expects uint8_t"],
  [',port=65536', 2, "Parameter 'port' expects uint16_t"],
  [',mac=5', 2, "Property './mydev.ts.mac' doesn't take value '5'"],
  [',queues=9', 5, './mydev.ts:4: error: state: queues is 9'],
])('properties that do not suit: %j', (words, wanted, message) => {
  const { stderr, status } = withProperties(words);
  expect(stderr).toContain(message);
  expect(status).toBe(wanted);
});

test('-device FILE,help lists the properties', () => {
  const { stdout, status } = gvmWith({ 'mydev.ts': WITH_PROPERTIES }, 'run', '-device', './mydev.ts,help');
  expect(stdout).toBe(`./mydev.ts options:
  addr=<int32>           - Slot and optional function number, example: 06.0 or 06 (default: -1)
  at=<uint64>            (default: 4294967296)
  big=<uint32>           (default: 0)
  fast=<bool>            (default: on)
  mac=<str>
  multifunction=<bool>   - on/off (default: false)
  name=<str>
  port=<uint16>          (default: 0)
  queues=<uint8>         - Rings (default: 2)
`);
  expect(status).toBe(0);
  const wrong = gvmWith({ 'mydev.ts': 'export default { name: 5 }' }, 'run', '-device', './mydev.ts,help');
  expect(wrong.stderr).toBe('qemu-system-x86_64: -device ./mydev.ts,help: name is 5, no name\n');
  expect(wrong.status).toBe(2);
});

test.each([
  ["x: { type: 'uint9' }", "properties.x.type is 'uint9', not one of bool, uint8, uint16, uint32, uint64, str, mac"],
  ["x: { type: 'uint8', default: 256 }", 'properties.x.default is 256, no uint8'],
  ["x: { type: 'uint64', default: 5 }", 'properties.x.default is 5, no uint64'],
  ["x: { type: 'mac', default: [1] }", 'properties.x.default is 1, no mac'],
  ["x: { type: 'bool', defualt: true }", 'properties.x.defualt: a property has no such property; it has type, default'],
  ['x: 5', 'properties.x is 5, no object'],
  ["addr: { type: 'str' }", 'properties.addr: every device has this one'],
  ["'a=b': { type: 'str' }", 'properties.a=b: a name has letters, digits, - and _'],
])('a description of properties that is none: %s', (properties, message) => {
  const { stderr, status } = runWith(device('', `properties: { ${properties} },`));
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

test.each([
  ["import * as uapi from 'gvm/uapi';", 'uapi.PCI_CAP_ID_MSIX'],
  ["import { PCI_CAP_ID_MSIX } from 'gvm/uapi';", 'PCI_CAP_ID_MSIX'],
  ["import * as types from 'gvm/device'; import { X } from './other.cjs';", 'X'],
])('what it may import: %s', (imports, value) => {
  const mydev = `${imports}\n${device(`{ name: 'a', offset: 0, read: () => ${value} }`)}`;
  const files = { 'mydev.ts': mydev, 'other.cjs': 'exports.X = 17;', 'driver.gasm': DRIVER };
  const { stdout, status } = gvmWith(files, 'run', 'driver.gasm');
  expect([stdout.includes('read 17\n'), status]).toEqual([true, 0]);
});

test('a name that gvm/uapi does not have is told where it is used', () => {
  const { stderr, status } = runWith(
    `import * as uapi from 'gvm/uapi';\n${device("{ name: 'a', offset: 0, read: () => uapi.PCI_CAP_ID_MSXI }")}`,
  );
  expect(stderr).toContain(
    "./mydev.ts:4: error: BAR 0 register 'a' at 0x0: 'gvm/uapi' has no PCI_CAP_ID_MSXI; did you mean `PCI_CAP_ID_MSIX`?\n",
  );
  expect(status).toBe(5);
});

test('an instance of a class may have fields of its own', () => {
  const { stdout, status } = runWith(
    `class Register { name = 'a'; offset = 0; n = 3; read() { return this.n; } }
     export default { name: 'mydev', vendor: 0x1234, device: 1, bars: [{ space: 'memory', size: 16, registers: [new Register()] }] };`,
  );
  expect([stdout.includes('read 3\n'), status]).toEqual([true, 0]);
});

test('a file that is not there', () => {
  const { stderr, status } = gvmWith({ 'other.gasm': DRIVER.replace('mydev.ts', 'nothere.ts') }, 'run', 'other.gasm');
  expect([stderr, status]).toEqual(['gvm: -device ./nothere.ts: there is no such file\n', 2]);
});
