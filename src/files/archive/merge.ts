/**
 * Moves what was unpacked into a directory that is there already: each file takes its place in one step.
 * @module
 */
import type { Dirent, Stats } from 'node:fs';
import { chmod, lstat, readdir, rename, unlink } from 'node:fs/promises';
import { errorCode } from '../../base/error-code.ts';
import { holdDirectory } from '../../base/files/roots.ts';
import { ProblemError } from '../../protocol/problem.ts';

/** How many files are moved at once. */
const batchSize = 128;
const ownerMayChange = 0o700;

/**
 * A directory that is not there yet comes as a whole. Files and links are replaced, also by directories; a directory is
 * not replaced by a file.
 *
 * @param from A directory that is held open. @param to Another one, on the same file system.
 * @param options.keepsModes Whether directories that are there get the permissions of those in the archive.
 * @throws ProblemError file_exists; the system's error. What was moved before stays moved.
 */
export async function mergeInto(
  from: string, to: string, options: { readonly keepsModes: boolean; readonly shownPath: string },
): Promise<void> {
  const entries = await readdir(from, { encoding: 'buffer', withFileTypes: true }) as unknown as Dirent<Buffer>[];
  const directories = entries.filter((entry) => entry.isDirectory());
  const others = entries.filter((entry) => !entry.isDirectory());
  for (let at = 0; at < others.length; at += batchSize) {
    await Promise.all(others.slice(at, at + batchSize).map(({ name }) =>
      moveFile(below(from, name), below(to, name), `${options.shownPath}/${name}`)));
  }
  for (const { name } of directories) {
    const shownPath = `${options.shownPath}/${name}`;
    await moveDirectory(below(from, name), below(to, name), { ...options, shownPath });
  }
}

async function moveFile(from: Buffer, to: Buffer, shownPath: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!['EISDIR', 'ENOTEMPTY', 'EEXIST'].includes(errorCode(error))) throw error;
    throw new ProblemError(
      'file_exists', `Cannot put a file at ${shownPath}: there is a directory`, { cause: error },
    );
  }
}

async function moveDirectory(
  from: Buffer, to: Buffer, options: { readonly keepsModes: boolean; readonly shownPath: string },
): Promise<void> {
  const there = await statIfThere(to);
  if (there !== undefined && !there.isDirectory()) await unlink(to);
  if (there?.isDirectory() !== true) return await moveTree(from, to);
  const { mode } = await makeWritable(from);
  const [source, target] = [await holdDirectory(from), await holdDirectory(to)];
  try {
    await mergeInto(source.path, target.path, options);
    if (options.keepsModes && (there.mode & 0o777) !== (mode & 0o777)) await chmod(target.path, mode & 0o777);
  } finally {
    await source.close();
    await target.close();
  }
}

/** Gives a directory another place. It must be writable for that (rename(2), EACCES), which it is again afterwards. */
export async function moveTree(from: string | Buffer, to: string | Buffer): Promise<void> {
  const { mode } = await makeWritable(from);
  await rename(from, to);
  if ((mode & ownerMayChange) !== ownerMayChange) await chmod(to, mode & 0o7777);
}

/** @returns what it was before. */
async function makeWritable(directory: string | Buffer): Promise<Stats> {
  const stats = await lstat(directory);
  if ((stats.mode & ownerMayChange) !== ownerMayChange) await chmod(directory, (stats.mode & 0o7777) | ownerMayChange);
  return stats;
}

async function statIfThere(path: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  }
}

function below(path: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${path}/`), name]);
}
