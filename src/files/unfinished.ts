/**
 * Files that are being written beside the ones they will replace. Each is noted in the state directory first: what a
 * server leaves that is killed meanwhile is removed by the next one.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Log } from '../base/log.ts';
import { replaceFile } from '../base/files/atomic-file.ts';
import { makeOwnFolder } from '../base/files/make-folder.ts';
import { readJson } from '../base/files/untrusted-json.ts';
import { errorCode } from '../base/error-code.ts';
import { type Place, Roots } from '../base/files/roots.ts';
import { fieldsOf, integer, text } from '../base/parse.ts';
import { removeMany } from '../process/state/trash.ts';

/** For how long a part of an upload is kept, in milliseconds. */
export const keepPartsMs = 86_400_000;

const record = fieldsOf({ path: text({ min: 1 }), atMs: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }) });
const recordBounds = { maxBytes: 32_768, maxTokens: 16 };
/** Only files with these names are ever removed. */
const ownName = /^\.sidecar-[\w-]{22,43}\.(new|part)$/;

const wholeNote = /^[0-9a-f]{64}\.json$/;
/** As `replaceFile` names a file before it is whole. */
const halfNote = /^[0-9a-f]{64}\.json\.(\d+)\.\d+$/;

/** The name of a new file beside another. */
export function temporaryName(): string {
  return `.sidecar-${randomBytes(16).toString('base64url')}.new`;
}

/** Where the parts of the file with this name are gathered, beside it: the same name for each part. */
export function partsName(name: string): string {
  return `.sidecar-${createHash('sha256').update(name).digest('base64url')}.part`;
}

export class Unfinished {
  readonly #folder: string;
  readonly #log: Log;
  /** The files that are being written at this moment. */
  readonly #inUse = new Set<string>();

  /** @param folder Where the notes are; other files in it stay. */
  constructor(folder: string, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Notes a file before it is made. @param path Its real path. @throws the system's error. */
  note(path: string): void {
    makeOwnFolder(this.#folder);
    this.#inUse.add(path);
    replaceFile(this.#noteOf(path), JSON.stringify({ path, atMs: Date.now() }));
  }

  /** The file has taken its place, or was removed. */
  forget(path: string): void {
    this.#inUse.delete(path);
    rmSync(this.#noteOf(path), { force: true });
  }

  /**
   * Makes a file or directory beside a place, under a name of its own, and removes it unless `act` has moved it away.
   *
   * @param act Gets its path.
   */
  async beside<T>(place: Place, act: (path: string) => Promise<T>): Promise<T> {
    const name = temporaryName();
    const path = place.beside(name);
    const real = join(dirname(place.realPath), name);
    this.note(real);
    try {
      return await act(path);
    } finally {
      const isGone = await removeAt({ ...place, path }).then(() => true, (error) => errorCode(error) === 'ENOENT');
      if (isGone) this.forget(real);
      else this.leave(real);
    }
  }

  /** The file stays, to be continued or swept. */
  leave(path: string): void {
    this.#inUse.delete(path);
  }

  /** Removes what nothing writes any more, but for parts that may still be continued. */
  async sweep(): Promise<void> {
    const names = namesIn(this.#folder);
    // A server that was killed while it wrote a note; this one's have its pid.
    for (const name of names) {
      const pid = halfNote.exec(name)?.[1];
      if (pid !== undefined && pid !== String(process.pid)) rmSync(join(this.#folder, name), { force: true });
    }
    for (const name of names.filter((one) => wholeNote.test(one))) {
      const note = join(this.#folder, name);
      try {
        const { path, atMs } = record(readJson(note, recordBounds), name);
        if (this.#inUse.has(path)) continue;
        if (path.endsWith('.part') && Math.abs(Date.now() - atMs) < keepPartsMs) continue;
        if (ownName.test(basename(path))) await remove(path);
        rmSync(note, { force: true });
      } catch (error) {
        this.#log.warn('an unfinished file cannot be removed', { note, error });
      }
    }
  }

  #noteOf(path: string): string {
    return join(this.#folder, `${createHash('sha256').update(path).digest('hex')}.json`);
  }
}

async function remove(path: string): Promise<void> {
  try {
    await Roots.everywhere(dirname(path)).at(path, (place) => removeAt(place), { isFollowed: false });
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error))) throw error;
  }
}

/** Removes a file, or a directory with all that is in it. @throws the system's error, as `removeMany`. */
export async function removeAt(place: Place, options: { readonly limitMs?: number } = {}): Promise<void> {
  if (!(await lstat(place.path)).isDirectory()) await unlink(place.path);
  // Another process, to which this one's descriptors are not its own.
  else await removeMany(place.path.replace('/proc/self/', `/proc/${process.pid}/`), options);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // No file was ever written.
    return [];
  }
}
