/**
 * Unpacks an archive: into a directory of its own first, which is looked at, and then moved to its place.
 * @module
 */
import { mkdir, rmdir } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { holdDirectory } from '../../base/files/roots.ts';
import { settlesWithin } from '../../base/settles-within.ts';
import { runInBackground } from '../../process/state/background.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { type Contents, lookAt } from './look.ts';
import { mergeInto, moveTree } from './merge.ts';
import { flavour, startTar, type Flavour, type Tar, type TarEnd } from './tar.ts';
import { tarBytes } from './tar-bytes.ts';

export interface UnpackOptions {
  readonly keepsModes: boolean;
  /** Whether links may lead out of the directory. */
  readonly mayLeadOut: boolean;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** tar has all of its input, and finishes the directories. */
const finishMs = 600_000;
/** As GNU tar says it; the last one is of a write(2) that wrote a part. */
const fullDisk = /No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes/;
const tree = 'tree';

/**
 * Unpacks below `stage`, looks at it, and moves it to `target`.
 *
 * @param stage A path where nothing is, on the file system of the target. What is left there is the caller's to remove.
 * @param target `isThere`: a directory; else a path where nothing is, in a directory that is there.
 * @throws ProblemError invalid_request for what is no complete archive, or has something in it that is not unpacked;
 *   payload_too_large, storage_full, file_exists, file_unusable; the system's error; what `content` throws.
 */
export async function unpack(
  content: AsyncIterable<Uint8Array>, stage: string,
  target: { readonly path: string; readonly isThere: boolean; readonly shownPath: string }, options: UnpackOptions,
): Promise<Contents> {
  const kind = await flavour();
  // Other users must not look into it before it is complete.
  await mkdir(stage, { mode: 0o700 });
  const held = await holdDirectory(stage);
  try {
    const path = `${held.path}/${tree}`;
    await mkdir(path);
    const directory = await holdDirectory(path);
    try {
      const found = await fill(content, directory.path, kind, options);
      if (target.isThere) await mergeInto(directory.path, target.path, { ...options, shownPath: target.shownPath });
      else await moveTree(path, target.path);
      return found;
    } finally {
      await directory.close();
      await rmdir(path).catch(() => undefined);
    }
  } catch (error) {
    // What only root may remove as it is.
    if (process.geteuid?.() !== 0) await makeRemovable(held.path);
    throw error;
  } finally {
    await held.close();
    await rmdir(stage).catch(() => undefined);
  }
}

async function fill(
  content: AsyncIterable<Uint8Array>, directory: string, kind: Flavour, options: UnpackOptions,
): Promise<Contents> {
  const { keepsModes, maxEntries, maxBytes } = options;
  const tar = startTar(argsFor(kind, keepsModes), { cwd: directory, takesInput: true });
  mustHaveWorked(await feed(tar, tarBytes(content, maxBytes)));
  const found = await lookAt(directory, { kind, mayLeadOut: options.mayLeadOut });
  if (found.files + found.directories + found.links > maxEntries) {
    throw new ProblemError('payload_too_large', `Cannot unpack: it has more than ${maxEntries} entries`);
  }
  if (found.sizeBytes > maxBytes) {
    throw new ProblemError('payload_too_large', `Cannot unpack: its files have more than ${maxBytes} bytes`);
  }
  return found;
}

/** busybox does not know the last words of the others; without `-p` it leaves setuid to be found. */
function argsFor(kind: Flavour, keepsModes: boolean): readonly string[] {
  if (kind === 'other') return ['-x', '-f', '-', '-o', ...(keepsModes ? ['-p'] : [])];
  // Each record is a read, and a write where it is of a large file.
  const record = kind === 'gnu' ? ['-b', '128'] : [];
  return ['-x', ...record, '-f', '-', '--no-same-owner', keepsModes ? '-p' : '--no-same-permissions'];
}

async function feed(tar: Tar, content: AsyncIterable<Uint8Array>): Promise<TarEnd> {
  const { stdin } = tar;
  if (stdin === null) throw new Error('tar has no stdin');
  let end: TarEnd | undefined;
  void tar.ended.then((value) => { end = value; }, () => undefined);
  try {
    for await (const piece of content) {
      // tar does not read what follows the end of an archive; that must be zeros, which `content` looks at.
      if (end?.exitCode === 0) continue;
      if (end !== undefined) break;
      if (!stdin.write(piece)) await roomIn(stdin);
    }
    stdin.end();
  } catch (error) {
    tar.kill();
    await tar.ended.catch(() => undefined);
    throw error;
  }
  if (!await settlesWithin(tar.ended, finishMs)) tar.kill();
  return await tar.ended;
}

function roomIn(stdin: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stdin.off('drain', done).off('close', done);
      resolve();
    };
    if (stdin.destroyed) return resolve();
    stdin.once('drain', done).once('close', done);
  });
}

function mustHaveWorked({ exitCode, said }: TarEnd): void {
  const outside = said.find((line) => line.startsWith('Removing leading'));
  if (outside !== undefined) throw invalid(`a name in it leads out of it: ${outside}`);
  if (exitCode === 0) return;
  if (said.some((line) => fullDisk.test(line))) {
    throw new ProblemError('storage_full', 'Cannot unpack: the disk is full');
  }
  throw invalid(said[0] ?? `tar ended with ${exitCode}`);
}

function invalid(reason: string): ProblemError {
  return new ProblemError('invalid_request', `Cannot unpack: ${reason}`);
}

async function makeRemovable(directory: string): Promise<void> {
  const path = directory.replace('/proc/self/', `/proc/${process.pid}/`);
  await runInBackground('chmod', ['-R', 'u+rwX', '--', `${path}/${tree}`]).catch(() => undefined);
}
