/**
 * Writes a file: small content in one request, larger content in parts, each continued after a broken connection at
 * the position that the server has reached.
 * @module
 */
import { readFile, statFile, writeFile } from '../../protocol/endpoints/files.ts';
import type { FileWritten, UploadProgress } from '../../protocol/files.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { call, callOf, parsersOf, readAnswer } from '../transport/call.ts';
import { isPassing } from '../transport/event-stream.ts';
import { badAnswer, problemOf } from '../transport/failure.ts';
import { backoffMs, pause } from '../transport/pause.ts';
import { type Call, open, send } from '../transport/request.ts';
import type { Transport } from '../transport/transport.ts';
import { type FileContent, type Part, partsOf, sizeOf } from './content.ts';
import { bytesOf, fileBytes } from './download.ts';

export interface WriteOptions {
  /** Ends the wait: the file stays as it was. */
  readonly signal?: AbortSignal | undefined;
  /** The permissions in octal, such as `0644`. Default: those of the replaced file, else what the umask leaves. */
  readonly mode?: string;
  /** Make the missing directories above it. */
  readonly mkdirs?: boolean;
  /** Add to the end of the file; content above `partBytes` in several steps. After a lost answer it is not repeated. */
  readonly append?: boolean;
  /** The ETag that the file must still have. */
  readonly ifMatch?: string;
  /** There must be no file. */
  readonly mustBeNew?: boolean;
  /** Called as parts have arrived. */
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void;
  /** Content above this size is sent in parts of it, and content of unknown size is held in memory up to it. */
  readonly partBytes?: number;
}

/** @throws ProblemError as `Files.write`. */
export async function upload(
  transport: Transport, path: string, given: FileContent, options: WriteOptions,
): Promise<FileWritten> {
  const { partBytes = defaultPartBytes, onProgress } = options;
  if (!(Number.isInteger(partBytes) && partBytes > 0)) {
    throw new ProblemError('invalid_request', `Cannot use partBytes ${partBytes}: expected a whole number from 1`);
  }
  const content = typeof given === 'string' ? new TextEncoder().encode(given) : given;
  const totalBytes = sizeOf(content);
  const work = new Upload(transport, path, options);
  for await (const part of partsOf(content, partBytes)) {
    const written = await work.send(part);
    onProgress?.(part.first + part.bytes.length, totalBytes ?? (part.isLast ? part.sizeBytes : undefined));
    if (part.isLast && written !== undefined) return written;
  }
  throw badAnswer(transport.base, 'expected a written file');
}

const defaultPartBytes = 32 * 2 ** 20;
/** A connection on which this takes longer is as good as dead: 32 KiB a second. */
const slowestBytesPerMs = 32;
/** For the server to make a file of what has arrived: disks are faster, 10 MiB a second. */
const slowestDiskBytesPerMs = 10_240;

/** What the server knows of the file and of its upload. */
interface Reached {
  /** `undefined`: there is no file. */
  readonly etag: string | undefined;
  /** How many bytes of an upload are there. `undefined`: there is none. */
  readonly offset: number | undefined;
}

class Upload {
  readonly #transport: Transport;
  readonly #path: string;
  readonly #options: WriteOptions;
  /** As it was before the first part. */
  #before: Reached = { etag: undefined, offset: undefined };
  /** Of a file that grows by the parts, if the file was to be a certain one. */
  #ifMatch: string | undefined;

  constructor(transport: Transport, path: string, options: WriteOptions) {
    this.#transport = transport;
    this.#path = path;
    this.#options = options;
    this.#ifMatch = options.ifMatch;
  }

  /** @returns the file, once the last part is there. */
  async send(part: Part): Promise<FileWritten | undefined> {
    if (this.#options.append === true) return this.#append(part);
    if (part.first === 0 && part.isLast) return this.#whole(part);
    if (part.first === 0) this.#before = await this.#reached();
    return this.#part(part);
  }

  async #append(part: Part): Promise<FileWritten> {
    const written = await this.#put(part, { isRepeatable: false });
    if (!('etag' in written)) throw badAnswer(this.#transport.base, 'expected a written file');
    if (this.#ifMatch !== undefined || this.#options.mustBeNew === true) this.#ifMatch = written.etag;
    return written;
  }

  async #whole(part: Part): Promise<FileWritten> {
    const request = { ...this.#request(part, {}), accept: [412] };
    const written = await send(this.#transport, request, async (response, attempt) => {
      if (response.status !== 412) return readAnswer(this.#transport, response, parsersOf(writeFile));
      const refusal = await problemOf(response, this.#transport.base);
      // At a second try, the first one may have written the file, and its answer was lost.
      const found = attempt === 0 ? undefined : await this.#withBytes(part.bytes);
      if (found === undefined) throw refusal;
      return found;
    });
    if (!('etag' in written)) throw badAnswer(this.#transport.base, 'expected a written file');
    return written;
  }

  /** Sends one of several parts; after a failure, what the server does not have yet. */
  async #part(part: Part): Promise<FileWritten | undefined> {
    const { retry, reconnectMs } = this.#transport;
    const end = part.first + part.bytes.length;
    let at = part.first;
    for (let failures = 0; ;) {
      try {
        const range = { 'Content-Range': `bytes ${at}-${end - 1}/${part.sizeBytes}` };
        const rest = { ...part, bytes: part.bytes.subarray(at - part.first) };
        const answer = await this.#put(rest, { headers: range, isRepeatable: false });
        return 'etag' in answer ? answer : undefined;
      } catch (error) {
        failures += 1;
        const told = toldOffset(error);
        const isWorthIt = told !== undefined || (error instanceof ProblemError && isPassing(error));
        if (!isWorthIt || failures >= retry.attempts) throw error;
        if (told === undefined) await pause(backoffMs(failures, retry), this.#options.signal);
        const reached = await this.#positionOf(part, told ?? (await this.#reached(reconnectMs)).offset, error);
        if (typeof reached !== 'number') return reached;
        if (reached === end) return undefined;
        if (reached > at) failures = 0;
        at = reached;
      }
    }
  }

  /**
   * Where a part continues; the file, if that is written.
   *
   * @param offset How much the server has of an upload. `undefined`: it has none.
   * @throws `failure`, if the part cannot be continued.
   */
  async #positionOf(part: Part, offset: number | undefined, failure: unknown): Promise<number | FileWritten> {
    // What an earlier upload has left must not become a part of this one.
    if (part.first === 0 && (offset === undefined || this.#before.offset !== undefined)) return 0;
    if (offset === undefined) return this.#finished(part, failure);
    const end = part.first + part.bytes.length;
    // Another client writes the same file.
    if (offset < part.first || offset > end) throw failure;
    if (offset < end || !part.isLast) return offset;
    // The server has it all, and is making a file of it.
    const { retry, reconnectMs } = this.#transport;
    const startedAtMs = performance.now();
    for (let tries = 1; performance.now() - startedAtMs < reconnectMs; tries += 1) {
      await pause(backoffMs(tries, retry), this.#options.signal);
      if ((await this.#reached(reconnectMs)).offset === undefined) return this.#finished(part, failure);
    }
    throw failure;
  }

  /** The file that the last part has made. @throws `failure`, if there is none. */
  async #finished(part: Part, failure: unknown): Promise<FileWritten> {
    const found = part.isLast ? await this.#look() : undefined;
    if (found === undefined || found.sizeBytes !== part.sizeBytes || found.etag === this.#before.etag) throw failure;
    return { ...found, created: this.#before.etag === undefined };
  }

  async #put(part: Part, more: Pick<Call, 'headers' | 'isRepeatable'>): Promise<FileWritten | UploadProgress> {
    return send(this.#transport, this.#request(part, more), (response) =>
      readAnswer(this.#transport, response, parsersOf(writeFile)));
  }

  #request({ bytes, sizeBytes, isLast }: Part, { headers, ...more }: Pick<Call, 'headers' | 'isRepeatable'>): Call {
    const { mode, mkdirs, append, mustBeNew, signal } = this.#options;
    const isNew = mustBeNew === true && this.#ifMatch === undefined;
    return callOf(writeFile, {
      query: { path: this.#path, mode, mkdirs: flag(mkdirs), append: flag(append) },
      headers: {
        ...headers,
        ...(this.#ifMatch === undefined ? {} : { 'If-Match': this.#ifMatch }),
        ...(isNew ? { 'If-None-Match': '*' } : {}),
      },
      body: bytes,
      holdMs: bytes.length / slowestBytesPerMs + (isLast ? sizeBytes / slowestDiskBytesPerMs : 0),
      ...more, signal,
    });
  }

  async #reached(persistMs: number = 0): Promise<Reached> {
    const request: Call = {
      ...callOf(readFile, { query: { path: this.#path }, signal: this.#options.signal }),
      // Whatever is wrong with the path, the answer to the part says it.
      method: 'HEAD', accept: [403, 404, 409], persistMs,
    };
    return send(this.#transport, request, async (response) => {
      await response.arrayBuffer();
      const { headers } = response;
      const offset = headers.get('upload-offset');
      return { etag: headers.get('etag') ?? undefined, offset: offset === null ? undefined : Number(offset) };
    });
  }

  async #look(): Promise<Omit<FileWritten, 'created'> | undefined> {
    const { path, sizeBytes, etag } = await call(this.#transport, statFile, {
      query: { path: this.#path, follow: true }, persistMs: this.#transport.reconnectMs, signal: this.#options.signal,
    });
    return etag === undefined ? undefined : { path, sizeBytes, etag };
  }

  /** The file, if it has these bytes. */
  async #withBytes(bytes: Uint8Array): Promise<FileWritten | undefined> {
    const request = callOf(readFile, { query: { path: this.#path }, signal: this.#options.signal });
    const { sizeBytes, body } = fileBytes(this.#transport, request, await open(this.#transport, request));
    const found = sizeBytes === bytes.length ? await bytesOf(body, sizeBytes) : await body.cancel();
    if (found === undefined || found.some((byte, index) => byte !== bytes[index])) return undefined;
    const info = await this.#look();
    return info && { ...info, created: this.#options.mustBeNew === true };
  }
}

/** How much the server says it has, where it refuses a part for another position. */
function toldOffset(error: unknown): number | undefined {
  const told = error instanceof ProblemError && error.code === 'wrong_offset'
    ? error.extensions['uploadOffset']
    : undefined;
  return typeof told === 'number' ? told : undefined;
}

/** A query names a flag only where it is set. */
export function flag(value: boolean | undefined): true | undefined {
  return value === true ? true : undefined;
}
