/**
 * Unpacks the tarball of an npm package into a new folder: the files and folders inside its `package/`, and nothing else.
 * It comes from outside, so everything in it is checked before it reaches the disk, and what it may take there is limited.
 * @module
 */
import { addAbortListener } from 'node:events';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { readEntries, type TarEntry } from './tar-entries.ts';
import { Layout } from './tar-layout.ts';
import { TarballError } from './tarball-error.ts';

export { TarballError } from './tarball-error.ts';

export interface UnpackOptions {
  /** Bytes that all files may have together. */
  readonly maxBytes: number;
  /** Files and folders, also those folders that only the path of a file names. */
  readonly maxFiles: number;
  /** Ends it, and removes what was unpacked. */
  readonly signal?: AbortSignal;
}

export interface Unpacked {
  readonly files: number;
  readonly bytes: number;
}

const folderMode = 0o755;
const chunkSize = 64 * 1024;

/**
 * Unpacks `file`, a `.tgz` as `npm pack` writes it, into `target`, which must not exist and is made with mode 0700. Where this fails,
 * it is gone again. Modes are 0644, or 0755 for folders and for what its owner may execute; nothing else of the metadata is kept.
 *
 * @throws TarballError where the tarball is damaged or holds what must not be unpacked.
 * @throws the system's error, such as EEXIST or ENOSPC; the signal's reason.
 */
export async function unpack(file: string, target: string, options: UnpackOptions): Promise<Unpacked> {
  const { signal } = options;
  signal?.throwIfAborted();
  const { size } = await stat(file);
  // Outside of the try: what was there before is not ours to remove.
  await mkdir(target, { mode: 0o700 });
  try {
    const unpacked = await unpackEntries(inflate(file, size, signal), target, options);
    signal?.throwIfAborted();
    await syncFolder(target);
    return unpacked;
  } catch (error) {
    // Where this fails, too, the first failure tells more.
    await rm(target, { recursive: true, force: true, maxRetries: 10, retryDelay: 10 }).catch(() => undefined);
    signal?.throwIfAborted();
    throw error;
  }
}

/** @throws TarballError where the file is not gzip from its first byte to its last. */
async function* inflate(file: string, size: number, signal: AbortSignal | undefined): AsyncGenerator<Buffer, void> {
  const source = createReadStream(file);
  const gunzip = createGunzip({ chunkSize });
  source.on('error', (error) => gunzip.destroy(error));
  const listener = signal && addAbortListener(signal, () => gunzip.destroy());
  try {
    for await (const chunk of source.pipe(gunzip)) yield chunk as Buffer;
    // Node ends without a word where a zero follows; anything else that is not gzip is an error already.
    if (gunzip.bytesWritten !== size) throw new TarballError('there is something after the end of the gzip data');
  } catch (error) {
    throw gzipError(error);
  } finally {
    listener?.[Symbol.dispose]();
    source.destroy();
    gunzip.destroy();
  }
}

function gzipError(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return new TarballError('it ends too early: its gzip data is cut off', { cause: error });
  if (code === 'Z_DATA_ERROR') return new TarballError(`its gzip data is damaged: ${message}`, { cause: error });
  return error;
}

async function unpackEntries(chunks: AsyncIterable<Buffer>, target: string, options: UnpackOptions): Promise<Unpacked> {
  const { maxBytes, maxFiles } = options;
  const layout = new Layout({ maxPlaces: maxFiles });
  let [files, bytes] = [0, 0];
  for await (const entry of readEntries(chunks)) {
    const kind = checkKind(entry);
    const { path, folders } = layout.place(entry.name, kind);
    bytes += entry.size;
    if (bytes > maxBytes) throw new TarballError(`its files have more than ${maxBytes} bytes`, { entry: entry.name });
    for (const folder of folders) await makeFolder(join(target, folder));
    if (kind === 'directory') continue;
    await writeFile(join(target, path), entry);
    files += 1;
  }
  if (files === 0) throw new TarballError('there are no files in it');
  return { files, bytes };
}

/** Not each file system stores what it was asked to: links and devices never reach it. */
function checkKind({ name, kind, size }: TarEntry): 'file' | 'directory' {
  if (kind !== 'file' && kind !== 'directory') throw new TarballError(`it is a ${kind}, only files and folders are unpacked`, { entry: name });
  if (kind === 'directory' && size > 0) throw new TarballError('it is a folder with content', { entry: name });
  return kind;
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: folderMode });
  // The umask may have taken something off.
  await chmod(path, folderMode);
}

async function writeFile(path: string, { content, isExecutable }: TarEntry): Promise<void> {
  const mode = isExecutable ? 0o755 : 0o644;
  const handle = await open(path, 'wx', mode);
  try {
    for await (const piece of content()) await handle.writeFile(piece);
    await handle.chmod(mode);
  } finally {
    await handle.close();
  }
}

/** What is in the folder outlives a power cut, as far as the system can be told so: Windows opens no folders. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems have no fsync for folders.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await handle.close();
  }
}
