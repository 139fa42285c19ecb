/**
 * The files of the machine: all calls but those that read and write content, which have modules of their own.
 * @module
 */
import type { BigIntStats } from 'node:fs';
import { lstat, mkdir, readlink, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import { errorCode } from '../base/error-code.ts';
import { holdDirectory, type Place, type Roots } from '../base/files/roots.ts';
import { BoundedAnswers } from '../process/state/bounded-answers.ts';
import type {
  EditRequest, FileEdited, FileInfo, FileList, FileText, MkdirRequest, MoveRequest,
} from '../protocol/files.ts';
import type { FilesPatched, PatchRequest } from '../protocol/files/patch.ts';
import { ProblemError } from '../protocol/problem.ts';
import { Archives } from './archive/archives.ts';
import { copyTree, mustNotContain } from './copy.ts';
import { editFile } from './edit/edit-file.ts';
import { tagOf } from './etag.ts';
import { explained } from './failure.ts';
import { Finder } from './find/finder.ts';
import { infoOf } from './info.ts';
import { listDirectory, type Page } from './list.ts';
import { Locks } from './lock.ts';
import { bytesOf, openFile, snapshot, type Snapshot, statAt } from './read.ts';
import { applyPatch } from './patch/apply-patch.ts';
import { readText, type TextRange } from './text.ts';
import { removeAt, Unfinished } from './unfinished.ts';
import { Watches } from './watch/watches.ts';
import { Writer, type WriteRequest, type WriteResult } from './write.ts';

/** How long a large directory may take to be deleted. */
const removalMs = 600_000;

export interface FilesOptions {
  readonly roots: Roots;
  readonly stateDir: string;
  readonly log: Log;
  /** Where programs are looked for, as in the environment. */
  readonly programPath: string;
}

export class Files {
  /** The answers to requests with an Idempotency-Key. */
  readonly answers: BoundedAnswers;
  readonly archives: Archives;
  readonly finder: Finder;
  readonly watches: Watches;
  readonly #roots: Roots;
  readonly #writer: Writer;
  readonly #unfinished: Unfinished;
  readonly #locks = new Locks();

  constructor({ roots, stateDir, log, programPath }: FilesOptions) {
    this.#roots = roots;
    this.finder = new Finder({ roots, programPath });
    this.watches = new Watches({ roots, log });
    const folder = join(stateDir, 'files');
    this.answers = new BoundedAnswers(folder);
    this.#unfinished = new Unfinished(folder, log);
    this.archives = new Archives({ roots, unfinished: this.#unfinished, log });
    this.#writer = new Writer({ roots, unfinished: this.#unfinished, locks: this.#locks });
  }

  /**
   * Begins to remove what was left unfinished by an earlier server, or by a client that does not come back. Nothing
   * waits for it, as a file may be on a file system that does not answer.
   */
  sweep(): void {
    void this.#unfinished.sweep();
  }

  /** @throws ProblemError file_not_found, path_not_allowed, not_a_file, file_unusable. */
  snapshot(path: string): Promise<Snapshot> {
    return snapshot(this.#roots, path);
  }

  /** @param last Inclusive; `undefined`: to the end. @throws ProblemError as {@link snapshot}, file_changed. */
  bytesOf(file: Snapshot, first: number, last: number | undefined): AsyncIterable<Buffer> {
    return bytesOf(this.#roots, file, first, last);
  }

  /** @throws ProblemError as {@link snapshot}, not_text, payload_too_large. */
  text(path: string, range: TextRange): Promise<FileText> {
    return readText(this.#roots, path, range);
  }

  /** @throws as `Writer.write`. */
  write(path: string, request: WriteRequest): Promise<WriteResult> {
    return this.#writer.write(path, request);
  }

  /** @throws as `editFile`. */
  edit(request: EditRequest): Promise<FileEdited> {
    return editFile({ roots: this.#roots, writer: this.#writer }, request);
  }

  /** @throws as `applyPatch`. */
  patch(request: PatchRequest): Promise<FilesPatched> {
    const context = { roots: this.#roots, writer: this.#writer, unfinished: this.#unfinished, locks: this.#locks };
    return applyPatch(context, request);
  }

  /** How much of an upload in parts is there. */
  uploadOffset(path: string): Promise<number | undefined> {
    return this.#writer.uploadOffset(path);
  }

  /** @param isFollowed Whether what a link leads to is described. @throws ProblemError as {@link snapshot}. */
  stat(path: string, { isFollowed }: { readonly isFollowed: boolean }): Promise<FileInfo> {
    return explained('look at', path, () => this.#roots.at(path, (place) => describe(place), { isFollowed }));
  }

  /** @throws ProblemError as {@link snapshot}. */
  list(path: string, page: Page): Promise<FileList> {
    return explained('list', path, () => this.#roots.at(path, async (place) => {
      const held = await holdDirectory(place.path).catch((error: unknown) => { throw notADirectory(path, error); });
      try {
        return await listDirectory(held, place.realPath, page);
      } finally {
        await held.close();
      }
    }));
  }

  /** @returns the directory, and whether it is new. @throws ProblemError file_exists … */
  makeDirectory(
    { path, mode, mkdirs = false }: MkdirRequest,
  ): Promise<{ readonly info: FileInfo; readonly isNew: boolean }> {
    return explained('make', path, () => this.#roots.at(path, async (place) => {
      const isNew = await made(place, mode === undefined ? 0o777 : Number.parseInt(mode, 8));
      const info = await describe(place);
      if (!isNew && !(mkdirs && info.type === 'directory')) {
        throw new ProblemError('file_exists', `Cannot make ${path}: there is a ${info.type} already`);
      }
      return { info, isNew };
    }, { makeParents: mkdirs }));
  }

  /** @throws ProblemError file_exists, directory_not_empty … */
  move(request: MoveRequest, signal: AbortSignal): Promise<FileInfo> {
    return this.#between('move', request, async (source, target) => {
      try {
        await rename(source.path, target.path);
      } catch (error) {
        // Another file system.
        if (errorCode(error) !== 'EXDEV') throw error;
        await this.#copy(source, target, signal);
        await removeTree(source);
      }
    });
  }

  /** @throws ProblemError file_exists, directory_not_empty, not_a_file … */
  copy(request: MoveRequest, signal: AbortSignal): Promise<FileInfo> {
    return this.#between('copy', request, (source, target) => this.#copy(source, target, signal));
  }

  #between(
    action: string, { from, to, overwrite = false, mkdirs = false }: MoveRequest,
    act: (source: Place, target: Place) => Promise<void>,
  ): Promise<FileInfo> {
    return explained(action, from, () => this.#roots.at(from, async (source) => {
      await lstat(source.path);
      return await explained(action, `${from} to ${to}`, () => this.#roots.at(to, async (target) => {
        mustNotContain(source.realPath, target.realPath);
        if (!overwrite && await statAt(target) !== undefined) {
          throw new ProblemError('file_exists', `Cannot ${action} ${from} to ${to}: there is something already`);
        }
        await act(source, target);
        return describe(target);
      }, { isFollowed: false, makeParents: mkdirs }));
    }, { isFollowed: false }));
  }

  async #copy(source: Place, target: Place, signal: AbortSignal): Promise<void> {
    await this.#unfinished.beside(target, async (path) => {
      await copyTree(source.path, path, { shownPath: source.realPath, signal });
      await rename(path, target.path);
    });
  }

  /** @returns the real path of what is gone. @throws ProblemError directory_not_empty … */
  delete(path: string, { isRecursive }: { readonly isRecursive: boolean }): Promise<string> {
    return explained('delete', path, () => this.#roots.at(path, async (place) => {
      if (this.#roots.isRoot(place.realPath)) {
        throw new ProblemError('path_not_allowed', `Cannot delete ${path}: it is the directory that holds all others`);
      }
      if (isRecursive) await removeTree(place);
      else if ((await lstat(place.path)).isDirectory()) await rmdir(place.path);
      else await unlink(place.path);
      return place.realPath;
    }, { isFollowed: false }));
  }
}

async function describe(place: Place): Promise<FileInfo> {
  const stats = await lstat(place.path, { bigint: true });
  if (stats.isSymbolicLink()) return infoOf(place.realPath, stats, { target: await readlink(place.path) });
  return infoOf(place.realPath, stats, stats.isFile() ? await tagAt(place, stats) : {});
}

async function tagAt(place: Place, stats: BigIntStats): Promise<Pick<FileInfo, 'etag'>> {
  try {
    const file = await openFile(place);
    return { etag: await tagOf(file, stats).finally(() => file.close()) };
  } catch (error) {
    // A file that may not be read is there all the same.
    if (!(error instanceof ProblemError) && errorCode(error) === 'ELOOP') throw error;
    return {};
  }
}

async function made(place: Place, mode: number): Promise<boolean> {
  try {
    await mkdir(place.path, { mode });
    return true;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    return false;
  }
}

async function removeTree(place: Place): Promise<void> {
  try {
    await removeAt(place, { limitMs: removalMs });
  } catch (error) {
    const { stderr } = error as { readonly stderr?: string };
    if (stderr === undefined) throw error;
    const [line = ''] = stderr.trim().split('\n');
    const reason = line === '' ? 'it took too long' : line.replace(/^rm: /, '').replace(/\/proc\/\d+\/fd\/\d+\//, '');
    throw new ProblemError('file_unusable', `Cannot delete ${place.realPath}: ${reason}`, { cause: error });
  }
}

function notADirectory(path: string, error: unknown): unknown {
  if (!['ENOTDIR', 'ELOOP'].includes(errorCode(error))) return error;
  return new ProblemError('not_a_file', `Cannot list ${path}: it is no directory`, { cause: error });
}
