/**
 * Unpacks the tarball of an npm package into a new folder: the files and folders inside its `package/`, and nothing
 * else.
 * @module
 */
import { addAbortListener } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { errorCode } from '../../base/error-code.ts';
import { readEntries } from './tar-entries.ts';
import { TarballError } from '../errors.ts';
import { type UnpackOptions, type Unpacked, writeEntries } from './write-entries.ts';

export type { UnpackOptions, Unpacked } from './write-entries.ts';

const chunkSize = 64 * 1024;

/**
 * Unpacks `file`, a `.tgz` as `npm pack` writes it, into `target`, as {@link writeEntries} does.
 *
 * @throws TarballError where the tarball is damaged or holds something that must not be unpacked.
 * @throws The system's error, such as EEXIST or ENOSPC; the signal's reason.
 */
export async function unpack(file: string, target: string, options: UnpackOptions): Promise<Unpacked> {
  const { signal } = options;
  signal?.throwIfAborted();
  const { size } = await stat(file);
  return await writeEntries(readEntries(inflate(file, size, signal)), target, options);
}

/** @throws TarballError where the file is not gzip from its first byte to its last. */
async function* inflate(file: string, size: number, signal: AbortSignal | undefined): AsyncGenerator<Buffer, void> {
  const source = createReadStream(file);
  const gunzip = createGunzip({ chunkSize });
  source.on('error', (error) => gunzip.destroy(error));
  const listener = signal && addAbortListener(signal, () => gunzip.destroy());
  try {
    for await (const chunk of source.pipe(gunzip)) yield chunk as Buffer;
    // Node ends without an error where a zero follows; other data that is not gzip is an error already.
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
  const code = errorCode(error);
  const { message } = error as Error;
  if (code === 'Z_BUF_ERROR') return new TarballError('it ends too early: its gzip data is cut off', { cause: error });
  if (code === 'Z_DATA_ERROR') return new TarballError(`its gzip data is damaged: ${message}`, { cause: error });
  return error;
}
