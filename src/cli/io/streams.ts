/**
 * Writes to stdout and stderr. A reader that has left (EPIPE) is kept apart from a stream that cannot be written
 * (ENOSPC, EIO), which is an error of the command.
 * @module
 */
import { fstatSync, writeSync } from 'node:fs';
import { defined } from '../../base/defined.ts';
import { errorCode } from '../../base/error-code.ts';
import { CommandError } from '../failure.ts';

type Stream = NodeJS.WriteStream;

/** stdout or stderr cannot be written: output is lost. */
export class OutputError extends CommandError {
  override readonly name: string = 'OutputError';

  readonly #stream: Stream;

  constructor(stream: Stream, cause: unknown, hint?: string) {
    const name = stream === process.stderr ? 'stderr' : 'stdout';
    super(`Cannot write to ${name}: ${(cause as Error).message}`, { cause, ...defined({ hint }) });
    this.#stream = stream;
  }

  /** The same error with a hint. */
  withHint(hint: string): OutputError {
    return new OutputError(this.#stream, this.cause, hint);
  }
}

/** Runs an action that writes. @throws OutputError with `hint` when writing fails. */
export async function withHint<T>(hint: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw error instanceof OutputError ? error.withHint(hint) : error;
  }
}

/** The first failure of stdout or stderr, from any writer. A reader that has left does not count. */
let firstFailure: OutputError | undefined;

/** @returns The first failure so far. */
export function outputFailure(): OutputError | undefined {
  return firstFailure;
}

/**
 * Records failures of both streams, so that none of them is an uncaught exception.
 *
 * @param onReaderGone Called for EPIPE on stdout.
 */
export function watchOutput(onReaderGone: () => void): void {
  process.stdout.on('error', (error) => {
    if (errorCode(error) === 'EPIPE') onReaderGone();
    else firstFailure ??= new OutputError(process.stdout, error);
  });
  process.stderr.on('error', (error) => {
    if (errorCode(error) !== 'EPIPE') firstFailure ??= new OutputError(process.stderr, error);
  });
}

/** Calls `listener` when the reader of stdout has left. @returns A function that stops that. */
export function onReaderGone(listener: () => void): () => void {
  const onError = (error: Error): void => { if (errorCode(error) === 'EPIPE') listener(); };
  process.stdout.on('error', onError);
  return () => void process.stdout.off('error', onError);
}

/**
 * Writes data and waits until there is room for more. Also resolves when the reader has left: the stream's 'error'
 * event reports that.
 *
 * @throws OutputError when the data cannot be written for another reason.
 */
export async function write(data: string | Uint8Array, stream: Stream = process.stdout): Promise<void> {
  if (data.length === 0 || stream.destroyed || stream.writableEnded) return;
  const error = isFile(stream) ? writeToFile(data, stream) : await writeToStream(data, stream);
  if (error === undefined || errorCode(error) === 'EPIPE') return;
  firstFailure ??= new OutputError(stream, error);
  throw new OutputError(stream, error);
}

let isRaw = false;

/** In a raw terminal a newline alone does not return to the first column (termios(3), OPOST). */
export function setRaw(value: boolean): void {
  isRaw = value;
}

/** Writes a message to stderr at once. Never throws: main reports the failure. */
export function writeStderr(text: string): void {
  try {
    process.stderr.write(isRaw ? text.replaceAll(/\r?\n/g, '\r\n') : text);
  } catch (error) {
    firstFailure ??= new OutputError(process.stderr, error);
  }
}

function writeToStream(data: string | Uint8Array, stream: Stream): Promise<Error | undefined> {
  return new Promise((resolve) => {
    stream.write(data, (error) => resolve(error ?? undefined));
  });
}

/** Node's stream for files ignores a short write: a disk that fills up would lose the end of the data (write(2)). */
function writeToFile(data: string | Uint8Array, stream: Stream): Error | undefined {
  let rest = typeof data === 'string' ? Buffer.from(data) : data;
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(descriptorOf(stream), rest));
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

const files = new Map<Stream, boolean>();

/** Neither a terminal, a pipe nor a socket: a write to it waits for no reader. */
function isFile(stream: Stream): boolean {
  let found = files.get(stream);
  if (found === undefined) files.set(stream, found = !stream.isTTY && isFileDescriptor(descriptorOf(stream)));
  return found;
}

function descriptorOf(stream: Stream): number {
  return stream === process.stderr ? 2 : 1;
}

function isFileDescriptor(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isFile() || stats.isCharacterDevice() || stats.isBlockDevice();
  } catch {
    // EBADF: the stream is closed, and Node discards what is written to it.
    return false;
  }
}
