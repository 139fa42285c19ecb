/**
 * The files that a patch names: as they are, and as they will be when it has been applied. Nothing is written here.
 * @module
 */
import { join } from 'node:path';
import type { Place, Roots } from '../../base/files/roots.ts';
import { inDirectory } from '../../base/files/real-path.ts';
import { readAt } from '../../base/files/untrusted-file.ts';
import { errorCode } from '../../base/error-code.ts';
import type { HunkNote } from '../../protocol/files/patch.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { maxEditBytes } from '../edit/edit-file.ts';
import { tagOf } from '../etag.ts';
import { explained } from '../failure.ts';
import { openFile } from '../read.ts';

/** Of all files of a patch together: their content is held in memory. */
const maxTotalBytes = 64 * 2 ** 20;

/** A file before the patch. */
export interface Before {
  readonly etag: string;
  readonly sizeBytes: number;
  readonly mode: number;
  /** Bytes, each a character. A problem: why it cannot be patched; it can still be moved or deleted. */
  readonly content: string | ProblemError;
}

/** One file, on its way from what it is to what it will be. */
export interface WorkingFile {
  /** The real path. */
  readonly path: string;
  readonly before: Before | undefined;
  /** As the patch names it first. */
  readonly name: string;
  exists: boolean;
  /** What it will hold. `undefined`: what `source`, or else itself, holds before the patch. */
  content?: string | undefined;
  /** The file that was moved or copied here. */
  source?: WorkingFile | undefined;
  isCopy?: boolean;
  isExecutable?: boolean | undefined;
  readonly diffs: string[];
  readonly notes: HunkNote[];
}

export class WorkingFiles {
  readonly #roots: Roots;
  readonly #base: string;
  readonly #files = new Map<string, WorkingFile>();
  readonly #names = new Map<string, WorkingFile>();
  #totalBytes = 0;

  /** @param base The directory that the names of the patch are relative to. */
  constructor(roots: Roots, base: string) {
    this.#roots = roots;
    this.#base = base;
  }

  /** All that were named, in that order. */
  all(): readonly WorkingFile[] {
    return [...this.#files.values()];
  }

  /**
   * @param isItself A link itself is meant, and refused; otherwise it is followed.
   * @throws ProblemError not_a_file, path_not_allowed, file_unusable, payload_too_large.
   */
  async at(name: string, { isItself = false }: { readonly isItself?: boolean } = {}): Promise<WorkingFile> {
    const known = this.#names.get(`${isItself}${name}`);
    if (known !== undefined) return known;
    const { path, before } = await this.#look(name, isItself);
    let file = this.#files.get(path);
    if (file === undefined) {
      file = { name, path, before, exists: before !== undefined, diffs: [], notes: [] };
      this.#files.set(path, file);
    }
    this.#names.set(`${isItself}${name}`, file);
    return file;
  }

  async #look(name: string, isItself: boolean): Promise<Pick<WorkingFile, 'path' | 'before'>> {
    // Not by join(): `link/..` is the directory above the target of the link.
    const path = inDirectory(inDirectory(this.#roots.base, this.#base), name);
    let realPath = path;
    try {
      return await explained('patch', name, () => this.#roots.at(path, async (place) => {
        realPath = place.realPath;
        return { path: realPath, before: await this.#read(name, place) };
      }, { isFollowed: !isItself }));
    } catch (error) {
      if (!(error instanceof ProblemError) || errorCode(error.cause) !== 'ENOENT') throw error;
      return { path: realPath === path ? join(path) : realPath, before: undefined };
    }
  }

  async #read(name: string, place: Place): Promise<Before> {
    const file = await openFile(place);
    try {
      const stats = await file.stat({ bigint: true });
      const sizeBytes = Number(stats.size);
      const etag = await tagOf(file, stats);
      const mode = Number(stats.mode) & 0o7777;
      if (sizeBytes > maxEditBytes) {
        const why = `Cannot patch ${name}: it is longer than ${maxEditBytes} bytes`;
        return { etag, sizeBytes, mode, content: new ProblemError('payload_too_large', why) };
      }
      this.#totalBytes += sizeBytes;
      if (this.#totalBytes > maxTotalBytes) {
        const why = `Cannot patch ${name}: with the files before it, it is longer than ${maxTotalBytes} bytes`;
        throw new ProblemError('payload_too_large', why);
      }
      const bytes = await readAt(file, 0, sizeBytes);
      if (bytes.includes(0)) {
        const why = `Cannot patch ${name}: it holds NUL, and is no text`;
        return { etag, sizeBytes, mode, content: new ProblemError('not_text', why) };
      }
      return { etag, sizeBytes, mode, content: bytes.toString('latin1') };
    } finally {
      await file.close();
    }
  }
}

/** What a file holds at this step of the patch. @throws ProblemError not_text, payload_too_large. */
export function contentOf(file: WorkingFile): string {
  return file.content ?? contentBefore(file.source ?? file);
}

export function contentBefore({ name, before }: WorkingFile): string {
  if (before === undefined) throw new ProblemError('file_not_found', `Cannot patch ${name}: there is no such file`);
  if (before.content instanceof ProblemError) throw before.content;
  return before.content;
}
