import { expect, test } from 'vitest';
import type { Kernel } from '../../../src/linux/core/kernel.ts';
import { parseParameter, splitParameters } from '../../../src/linux/core/module-parameters.ts';
import type { Parameters } from '../../../src/linux/core/modules.ts';
import { EAGAIN, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT } from '../../../src/linux/uapi/errno.ts';
import { boot, program } from './machine.ts';

function machine() {
  const kernel = boot();
  const given: Parameters[] = [];
  const exits: Kernel[] = [];
  kernel.modules.register({
    name: 'vmbuf',
    parameters: { class: 'integer', name: 'string', loop: 'boolean' },
    init: (_kernel, parameters) => {
      given.push(parameters);
      return 0;
    },
    exit: (of) => exits.push(of),
  });
  kernel.modules.register({ name: 'broken', parameters: {}, init: () => -ENODEV });
  kernel.modules.register({ name: 'forever', parameters: {}, init: () => 0 });
  return { kernel, given, exits, ...program(kernel) };
}

test('parameters reach init, and sysfs shows them', () => {
  const { syscalls, given, cat } = machine();
  expect(syscalls.init_module('vmbuf', 'class=0xff name="two words" loop')).toBe(0);
  expect(given).toEqual([{ class: 255, name: 'two words', loop: true }]);
  expect(cat('/sys/module/vmbuf/parameters/class')).toBe('255\n');
  expect(cat('/sys/module/vmbuf/parameters/loop')).toBe('Y\n');
  expect(cat('/sys/module/vmbuf/initstate')).toBe('live\n');
});

test('an unknown parameter is logged and ignored', () => {
  // kernel/module/main.c: unknown_module_param_cb
  const { kernel, syscalls, given } = machine();
  expect(syscalls.init_module('vmbuf', 'klass=1')).toBe(0);
  expect(kernel.log.lines).toEqual(["vmbuf: unknown parameter 'klass' ignored"]);
  expect(given).toEqual([{}]);
});

test('a malformed value is EINVAL, in the words of parse_args, and nothing is loaded', () => {
  const { kernel, syscalls, given } = machine();
  expect(syscalls.init_module('vmbuf', 'class=big')).toBe(-EINVAL);
  expect(kernel.log.lines).toEqual(["vmbuf: `big' invalid for parameter `class'"]);
  expect(given).toEqual([]);
  expect(syscalls.stat('/sys/module/vmbuf')).toBe(-ENOENT);
});

test('loading and unloading: the errno of each wrong order', () => {
  const { kernel, syscalls, exits } = machine();
  expect(syscalls.init_module('nosuch', '')).toBe(-ENOENT);
  expect(syscalls.delete_module('vmbuf')).toBe(-ENOENT);
  expect(syscalls.init_module('vmbuf', '')).toBe(0);
  expect(syscalls.init_module('vmbuf', '')).toBe(-EEXIST);
  const module = kernel.modules.find('vmbuf');
  expect(module?.tryGet()).toBe(true);
  expect(syscalls.delete_module('vmbuf')).toBe(-EAGAIN);
  module?.put();
  expect(syscalls.delete_module('vmbuf')).toBe(0);
  expect(module?.tryGet()).toBe(false);
  expect(exits).toEqual([kernel]);
  expect(syscalls.init_module('broken', '')).toBe(-ENODEV);
  expect(kernel.modules.find('broken')).toBeUndefined();
  expect(syscalls.init_module('forever', '')).toBe(0);
  expect(syscalls.delete_module('forever')).toBe(-EBUSY);
});

test('dashes and underscores name the same module', () => {
  const { kernel, syscalls } = machine();
  kernel.modules.register({ name: 'vfio_pci', parameters: {}, init: () => 0 });
  expect(syscalls.init_module('vfio-pci', '')).toBe(0);
  expect(kernel.modules.find('vfio-pci')?.name).toBe('vfio_pci');
});

// lib/kstrtox.c with base 0; kernel/params.c param_set_bool
test.each([
  ['integer', '10', 10],
  ['integer', '0x1000', 4096],
  ['integer', '010', 8],
  ['integer', '-1', -1],
  ['integer', '0', 0],
  ['integer', '2147483647', 2147483647],
  ['integer', '2147483648', undefined],
  ['integer', '08', undefined],
  ['integer', '1x', undefined],
  ['integer', '', undefined],
  ['integer', undefined, undefined],
  ['boolean', 'y', true],
  ['boolean', 'off', false],
  ['boolean', '2', undefined],
  ['boolean', undefined, true],
  ['string', 'a=b', 'a=b'],
] as const)('a parameter of kind %s from %s is %s', (kind, text, value) => {
  expect(parseParameter(kind, text)).toBe(value);
});

test('parameters split at blanks outside quotes', () => {
  expect(splitParameters(' a=1  b-c="x y" d "e=f" ')).toEqual([
    { key: 'a', value: '1' },
    { key: 'b_c', value: 'x y' },
    { key: 'd', value: undefined },
    { key: 'e', value: 'f' },
  ]);
});
