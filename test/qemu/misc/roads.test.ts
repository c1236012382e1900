/** roads: what KVM was told of it goes when its BARs do, and comes back with them. */

import { expect, test } from 'vitest';
import { matchingEvents } from '../../../src/event.ts';
import { Unplugged } from '../pci/unplugged.ts';

test('eventfds, zones, ioregions and the mapped page come and go with COMMAND', () => {
  const machine = new Unplugged(['-device', 'roads,addr=4']);
  const calls: string[] = [];
  machine.host.stream.subscribe(matchingEvents('sys_ioctl'), ({ fields }) => {
    const [name] = /KVM_[A-Z_]+/.exec(Object.values(fields).join(' ')) ?? [''];
    if (/IOEVENTFD|COALESCED|IOREGION|USER_MEMORY/.test(name)) calls.push(name);
  });
  const command = (value: number) => {
    calls.length = 0;
    machine.configWrite(0, 4 << 3, 4, 2, value);
    return calls.toSorted();
  };
  machine.configWrite(0, 4 << 3, 0x10, 4, 0xe000_0000);
  machine.configWrite(0, 4 << 3, 0x14, 4, 0xc000);
  const eventfds = (count: number) => new Array<string>(count).fill('KVM_IOEVENTFD');
  expect(command(1)).toEqual([...eventfds(2), 'KVM_REGISTER_COALESCED_MMIO', 'KVM_SET_IOREGION'].sort());
  expect(command(3)).toEqual(
    [...eventfds(3), 'KVM_REGISTER_COALESCED_MMIO', 'KVM_SET_IOREGION', 'KVM_SET_USER_MEMORY_REGION'].sort(),
  );
  expect(command(0)).toEqual(
    [
      ...eventfds(5),
      ...['KVM_UNREGISTER_COALESCED_MMIO', 'KVM_UNREGISTER_COALESCED_MMIO'],
      ...['KVM_SET_IOREGION', 'KVM_SET_IOREGION', 'KVM_SET_USER_MEMORY_REGION'],
    ].sort(),
  );
  expect(machine.read(0xe000_1000, 4)).toBe(0n);
});
