/**
 * Parses the headers of a tar archive: ustar and pax (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended
 * Header"), and the extensions of GNU tar.
 * @module
 */
import { TarballError } from '../errors.ts';

/** Headers and contents fill whole blocks. */
export const blockSize = 512;

export type EntryKind = (typeof kinds)[keyof typeof kinds] | 'thing of unknown type';

export interface TarHeader {
  /** Prefix and name; bytes that are not UTF-8 become U+FFFD. An extended header may replace it. */
  readonly name: string;
  readonly kind: EntryKind;
  /** Bytes of content that follow. */
  readonly size: number;
  readonly isExecutable: boolean;
}

/** What an extended header says about the entry that follows. */
export interface Extended {
  readonly path?: string;
  readonly size?: number;
}

const kinds = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard link',
  '2': 'symbolic link',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'FIFO',
  '7': 'contiguous file',
  'x': 'extended header',
  'g': 'global header',
  'L': 'long name',
  'K': 'long link name',
  'S': 'sparse file',
} as const;

/** Start and end of the fields that are used. */
const fields = {
  name: [0, 100],
  mode: [100, 108],
  size: [124, 136],
  checksum: [148, 156],
  type: [156, 157],
  magic: [257, 265],
  prefix: [345, 500],
} as const;

const posixMagic = 'ustar\x0000';
const gnuMagic = 'ustar  \0';
const ownerMayExecute = 0o100;

/** @throws TarballError where the block is not a header. */
export function parseHeader(block: Buffer): TarHeader {
  const magic = field(block, 'magic').toString('latin1');
  const name = nameOf(block, magic);
  if (parseNumber(field(block, 'checksum')) !== checksum(block)) {
    throw new TarballError('a header is damaged: its checksum is wrong');
  }
  if (magic !== posixMagic && magic !== gnuMagic) {
    throw new TarballError('its header is not that of a ustar archive', { entry: name });
  }
  const [mode, size] = [parseNumber(field(block, 'mode')), parseNumber(field(block, 'size'))];
  if (mode === undefined) throw new TarballError('its mode is not a number', { entry: name });
  if (size === undefined) throw new TarballError('its size is not a number', { entry: name });
  return {
    name,
    size,
    kind: kindOf(field(block, 'type').toString('latin1')),
    isExecutable: Math.floor(mode / ownerMayExecute) % 2 === 1,
  };
}

/** Whether all bytes are zero: such a block ends an archive. */
export function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

/**
 * Parses the content of an extended header: records of the form `LENGTH KEYWORD=VALUE\n`, where the length counts the
 * whole record in bytes. The last of several values counts.
 *
 * @throws TarballError where a record is malformed, or says that the content is stored in pieces.
 */
export function parseExtended(content: Buffer): Extended {
  const extended: { path?: string; size?: number } = {};
  for (const [keyword, value] of records(content)) {
    if (keyword.startsWith('GNU.sparse.')) {
      throw new TarballError('a file is stored with holes', { entry: extended.path });
    }
    if (keyword === 'path') extended.path = value;
    if (keyword === 'size') extended.size = parseSize(value);
  }
  return extended;
}

/** Parses the content of GNU tar's entry for a name that is too long for its field: the name and a NUL. */
export function parseLongName(content: Buffer): string {
  return content.toString('utf8').replace(/\0$/, '');
}

function field(block: Buffer, name: keyof typeof fields): Buffer {
  return block.subarray(...fields[name]);
}

/** GNU tar stores times in the field that POSIX uses for the prefix. */
function nameOf(block: Buffer, magic: string): string {
  const name = untilNul(field(block, 'name'));
  const prefix = magic === posixMagic ? untilNul(field(block, 'prefix')) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

function kindOf(type: string): EntryKind {
  return kinds[type as keyof typeof kinds] ?? 'thing of unknown type';
}

/** The sum of all bytes, with those of the checksum read as spaces. */
function checksum(block: Buffer): number {
  const [start, end] = fields.checksum;
  const sum = (bytes: Buffer): number => bytes.reduce((total, byte) => total + byte, 0);
  return sum(block) - sum(block.subarray(start, end)) + 0x20 * (end - start);
}

/** Octal digits, or base 256 where the first bit is set: GNU tar and others use it for numbers too large for octal. */
function parseNumber(bytes: Buffer): number | undefined {
  const first = bytes[0] ?? 0;
  if (first < 0x80) return parseOctal(bytes.toString('latin1'));
  // 0xff begins a negative number; after 0x80, the other bytes hold the whole number.
  if (first !== 0x80) return undefined;
  const value = bytes.subarray(1).reduce((total, byte) => total * 256 + byte, 0);
  return Number.isSafeInteger(value) ? value : undefined;
}

function parseOctal(text: string): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

function* records(content: Buffer): Generator<readonly [keyword: string, value: string]> {
  for (let start = 0; start < content.length;) {
    const length = Number(/^([1-9][0-9]{0,5}) /.exec(content.toString('latin1', start, start + 7))?.[1]);
    const end = start + length;
    const record = /^[0-9]+ ([^=]+)=([^]*)\n$/.exec(content.toString('utf8', start, end));
    if (!record || end > content.length) throw new TarballError('an extended header is damaged');
    yield [record[1] ?? '', record[2] ?? ''];
    start = end;
  }
}

function parseSize(value: string): number {
  const size = /^[0-9]{1,16}$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(size)) throw new TarballError('an extended header is damaged: the size is not a number');
  return size;
}
