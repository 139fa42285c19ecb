/**
 * Copies files, links and directories: below a temporary name first, so that there is never half of one.
 * @module
 */
import { constants } from 'node:fs';
import { chmod, type FileHandle, copyFile, lstat, mkdir, open, readdir, readlink, symlink } from 'node:fs/promises';
import { holdDirectory } from '../base/files/roots.ts';
import { guard } from '../base/files/untrusted-file.ts';
import { ProblemError } from '../protocol/problem.ts';
import { mustBeFile } from './info.ts';

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL } = constants;

export interface Copying {
  /** The path that was asked for, for the message of a failure. */
  readonly shownPath: string;
  readonly signal: AbortSignal;
}

/**
 * Permissions are kept, times and owners are not.
 *
 * @param from A path that is not followed; it may be bytes. @param to A path where nothing is.
 * @throws ProblemError not_a_file for a FIFO, a socket or a device; the reason of the signal; the system's error.
 */
export async function copyTree(from: string | Buffer, to: string | Buffer, copying: Copying): Promise<void> {
  copying.signal.throwIfAborted();
  const stats = await lstat(from);
  if (stats.isSymbolicLink()) await symlink(await readlink(from, { encoding: 'buffer' }), to);
  else if (stats.isDirectory()) await copyDirectory(from, to, stats.mode, copying);
  else await copyOne(from, to, copying);
}

async function copyDirectory(
  from: string | Buffer, to: string | Buffer, mode: number, copying: Copying,
): Promise<void> {
  const source = await holdDirectory(from);
  try {
    await mkdir(to, { mode: 0o700 });
    const target = await holdDirectory(to);
    try {
      for (const name of await readdir(source.path, { encoding: 'buffer' })) {
        await copyTree(below(source.path, name), below(target.path, name), copying);
      }
      await chmod(target.path, mode & 0o7777);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copyOne(from: string | Buffer, to: string | Buffer, { shownPath }: Copying): Promise<void> {
  const path = typeof from === 'string' ? shownPath : `${shownPath}/…/${from.subarray(from.lastIndexOf('/') + 1)}`;
  mustBeFile('copy', path, await lstat(from));
  const source = await open(from, O_RDONLY | guard);
  try {
    const stats = await source.stat();
    mustBeFile('copy', path, stats);
    const target = await open(to, O_WRONLY | O_CREAT | O_EXCL | guard, 0o600);
    try {
      await copyContent(source, target);
      await target.chmod(stats.mode & 0o7777);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/** By their descriptors, which no link can lead elsewhere; a file system that can shares the blocks. */
export async function copyContent(source: FileHandle, target: FileHandle): Promise<void> {
  if (process.platform === 'linux') {
    await copyFile(`/proc/self/fd/${source.fd}`, `/proc/self/fd/${target.fd}`, constants.COPYFILE_FICLONE);
    return;
  }
  let position = 0;
  for await (const piece of source.createReadStream({ start: 0, autoClose: false })) {
    position += (await target.write(piece as Buffer, 0, (piece as Buffer).length, position)).bytesWritten;
  }
}

/** @throws ProblemError where a directory would come into itself. */
export function mustNotContain(from: string, to: string): void {
  if (to !== from && !to.startsWith(from === '/' ? from : `${from}/`)) return;
  throw new ProblemError('invalid_request', `Cannot put ${from} into itself: ${to}`);
}

function below(path: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${path}/`), name]);
}
