/** ioctls of KVM and VFIO, with their numbers and structures, from the tables that the kernel dispatches by. */

import type { Ioctl } from '../../linux/uapi/ioctl.ts';
import type { Struct } from '../../linux/uapi/struct.ts';
import { type FdKind, ioctlsOf } from '../../linux/uapi/tables.ts';
import type { TopicSource } from './topic-source.ts';

/** The files that take ioctls. */
const files: Readonly<Record<Exclude<FdKind, 'other'>, string>> = {
  kvm: '/dev/kvm',
  'kvm-vm': 'a VM',
  'kvm-vcpu': 'a vCPU',
  'kvm-device': 'a device that KVM made',
  'vfio-container': '/dev/vfio/vfio, a container',
  'vfio-group': '/dev/vfio/N, a group',
  'vfio-device': 'a VFIO device',
  iommufd: '/dev/iommu',
};
const kinds = Object.keys(files) as (keyof typeof files)[];
const all = (): readonly Ioctl[] => kinds.flatMap((kind) => ioctlsOf(kind));
const directions = {
  in: 'the kernel reads',
  out: 'the kernel fills',
  inout: 'the kernel reads and fills',
} as const;

export const ioctlTopics: TopicSource = {
  kind: 'ioctl',
  names: () => [...new Set(all().map(({ name }) => name))],
  explain(name) {
    const { doc, number, argument } = all().find((each) => each.name === name)!;
    const takers = kinds.filter((kind) => ioctlsOf(kind).some((each) => each.name === name));
    const facts = [
      ['file', takers.map((kind) => files[kind]).join(', ')],
      ['number', `0x${number.toString(16)}`],
      ['argument', argumentText(argument)],
    ].map(([key, text]) => `  ${key!.padEnd(10)} ${text}`);
    return [`  ${doc}`, '', ...facts, ...('struct' in argument ? ['', ...layout(argument.struct)] : [])];
  },
};

function argumentText(argument: Ioctl['argument']): string {
  if ('struct' in argument) return `struct ${argument.struct.name}, which ${directions[argument.kind]}`;
  return { none: 'none', int: 'an integer', string: 'a string' }[argument.kind];
}

/** Members with offsets and types, as C writes them. */
export function layout({ name, members, offsets, size }: Struct): readonly string[] {
  const rows = Object.entries(members).map(([field, member]) => {
    const at = String((offsets as Record<string, number>)[field]).padStart(6);
    if (member.kind === 'int') return `  ${at}  __${member.signed ? 's' : 'u'}${8 * member.bytes} ${field}`;
    if (member.kind === 'bytes') return `  ${at}  __u8 ${field}[${member.bytes}]`;
    return `  ${at}  struct ${member.struct.name} ${field}`;
  });
  return [`  struct ${name}, ${size} bytes:`, '  offset', ...rows];
}
