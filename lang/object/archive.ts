/**
 * ar archives with a symbol index, in the System V format that GNU ar writes: `/` holds the index (big-endian), `//` the long names.
 * A member is read only when the linker wants a symbol of it.
 */

import { ByteWriter } from './byte-writer.ts';
import { ObjectFault, type ObjectFile } from './object-file.ts';
import { readObject } from './read-object.ts';

const MAGIC = '!<arch>\n';
const HEADER = 60;

export interface ArchiveMember {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** An archive as the linker uses it. */
export interface Archive {
  readonly name: string;
  readonly members: readonly ArchiveMember[];
  /** Global symbol → index of the member that defines it. */
  readonly index: ReadonlyMap<string, number>;
}

const objects = new WeakMap<ArchiveMember, ObjectFile>();

/** Member `number` as an object: read when the linker first wants it, and kept for the next link. Throws {@link ObjectFault}. */
export function memberObject(archive: Archive, number: number): ObjectFile {
  const member = archive.members[number]!;
  const known = objects.get(member);
  if (known !== undefined) return known;
  const object = readObject(member.bytes, `${archive.name}(${member.name})`);
  objects.set(member, object);
  return object;
}

/** The archive's bytes. Members are relocatable objects; times and owners are zero, so that equal members give equal bytes. */
export function writeArchive(members: readonly ArchiveMember[]): Uint8Array {
  const defined = members.map((member) => definedSymbols(member));
  const names = defined.flat();
  const longNames = members.map((member) => `${member.name}/\n`).join('');
  const indexSize = 4 + 4 * names.length + names.reduce((size, name) => size + encoder.encode(name).length + 1, 0);
  let at = MAGIC.length + HEADER + even(indexSize) + HEADER + even(longNames.length);
  const starts = members.map((member) => {
    const start = at;
    at += HEADER + even(member.bytes.length);
    return start;
  });
  const writer = new ByteWriter();
  writer.bytes(encoder.encode(MAGIC));
  header(writer, '/', indexSize);
  bigEndian(writer, names.length);
  defined.forEach((symbols, i) => {
    for (const _ of symbols) bigEndian(writer, starts[i]!);
  });
  for (const name of names) writer.string(name);
  pad(writer);
  header(writer, '//', longNames.length);
  writer.bytes(encoder.encode(longNames));
  pad(writer);
  let nameAt = 0;
  for (const member of members) {
    header(writer, `/${nameAt}`, member.bytes.length);
    writer.bytes(member.bytes);
    pad(writer);
    nameAt += member.name.length + 2;
  }
  return writer.finish();
}

/** Reads an archive; throws {@link ObjectFault}. An archive without an index gets one from its members. */
export function readArchive(bytes: Uint8Array, name: string): Archive {
  const fault = (what: string): never => {
    throw new ObjectFault(`${name}: ${what}`);
  };
  if (decoder.decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) fault('is no archive');
  const members: ArchiveMember[] = [];
  const byStart = new Map<number, number>();
  let longNames = '';
  let table: Uint8Array | undefined;
  for (let at = MAGIC.length; at < bytes.length; ) {
    if (at + HEADER > bytes.length) fault('ends within a member header');
    const field = (from: number, length: number) =>
      decoder.decode(bytes.subarray(at + from, at + from + length)).trimEnd();
    const size = /^\d+$/.test(field(48, 10))
      ? Number(field(48, 10))
      : fault(`has a member of unreadable size at ${at}`);
    if (at + HEADER + size > bytes.length) fault(`has a member at ${at} that reaches beyond its end`);
    const data = bytes.subarray(at + HEADER, at + HEADER + size);
    const shortName = field(0, 16);
    if (shortName === '/') table = data;
    else if (shortName === '//') longNames = decoder.decode(data);
    else {
      byStart.set(at, members.length);
      members.push({ name: memberName(shortName, longNames), bytes: data });
    }
    at += HEADER + even(size);
  }
  return { name, members, index: table === undefined ? indexOf(members, name) : readIndex(table, byStart, fault) };
}

function memberName(shortName: string, longNames: string): string {
  const long = /^\/(\d+)$/.exec(shortName);
  if (long === null) return shortName.replace(/\/$/, '');
  const start = Number(long[1]);
  return longNames.slice(start).split('/\n', 1)[0]!;
}

function readIndex(
  table: Uint8Array,
  byStart: ReadonlyMap<number, number>,
  fault: (what: string) => never,
): Map<string, number> {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const count = table.length >= 4 ? view.getUint32(0) : fault('has a symbol index that ends too early');
  if (4 + count * 4 > table.length) fault('has a symbol index that ends too early');
  const names = decoder.decode(table.subarray(4 + count * 4)).split('\0');
  const index = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const member = byStart.get(view.getUint32(4 + i * 4)) ?? fault('has a symbol index that points at no member');
    const symbol = names[i] ?? '';
    if (!index.has(symbol)) index.set(symbol, member);
  }
  return index;
}

function indexOf(members: readonly ArchiveMember[], archive: string): Map<string, number> {
  const index = new Map<string, number>();
  members.forEach((member, i) => {
    for (const symbol of definedSymbols(member, archive)) if (!index.has(symbol)) index.set(symbol, i);
  });
  return index;
}

function definedSymbols(member: ArchiveMember, archive?: string): string[] {
  const name = archive === undefined ? member.name : `${archive}(${member.name})`;
  const { symbols } = readObject(member.bytes, name);
  const defined = symbols.filter((symbol) => symbol.binding !== 'local' && symbol.section !== 'undefined');
  return defined.map((symbol) => symbol.name);
}

function header(writer: ByteWriter, name: string, size: number): void {
  const text = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'644'.padEnd(8)}${String(size).padEnd(10)}\`\n`;
  writer.bytes(encoder.encode(text));
}

function bigEndian(writer: ByteWriter, value: number): void {
  for (const shift of [24, 16, 8, 0]) writer.u8((value >>> shift) & 0xff);
}

function pad(writer: ByteWriter): void {
  if (writer.length % 2 === 1) writer.u8(0x0a);
}

function even(size: number): number {
  return size + (size % 2);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
