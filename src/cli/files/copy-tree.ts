/**
 * Copies directories as archives: to the machine, from it, on it; `-` is the archive itself.
 * @module
 */
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Sidecar } from '../../client/client.ts';
import { errorCode } from '../../base/error-code.ts';
import { CommandError, exitCodes } from '../failure.ts';
import { printMessage } from '../io/print.ts';
import { write } from '../io/streams.ts';
import { localArchives } from './local-archives.ts';
import { type NamedPlace, type Place, statIfThere, wordOf } from './place.ts';
import { type Progress, startProgress } from './progress.ts';

export interface TreeOptions {
  /** Also links that lead out of the directory. */
  readonly allLinks: boolean;
}

/**
 * @param from A directory, or the stream of an archive.
 * @returns the exit code: 1 where files changed while they were read.
 */
export async function copyTree(sidecar: Sidecar, from: Place, to: Place, options: TreeOptions): Promise<number> {
  const name = from.at === 'stream' ? '' : await nameOf(from);
  const path = to.at === 'stream' ? '' : await targetOf(sidecar, to, name);
  if (from.at === 'machine' && to.at === 'machine') {
    await sidecar.files.copy(from.path, path);
    return exitCodes.ok;
  }
  const changes: string[] = [];
  const progress = startProgress(name === '' ? 'archive' : name);
  try {
    const content = watched(open(sidecar, from, changes), progress, estimate(sidecar, from));
    await put(sidecar, { content, to, path }, options);
  } finally {
    progress.end();
  }
  for (const change of changes) printMessage(`A file changed while it was copied: ${change}`);
  return changes.length === 0 ? exitCodes.ok : exitCodes.failure;
}

async function put(
  sidecar: Sidecar,
  { content, to, path }: { readonly content: AsyncIterable<Uint8Array>; readonly to: Place; readonly path: string },
  { allLinks }: TreeOptions,
): Promise<void> {
  const links = allLinks ? 'any' : 'inside';
  if (to.at === 'machine') await sidecar.files.unpack(path, content, { keepModes: true, links });
  else if (to.at === 'stream') for await (const piece of content) await write(piece);
  else {
    await localArchives().unpack(content, {
      path, keepModes: true, links, mkdirs: false, maxEntries: undefined, maxBytes: undefined,
    });
  }
}

/** @param changes Gets what changed while it was read. */
function open(sidecar: Sidecar, from: Place, changes: string[]): AsyncIterable<Uint8Array> {
  if (from.at === 'stream') return process.stdin;
  if (from.at === 'here') return packed(from.path, changes);
  // The server begins while the place for it is made here.
  const opening = sidecar.files.archive(from.path, { onChanged: (reason) => changes.push(reason) });
  opening.catch(() => undefined);
  return received(opening);
}

async function* received(opening: Promise<ReadableStream<Uint8Array>>): AsyncGenerator<Uint8Array, void> {
  yield* await opening;
}

async function* packed(path: string, changes: string[]): AsyncGenerator<Uint8Array, void> {
  const { signal } = new AbortController();
  const changed = yield* localArchives().pack(path, { format: 'tar', globs: [], isForUnpack: true }, signal);
  if (changed !== undefined) changes.push(changed);
}

/** The name of a directory; `''` where only what is in it is meant: `.`, `x/.`, `/`. */
async function nameOf(from: NamedPlace): Promise<string> {
  if (/(^|[\\/])\.\.?[\\/]*$/.test(from.path)) return '';
  // A link has the name that was given, not the one that it leads to.
  return basename(from.at === 'here' ? await realName(from.path) : from.path);
}

async function realName(path: string): Promise<string> {
  return basename(path) === '' ? realpath(path) : path;
}

/** As cp and scp do: into a directory that is there, else as the new one. */
async function targetOf(sidecar: Sidecar, to: NamedPlace, name: string): Promise<string> {
  const path = to.path.replace(/(?<=.)\/+$/, '');
  const isDirectory = to.at === 'machine'
    ? (await statIfThere(sidecar, path))?.type === 'directory'
    : (await statHere(path))?.isDirectory() === true;
  return isDirectory && name !== '' ? `${path}/${name}` : path;
}

async function statHere(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error))) throw error;
    return undefined;
  }
}

/** What an archive has for an entry beside its content, which fills blocks. */
const headerBytes = 1536;
const blockBytes = 512;

/** How long the archive will be, for the progress. `undefined`: unknown, or not shown. */
async function estimate(sidecar: Sidecar, from: Place): Promise<number | undefined> {
  if (!process.stderr.isTTY || from.at === 'stream') return undefined;
  let total = 0;
  try {
    const sizes = from.at === 'here' ? sizesBelow(from.path) : machineSizes(sidecar, from.path);
    for await (const size of sizes) total += headerBytes + Math.ceil(size / blockBytes) * blockBytes;
    return total;
  } catch {
    // The copy itself says what is wrong.
    return undefined;
  }
}

async function* machineSizes(sidecar: Sidecar, path: string): AsyncGenerator<number, void> {
  for await (const { type, sizeBytes } of sidecar.files.all(path, { depth: 100, limit: 10_000 })) {
    yield type === 'file' ? sizeBytes : 0;
  }
}

async function* sizesBelow(path: string): AsyncGenerator<number, void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) yield* sizesBelow(inner);
    yield entry.isFile() ? (await lstat(inner)).size : 0;
  }
}

async function* watched(
  content: AsyncIterable<Uint8Array>, progress: Progress, total: Promise<number | undefined>,
): AsyncGenerator<Uint8Array, void> {
  let totalBytes: number | undefined;
  void total.then((bytes) => { totalBytes = bytes; });
  let doneBytes = 0;
  for await (const piece of content) {
    yield piece;
    doneBytes += piece.length;
    progress.update(doneBytes, totalBytes);
  }
}

/** Refuses a directory without `-r`. */
export function needsRecursion(from: NamedPlace): CommandError {
  return new CommandError(`Cannot copy ${wordOf(from)}: it is a directory, which needs -r`, {
    hint: `Copy all that is in it: sidecar cp -r ${wordOf(from)} …`,
  });
}
