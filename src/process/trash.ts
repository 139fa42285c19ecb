/**
 * Removes folders that a job may have filled. What is removed loses its name at once, and its files in the background.
 *
 * Node's own recursive removals cannot do that: for 250,000 files `rmSync` holds up the event loop for 4 s, `rm` of
 * `node:fs/promises` for 3 s, as it asks for all of them at once, with 590 MB (measured with Node 20).
 * @module
 */
import { existsSync, renameSync } from 'node:fs';
import { opendir, rm, rmdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { clearPlaceOf, statFile } from '../base/untrusted-file.ts';
import { makeFolder } from '../base/make-folder.ts';
import { runInBackground } from './background.ts';

/** A folder with more entries, or with folders in it, is left to a process of its own. One of ours holds about ten files. */
const mostEntries = 64;
/** Of this process: nothing that an earlier one has left has such a name. */
const mark = `${process.pid}-${Date.now().toString(36)}`;
let discarded = 0;

/** Where a removed folder is until its files are gone, by its name and something behind that. */
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
   * Takes the name from what stands there, be it a link. Its files stay until {@link empty}, of a later server if need be.
   *
   * @returns where it is now. @throws the system's error, such as ENOENT.
   */
  put(path: string): string {
    const place = join(this.#folder, `${basename(path)}.${mark}-${discarded += 1}`);
    clearPlaceOf(this.#folder);
    try {
      renameSync(path, place);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || statFile(path) === undefined) throw error;
      makeFolder(this.#folder, { mode: 0o700 });
      renameSync(path, place);
    }
    return place;
  }

  /** {@link put}, and removes the files: few before it resolves, many in the background. Nothing needs to stand there. */
  async remove(path: string): Promise<void> {
    if (statFile(path) !== undefined) await this.clear(this.put(path));
  }

  /** Removes what {@link put} returned, as {@link remove} does. What cannot be removed stays for {@link empty}. */
  async clear(place: string): Promise<void> {
    const isGone = await removeFew(place).catch(() => false);
    if (!isGone) void this.empty();
  }

  /** Removes the files of all that is in it. What cannot be removed now is tried again the next time. */
  async empty(): Promise<void> {
    if (!existsSync(this.#folder)) return;
    // A full or broken disk: those who write to it say so.
    this.#emptying ??= removeMany(this.#folder).catch(() => undefined).finally(() => { this.#emptying = undefined; });
    await this.#emptying;
  }
}

/** Removes a folder with all that is in it, however much that is. Nothing needs to stand there. @throws Error where it cannot. */
export async function removeFolder(path: string): Promise<void> {
  if (!await removeFew(path).catch(() => false)) await removeMany(path);
}

/** @returns whether nothing stands there any more. @throws the system's error. */
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

async function removeMany(path: string): Promise<void> {
  if (process.platform === 'win32') await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 });
  else await runInBackground('rm', ['-rf', '--', path]);
}
