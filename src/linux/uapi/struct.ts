/**
 * C structures of the user API, declared once as data and laid out by the x86-64 ABI: each field aligned to its own
 * size, the whole to its widest member. From one declaration come size, offsets, encoding and strace's text.
 */

/** Type of one member: an integer of some width, or a run of bytes. */
export type Member =
  | { readonly kind: 'int'; readonly bytes: 1 | 2 | 4 | 8; readonly signed: boolean }
  | { readonly kind: 'bytes'; readonly bytes: number; readonly align: number }
  | { readonly kind: 'struct'; readonly bytes: number; readonly align: number; readonly struct: Struct };
type IntMember<B extends 1 | 2 | 4 | 8> = { readonly kind: 'int'; readonly bytes: B; readonly signed: boolean };
type BytesMember = { readonly kind: 'bytes'; readonly bytes: number; readonly align: number };
type StructMember<M extends Members> = {
  readonly kind: 'struct';
  readonly bytes: number;
  readonly align: number;
  readonly struct: Struct<M>;
};
export type Members = Readonly<Record<string, Member>>;
type ValueOf<M extends Member> =
  M extends IntMember<8>
    ? bigint
    : M extends BytesMember
      ? Uint8Array
      : M extends StructMember<infer N>
        ? StructValue<N>
        : number;
/** A structure's value in TypeScript: 64-bit members are bigints, narrower ones numbers, arrays `Uint8Array`s. */
export type StructValue<M extends Members> = { -readonly [K in keyof M]: ValueOf<M[K]> };
/** `StructOf<typeof kvm_regs>`: the value type of a declared structure. */
export type StructOf<S> = S extends Struct<infer M> ? StructValue<M> : never;

const int = <B extends 1 | 2 | 4 | 8>(bytes: B, signed: boolean): IntMember<B> => ({ kind: 'int', bytes, signed });
export const u8 = int(1, false);
export const u16 = int(2, false);
export const u32 = int(4, false);
export const u64 = int(8, false);
export const s16 = int(2, true);
export const s32 = int(4, true);
export const s64 = int(8, true);
/** `__u8 name[length]`. */
export const bytes = (length: number): BytesMember => ({ kind: 'bytes', bytes: length, align: 1 });
/** A nested structure. */
export const nested = <M extends Members>(struct: Struct<M>): StructMember<M> => ({
  kind: 'struct',
  bytes: struct.size,
  align: struct.align,
  struct,
});

/** One declared structure. */
export interface Struct<M extends Members = Members> {
  readonly name: string;
  readonly members: M;
  readonly size: number;
  readonly align: number;
  readonly offsets: { readonly [K in keyof M]: number };
  /** Decode the structure that starts at byte `at` of `view`. Byte arrays are copies. */
  read(view: DataView, at?: number): StructValue<M>;
  /** Encode `value` at byte `at` of `view`; members left out become zero. */
  write(view: DataView, value: Partial<StructValue<M>>, at?: number): void;
  /** Encode into fresh bytes. */
  encode(value: Partial<StructValue<M>>): Uint8Array;
}

const alignmentOf = (member: Member) => (member.kind === 'int' ? member.bytes : member.align);

/** Declare `struct name { … }`; member order is the order in memory. */
export function struct<const M extends Members>(name: string, members: M): Struct<M> {
  const offsets: Record<string, number> = {};
  let end = 0;
  let align = 1;
  for (const [field, member] of Object.entries(members)) {
    const to = alignmentOf(member);
    align = Math.max(align, to);
    end = Math.ceil(end / to) * to;
    offsets[field] = end;
    end += member.bytes;
  }
  const size = Math.ceil(end / align) * align;
  const declared: Struct<M> = {
    name,
    members,
    size,
    align,
    offsets: offsets as Struct<M>['offsets'],
    read(view, at = 0) {
      const value: Record<string, unknown> = {};
      for (const [field, member] of Object.entries(members))
        value[field] = readMember(view, at + (offsets[field] ?? 0), member);
      return value as StructValue<M>;
    },
    write(view, value, at = 0) {
      for (const [field, member] of Object.entries(members))
        writeMember(view, at + (offsets[field] ?? 0), member, value[field]);
    },
    encode(value) {
      const encoded = new Uint8Array(size);
      declared.write(new DataView(encoded.buffer), value);
      return encoded;
    },
  };
  return declared;
}

function readMember(view: DataView, at: number, member: Member): unknown {
  switch (member.kind) {
    case 'bytes':
      return new Uint8Array(view.buffer, view.byteOffset + at, member.bytes).slice();
    case 'struct':
      return member.struct.read(view, at);
    case 'int':
      switch (member.bytes) {
        case 1:
          return member.signed ? view.getInt8(at) : view.getUint8(at);
        case 2:
          return member.signed ? view.getInt16(at, true) : view.getUint16(at, true);
        case 4:
          return member.signed ? view.getInt32(at, true) : view.getUint32(at, true);
        case 8:
          return member.signed ? view.getBigInt64(at, true) : view.getBigUint64(at, true);
      }
  }
}

function writeMember(view: DataView, at: number, member: Member, value: unknown): void {
  switch (member.kind) {
    case 'bytes': {
      const target = new Uint8Array(view.buffer, view.byteOffset + at, member.bytes).fill(0);
      if (value !== undefined) target.set((value as Uint8Array).subarray(0, member.bytes));
      return;
    }
    case 'struct':
      member.struct.write(view, (value ?? {}) as Partial<StructValue<Members>>, at);
      return;
    case 'int':
      if (member.bytes === 8) view.setBigUint64(at, BigInt.asUintN(64, (value ?? 0n) as bigint), true);
      else if (member.bytes === 4) view.setUint32(at, (value ?? 0) as number, true);
      else if (member.bytes === 2) view.setUint16(at, (value ?? 0) as number, true);
      else view.setUint8(at, (value ?? 0) as number);
  }
}
