/**
 * Writes the files and folders of a package into a new folder. They come from outside, so each is checked before it
 * reaches the disk, and their number and size are limited.
 * @module
 */
import { createHash } from 'node:crypto';
import { chmod, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { removeFolder } from '../../process/state/trash.ts';
import type { TarEntry } from './tar-entries.ts';
import { TarLayout } from './tar-layout.ts';
import { TarballError } from '../errors.ts';

export interface UnpackOptions {
  /** Largest size of all files together, in bytes. */
  readonly maxBytes: number;
  /** Largest number of files and folders, including folders that only the path of a file names. */
  readonly maxFiles: number;
  /** Aborts the call, and removes what was unpacked. */
  readonly signal?: AbortSignal;
  /**
   * Called for each file that was written: its path below the target, and the SHA-512 of its intended content, in
   * base64.
   */
  readonly onFile?: (path: string, sha512: string) => void;
}

export interface Unpacked {
  readonly files: number;
  readonly bytes: number;
}

const folderMode = 0o755;

/**
 * Writes the entries inside `package/` into `target`, which must not exist and is made with mode 0700. On failure it is
 * removed again. Modes are 0644, or 0755 for folders and for files that the owner may execute; other metadata is not
 * kept.
 *
 * @throws TarballError where an entry must not be unpacked.
 * @throws The system's error, such as EEXIST or ENOSPC; the signal's reason; what the entries throw.
 */
export async function writeEntries(
  entries: AsyncIterable<TarEntry>,
  target: string,
  options: UnpackOptions,
): Promise<Unpacked> {
  const { signal } = options;
  // Outside of the try: a folder that existed before must not be removed.
  await mkdir(target, { mode: 0o700 });
  try {
    const unpacked = await writeAll(entries, target, options);
    signal?.throwIfAborted();
    await syncFolder(target);
    return unpacked;
  } catch (error) {
    // If this fails too, the first failure says more.
    await removeFolder(target).catch(() => undefined);
    signal?.throwIfAborted();
    throw error;
  }
}

/**
 * Flushes a folder, so that its entries survive a power cut, as far as the system allows: Windows cannot open folders.
 */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems have no fsync for folders.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(errorCode(error))) throw error;
  } finally {
    await handle.close();
  }
}

async function writeAll(entries: AsyncIterable<TarEntry>, target: string, options: UnpackOptions): Promise<Unpacked> {
  const { maxBytes, maxFiles, signal, onFile } = options;
  const layout = new TarLayout({ maxPlaces: maxFiles });
  let [files, bytes] = [0, 0];
  for await (const entry of entries) {
    signal?.throwIfAborted();
    const kind = checkKind(entry);
    const { path, folders } = layout.place(entry.name, kind);
    bytes += entry.size;
    if (bytes > maxBytes) throw new TarballError(`its files have more than ${maxBytes} bytes`, { entry: entry.name });
    for (const folder of folders) await makeFolder(join(target, folder));
    if (kind === 'directory') continue;
    const sha512 = await writeFile(join(target, path), entry);
    onFile?.(path, sha512);
    files += 1;
  }
  if (files === 0) throw new TarballError('there are no files in it');
  return { files, bytes };
}

/**
 * Accepts only files and folders: links and devices never reach the disk, as not every file system stores them as they
 * were requested.
 */
function checkKind({ name, kind, size }: TarEntry): 'file' | 'directory' {
  if (kind !== 'file' && kind !== 'directory') {
    throw new TarballError(`it is a ${kind}, only files and folders are unpacked`, { entry: name });
  }
  if (kind === 'directory' && size > 0) throw new TarballError('it is a folder with content', { entry: name });
  return kind;
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: folderMode });
  // The umask may have removed some permissions.
  await chmod(path, folderMode);
}

async function writeFile(path: string, { content, isExecutable }: TarEntry): Promise<string> {
  const mode = isExecutable ? 0o755 : 0o644;
  const handle = await open(path, 'wx', mode);
  const hash = createHash('sha512');
  try {
    for await (const piece of content()) {
      hash.update(piece);
      await handle.writeFile(piece);
    }
    await handle.chmod(mode);
    return hash.digest('base64');
  } finally {
    await handle.close();
  }
}
