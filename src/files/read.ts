/**
 * Reads files for answers.
 * @module
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import type { Place, Roots } from '../base/files/roots.ts';
import { errorCode } from '../base/error-code.ts';
import { guard } from '../base/files/untrusted-file.ts';
import { ProblemError } from '../protocol/problem.ts';
import { readSmall, tagOfContent, tagOfStats } from './etag.ts';
import { explained } from './failure.ts';
import { mustBeFile } from './info.ts';

/** Larger pieces are no faster, and wait in memory to be collected. */
const sentBytes = 2 ** 16;

/** A regular file as it was when it was looked at. */
export interface Snapshot {
  readonly path: string;
  readonly inode: bigint;
  readonly etag: string;
  /** As of the content: a file of /proc has more bytes than its size says. `undefined`: unknown. */
  readonly sizeBytes: number | undefined;
  readonly modifiedAtMs: number;
  /** Of a small file. */
  readonly content: Buffer | undefined;
}

/** Opens a regular file where `place` is. @throws ProblemError not_a_file; the system's error. */
export async function openFile(place: Place): Promise<FileHandle> {
  // Looked at first: to open a device may already do something.
  mustBeFile('read', place.realPath, await lstat(place.path));
  const file = await open(place.path, constants.O_RDONLY | guard);
  try {
    mustBeFile('read', place.realPath, await file.stat());
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What is there, a link itself. `undefined`: nothing. @throws the system's error. */
export async function statAt(place: Place): Promise<BigIntStats | undefined> {
  try {
    return await lstat(place.path, { bigint: true });
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  }
}

/** @throws ProblemError file_not_found, path_not_allowed, not_a_file, file_unusable. */
export async function snapshot(roots: Roots, path: string): Promise<Snapshot> {
  return explained('read', path, () => roots.at(path, async (place) => {
    const file = await openFile(place);
    try {
      const stats = await file.stat({ bigint: true });
      const content = await readSmall(file, stats);
      const isSizeKnown = content === undefined && stats.size > 0n;
      return {
        path: place.realPath,
        inode: stats.ino,
        etag: content === undefined ? tagOfStats(stats) : tagOfContent(content),
        sizeBytes: content?.length ?? (isSizeKnown ? Number(stats.size) : undefined),
        modifiedAtMs: Number(stats.mtimeMs),
        content,
      };
    } finally {
      await file.close();
    }
  }));
}

/**
 * The bytes of a file that is not small, opened again.
 *
 * @param last Inclusive; `undefined`: all that there is.
 * @throws ProblemError file_changed where it is another file, or shorter than in the snapshot; as {@link snapshot}.
 */
export async function* bytesOf(
  roots: Roots, { path, inode, sizeBytes = 0 }: Snapshot, first: number, last: number | undefined,
): AsyncGenerator<Buffer, void> {
  const file = await explained('read', path, () => roots.at(path, openFile));
  try {
    const { ino, size } = await file.stat({ bigint: true });
    // One that has grown is still served as it was.
    if (ino !== inode || size < sizeBytes) {
      throw new ProblemError('file_changed', `Cannot read ${path}: it has changed meanwhile`);
    }
    const range = { start: first, ...(last === undefined ? {} : { end: last }) };
    for await (const piece of file.createReadStream({ ...range, autoClose: false, highWaterMark: sentBytes })) {
      yield piece as Buffer;
    }
  } finally {
    await file.close();
  }
}
