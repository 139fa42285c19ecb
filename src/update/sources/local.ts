/**
 * A release that is on this machine already: a tarball as `npm pack` makes it, or the directory of a package.
 * @module
 */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { errorCode } from '../../base/error-code.ts';
import { fieldsOf } from '../../base/parse.ts';
import { SourceError, TarballError } from '../errors.ts';
import { readEntries } from '../archive/tar-entries.ts';
import { type Release, type Source, anything, assertVersion, lowerBound, parseFrom, versionText } from './source.ts';

const maxBytes = 1024 * 1024;
/** Unpacked bytes that are searched for package.json. */
const maxUnpackedBytes = 512 * 1024 * 1024;

const parsePackage = fieldsOf({ version: versionText, engines: anything });

/** @param path Absolute path of a `.tgz` or a directory. */
export function localSource(path: string): Source {
  return {
    find: async (wanted, { signal } = {}) => {
      const isDirectory = await looksLikeDirectory(path);
      const text = isDirectory ? await readPackageFile(path, signal) : await readPacked(path, signal);
      const { version, minNode } = parseFrom(path, () => parseText(text, path));
      assertVersion(wanted.version, version, path);
      const tarball: Release['tarball'] = { type: isDirectory ? 'directory' : 'file', path };
      return { version, tarball, integrity: undefined, proof: { type: 'local' }, minNode };
    },
  };
}

async function looksLikeDirectory(path: string): Promise<boolean> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory() || stats.isFile()) return stats.isDirectory();
  } catch (error) {
    throw toNotFound(error, path);
  }
  throw new SourceError(
    'malformed',
    `Cannot use ${path}: it is neither a file nor a directory; name a .tgz or the directory of a package`,
  );
}

async function readPackageFile(directory: string, signal: AbortSignal | undefined): Promise<string> {
  const file = join(directory, 'package.json');
  try {
    const stats = await stat(file);
    // Reading a directory fails by itself.
    if (!stats.isFile() && !stats.isDirectory()) {
      throw new SourceError('malformed', `Cannot use ${file}: it is not a file`);
    }
    const { size } = stats;
    if (size > maxBytes) throw new SourceError('too_large', `Cannot use ${file}: it is larger than ${maxBytes} bytes`);
    return await readFile(file, { encoding: 'utf8', ...(signal ? { signal } : {}) });
  } catch (error) {
    signal?.throwIfAborted();
    throw toNotFound(error, file);
  }
}

async function readPacked(path: string, signal: AbortSignal | undefined): Promise<string> {
  const unpacked = createGunzip();
  // The iteration reports the same failure.
  pipeline(createReadStream(path, signal ? { signal } : {}), unpacked, () => undefined);
  try {
    return await readPackageEntry(bounded(unpacked));
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof TarballError) && !errorCode(error).startsWith('Z_')) throw error;
    const { message } = error as Error;
    throw new SourceError('malformed', `Cannot use ${path} (${message}); make one with npm pack`, { cause: error });
  } finally {
    unpacked.destroy();
  }
}

/** Unpacks the archive only up to the end of that entry. */
async function readPackageEntry(unpacked: AsyncIterable<Buffer>): Promise<string> {
  for await (const { name, kind, size, content } of readEntries(unpacked)) {
    if (name === 'package/package.json' && kind === 'file') {
      if (size > maxBytes) throw new TarballError(`it is larger than ${maxBytes} bytes`, { entry: name });
      return Buffer.concat(await readAll(content())).toString('utf8');
    }
    for await (const piece of content()) void piece;
  }
  throw new TarballError('it has no package/package.json');
}

async function readAll<T>(pieces: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = [];
  for await (const piece of pieces) read.push(piece);
  return read;
}

async function* bounded(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let sizeBytes = 0;
  for await (const piece of pieces) {
    sizeBytes += piece.length;
    if (sizeBytes > maxUnpackedBytes) {
      throw new TarballError(`there is no package.json in its first ${maxUnpackedBytes} bytes`);
    }
    yield piece;
  }
}

function parseText(text: string, path: string): { version: string; minNode: string | undefined } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SourceError('malformed', `Cannot use ${path}: its package.json is not JSON`, { cause: error });
  }
  const { version, engines } = parsePackage(value, 'package.json');
  const node: unknown = typeof engines === 'object' && engines !== null && 'node' in engines ? engines.node : undefined;
  return { version, minNode: lowerBound(node) };
}

function toNotFound(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return error;
  return new SourceError('not_found', `Cannot find ${path}: there is no such file; check the path`, { cause: error });
}
