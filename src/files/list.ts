/**
 * Lists directories, page by page. Nothing is remembered between pages: the next one begins behind a path.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { type HeldDirectory, holdDirectory } from '../base/files/roots.ts';
import { ParseError } from '../base/parse.ts';
import type { FileInfo, FileList } from '../protocol/files.ts';
import { sha256Of } from './hash.ts';
import { infoOf } from './info.ts';

export interface Page {
  readonly depth: number;
  readonly limit: number;
  /** `next` of the page before. */
  readonly after?: string | undefined;
  /** Whether files are hashed. */
  readonly isHashed?: boolean;
}

/** A path below the listed directory: names are bytes, which need not be UTF-8. */
type Names = readonly Buffer[];

interface Found {
  readonly names: Names;
  readonly info: FileInfo;
}

/** How many entries are looked at together: a page that ends in the middle of them costs no more. */
const batchSize = 64;
/** Files up to this size are hashed together. */
const hashedTogetherBytes = 2 ** 20;
/** A page ends once files of so many bytes were hashed for it: less than a second. */
const maxHashedBytes = 2 ** 28;

/** @param path Of the directory, for the entries. @throws ParseError for another `after`; the system's error. */
export async function listDirectory(held: HeldDirectory, path: string, page: Page): Promise<FileList> {
  const after = page.after === undefined ? [] : namesOf(page.after);
  const found: Found[] = [];
  const entries = await entriesOf(held);
  const isHashed = page.isHashed === true;
  let hashedBytes = 0;
  for await (const one of walk(held, { path, entries, names: [], after, depth: page.depth, isHashed })) {
    found.push(one);
    if (one.info.sha256 !== undefined) hashedBytes += one.info.sizeBytes;
    if (found.length > page.limit || hashedBytes > maxHashedBytes) break;
  }
  const shown = found.slice(0, page.limit);
  const last = shown.at(-1);
  const hasMore = last !== undefined && (found.length > shown.length || hashedBytes > maxHashedBytes);
  return { path, entries: shown.map(({ info }) => info), next: hasMore ? cursorOf(last.names) : null };
}

interface Level {
  readonly path: string;
  readonly entries: Names;
  readonly names: Names;
  /** Only what comes behind it. */
  readonly after: Names;
  /** How many levels there are from here on. */
  readonly depth: number;
  readonly isHashed: boolean;
}

async function* walk(
  held: HeldDirectory, { path, entries, names, after, depth, isHashed }: Level,
): AsyncGenerator<Found, void> {
  const [begin] = after;
  const rest = begin === undefined ? entries : entries.filter((name) => Buffer.compare(name, begin) >= 0);
  for (let at = 0; at < rest.length; at += batchSize) {
    const batch = rest.slice(at, at + batchSize);
    const infos = await Promise.all(batch.map(async (name) => {
      const info = await look(held, path, name);
      return isHashed && info !== undefined && info.sizeBytes <= hashedTogetherBytes ? hashed(held, name, info) : info;
    }));
    for (const [index, name] of batch.entries()) {
      const info = infos[index];
      if (info === undefined) continue;
      const isBegin = begin !== undefined && name.equals(begin);
      const inner = depth > 1 && info.type === 'directory' ? await hold(held, name) : undefined;
      const own: Names = [...names, name];
      // The reader may stop at any entry.
      try {
        if (!isBegin) {
          const whole = isHashed && info.sizeBytes > hashedTogetherBytes ? await hashed(held, name, info) : info;
          yield { names: own, info: inner === 'unreadable' ? { ...whole, unreadable: true } : whole };
        }
        if (inner === undefined || inner === 'unreadable') continue;
        yield* walk(inner.held, {
          path: info.path, entries: inner.entries, names: own, after: isBegin ? after.slice(1) : [], depth: depth - 1,
          isHashed,
        });
      } finally {
        if (typeof inner === 'object') await inner.held.close();
      }
    }
  }
}

async function hashed(held: HeldDirectory, name: Buffer, info: FileInfo): Promise<FileInfo> {
  const sha256 = info.type === 'file' ? await sha256Of(below(held, name)) : undefined;
  return sha256 === undefined ? info : { ...info, sha256 };
}

/** `undefined`: it has vanished. */
async function look(held: HeldDirectory, directory: string, name: Buffer): Promise<FileInfo | undefined> {
  try {
    const place = below(held, name);
    const stats = await lstat(place, { bigint: true });
    const text = name.toString();
    const target = stats.isSymbolicLink() ? { target: await readlink(place) } : {};
    const bytes = isUtf8(name) ? {} : { nameBase64: name.toString('base64') };
    return { ...infoOf(join(directory, text), stats, target), ...bytes };
  } catch (error) {
    if (['ENOENT', 'EINVAL'].includes(errorCode(error))) return undefined;
    throw error;
  }
}

/** `undefined`: it has vanished, or is something else by now. */
async function hold(
  outer: HeldDirectory, name: Buffer,
): Promise<{ readonly held: HeldDirectory; readonly entries: Names } | 'unreadable' | undefined> {
  try {
    const held = await holdDirectory(below(outer, name));
    try {
      return { held, entries: await entriesOf(held) };
    } catch (error) {
      await held.close();
      throw error;
    }
  } catch (error) {
    if (errorCode(error) === 'EACCES') return 'unreadable';
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errorCode(error))) return undefined;
    throw error;
  }
}

async function entriesOf(held: HeldDirectory): Promise<Names> {
  return (await readdir(held.path, { encoding: 'buffer' })).sort(Buffer.compare);
}

function below(held: HeldDirectory, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${held.path}/`), name]);
}

// The names with a NUL between them, which no name contains.
function cursorOf(names: Names): string {
  const parts = names.flatMap((name, index) => (index === 0 ? [name] : [Buffer.from([0]), name]));
  return Buffer.concat(parts).toString('base64url');
}

function namesOf(cursor: string): Names {
  const bytes = Buffer.from(cursor, 'base64url');
  if (bytes.toString('base64url') !== cursor) throw new ParseError('query.after', 'expected `next` of another page');
  const names: Buffer[] = [];
  for (let start = 0; start <= bytes.length;) {
    const end = bytes.indexOf(0, start);
    names.push(bytes.subarray(start, end < 0 ? bytes.length : end));
    start = end < 0 ? bytes.length + 1 : end + 1;
  }
  return names;
}
