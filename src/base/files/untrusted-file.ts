/**
 * Opens files of the state directory. A job runs as the server's user, so it can replace any file there by a FIFO, a
 * link, a device or a huge file. No function here waits for a peer, follows a link in the last part of a path, or reads
 * more than its caller allows.
 *
 * All of `src` opens files of the state directory through this module; `test/architecture.test.ts` lists the other
 * modules that may open files.
 * @module
 */
import {
  accessSync, closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, readSync, type Stats, writeSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { errorCode } from '../error-code.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_EXCL } = constants;
/**
 * Flags with which no open waits or follows a link. Windows has neither of them. O_NONBLOCK: opening a FIFO does not
 * wait (open(2), fifo(7)); it has no effect on a regular file.
 */
export const guard: number =
  ((constants.O_NOFOLLOW as number | undefined) ?? 0) | ((constants.O_NONBLOCK as number | undefined) ?? 0);
const ownerOnly = 0o600;
const self = process.geteuid?.();
const newline = 0x0a;

/** The file is not the one that was written: it is of another kind or user, under a lease, or longer than allowed. */
export class UntrustedFileError extends Error {
  override readonly name = 'UntrustedFileError';
}

/** The file is larger than any that the server writes there. */
export class TooLargeError extends UntrustedFileError {}

export interface OpenedFile {
  readonly fd: number;
  /** As of the opening. */
  readonly stats: Stats;
}

/**
 * Opens a regular file for reading. The caller closes it.
 *
 * @throws UntrustedFileError where it is not a regular file, or owned neither by this user nor by root; the system's
 * error (ENOENT, EACCES, EMFILE, …).
 */
export function openRegular(path: string): OpenedFile {
  return openChecked(path, O_RDONLY, 'a regular file');
}

/**
 * {@link openRegular} in the thread pool.
 *
 * @param options.owner Accepted owners; `us`: this user and root. Default `us`.
 */
export async function openRegularLater(
  path: string,
  { owner = 'us' }: { readonly owner?: 'us' | 'anyone' } = {},
): Promise<FileHandle> {
  const file = await open(path, O_RDONLY | guard)
    .catch((error: unknown) => { throw explained(error, path, 'a regular file'); });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw notA('a regular file', path);
    if (owner === 'us') checkOwner(path, stats);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Reads a whole regular file.
 *
 * @throws UntrustedFileError where it is not a regular file, or longer than `maxBytes`; the system's error.
 */
export function readRegular(path: string, maxBytes: number): Buffer {
  const { fd, stats: { size } } = openRegular(path);
  try {
    if (size > maxBytes) throw new TooLargeError(`${basename(path)} is longer than ${maxBytes} bytes`);
    const bytes = Buffer.allocUnsafe(size);
    let length = 0;
    while (length < size) {
      const count = readSync(fd, bytes, length, size - length, length);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/** {@link readRegular} in the thread pool. */
export async function readRegularLater(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openRegularLater(path);
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new TooLargeError(`${basename(path)} is longer than ${maxBytes} bytes`);
    return await readAt(file, 0, size);
  } finally {
    await file.close();
  }
}

/** Reads up to `length` bytes from `offset`; fewer only at the end of the file. */
export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** Makes a file that only its owner can access. @throws EEXIST where the name is taken; the system's error. */
export function createFile(path: string, content: string | Uint8Array): void {
  const fd = createAndOpen(path);
  try {
    writeAll(fd, content);
  } finally {
    closeSync(fd);
  }
}

/** {@link createFile}, empty and open for writing. The caller closes it. */
export function createAndOpen(path: string): number {
  return openSync(path, O_WRONLY | O_CREAT | O_EXCL | guard, ownerOnly);
}

/** @throws UntrustedFileError where a job has replaced the folder by a link. */
export function checkFolder(folder: string): void {
  if (isLink(folder)) throw new UntrustedFileError(`${basename(folder)} is a link, not a directory`);
}

/**
 * Overwrites a regular file, or makes it if missing. A reader may see half of it: use `replaceFile` where that matters.
 *
 * @throws UntrustedFileError where something else has that name; the system's error.
 */
export function writeRegular(path: string, content: string | Uint8Array): void {
  const { fd, stats } = openChecked(path, O_WRONLY | O_CREAT, 'a regular file');
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    // Only where it must become shorter: ext4 takes up to 0.4 ms for it, and flushes a file that was truncated to
    // nothing and written again, as it takes it for one that was replaced (ext4(5), auto_da_alloc).
    if (stats.size > bytes.length) ftruncateSync(fd, bytes.length);
    writeAll(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** Appends to a regular file, or makes it if missing. @throws As {@link writeRegular}. */
export function appendRegular(path: string, content: string): void {
  const fd = openToAppend(path);
  try {
    writeAll(fd, content);
  } finally {
    closeSync(fd);
  }
}

/**
 * Appends a line to a regular file, after a line break if needed, unless the file ends with this line already.
 *
 * @throws As {@link writeRegular}.
 */
export function appendLine(path: string, line: string): void {
  checkFolder(dirname(path));
  const { fd, stats: { size } } = openChecked(path, O_RDWR | O_CREAT | O_APPEND, 'a regular file');
  try {
    const wanted = Buffer.from(`\n${line}\n`);
    const end = Buffer.alloc(Math.min(size, wanted.length));
    const length = readSync(fd, end, 0, end.length, size - end.length);
    const isThere = length === wanted.length ? end.equals(wanted) : end.subarray(0, length).equals(wanted.subarray(1));
    if (isThere) return;
    writeAll(fd, length === 0 || end[length - 1] === newline ? wanted.subarray(1) : wanted);
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a regular file for appending, or makes it if missing. The caller closes it.
 *
 * @throws As {@link writeRegular}.
 */
export function openToAppend(path: string): number {
  return openChecked(path, O_WRONLY | O_CREAT | O_APPEND, 'a regular file').fd;
}

/**
 * Opens a FIFO; neither the open nor a write waits. The caller closes it.
 *
 * @param access `both`: for reading and writing, so that there is always a reader. `write`: ENXIO where there is no
 * reader (open(2)).
 * @throws UntrustedFileError where it is not a FIFO; the system's error.
 */
export function openFifo(path: string, access: 'both' | 'write'): number {
  return openChecked(path, access === 'both' ? O_RDWR : O_WRONLY, 'a FIFO').fd;
}

/**
 * Whether the error means that the file cannot be read now or later: it is missing, was replaced, or a job has blocked
 * access (chmod(1), a lease). Excludes shortages of the machine, see {@link isExhaustion}.
 */
export function isUnreadable(error: unknown): boolean {
  return error instanceof UntrustedFileError || unreadable.includes(errorCode(error));
}

const unreadable: readonly string[] = ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ELOOP'];

/** Whether the path is free, or holds a regular file that this process may write. @throws The system's error. */
export function isMissingOrOurs(path: string): boolean {
  try {
    closeSync(openChecked(path, O_WRONLY, 'a regular file').fd);
    return true;
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return errorCode(error) === 'ENOENT';
  }
}

/** {@link statFile}; `undefined` also where a job has blocked access to the directory. @throws The system's error. */
export function statQuietly(path: string): Stats | undefined {
  try {
    return statFile(path);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return undefined;
  }
}

/**
 * lstat(2) of a path; `undefined` if it does not exist, also where its parent is no longer a directory.
 *
 * @throws The system's error.
 */
export function statFile(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (!['ENOTDIR', 'ELOOP'].includes(errorCode(error))) throw error;
    return undefined;
  }
}

/** Whether this process may read and write the file: a job can close its files to a server that is not root. */
export function mayAccess(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether the path is a symbolic link. Nothing below a linked folder may be read, written or removed. The result is
 * kept until the current synchronous work ends: one check takes as long as the operation that follows it.
 *
 * @throws The system's error.
 */
export function isLink(path: string): boolean {
  const before = looks.get(path);
  if (before !== undefined) return before;
  const found = statFile(path)?.isSymbolicLink() === true;
  if (looks.size === 0) queueMicrotask(() => looks.clear());
  looks.set(path, found);
  return found;
}

/** Whether a link has replaced the folder of a job, a session or a terminal, or the folder above it. */
export function isBehindLink(folder: string): boolean {
  return isLink(folder) || isLink(dirname(folder));
}

const looks = new Map<string, boolean>();

/**
 * Whether the machine has run out of a resource: such an error says nothing about the file. EAGAIN here comes from
 * fork(2); that of open(2) leaves this module as an UntrustedFileError.
 */
export function isExhaustion(error: unknown): boolean {
  return exhaustion.includes(errorCode(error));
}

const exhaustion: readonly string[] = ['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'];

function openChecked(path: string, flags: number, kind: Kind): OpenedFile {
  let fd: number;
  try {
    fd = openSync(path, flags | guard, ownerOnly);
  } catch (error) {
    throw explained(error, path, kind);
  }
  try {
    const stats = fstatSync(fd);
    if (kind === 'a FIFO' ? !stats.isFIFO() : !stats.isFile()) throw notA(kind, path);
    checkOwner(path, stats);
    return { fd, stats };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * A file of another user, written while the directory was open to that user, is not evidence. Windows has no such
 * owners.
 */
function checkOwner(path: string, { uid }: Stats): void {
  if (self === undefined || uid === self || uid === 0) return;
  throw new UntrustedFileError(`${basename(path)} belongs to user ${uid}, not to us (${self})`);
}

type Kind = 'a regular file' | 'a FIFO';

function notA(kind: Kind, path: string, cause?: unknown): UntrustedFileError {
  return new UntrustedFileError(`${basename(path)} is not ${kind}`, { cause });
}

/**
 * Translates the errors of open(2) for other kinds of file: ELOOP (FreeBSD: EMLINK) for a link, ENXIO for a socket,
 * EISDIR for a directory; and EAGAIN for a file under the lease of another process (fcntl(2), F_SETLEASE), as the open
 * does not wait.
 */
function explained(error: unknown, path: string, kind: Kind): unknown {
  const code = errorCode(error);
  if (code === 'EAGAIN') {
    return new UntrustedFileError(`${basename(path)} is under the lease of another process`, { cause: error });
  }
  const isOther = ['ELOOP', 'EMLINK', 'EISDIR', 'ENODEV'].includes(code) || (code === 'ENXIO' && !isFifo(path, kind));
  return isOther ? notA(kind, path, error) : error;
}

/** ENXIO also means that a FIFO has no reader. */
function isFifo(path: string, kind: Kind): boolean {
  return kind === 'a FIFO' && statFile(path)?.isFIFO() === true;
}

function writeAll(fd: number, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
}
