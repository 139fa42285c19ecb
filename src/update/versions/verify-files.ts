/**
 * Checks that a folder on disk holds exactly the files that were to be written there.
 * @module
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openRegularLater } from '../../base/files/untrusted-file.ts';
import { UpdateError } from '../errors.ts';
import { syncFolder } from '../archive/write-entries.ts';

/** Path below a folder, with slashes → the SHA-512 of the file, in base64. */
export type FileHashes = ReadonlyMap<string, string>;

export interface CheckOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Flushes the folder to disk and reads each file back.
 *
 * @throws UpdateError where a file is missing, different or unexpected, or there is anything but files and folders; the
 * error of the file system; the signal's reason.
 */
export async function verifyFiles(folder: string, expected: FileHashes, options: CheckOptions = {}): Promise<void> {
  const missing = new Set(expected.keys());
  for await (const { path, isFile } of entriesIn(folder, '')) {
    options.signal?.throwIfAborted();
    const sha512 = expected.get(path);
    if (!isFile || sha512 === undefined) throw mismatchError(folder, path, 'should not be there');
    if (await readBack(join(folder, path)) !== sha512) throw mismatchError(folder, path, 'is not what was written');
    missing.delete(path);
  }
  for (const path of missing) throw mismatchError(folder, path, 'is missing');
}

interface FolderEntry {
  readonly path: string;
  /** Neither a link nor a device. */
  readonly isFile: boolean;
}

/** Everything except folders; a folder is flushed after its contents. */
async function* entriesIn(folder: string, below: string): AsyncGenerator<FolderEntry, void> {
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = `${below}${entry.name}`;
    if (entry.isDirectory()) yield* entriesIn(folder, `${path}/`);
    else yield { path, isFile: entry.isFile() };
  }
  await syncFolder(join(folder, below));
}

async function readBack(path: string): Promise<string> {
  const handle = await openRegularLater(path);
  try {
    // Windows can only flush a file that is open for writing.
    if (process.platform !== 'win32') await handle.sync();
    const hash = createHash('sha512');
    for await (const piece of handle.createReadStream({ autoClose: false })) hash.update(piece as Buffer);
    return hash.digest('base64');
  } finally {
    await handle.close();
  }
}

function mismatchError(folder: string, path: string, how: string): UpdateError {
  return new UpdateError(
    `Cannot use what was unpacked to ${folder}: ${JSON.stringify(path)} ${how}; check the disk`,
    { isToBlame: false },
  );
}
