/**
 * Reads a job's output from its files, a bounded chunk at a time, without keeping any of it in memory.
 * @module
 */
import { closeSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import {
  isBehindLink, isExhaustion, type OpenedFile, openRegular, openRegularLater, readAt,
} from '../../base/files/untrusted-file.ts';
import { incompleteCharacterBytes, startOfCharacter } from '../../base/text/utf8.ts';

/** The most bytes that are read at once. */
export const chunkBytes = 65_536;

/** The end of a stream, as text. */
export interface Tail {
  readonly text: string;
  /** The size of the whole stream. */
  readonly sizeBytes: number;
  /** There is more output before it. */
  readonly isTruncated: boolean;
  /** Something has replaced the file. Default: no. */
  readonly isReplaced?: true;
}

export interface TailOptions {
  readonly maxBytes: number;
  readonly tailLines?: number | undefined;
  /** No more output will come: an incomplete character at the end is not left out. */
  readonly isComplete: boolean;
}

export const noOutput: Tail = { text: '', sizeBytes: 0, isTruncated: false };

const replacedOutput: Tail = { ...noOutput, isReplaced: true };

/** Opens an output file; `undefined`: it does not exist (yet); `replaced`: something else stands in its place. */
export function openOutputNow(path: string): OpenedFile | 'replaced' | undefined {
  try {
    if (isBehindLink(dirname(path))) return 'replaced';
    return openRegular(path);
  } catch (error) {
    return toMissing(error);
  }
}

/** {@link openOutputNow}, without blocking. */
export async function openOutput(path: string): Promise<FileHandle | 'replaced' | undefined> {
  try {
    if (isBehindLink(dirname(path))) return 'replaced';
    return await openRegularLater(path);
  } catch (error) {
    return toMissing(error);
  }
}

/**
 * The last `tailLines` lines within the last `maxBytes` bytes.
 * Up to one chunk is read synchronously, in 5 µs where the thread pool would take 110; more goes through the pool.
 */
export async function readTail(path: string, options: TailOptions): Promise<Tail> {
  return readSmallTail(path, options) ?? readLargeTail(path, options);
}

/** {@link readTail} for what fits one chunk; `undefined`: it does not fit. */
export function readSmallTail(path: string, options: TailOptions): Tail | undefined {
  const opened = openOutputNow(path);
  if (typeof opened !== 'object') return opened === undefined ? noOutput : replacedOutput;
  const { fd, stats: { size } } = opened;
  try {
    const length = Math.min(size, options.maxBytes);
    if (length > chunkBytes) return undefined;
    const bytes = Buffer.allocUnsafe(length);
    const read = length === 0 ? 0 : readSync(fd, bytes, 0, length, size - length);
    return toTail(bytes.subarray(0, read), size, options);
  } finally {
    closeSync(fd);
  }
}

async function readLargeTail(path: string, options: TailOptions): Promise<Tail> {
  const file = await openOutput(path);
  if (typeof file !== 'object') return file === undefined ? noOutput : replacedOutput;
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - options.maxBytes);
    return toTail(await readAt(file, start, size - start), size, options);
  } finally {
    await file.close();
  }
}

/**
 * How far back lines are looked for, in bytes: the largest output that a job has by default. A job can make its file
 * far larger at no cost.
 */
export const maxLookBytes: number = 2 ** 30;

/**
 * Where the last `lines` lines before `end` start; if there are fewer within {@link maxLookBytes}, the start of that
 * range. A last line without a newline counts as one.
 */
export async function startOfLastLines(file: FileHandle, end: number, lines: number): Promise<number> {
  if (lines === 0) return end;
  const first = Math.max(0, end - maxLookBytes);
  let wanted = lines;
  for (let to = end; to > first; to = Math.max(first, to - chunkBytes)) {
    const from = Math.max(first, to - chunkBytes);
    const bytes = await readAt(file, from, to - from);
    // The newline that ends the last line starts no line.
    let at = to === end ? bytes.length - 2 : bytes.length - 1;
    for (; at >= 0; at -= 1) {
      at = bytes.lastIndexOf(newline, at);
      if (at < 0) break;
      wanted -= 1;
      if (wanted === 0) return from + at + 1;
    }
  }
  return first;
}

const newline = 0x0a;

function toTail(bytes: Buffer, sizeBytes: number, options: TailOptions): Tail {
  const { tailLines, isComplete } = options;
  let start = bytes.length < sizeBytes ? startOfCharacter(bytes) : 0;
  const end = isComplete ? bytes.length : bytes.length - incompleteCharacterBytes(bytes);
  if (tailLines !== undefined) start = Math.max(start, lastLines(bytes, tailLines));
  return { text: bytes.toString('utf8', start, end), sizeBytes, isTruncated: bytes.length < sizeBytes || start > 0 };
}

function lastLines(bytes: Buffer, lines: number): number {
  if (lines === 0) return bytes.length;
  let at = bytes.length - 1;
  for (let wanted = lines; wanted > 0; wanted -= 1) {
    if (at <= 0) return 0;
    at = bytes.lastIndexOf(newline, at - 1);
    if (at < 0) return 0;
  }
  return at + 1;
}

function toMissing(error: unknown): 'replaced' | undefined {
  if (isExhaustion(error)) throw error;
  // The job has not started yet, or its directory was removed while the server runs.
  return errorCode(error) === 'ENOENT' ? undefined : 'replaced';
}
