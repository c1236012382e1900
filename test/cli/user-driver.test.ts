/** A host driver of the user's own: `insmod ./mydriver.ts`, and what happens when it is wrong. */

import { describe, expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
const CREATE = `echo ${UUID} > /sys/class/mdev_bus/mine/mdev_supported_types/mine-a/create`;
const TYPES = '/sys/class/mdev_bus/mine/mdev_supported_types/mine-a';

/** A driver of one type; `driver` are properties of its mdev_driver, `ops` of its vfio_device_ops. */
const parent = (driver = '', ops = '', init = '') => `import * as linux from 'gvm/driver';
let device, cls;
const ops = { ${ops} };
const driver = {
  device_api: 'vfio-pci', max_instances: 1,
  probe(mdev) { mdev.drvdata = linux.vfio_alloc_device(mdev, ops, {});
    return linux.vfio_register_emulated_iommu_dev(mdev.drvdata); },
  remove(mdev) { linux.vfio_unregister_group_dev(mdev.drvdata); linux.vfio_put_device(mdev.drvdata); },
${driver}
};
export default {
  name: 'mine',
  parameters: { n: 'integer', word: 'string', on: 'boolean' },
  init(parameters) {
    linux.pr_info('mine: ' + JSON.stringify(parameters));
${init}
    cls = linux.class_create('mine'); device = linux.device_create(cls, 'mine');
    linux.mdev_register_driver(driver);
    return linux.mdev_register_parent(device, driver, [{ sysfs_name: 'a', pretty_name: 'My own' }]);
  },
  exit() { linux.mdev_unregister_parent(device); linux.mdev_unregister_driver(driver);
    linux.device_unregister(device); linux.class_destroy(cls); linux.pr_info('mine: gone'); },
};
`;
/** Sleeps for two microseconds. */
const SLEEP = `export default ({ syscalls }) => {
  syscalls.timer_settime(syscalls.clock_gettime() + 2000);
  syscalls.rt_sigtimedwait(true);
  return 0;
}`;
const host = (file: string, ...commands: string[]) =>
  gvmWith({ 'mine.ts': file, 'sleep.ts': SLEEP }, 'host', ...commands.flatMap((command) => ['-c', command]));

test('its life: parameters, types in sysfs, a device, one too many, rmmod', () => {
  const { stdout, stderr, status } = host(
    parent(),
    'insmod ./mine.ts n=0x10 word=hello on',
    `cat ${TYPES}/name ${TYPES}/device_api ${TYPES}/available_instances`,
    CREATE,
    `cat ${TYPES}/available_instances; ls /sys/bus/mdev/drivers/mine; cat /sys/module/mine/parameters/n`,
    'rmmod mine',
    'ls /sys/bus/mdev/devices; lsmod',
  );
  expect(stdout).toBe(
    `My own\nvfio-pci\n1\n0\n${UUID}\nbind\nmodule\nuevent\nunbind\n16\n${'Module'.padEnd(19)} Used by\n`,
  );
  expect(stderr).toBe(`[host] mine: {"n":16,"word":"hello","on":true}
[host] mine mine: MDEV: Registered
[host] mine ${UUID}: Adding to iommu group 0
[host] mine mine: MDEV: Unregistering
[host] mine ${UUID}: Removing from iommu group 0
[host] mine: gone
`);
  expect(status).toBe(0);
});

test.each(["'of mine'", "'of mine\\n'"])('a description ends with one newline: %s', (text) => {
  const { stdout, status } = host(
    parent(`show_description: () => ${text},`),
    'insmod ./mine.ts',
    `cat ${TYPES}/description`,
  );
  expect([stdout, status]).toEqual(['of mine\n', 0]);
});

test('one device more than max_instances is EUSERS', () => {
  const { stderr, status } = host(parent(), 'insmod ./mine.ts', CREATE, CREATE.replace('1003', '1004'));
  expect(stderr).toContain(
    'echo: write error: Too many users\n   = note: driver mine makes at most 1 devices on a parent',
  );
  expect(status).toBe(2);
});

test('loaded twice, and unloaded and loaded again from the changed file', () => {
  const twice = host(parent(), 'insmod ./mine.ts', 'insmod ./mine.ts');
  expect(twice.stderr).toContain('insmod: ERROR: could not insert module ./mine.ts: File exists\n');
  const again = host(parent(), 'insmod ./mine.ts', 'rmmod mine', 'insmod ./mine.ts', CREATE, 'rmmod mine');
  expect(again.status).toBe(0);
});

describe('insmod refuses', () => {
  test.each([
    ['a file that is not there', undefined, 'could not load module ./mine.ts: No such file or directory'],
    [
      'what is no TypeScript',
      'export default {',
      'Invalid module format\n   = note: ./mine.ts:1: error: Unexpected token',
    ],
    [
      'a file that throws',
      "\nthrow new Error('at once');",
      'Invalid module format\n   = note: ./mine.ts:2: error: at once',
    ],
    ['a file without a default export', 'export const x = 1;', 'note: ./mine.ts: error: there is no default export'],
    ['no object', 'export default 5;', 'the default export is 5, no object'],
    ['a name with a slash', "export default { name: 'a/b', init: () => 0 };", "name is 'a/b', no name of a module"],
    ['no init', "export default { name: 'mine' };", 'init is undefined, no function'],
    [
      'a misspelt exit',
      "export default { name: 'mine', init: () => 0, exti() {} };",
      'exti: a module has no such property; it has name, parameters, init, exit',
    ],
    ['an exit that is none', "export default { name: 'mine', init: () => 0, exit: 1 };", 'exit is 1, no function'],
    [
      'two types of one name',
      parent().replace("[{ sysfs_name: 'a',", "[{ sysfs_name: 'a' }, { sysfs_name: 'a',"),
      'could not insert module ./mine.ts: File exists\n   = note: parent mine has two types named a',
    ],
    [
      'an unknown kind of parameter',
      "export default { name: 'mine', parameters: { n: 'float' }, init: () => 0 };",
      "parameters.n is 'float', not one of integer, string, boolean",
    ],
    [
      'an import that the kernel has not',
      "import { nothing } from 'gvm/nothing';\nexport default { name: 'mine', init: () => nothing() };",
      "Cannot find module 'gvm/nothing'",
    ],
  ])('%s', (_, file, message) => {
    const { stderr, status } =
      file === undefined ? gvmWith({}, 'host', '-c', 'insmod ./mine.ts') : host(file, 'insmod ./mine.ts');
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^insmod: ERROR: /m);
    expect([stderr.includes('    at '), status]).toEqual([false, 2]);
  });

  test.each([
    ['-12', 'Cannot allocate memory'],
    ['-22', 'Invalid parameters'],
    ["linux.refuse(16, 'it is busy')", 'Device or resource busy\n   = note: it is busy'],
  ])('what init returns: %s', (result, message) => {
    const { stderr, status } = host(parent('', '', `return ${result};`), 'insmod ./mine.ts');
    expect(stderr).toContain(`insmod: ERROR: could not insert module ./mine.ts: ${message}\n`);
    expect(status).toBe(2);
  });

  test.each([
    ['n=many', "`many' invalid for parameter `n'", "Invalid parameters\n   = note: parameter n: 'many' is no integer"],
    [
      'n=0x100000000',
      "`0x100000000' invalid for parameter `n'",
      'Numerical result out of range\n   = note: parameter n: 0x100000000 has more than 32 bits',
    ],
    ['word', "`' invalid for parameter `word'", 'Invalid parameters\n   = note: parameter word takes a value: word=…'],
  ])('a value that does not suit: %s', (parameter, logged, message) => {
    const { stderr } = host(parent(), `insmod ./mine.ts ${parameter}`);
    expect(stderr).toContain(`[host] mine: ${logged}\n`);
    expect(stderr).toContain(`insmod: ERROR: could not insert module ./mine.ts: ${message}\n`);
  });
});

describe('a driver that fails ends the run with status 5 and the place', () => {
  test.each([
    ['init throws', parent('', '', "throw new Error('no');"), [], './mine.ts:16: error: init: no'],
    [
      'init returns nothing',
      parent('', '', 'return;'),
      [],
      './mine.ts:14: error: init: returned undefined, not 0 or -errno',
    ],
    [
      'init is asynchronous',
      "export default { name: 'mine', init: async () => 0 };",
      [],
      './mine.ts:1: error: init: gave a promise: a callback has done its work when it returns',
    ],
    [
      'the types are a list of nothing',
      parent().replace("[{ sysfs_name: 'a', pretty_name: 'My own' }]", 'new Array(4e9)'),
      [],
      'types[0] is undefined, no object',
    ],
    ['init returns a fraction', parent('', '', 'return -0.5;'), [], 'returned -0.5, not 0 or -errno'],
    ['init returns too much', parent('', '', 'return -5000;'), [], 'returned -5000, not 0 or -errno'],
    [
      'probe throws',
      parent("probe() {\n throw new Error('broken') }"),
      [CREATE],
      `./mine.ts:10: error: mdev_driver.probe of ${UUID}: broken`,
    ],
    ['it throws no error', parent("probe() { throw 'no' }"), [CREATE], `error: mdev_driver.probe of ${UUID}: no`],
    [
      'it hands VFIO what is no device',
      parent('probe() { return linux.vfio_register_emulated_iommu_dev({}) }'),
      [CREATE],
      `./mine.ts:9: error: mdev_driver.probe of ${UUID}: the functions of VFIO take what vfio_alloc_device made`,
    ],
    ['remove throws', parent("remove() { throw new Error('stays') }"), [CREATE, 'rmmod mine'], 'mdev_driver.remove of'],
    [
      'a driver without probe',
      parent('probe: undefined,'),
      [],
      './mine.ts:18: error: init: probe is undefined, no function',
    ],
    [
      'a misspelt callback',
      parent('get_availabel: () => 1,'),
      [],
      './mine.ts:18: error: init: get_availabel: an mdev driver has no such property; it has device_api, max_instances',
    ],
    [
      'a misspelt operation',
      parent('', 'dma_unmpa() {}'),
      [CREATE],
      'dma_unmpa: vfio_device_ops has no such property; it has open_device, close_device, read',
    ],
    [
      'a name that the kernel has not',
      parent('', '', 'linux.eventfd_singal({}, 1);'),
      [],
      "./mine.ts:16: error: init: 'gvm/driver' has no eventfd_singal; did you mean `eventfd_signal`?",
    ],
    ['a driver without device_api', parent('device_api: 1,'), [], "device_api is 1, no string such as 'vfio-pci'"],
    [
      'an error that nobody has looked at',
      parent('', '', "cls = linux.class_create('mine'); linux.device_create(linux.class_create('mine'), 'x');"),
      [],
      './mine.ts:16: error: init: device_create takes what class_create made, not -17 (-EEXIST)',
    ],
    [
      'a timer that outlives the module',
      parent('', '', 'linux.hrtimer_start(1000, () => {});'),
      ['rmmod mine', './sleep.ts'],
      './mine.ts:16: error: hrtimer: called when the module was gone: exit has to undo what init and the devices have begun',
    ],
    [
      'more devices left than there can be',
      parent('get_available: () => -1e6,'),
      [`cat ${TYPES}/available_instances`],
      'mdev_driver.get_available: returned -1000000, not a number up to 4294967295, or -errno',
    ],
    [
      'a callback of a name that stands earlier',
      `/* type.get_available() */\n${parent('get_available: () => -1e6,')}`,
      [`cat ${TYPES}/available_instances`],
      './mine.ts:10: error: mdev_driver.get_available',
    ],
  ])('%s', (_, file, commands, message) => {
    const { stderr, status } = host(file, 'insmod ./mine.ts', ...commands);
    expect(stderr).toContain(message);
    expect(stderr.endsWith('gvm: a host driver of your own failed\n')).toBe(true);
    expect([stderr.includes('    at '), status]).toEqual([false, 5]);
  });
});

/** A program that QEMU gives the device to, and that does nothing. */
const PROGRAM = `; host: insmod sub/mine.ts n=3
; host: ${CREATE}
; gvm: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID},addr=3
global init_module
init_module: xor eax, eax
        ret
`;
const run = (file: string) => gvmWith({ 'dir/sub/mine.ts': file, 'dir/x.gasm': PROGRAM }, 'run', 'dir/x.gasm');

describe('in a run', () => {
  test('its file lies beside the program', () => {
    expect(run(parent()).stderr).toContain('[host] mine: {"n":3}\n');
  });

  test('without an ioctl QEMU cannot use the device', () => {
    const { stderr, status } = run(parent());
    expect(stderr).toContain('error getting device info: Invalid argument');
    expect(status).toBe(2);
  });

  test.each([
    ['throws', 'ioctl(vdev) {\n vdev.state.missing.field }', './dir/sub/mine.ts:4: error: vfio_device_ops.ioctl of'],
    ['returns nothing', 'ioctl() {}', './dir/sub/mine.ts:3: error: vfio_device_ops.ioctl of'],
    ['fails when it is opened', "open_device() { throw new Error('shut') }", 'vfio_device_ops.open_device of'],
    [
      'copies from nowhere',
      'ioctl(vdev, request, argument) { return linux.copy_from_user(argument, 0) }',
      'no Uint8Array',
    ],
  ])('one that %s ends it with status 5', (_, ops, message) => {
    const { stderr, status } = run(parent('', ops));
    expect(stderr).toContain(message);
    expect(stderr.endsWith('gvm: a host driver of your own failed\n')).toBe(true);
    expect([stderr.includes('    at '), status]).toEqual([false, 5]);
  });

  test('a line of the program that cannot load its file has the place of both', () => {
    const { stderr, status } = run('export default {');
    expect(stderr).toContain(
      'dir/x.gasm:1: error: insmod: ERROR: could not insert module sub/mine.ts: Invalid module format\n' +
        '   = note: ./dir/sub/mine.ts:1: error: Unexpected token',
    );
    expect(status).toBe(2);
  });
});
