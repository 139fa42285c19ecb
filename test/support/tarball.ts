/**
 * Tarballs written byte by byte, also such as no honest program writes.
 *
 * @module
 */
import { gzipSync } from 'node:zlib';

export interface Fields {
  readonly name?: string | Buffer;
  readonly prefix?: string;
  /** Default: `0`, a file. */
  readonly type?: string;
  readonly content?: string | Buffer;
  /** The fields as they are written; default: octal, of the content, 0644. */
  readonly size?: string | Buffer;
  readonly mode?: string;
  readonly magic?: string;
  readonly linkname?: string;
  /** Default: the right one. */
  readonly checksum?: string;
}

const end = Buffer.alloc(1024);

/** An entry: header, content, padding. */
export function entry(name: string, fields: Omit<Fields, 'name'> = {}): Buffer {
  return entryOf({ name, ...fields });
}

export function entryOf(fields: Fields): Buffer {
  const content = Buffer.from(fields.content ?? '');
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header({ size: octal(content.length), ...fields }), content, padding]);
}

export function header(fields: Fields): Buffer {
  const { name = 'package/x', mode = '0000644\0', size = octal(0), type = '0', linkname = '', magic = 'ustar\x0000', prefix = '' } = fields;
  const block = Buffer.alloc(512);
  const put = (value: string | Buffer, at: number): void => { Buffer.from(value).copy(block, at); };
  put(name, 0);
  put(mode, 100);
  put(size, 124);
  put('        ', 148);
  put(type, 156);
  put(linkname, 157);
  put(magic, 257);
  put(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(fields.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

export function octal(size: number): string {
  return `${size.toString(8).padStart(11, '0')}\0`;
}

/** A number in base 256, as large sizes are written. */
export function base256(value: bigint, first = 0x80): Buffer {
  return Buffer.from(`${first.toString(16)}${value.toString(16).padStart(22, '0')}`, 'hex');
}

/** An extended header, the records with their lengths. */
export function pax(records: { readonly [keyword: string]: string }, type = 'x'): Buffer {
  return entry('PaxHeader/x', { type, content: Object.entries(records).map(([keyword, value]) => record(keyword, value)).join('') });
}

/** The header of GNU tar for a name that is too long. */
export function longName(name: string, type = 'L'): Buffer {
  return entry('././@LongLink', { type, content: `${name}\0` });
}

/** The entries and the two blocks of zeros, not compressed. */
export function archive(...entries: readonly Buffer[]): Buffer {
  return Buffer.concat([...entries, end]);
}

export function tgz(...entries: readonly Buffer[]): Buffer {
  return gzipSync(archive(...entries));
}

function record(keyword: string, value: string): string {
  const rest = Buffer.byteLength(` ${keyword}=${value}\n`);
  let length = rest + 1;
  while (String(length).length + rest !== length) length += 1;
  return `${length} ${keyword}=${value}\n`;
}
