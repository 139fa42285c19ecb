/**
 * Writes what a patch has made of its files, each in one step; where one fails, those before it are put back.
 * @module
 */
import { lstat, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Place, Roots } from '../../base/files/roots.ts';
import type { PatchAction } from '../../protocol/files/patch.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { tagOf } from '../etag.ts';
import { explained } from '../failure.ts';
import type { Locks } from '../lock.ts';
import { openFile, statAt } from '../read.ts';
import { temporaryName, type Unfinished } from '../unfinished.ts';
import type { Writer } from '../write.ts';
import { contentBefore, contentOf, type WorkingFile } from './working-files.ts';

export interface PatchContext {
  readonly roots: Roots;
  readonly writer: Pick<Writer, 'write'>;
  readonly unfinished: Pick<Unfinished, 'note' | 'forget' | 'leave'>;
  readonly locks: Locks;
}

export interface Written {
  readonly etag: string;
  readonly sizeBytes: number;
}

export interface Change {
  readonly file: WorkingFile;
  readonly action: PatchAction;
}

/** What takes a step back. */
interface Undo {
  readonly path: string;
  readonly run: () => Promise<unknown>;
}

/** Writes what is new before anything is removed. @returns the tags of what was written. */
export async function writeAll(context: PatchContext, changes: readonly Change[]): Promise<Map<WorkingFile, Written>> {
  const undo: Undo[] = [];
  const written = new Map<WorkingFile, Written>();
  const aside: string[] = [];
  try {
    for (const { file, action } of changes) if (action !== 'deleted' && !isRenamed(file)) {
      written.set(file, await write(context, file, undo));
    }
    for (const { file } of changes) if (isRenamed(file)) written.set(file, await renameTo(context, file, undo));
    for (const { file, action } of changes) {
      const gone = action === 'deleted' ? file : action === 'moved' && !isRenamed(file) ? file.source : undefined;
      // A file that was moved may have been replaced by another.
      if (gone !== undefined && !gone.exists) aside.push(await setAside(context, gone, undo));
    }
  } catch (error) {
    throw await putBack(error, undo);
  }
  for (const path of aside) await removeAside(context, path);
  return written;
}

/** Whether it is another file that only gets another name. */
function isRenamed({ source, content }: WorkingFile): boolean {
  return source !== undefined && content === undefined;
}

async function write(context: PatchContext, file: WorkingFile, undo: Undo[]): Promise<Written> {
  const { writer } = context;
  const { path, before, source, isExecutable } = file;
  const mode = (before ?? source?.before)?.mode;
  const isChanged = mode !== undefined && (isExecutable !== undefined || before === undefined);
  const written = await writer.write(path, {
    content: only(contentOf(file)), mkdirs: before === undefined, isExecutable,
    ...(isChanged ? { mode: withExecutable(mode, isExecutable) } : {}),
    ...(before === undefined ? { mustBeNew: true } : { mustMatch: [before.etag] }),
  });
  if (!written.isComplete) throw new Error('the whole file was written, and only a part of it arrived');
  const { etag, sizeBytes } = written;
  undo.push(before === undefined
    ? { path, run: () => whileSame(context, path, etag, (place) => unlink(place.path)) }
    : { path, run: () => writer.write(path, { content: only(contentBefore(file)), mustMatch: [etag], mode }) });
  return { etag, sizeBytes };
}

function withExecutable(mode: number, isExecutable: boolean | undefined): number {
  if (isExecutable === undefined) return mode;
  return isExecutable ? mode | (mode & 0o444) >> 2 : mode & ~0o111;
}

/** Acts on a file that still has the tag, before any other write of it. */
async function whileSame<T>(
  { roots, locks }: PatchContext, path: string, etag: string | undefined, act: (place: Place) => Promise<T>,
): Promise<T> {
  return explained('patch', path, () => roots.at(path, (place) => locks.hold(place.realPath, async () => {
    if (await tagAt(place) !== etag) throw new ProblemError('file_changed', `Cannot patch ${path}: it has changed`);
    return await act(place);
  }), { isFollowed: false }));
}

async function tagAt(place: Place): Promise<string> {
  const file = await openFile(place);
  return file.stat({ bigint: true }).then((stats) => tagOf(file, stats)).finally(() => file.close());
}

async function renameTo(context: PatchContext, { path, source }: WorkingFile, undo: Undo[]): Promise<Written> {
  const { path: from = '', before } = source ?? {};
  const move = (to: string): ((place: Place) => Promise<void>) => (place) =>
    context.roots.at(to, async (target) => {
      if (await statAt(target) !== undefined) {
        throw new ProblemError('file_changed', `Cannot patch ${to}: there is a file now`);
      }
      await rename(place.path, target.path);
    }, { isFollowed: false, makeParents: true });
  await whileSame(context, from, before?.etag, move(path));
  let etag = before?.etag ?? '';
  undo.push({ path: from, run: () => whileSame(context, path, etag, move(from)) });
  // The tag of a large file has its time of change, which a new name sets.
  etag = await explained('patch', path, () => context.roots.at(path, tagAt, { isFollowed: false }));
  return { etag, sizeBytes: before?.sizeBytes ?? 0 };
}

/** Gives a file that is to go another name, under which it can still be put back. @returns its path. */
async function setAside(context: PatchContext, { path, before }: WorkingFile, undo: Undo[]): Promise<string> {
  const { roots, unfinished } = context;
  const name = temporaryName();
  const hidden = join(dirname(path), name);
  await whileSame(context, path, before?.etag, async (place) => {
    unfinished.note(hidden);
    await rename(place.path, place.beside(name)).catch((error: unknown) => {
      unfinished.forget(hidden);
      throw error;
    });
  });
  undo.push({
    path,
    run: () => roots.at(hidden, async (place) => {
      const own = place.beside(basename(path));
      if (await lstat(own).then(() => true, () => false)) {
        unfinished.leave(hidden);
        throw new Error('there is another file now');
      }
      await rename(place.path, own);
      unfinished.forget(hidden);
    }, { isFollowed: false }),
  });
  return hidden;
}

async function removeAside({ roots, unfinished }: PatchContext, path: string): Promise<void> {
  const removed = roots.at(path, (place) => unlink(place.path), { isFollowed: false });
  const isGone = await removed.then(() => true, () => false);
  // What cannot be removed now is swept later.
  if (isGone) unfinished.forget(path);
  else unfinished.leave(path);
}

/** Takes all steps back, the last one first. @returns the failure, with the state of the files. */
async function putBack(error: unknown, undo: readonly Undo[]): Promise<unknown> {
  const notPutBack: string[] = [];
  for (const { path, run } of [...undo].reverse()) {
    await run().catch(() => notPutBack.push(path));
  }
  if (!(error instanceof ProblemError)) return error;
  const state = notPutBack.length === 0
    ? 'all files of the patch are as they were'
    : `these files are changed, and could not be put back: ${notPutBack.join(', ')}`;
  return new ProblemError(error.code, `${error.message}; ${state}`, {
    cause: error, headers: error.headers,
    extensions: { ...error.extensions, ...(notPutBack.length === 0 ? {} : { notPutBack }) },
  });
}

async function* only(content: string): AsyncGenerator<Buffer, void> {
  yield Buffer.from(content, 'latin1');
}
