/**
 * Packs a directory or a file into an archive, as a stream.
 * @module
 */
import { lstat } from 'node:fs/promises';
import { basename } from 'node:path';
import { pipeline, type Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { onAbort } from '../../base/abort.ts';
import { holdDirectory, type Place, type Roots } from '../../base/files/roots.ts';
import type { ArchiveFormat } from '../../protocol/files/archive.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { explained } from '../failure.ts';
import { mustBeFile } from '../info.ts';
import { namesBelow, selected } from './select.ts';
import { flavour, startTar, type Flavour, type Tar } from './tar.ts';

export interface PackOptions {
  readonly format: ArchiveFormat;
  /** Only what matches one of them; none: everything. */
  readonly globs: readonly string[];
  /** Exactly these, below the directory, instead: nothing that is in them comes with them. */
  readonly names?: readonly string[];
  /**
   * Whether tar writes 32 KiB at once instead of 10: it is faster, but the padding behind the end is longer than some
   * readers take.
   */
  readonly isForUnpack?: boolean;
}

/** Times to the fraction of a second, and names of any length and bytes. */
const formats: { readonly [K in Flavour]: readonly string[] } = {
  gnu: ['--format=posix', '--pax-option=delete=atime,delete=ctime'], bsd: ['--format=pax'], other: [],
};

/** Names what an archive of a path is called. @throws ProblemError file_not_found, path_not_allowed, not_a_file. */
export function archiveName(roots: Roots, path: string): Promise<string> {
  return explained('pack', path, () => roots.at(path, async (place) => {
    await flavour();
    await sourceOf(place);
    return basename(place.realPath) || 'root';
  }));
}

/**
 * The bytes of an archive. tar ends with the reader.
 *
 * @param signal Aborts when the reader leaves.
 * @returns once all was read: what changed while it was read; `undefined`: nothing.
 * @throws ProblemError file_unusable where tar failed: what was read so far is no archive.
 */
export async function* pack(
  roots: Roots, path: string, options: PackOptions, signal: AbortSignal,
): AsyncGenerator<Buffer, string | undefined> {
  const kind = await flavour();
  const tar = await explained('pack', path, () => roots.at(path, (place) => start(place, kind, options, signal)));
  const stop = onAbort(signal, tar.kill);
  try {
    const stdout = tar.stdout as Readable;
    const bytes = options.format === 'tar' ? stdout : pipeline(piecesOf(stdout), createGzip(), () => undefined);
    for await (const piece of bytes) yield piece as Buffer;
    const { exitCode, said } = await tar.ended;
    signal.throwIfAborted();
    // GNU tar, "Return value": 1 where a file changed while it was read.
    if (exitCode === 0) return options.names === undefined ? undefined : said[0];
    if (exitCode === 1 && kind === 'gnu') return said[0] ?? 'some files changed';
    throw new ProblemError('file_unusable', `Cannot pack ${path}: ${said[0] ?? `tar ended with ${exitCode}`}`);
  } finally {
    stop();
    tar.kill();
  }
}

async function* piecesOf(stream: Readable): AsyncGenerator<Buffer, void> {
  yield* stream as AsyncIterable<Buffer>;
}

interface Source {
  /** Of the directory from which tar starts. */
  readonly directory: string;
  readonly name: string;
}

async function sourceOf(place: Place): Promise<Source> {
  const stats = await lstat(place.path);
  if (stats.isDirectory()) return { directory: place.path, name: '.' };
  mustBeFile('pack', place.realPath, stats);
  return { directory: place.beside('.'), name: `./${basename(place.realPath)}` };
}

async function start(
  place: Place, kind: Flavour, { globs, names, isForUnpack = false }: PackOptions, signal: AbortSignal,
): Promise<Tar> {
  const { directory, name } = await sourceOf(place);
  const held = await holdDirectory(directory);
  try {
    const args = ['-c', '-f', '-', ...formats[kind], ...(isForUnpack ? ['-b', '64'] : [])];
    if ((globs.length === 0 && names === undefined) || name !== '.') {
      return startTar([...args, '--', name], { cwd: held.path, givesOutput: true });
    }
    if (kind === 'other') {
      throw new ProblemError('not_supported', 'Cannot select files: the tar of this machine takes no list of names');
    }
    if (names === undefined) return startTarOf(selected(await namesBelow(held.path, signal), globs), args, held.path);
    // One that has vanished since it was named is no failure; it is told of.
    const patient = kind === 'gnu' ? ['--ignore-failed-read'] : [];
    const bytes = names.map((one) => Buffer.from(one).toString('latin1'));
    return startTarOf(bytes, [...args, ...patient], held.path);
  } finally {
    await held.close();
  }
}

/** @param names Below `cwd`, in latin1; nothing that is in them is added. */
function startTarOf(names: Iterable<string>, args: readonly string[], cwd: string): Tar {
  const tar = startTar([...args, '--no-recursion', '--null', '-T', '-'], { cwd, takesInput: true, givesOutput: true });
  tar.stdin?.end(Buffer.from(Array.from(names, (name) => `./${name}\0`).join(''), 'latin1'));
  return tar;
}
