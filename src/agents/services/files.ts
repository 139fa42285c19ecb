/**
 * The files that an agent reads and writes through its client: `fs/read_text_file` and `fs/write_text_file` of the
 * Agent Client Protocol.
 *
 * Real paths are checked before files are opened, and files are opened below their directories' descriptors: a process
 * that changes links meanwhile leads no call out of the directories.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { OutsideError, type Place } from '../../base/files/roots.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { acpCodes } from '../acp/v1.ts';
import type { Sandbox } from './sandbox.ts';

export interface AgentFilesOptions {
  readonly sandbox: Sandbox;
  /**
   * The result of reading a missing file: an error, or an empty text for agents that take any error for a failure of
   * the client.
   */
  readonly missingFile: 'error' | 'empty';
  /** Limit of a file that is read or written, in bytes. Default: 32 MiB. */
  readonly maxBytes?: number;
}

export interface TextRange {
  /** The first line, from 1. */
  readonly line?: number | undefined;
  /** Number of lines. */
  readonly limit?: number | undefined;
}

const defaultMaxBytes = 32 * 2 ** 20;
const newline = '\n';

export class AgentFiles {
  readonly #options: AgentFilesOptions;
  readonly #maxBytes: number;

  constructor(options: AgentFilesOptions) {
    this.#options = options;
    this.#maxBytes = options.maxBytes ?? defaultMaxBytes;
  }

  /**
   * The text of a file, or some of its lines with their ends.
   * @throws RpcError -32602 outside of the sandbox, -32002 for a missing file, else -32603.
   */
  async read(path: string, range: TextRange = {}): Promise<string> {
    const real = await this.#realPathOf(path, 'read');
    try {
      return linesOf(await this.#options.sandbox.roots.at(real, (place) => this.#text(place)), range);
    } catch (error) {
      if (isMissing(error) && this.#options.missingFile === 'empty') return '';
      throw this.#toRpcError(error, 'read', path);
    }
  }

  /** Creates a file, and the directories above it, or replaces it in one step. @throws RpcError as {@link read}. */
  async write(path: string, content: string): Promise<void> {
    const real = await this.#realPathOf(path, 'write');
    const bytes = Buffer.from(content);
    if (bytes.length > this.#maxBytes) {
      throw new RpcError(rpcCodes.invalidParams, `Cannot write ${path}: it is longer than ${this.#maxBytes} bytes`);
    }
    try {
      await this.#options.sandbox.roots.at(real, (place) => replaceFile(place, bytes), { makeParents: true });
    } catch (error) {
      throw this.#toRpcError(error, 'write', path);
    }
  }

  async #realPathOf(path: string, action: string): Promise<string> {
    const { sandbox } = this.#options;
    const real = await sandbox.realPathOf(path);
    if (real === undefined) throw outsideError(sandbox, action, path);
    return real;
  }

  #toRpcError(error: unknown, action: string, path: string): RpcError {
    return error instanceof OutsideError
      ? outsideError(this.#options.sandbox, action, path)
      : toRpcError(error, action, path);
  }

  async #text({ path }: Place): Promise<string> {
    // Without O_NONBLOCK, opening a FIFO would block.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const { size } = await statRegular(file);
      if (size > this.#maxBytes) throw new Error(`it has ${size} bytes, more than ${this.#maxBytes}`);
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  }
}

/** The error for a path outside of the sandbox. Qwen Code reads `errorKind` to fall back to its own file system. */
export function outsideError(sandbox: Sandbox, action: string, path: string): RpcError {
  const errorKind = sandbox.isWrittenOutside(path) ? 'path_outside_workspace' : 'symlink_escape';
  return new RpcError(
    rpcCodes.invalidParams,
    `Cannot ${action} ${path}: it is outside of the directories of the job`,
    { data: { errorKind, path } },
  );
}

async function statRegular(file: FileHandle): Promise<{ readonly size: number }> {
  const found = await file.stat();
  if (!found.isFile()) throw new Error(found.isDirectory() ? 'it is a directory' : 'it is no regular file');
  return found;
}

/** Replaces a file; the new one keeps the permissions of the old one. */
async function replaceFile({ path, realPath, beside }: Place, bytes: Buffer): Promise<void> {
  const before = await lstat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (before && !before.isFile()) throw new Error(before.isDirectory() ? 'it is a directory' : 'it is no regular file');
  const temporary = beside(`${basename(realPath)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', before ? before.mode & 0o777 : 0o666);
    try {
      await file.writeFile(bytes);
      if (before) await file.chmod(before.mode & 0o777);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function linesOf(text: string, { line = 1, limit }: TextRange): string {
  let start = 0;
  for (let skipped = 1; skipped < line; skipped += 1) {
    const end = text.indexOf(newline, start);
    if (end === -1) return '';
    start = end + 1;
  }
  if (limit === undefined) return text.slice(start);
  let end = start;
  for (let taken = 0; taken < limit; taken += 1) {
    const next = text.indexOf(newline, end);
    if (next === -1) return text.slice(start);
    end = next + 1;
  }
  return text.slice(start, end);
}

function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT';
}

function toRpcError(error: unknown, action: string, path: string): RpcError {
  if (isMissing(error)) {
    return new RpcError(
      acpCodes.resourceNotFound,
      `Cannot ${action} ${path}: there is none`,
      { data: { path }, cause: error },
    );
  }
  return new RpcError(
    rpcCodes.internalError,
    `Cannot ${action} ${path}: ${(error as Error).message}`,
    { data: { path }, cause: error },
  );
}
