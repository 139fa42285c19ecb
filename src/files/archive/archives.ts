/**
 * Archives of the machine's files: packs and unpacks below the directories that the server may use.
 * @module
 */
import { lstat } from 'node:fs/promises';
import { sep } from 'node:path';
import type { Place, Roots } from '../../base/files/roots.ts';
import type { Log } from '../../base/log.ts';
import { errorCode } from '../../base/error-code.ts';
import {
  type ArchiveUnpacked, defaultMaxBytes, defaultMaxEntries, type UnpackQuery,
} from '../../protocol/files/archive.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { explained } from '../failure.ts';
import { temporaryName, type Unfinished } from '../unfinished.ts';
import type { Contents } from './look.ts';
import { archiveName, pack, type PackOptions } from './pack.ts';
import { unpack, type UnpackOptions } from './unpack.ts';

export interface ArchivesContext {
  readonly roots: Roots;
  readonly unfinished: Pick<Unfinished, 'beside'>;
  readonly log: Pick<Log, 'warn'>;
}

export class Archives {
  readonly #context: ArchivesContext;

  constructor(context: ArchivesContext) {
    this.#context = context;
  }

  /** The name for an archive of a path. @throws ProblemError file_not_found, path_not_allowed, not_a_file … */
  nameOf(path: string): Promise<string> {
    return archiveName(this.#context.roots, path);
  }

  /** @throws as `pack`: the answer has begun by then, so only the log can say why it breaks off. */
  async *pack(
    path: string, options: PackOptions, signal: AbortSignal,
  ): AsyncGenerator<Buffer, string | undefined> {
    try {
      return yield* pack(this.#context.roots, path, options, signal);
    } catch (error) {
      if (error instanceof ProblemError) this.#context.log.warn('an archive breaks off', { path, error });
      throw error;
    }
  }

  /**
   * Unpacks into a directory: a new one comes as a whole, in one that is there files are replaced one by one.
   *
   * @throws as `unpack`; ProblemError not_a_file, path_not_allowed, file_not_found.
   */
  unpack(content: AsyncIterable<Uint8Array>, query: UnpackQuery): Promise<ArchiveUnpacked> {
    const { path, mkdirs = false, keepModes = false, links = 'inside', maxEntries, maxBytes } = query;
    if (links === 'any' && !this.#context.roots.isRoot(sep)) {
      throw new ProblemError('path_not_allowed', 'Cannot unpack with links=any: this server has --files-root');
    }
    const options: UnpackOptions = {
      keepsModes: keepModes, mayLeadOut: links === 'any',
      maxEntries: maxEntries ?? defaultMaxEntries, maxBytes: maxBytes ?? defaultMaxBytes,
    };
    return explained('unpack into', path, async () => {
      const isThere = await this.#isDirectory(path);
      const where = isThere ? `${path}/${temporaryName()}` : path;
      return await this.#context.roots.at(where, (place) => this.#at(place, isThere, content, options), {
        isFollowed: !isThere, makeParents: mkdirs,
      });
    });
  }

  /** @param place `isThere`: of any name in the directory; else of the directory. */
  async #at(
    place: Place, isThere: boolean, content: AsyncIterable<Uint8Array>, options: UnpackOptions,
  ): Promise<ArchiveUnpacked> {
    const shownPath = isThere ? place.realPath.slice(0, place.realPath.lastIndexOf(sep)) || sep : place.realPath;
    const target = { path: isThere ? place.beside('.') : place.path, isThere, shownPath };
    try {
      const found: Contents = await this.#context.unfinished.beside(place, (stage) =>
        unpack(content, stage, target, options));
      return { path: shownPath, ...found, created: !isThere };
    } catch (error) {
      // The content can be read only once: there is no other walk.
      if (errorCode(error) !== 'ELOOP') throw error;
      const message = `Cannot unpack into ${shownPath}: it changed meanwhile`;
      throw new ProblemError('file_unusable', message, { cause: error });
    }
  }

  async #isDirectory(path: string): Promise<boolean> {
    try {
      return await this.#context.roots.at(path, async (place) => {
        if ((await lstat(place.path)).isDirectory()) return true;
        throw new ProblemError('not_a_file', `Cannot unpack into ${path}: it is no directory`);
      });
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      return false;
    }
  }
}
