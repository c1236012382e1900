/** DWARF .debug_line, versions 2 to 5, back to rows of address, file and line (DWARF 5 standard §6.2). */

/** One row of a line table: it holds from `address` to the next row's; `end` rows close a sequence and name no line. */
export interface AddressLine {
  readonly address: bigint;
  readonly file: string;
  readonly line: number;
  readonly end: boolean;
}

/** String sections that version 5 tables may point into. */
export interface DebugStrings {
  readonly str: Uint8Array | undefined;
  readonly lineStr: Uint8Array | undefined;
}

/** All rows, by ascending address. What cannot be read ends the list: half a line table is better than none. */
export function readDebugLine(section: Uint8Array, strings: DebugStrings): AddressLine[] {
  const rows: AddressLine[] = [];
  const reader = new Cursor(section);
  try {
    while (reader.at < section.length) readUnit(reader, strings, rows);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return rows.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : Number(b.end) - Number(a.end)));
}

class Cursor {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.at++);
  }

  i8(): number {
    return this.#view.getInt8(this.at++);
  }

  u16(): number {
    this.at += 2;
    return this.#view.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  u64(): bigint {
    this.at += 8;
    return this.#view.getBigUint64(this.at - 8, true);
  }

  uleb(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  }

  sleb(): number {
    let value = 0;
    let shift = 0;
    for (;;) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) return shift < 32 && (byte & 0x40) !== 0 ? value | (-1 << shift) : value;
    }
  }

  string(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw new RangeError('a string has no end');
    const text = decoder.decode(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return text;
  }

  skip(count: number): void {
    this.at += count;
  }
}

const decoder = new TextDecoder();

interface Header {
  readonly minimumInstruction: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  readonly operandCounts: readonly number[];
  /** By the number that rows use. */
  readonly files: readonly string[];
}

function readUnit(reader: Cursor, strings: DebugStrings, rows: AddressLine[]): void {
  const length = reader.u32();
  if (length >= 0xfffffff0) throw new RangeError('64-bit DWARF is not read');
  const end = reader.at + length;
  const version = reader.u16();
  if (version >= 2 && version <= 5) {
    if (version >= 5) reader.skip(2);
    const programAt = reader.u32() + reader.at;
    const header = readHeader(reader, version, strings);
    reader.at = programAt;
    runProgram(reader, end, header, rows);
  }
  reader.at = end;
}

function readHeader(reader: Cursor, version: number, strings: DebugStrings): Header {
  const minimumInstruction = reader.u8();
  if (version >= 4) reader.skip(1);
  reader.skip(1);
  const lineBase = reader.i8();
  const lineRange = reader.u8();
  const opcodeBase = reader.u8();
  if (lineRange === 0) throw new RangeError('a line range of zero');
  const operandCounts = Array.from({ length: opcodeBase - 1 }, () => reader.u8());
  const files = version >= 5 ? filesOfVersion5(reader, strings) : filesOfVersion4(reader);
  return { minimumInstruction, lineBase, lineRange, opcodeBase, operandCounts, files };
}

function filesOfVersion4(reader: Cursor): string[] {
  const directories = [''];
  for (let name = reader.string(); name !== ''; name = reader.string()) directories.push(name);
  // File numbers count from 1.
  const files = [''];
  for (let name = reader.string(); name !== ''; name = reader.string()) {
    files.push(joinPath(directories[reader.uleb()] ?? '', name));
    reader.uleb();
    reader.uleb();
  }
  return files;
}

function filesOfVersion5(reader: Cursor, strings: DebugStrings): string[] {
  const directories = readEntries(reader, strings).map((entry) => entry.path);
  return readEntries(reader, strings).map((entry) =>
    // Directory 0 is where the compiler ran: names relative to it are what the user wrote.
    entry.directory === 0 ? entry.path : joinPath(directories[entry.directory] ?? '', entry.path),
  );
}

function joinPath(directory: string, name: string): string {
  return directory === '' || name.startsWith('/') ? name : `${directory}/${name}`;
}

const DW_LNCT_path = 1;
const DW_LNCT_directory_index = 2;

function readEntries(reader: Cursor, strings: DebugStrings): { path: string; directory: number }[] {
  const formats = Array.from({ length: reader.u8() }, () => [reader.uleb(), reader.uleb()] as const);
  const count = reader.uleb();
  if (count > reader.bytes.length) throw new RangeError('more files than bytes');
  return Array.from({ length: count }, () => {
    const entry = { path: '', directory: 0 };
    for (const [content, form] of formats) {
      const value = readForm(reader, form, strings);
      if (content === DW_LNCT_path) entry.path = String(value);
      if (content === DW_LNCT_directory_index) entry.directory = Number(value);
    }
    return entry;
  });
}

/** The forms that file tables use (DWARF 5 §6.2.4.1). */
function readForm(reader: Cursor, form: number, strings: DebugStrings): string | number {
  switch (form) {
    case 0x05:
      return reader.u16();
    case 0x08:
      return reader.string();
    case 0x0b:
      return reader.u8();
    case 0x0e:
      return stringAt(strings.str, reader.u32());
    case 0x0f:
      return reader.uleb();
    case 0x1e:
      reader.skip(16);
      return 0;
    case 0x1f:
      return stringAt(strings.lineStr, reader.u32());
    default:
      throw new RangeError(`form ${form} stands in no file table`);
  }
}

function stringAt(section: Uint8Array | undefined, offset: number): string {
  if (section === undefined || offset >= section.length) return '';
  const cursor = new Cursor(section);
  cursor.at = offset;
  return cursor.string();
}

function runProgram(reader: Cursor, end: number, header: Header, rows: AddressLine[]): void {
  let [address, file, line] = [0n, 1, 1];
  const row = (last: boolean) => {
    rows.push({ address, file: header.files[file] ?? '', line, end: last });
  };
  const advance = (operations: number) => {
    address += BigInt(operations * header.minimumInstruction);
  };
  while (reader.at < end) {
    const opcode = reader.u8();
    if (opcode >= header.opcodeBase) {
      const adjusted = opcode - header.opcodeBase;
      advance(Math.floor(adjusted / header.lineRange));
      line += header.lineBase + (adjusted % header.lineRange);
      row(false);
      continue;
    }
    switch (opcode) {
      case 0: {
        const length = reader.uleb();
        const next = reader.at + length;
        const extended = length > 0 ? reader.u8() : 0;
        if (extended === 1) {
          row(true);
          [address, file, line] = [0n, 1, 1];
        } else if (extended === 2) {
          address = reader.u64();
        }
        reader.at = next;
        break;
      }
      case 1:
        row(false);
        break;
      case 2:
        advance(reader.uleb());
        break;
      case 3:
        line += reader.sleb();
        break;
      case 4:
        file = reader.uleb();
        break;
      case 8:
        advance(Math.floor((255 - header.opcodeBase) / header.lineRange));
        break;
      case 9:
        address += BigInt(reader.u16());
        break;
      default:
        for (let i = header.operandCounts[opcode - 1] ?? 0; i > 0; i--) reader.uleb();
    }
  }
}
