/**
 * The files of a server's machine.
 * @module
 */
import {
  copyFile, deleteFile, editFile, listFiles, makeDirectory, moveFile, readFile, readTextFile, statFile,
} from '../protocol/endpoints/files.ts';
import {
  type FileEdit, type FileEdited, fileEdited, type FileInfo, type FileList, type FileText, type FileWritten,
} from '../protocol/files.ts';
import { type FilesPatched, filesPatched } from '../protocol/files/patch.ts';
import type { ActOptions, Cancellable } from './jobs.ts';
import type { ArchiveUnpacked } from '../protocol/files/archive.ts';
import type { FindRecord, FindRequest } from '../protocol/files/find.ts';
import type { WatchEvent } from '../protocol/files/watch.ts';
import { type ArchiveOptions, download, type UnpackOptions, uploadArchive } from './transfer/archive.ts';
import type { FileContent } from './transfer/content.ts';
import { bytesOf, type FileBytes, fileBytes } from './transfer/download.ts';
import { find } from './transfer/find.ts';
import { flag, upload, type WriteOptions } from './transfer/upload.ts';
import { watchPath, type WatchFilesOptions } from './transfer/watch.ts';
import { call, callOf, confirmDeletion, keyed } from './transport/call.ts';
import { open } from './transport/request.ts';
import type { SentStream, Transport } from './transport/transport.ts';

export interface ReadOptions extends Cancellable {
  /** Only these bytes; `last` is inclusive, and by default the last one there is. */
  readonly range?: { readonly first: number; readonly last?: number };
  /** Only so many bytes of the end. */
  readonly tailBytes?: number;
}

export interface ListOptions extends Cancellable {
  /** 1: what is in the directory; 2: also what is in those in it … Default 1. */
  readonly depth?: number;
  /** Entries per page, 1 to 10,000. Default 1000. */
  readonly limit?: number;
  /** The SHA-256 of each file. Pages may then be shorter. */
  readonly hashes?: boolean;
  /** `next` of the page before. */
  readonly after?: string;
}

export interface MkdirOptions extends ActOptions {
  /** The permissions in octal, such as `0755`. Default: what the umask leaves. */
  readonly mode?: string;
  /** Make the missing directories above it; one that is there already is no failure. */
  readonly mkdirs?: boolean;
}

export interface EditOptions extends ActOptions {
  readonly etag?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface PatchOptions extends ActOptions {
  readonly path?: string | undefined;
  readonly etags?: { readonly [name: string]: string } | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface LinesOptions extends Cancellable {
  readonly line?: number;
  readonly limit?: number;
}

export interface MoveOptions extends ActOptions {
  /** Replace a file, or an empty directory, that is there. */
  readonly overwrite?: boolean;
  /** Make the missing directories above it. */
  readonly mkdirs?: boolean;
}

/** Milliseconds that a large directory may take to be deleted, or copied to another file system. */
const largeHoldMs = 600_000;

/** Paths are absolute, or relative to the working directory of the server. */
export class Files {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * The bytes of a file, as they arrive. A connection that breaks in the middle is made again, as often as the policy
   * says, and the bytes continue where they ended: if the file has changed meanwhile, the body fails with
   * `file_changed`.
   *
   * @param options.etag The ETag of what the caller has already: the result is `null` if the file still has it.
   * @throws ProblemError `file_not_found`, `not_a_file`, `range_not_satisfiable`, `path_not_allowed` …
   */
  async read(path: string, options?: ReadOptions & { readonly etag?: undefined }): Promise<FileBytes>;
  async read(path: string, options: ReadOptions & { readonly etag?: string }): Promise<FileBytes | null>;
  async read(
    path: string, { range, tailBytes, etag, signal }: ReadOptions & { readonly etag?: string | undefined } = {},
  ): Promise<FileBytes | null> {
    const request = callOf(readFile, {
      query: { path, tailBytes },
      headers: {
        Accept: 'application/octet-stream',
        ...(range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ''}` }),
        ...(etag === undefined ? {} : { 'If-None-Match': etag }),
      },
      signal,
    });
    const opened = await open(this.#transport, { ...request, accept: [304] });
    if (opened.response.status !== 304) return fileBytes(this.#transport, request, opened);
    opened.scope.close();
    return null;
  }

  /**
   * Lines of a text file, with their numbers.
   *
   * @param options.line The first, from 1; negative: so many from the end. Default 1.
   * @param options.limit Default 2000.
   * @throws ProblemError `not_text` for a binary file, `payload_too_large`; as {@link read}.
   */
  lines(path: string, { line, limit, signal }: LinesOptions = {}): Promise<FileText> {
    return call(this.#transport, readTextFile, { query: { path, line, limit }, signal });
  }

  /**
   * Finds files by name and by content, as they are found: `begin`, each `match` with its `context` or each `file`, and
   * `end`, which says whether there may be more. Leaving the loop ends the search.
   *
   * @param request.path The directory with all that is below it, or one file.
   * @throws ProblemError `invalid_request` for an expression or glob that cannot be read, `file_not_found`,
   *   `not_a_file`, `path_not_allowed`, `unavailable` where too many search at once.
   */
  find(request: FindRequest, { signal }: Cancellable = {}): AsyncGenerator<FindRecord, void, undefined> {
    return find(this.#transport, request, signal);
  }

  /**
   * What is created, changed and deleted below a directory, or of a file: `ready` comes first, and what is listed after
   * it misses nothing. `lost` says that events were lost, so that it has to be listed again. Ends with `gone`, once the
   * directory itself has been deleted. Lost connections and restarts of the server are survived.
   *
   * @throws ProblemError `file_not_found`, `path_not_allowed`, `payload_too_large` for a tree that is too large,
   *   `unavailable`; `unreachable` when no server was found for `reconnectMs`; the reason of the signal.
   */
  watch(path: string, options: WatchFilesOptions = {}): AsyncGenerator<WatchEvent, void, undefined> {
    return watchPath(this.#transport, path, options);
  }

  /** The whole file as UTF-8, a byte order mark included. @throws ProblemError as {@link read}. */
  async text(path: string, options: Cancellable = {}): Promise<string> {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await this.bytes(path, options));
  }

  /** The whole file. @throws ProblemError as {@link read}. */
  async bytes(path: string, { signal }: Cancellable = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { body, sizeBytes } = await this.read(path, { signal });
    return bytesOf(body, sizeBytes);
  }

  /**
   * Writes a file of any size: there is the old file or the new one, never a part of it. Content above `partBytes` goes
   * in parts, of which each continues after a broken connection where it ended; that a server restarts does not matter.
   *
   * @throws ProblemError `file_changed` where `ifMatch` or `mustBeNew` does not hold, `file_not_found` where a
   * directory is missing, `not_a_file`, `storage_full`, `path_not_allowed`, `wrong_offset` where another client writes
   * the same file in parts …
   */
  write(path: string, content: FileContent, options: WriteOptions = {}): Promise<FileWritten> {
    return upload(this.#transport, path, content, options);
  }

  /**
   * What there is: type, size, permissions, time; of a file also its ETag. A link is described as such, unless
   * `follow` is given.
   *
   * @throws ProblemError `file_not_found`, `path_not_allowed` …
   */
  stat(path: string, { follow, signal }: Cancellable & { readonly follow?: boolean } = {}): Promise<FileInfo> {
    return call(this.#transport, statFile, { query: { path, follow: flag(follow) }, signal });
  }

  /** One page of a directory, by name, each directory before what is in it. @throws ProblemError `not_a_file` … */
  list(path: string, { depth, limit, after, hashes, signal }: ListOptions = {}): Promise<FileList> {
    const holdMs = hashes === true ? largeHoldMs : 0;
    const query = { path, depth, limit, after, hashes: flag(hashes) };
    return call(this.#transport, listFiles, { query, holdMs, signal });
  }

  /** Every entry of a directory, page after page. @throws ProblemError as {@link list}. */
  async *all(path: string, options: Omit<ListOptions, 'after'> = {}): AsyncGenerator<FileInfo, void, undefined> {
    for (let after: string | null | undefined; after !== null;) {
      const page: FileList = await this.list(path, { ...options, ...(after === undefined ? {} : { after }) });
      yield* page.entries;
      after = page.next;
    }
  }

  /** Makes a directory. @throws ProblemError `file_exists`, `file_not_found` where one above it is missing … */
  mkdir(path: string, { mode, mkdirs, ...options }: MkdirOptions = {}): Promise<FileInfo> {
    return call(this.#transport, makeDirectory, { body: { path, mode, mkdirs }, ...keyed(options) });
  }

  /**
   * Gives a file, a link or a directory another path: that path itself, not the directory to put it into.
   *
   * @throws ProblemError `file_exists`, `file_not_found`, `directory_not_empty` …
   */
  move(from: string, to: string, { overwrite, mkdirs, ...options }: MoveOptions = {}): Promise<FileInfo> {
    const body = { from, to, overwrite, mkdirs };
    return call(this.#transport, moveFile, { body, holdMs: largeHoldMs, ...keyed(options) });
  }

  /**
   * Edits a text file: all edits are checked before one byte changes. Answers the diff.
   *
   * @param options.etag Of the file as it was read. @param options.dryRun Write nothing.
   * @throws ProblemError `edit_failed` with `lines` at the nearest place, `file_changed` with `lines` as they are now,
   *   `not_text`, `payload_too_large` …
   */
  edit(path: string, edits: readonly FileEdit[], { etag, dryRun, ...options }: EditOptions = {}): Promise<FileEdited> {
    return call(this.#transport, editFile, { body: { path, edits, etag, dryRun }, ...keyed(options) }, [fileEdited]);
  }

  /**
   * Applies a patch over several files: a unified diff, or the form that begins with `*** Begin Patch`. All of it is
   * checked before one byte changes. Answers the diff of each file.
   *
   * @param options.path The directory that its names are relative to. Default: the server's working directory.
   * @param options.etags Of files as they were read, by their names in the patch. @param options.dryRun Write nothing.
   * @throws ProblemError `edit_failed` with `file`, `hunk`, `lines` and all `failures`; `file_changed`, `not_text` …
   */
  patch(patch: string, { path, etags, dryRun, ...options }: PatchOptions = {}): Promise<FilesPatched> {
    return call(this.#transport, editFile, { body: { patch, path, etags, dryRun }, ...keyed(options) }, [filesPatched]);
  }

  /**
   * Copies a file, a link or a directory with all that is in it, with the permissions.
   *
   * @throws ProblemError as {@link move}, `not_a_file` for a FIFO, a socket or a device.
   */
  copy(from: string, to: string, { overwrite, mkdirs, ...options }: MoveOptions = {}): Promise<FileInfo> {
    const body = { from, to, overwrite, mkdirs };
    return call(this.#transport, copyFile, { body, holdMs: largeHoldMs, ...keyed(options) });
  }

  /**
   * Deletes a file, a link, or an empty directory; with `recursive` a directory with all that is in it.
   *
   * @throws ProblemError `file_not_found`, `directory_not_empty` …
   */
  async delete(
    path: string, { recursive, signal }: Cancellable & { readonly recursive?: boolean } = {},
  ): Promise<void> {
    const holdMs = recursive === true ? largeHoldMs : 0;
    await confirmDeletion(this.#transport, deleteFile, { query: { path, recursive: flag(recursive) }, holdMs, signal });
  }

  /**
   * A directory or a file as a tar archive, as it arrives. A failure in the middle fails the stream: what was read is
   * then no archive.
   *
   * @throws ProblemError `file_not_found`, `not_a_file`, `path_not_allowed`, `not_supported` …
   */
  archive(path: string, options: ArchiveOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return download(this.#transport, path, options);
  }

  /**
   * Unpacks an archive, tar or tar.gz, into a directory: a new one comes as a whole, in one that is there files are
   * replaced one by one. It is sent once: after a failure nothing is tried again.
   *
   * @throws ProblemError `invalid_request` for what is no complete archive, or has something in it that is not
   *   unpacked; `payload_too_large`, `storage_full`, `file_exists`, `not_a_file`, `path_not_allowed` …
   */
  unpack(path: string, content: SentStream, options: UnpackOptions = {}): Promise<ArchiveUnpacked> {
    return uploadArchive(this.#transport, path, content, options);
  }
}
