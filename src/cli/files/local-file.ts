/**
 * The files of this machine that a copy reads and writes.
 * @module
 */
import { rmSync } from 'node:fs';
import { type FileHandle, open, realpath, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { CommandError } from '../failure.ts';
import { newKey } from '../values.ts';

/** Of a file that is read. */
const readBytes = 2 ** 20;
/** Signals that end the program: what is half written goes first. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface LocalSource {
  readonly content: AsyncIterable<Uint8Array>;
  /** Only of a regular file, which has a size and permissions. */
  readonly sizeBytes: number | undefined;
  readonly mode: number | undefined;
}

/** Whether there is a directory. */
export async function isDirectoryHere(path: string): Promise<boolean> {
  return explained('read', path, async () => (await statIfThere(path))?.isDirectory() === true);
}

/** @throws CommandError for a directory, and for what cannot be read. */
export async function openLocal(path: string): Promise<LocalSource> {
  return explained('read', path, async () => {
    const file = await open(path);
    const stats = await file.stat();
    if (stats.isDirectory()) {
      await file.close();
      throw new CommandError(`Cannot copy ${path}: it is a directory, and cp copies single files`);
    }
    const isRegular = stats.isFile();
    return {
      content: contentOf(path, file), sizeBytes: isRegular ? stats.size : undefined,
      mode: isRegular ? stats.mode : undefined,
    };
  });
}

async function* contentOf(path: string, file: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* file.createReadStream({ highWaterMark: readBytes, autoClose: false }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw inWords('read', path, error);
  } finally {
    await file.close();
  }
}

/**
 * The path of the file that is to be written: in a directory, by its name; where a link leads.
 *
 * @throws CommandError where there is something that is no file, or no directory.
 */
export async function localTarget(path: string, name: string): Promise<string> {
  return explained('write', path, async () => {
    const found = await statIfThere(path);
    if (found?.isDirectory() === true) {
      if (name === '') throw new CommandError(`Cannot write ${path}: it is a directory`);
      return localTarget(join(path, name), '');
    }
    if (found === undefined && !/[\\/]$/.test(path)) return path;
    if (found === undefined) throw new CommandError(`Cannot write ${path}: there is no such directory`);
    if (!found.isFile()) {
      throw new CommandError(`Cannot write ${path}: it is no regular file`, { hint: 'Give - for stdout' });
    }
    return realpath(path);
  });
}

/**
 * Writes a file beside its place, and moves it there once it is complete.
 *
 * @param mode Its permissions.
 * @throws CommandError for what cannot be written; what `content` throws. The old file is then still there.
 */
export async function writeLocal(path: string, content: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
  const beside = join(dirname(path), `.sidecar-${newKey()}.new`);
  const end = (signal: NodeJS.Signals): void => {
    rmSync(beside, { force: true });
    process.kill(process.pid, signal);
  };
  const file = await explained('write', path, () => open(beside, 'wx', 0o600));
  for (const signal of endings) process.once(signal, end);
  try {
    for await (const piece of content) await explained('write', path, () => file.appendFile(piece));
    await explained('write', path, async () => {
      await file.chmod(mode);
      await file.sync();
      await file.close();
      await rename(beside, path);
    });
  } catch (error) {
    await file.close().catch(() => undefined);
    rmSync(beside, { force: true });
    throw error;
  } finally {
    for (const signal of endings) process.off(signal, end);
  }
}

async function statIfThere(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  }
}

const words: { readonly [code: string]: string | undefined } = {
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'a part of the path is no directory',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EISDIR: 'it is a directory',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
};

async function explained<T>(action: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw inWords(action, path, error);
  }
}

function inWords(action: string, path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (code === '' || error instanceof CommandError) return error;
  return new CommandError(`Cannot ${action} ${path}: ${words[code] ?? (error as Error).message}`, { cause: error });
}
