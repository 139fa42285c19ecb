/**
 * Removes folders that a job may have filled. A removed folder loses its name at once, and its files in the background.
 *
 * Node's own recursive removals block too long: for 250,000 files `rmSync` blocks the event loop for 4 s, `rm` of
 * `node:fs/promises` for 3 s, as it requests all of them at once, with 590 MB (measured with Node 20).
 * @module
 */
import { existsSync, renameSync } from 'node:fs';
import { opendir, rm, rmdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { statFile } from '../../base/files/untrusted-file.ts';
import { clearPlaceOf, makeFolder } from '../../base/files/make-folder.ts';
import { runInBackground } from './background.ts';

/**
 * A folder with more entries, or with folders in it, is removed by a separate process. A job's folder usually has about
 * ten files.
 */
const mostEntries = 64;
/** Unique to this process: earlier processes left no such names. */
const mark = `${process.pid}-${Date.now().toString(36)}`;
let discarded = 0;

/** The folder that holds removed folders, with a suffix to their names, until their files are deleted. */
export function trashDirectory(stateDir: string): string {
  return join(stateDir, 'trash');
}

export class Trash {
  readonly #folder: string;
  #emptying: Promise<void> | undefined;

  constructor(stateDir: string) {
    this.#folder = trashDirectory(stateDir);
  }

  /**
   * Moves what stands at the path, even a link, to the trash. Its files stay until {@link empty}, perhaps of a later
   * server.
   *
   * @returns its new path. @throws the system's error, such as ENOENT.
   */
  put(path: string): string {
    const place = join(this.#folder, `${basename(path)}.${mark}-${discarded += 1}`);
    clearPlaceOf(this.#folder);
    try {
      renameSync(path, place);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || statFile(path) === undefined) throw error;
      makeFolder(this.#folder, { mode: 0o700 });
      renameSync(path, place);
    }
    return place;
  }

  /** {@link put}, then deletes the files: a few before it resolves, many in the background. The path need not exist. */
  async remove(path: string): Promise<void> {
    if (statFile(path) !== undefined) await this.clear(this.put(path));
  }

  /** Deletes what {@link put} returned, as {@link remove} does. What cannot be deleted stays for {@link empty}. */
  async clear(place: string): Promise<void> {
    const isGone = await removeFew(place).catch(() => false);
    if (!isGone) void this.empty();
  }

  /** Deletes the files in the trash. What cannot be deleted now is tried again the next time. */
  async empty(): Promise<void> {
    if (!existsSync(this.#folder)) return;
    // A full or broken disk is reported by what writes to it.
    this.#emptying ??= removeMany(this.#folder).catch(() => undefined).finally(() => { this.#emptying = undefined; });
    await this.#emptying;
  }
}

/** Removes a folder of any size with all its content. The path need not exist. @throws Error where that fails. */
export async function removeFolder(path: string): Promise<void> {
  if (!await removeFew(path).catch(() => false)) await removeMany(path);
}

/** @returns whether the path no longer exists. @throws the system's error. */
async function removeFew(path: string): Promise<boolean> {
  const stats = statFile(path);
  if (stats === undefined) return true;
  if (!stats.isDirectory()) {
    await unlink(path);
    return true;
  }
  const names: string[] = [];
  for await (const entry of await opendir(path, { bufferSize: mostEntries + 1 })) {
    if (entry.isDirectory() || names.length === mostEntries) return false;
    names.push(entry.name);
  }
  for (const name of names) await unlink(join(path, name));
  await rmdir(path);
  return true;
}

/**
 * Removes a folder by a separate process, which follows no link that comes into it meanwhile (not on Windows).
 *
 * @param options.limitMs How long it may take, in milliseconds. Default: 60,000.
 * @throws as `runInBackground`.
 */
export async function removeMany(path: string, options: { readonly limitMs?: number } = {}): Promise<void> {
  if (process.platform === 'win32') await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 });
  else await runInBackground('rm', ['-rf', '--', path], options);
}
