/**
 * Downloads a file so that it is there whole or not at all: written beside its place, resumed where the connection broke, and
 * renamed when every byte is on the disk. Whether they are the right bytes is for others to check.
 * @module
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { Fetch } from '../proxy/proxied-fetch.ts';
import { chunks } from './fetch/chunks.ts';
import { type Headers, request } from './fetch/request.ts';
import { withRetries } from './fetch/retry.ts';
import { type Watch, watch } from './fetch/watch.ts';
import { SourceError, shown } from './source-error.ts';

export interface DownloadOptions {
  /** A larger file is not downloaded. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** How often it is tried in all. Default 5. */
  readonly attempts?: number | undefined;
  /** Milliseconds before the second try, doubled for each further one. Default 500. */
  readonly backoffMs?: number | undefined;
  /** Milliseconds in which something must come: a connection, an answer, the next bytes. Default 30,000. */
  readonly stalledMs?: number | undefined;
  readonly headers?: Headers | undefined;
  /** Default: the global one. */
  readonly fetch?: Fetch | undefined;
}

/**
 * Only one at a time for the same `file`; `<file>.part` is gone afterwards, however it ends.
 *
 * @throws SourceError when it cannot be had; what the file system says (ENOSPC, EACCES, …) as it is.
 */
export async function download(url: URL, file: string, options: DownloadOptions): Promise<void> {
  const beside = `${file}.part`;
  // What a killed process left cannot be resumed: nobody knows any more which version of the file it was of.
  await rm(beside, { force: true });
  const handle = await open(beside, 'wx', 0o600);
  try {
    await fill({ handle, sizeBytes: 0, validator: undefined, totalBytes: undefined }, url, options);
    await handle.sync();
    await handle.close();
    options.signal?.throwIfAborted();
    await rename(beside, file);
  } catch (error) {
    // Closing twice is harmless.
    await handle.close();
    await rm(beside, { force: true });
    throw error;
  }
}

/** What there is of the file so far. */
interface Part {
  readonly handle: FileHandle;
  sizeBytes: number;
  /** Names the version of the file that these bytes are of; without it they cannot be added to. */
  validator: string | undefined;
  totalBytes: number | undefined;
}

async function fill(part: Part, url: URL, options: DownloadOptions): Promise<void> {
  const { stalledMs = 30_000, signal, headers, fetch } = options;
  await withRetries(async () => {
    const bounds = watch({ stalledMs, signal });
    try {
      const call = { url, what: `download ${shown(url)}`, headers, watch: bounds, fetch };
      await continueWith(part, call, options.maxBytes);
    } finally {
      bounds.close();
    }
  }, options);
}

interface Call {
  readonly url: URL;
  readonly what: string;
  readonly headers: Headers | undefined;
  readonly watch: Watch;
  readonly fetch: Fetch | undefined;
}

async function continueWith(part: Part, call: Call, maxBytes: number): Promise<void> {
  const response = await resumed(part, call) ?? await fresh(part, call);
  const { what } = call;
  if (part.totalBytes !== undefined && part.totalBytes > maxBytes) throw tooLarge(what, maxBytes);
  for await (const piece of chunks(response, what, call.watch)) {
    if (part.sizeBytes + piece.byteLength > maxBytes) throw tooLarge(what, maxBytes);
    await append(part, piece);
  }
  if (part.totalBytes !== undefined && part.sizeBytes !== part.totalBytes) {
    throw new SourceError('truncated', `Cannot ${what}: it ended after ${part.sizeBytes} of ${part.totalBytes} bytes; try again later`);
  }
}

/** The rest of the file, `undefined` when it has to be had anew. A server that sends all of it anyway is taken at its word. */
async function resumed(part: Part, call: Call): Promise<Response | undefined> {
  const { sizeBytes, validator } = part;
  if (sizeBytes === 0 || validator === undefined) return undefined;
  const range = { range: `bytes=${sizeBytes}-`, 'if-range': validator };
  const response = await send(call, range, [416]);
  if (response.status === 200) return begun(part, response);
  if (response.status === 206 && isRest(part, response)) return response;
  await response.body?.cancel();
  return undefined;
}

async function fresh(part: Part, call: Call): Promise<Response> {
  const response = await send(call, {}, []);
  if (response.status === 200) return begun(part, response);
  await response.body?.cancel();
  throw new SourceError('malformed', `Cannot ${call.what}: the server answered ${response.status} where a file should come; check the address`);
}

async function send(call: Call, range: Headers, accept: readonly number[]): Promise<Response> {
  const { url, what, watch } = call;
  // Bytes as they are stored: a range and a length of something compressed on the way would mean something else.
  const headers = { ...call.headers, ...range, 'accept-encoding': 'identity' };
  const response = await request({ url, what, watch, accept, headers, fetch: call.fetch });
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (encoding === 'identity') return response;
  await response.body?.cancel();
  throw new SourceError('malformed', `Cannot ${what}: the server sends it as ${encoding}, which it was asked not to; ask who runs it`);
}

async function begun(part: Part, response: Response): Promise<Response> {
  await part.handle.truncate(0);
  part.sizeBytes = 0;
  part.validator = validatorOf(response.headers);
  const length = response.headers.get('content-length');
  part.totalBytes = length === null ? undefined : Number(length);
  return response;
}

/** RFC 9110 §14.4: exactly what is missing, of the file that was begun. */
function isRest({ sizeBytes, totalBytes, validator }: Part, { headers }: Response): boolean {
  const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  if (Number(from) !== sizeBytes || Number(to) + 1 !== Number(total)) return false;
  const etag = headers.get('etag');
  const isSame = etag === null || !isStrong(validator) || etag === validator;
  return isSame && (totalBytes === undefined || totalBytes === Number(total));
}

/** What `If-Range` may carry (RFC 9110 §13.1.5): a strong ETag, or a date which is old enough to be one. */
function validatorOf(headers: Response['headers']): string | undefined {
  const etag = headers.get('etag') ?? undefined;
  if (isStrong(etag)) return etag;
  const modified = headers.get('last-modified') ?? '';
  // RFC 9110 §8.8.2.2: within one second a file may change twice.
  const isOldEnough = Date.parse(headers.get('date') ?? '') - Date.parse(modified) >= 1000;
  return isOldEnough ? modified : undefined;
}

function isStrong(etag: string | undefined): boolean {
  return etag !== undefined && etag.startsWith('"');
}

async function append(part: Part, piece: Uint8Array): Promise<void> {
  for (let written = 0; written < piece.byteLength;) {
    const { bytesWritten } = await part.handle.write(piece, written, piece.byteLength - written, part.sizeBytes);
    written += bytesWritten;
    part.sizeBytes += bytesWritten;
  }
}

function tooLarge(what: string, maxBytes: number): SourceError {
  return new SourceError('too_large', `Cannot ${what}: it is larger than ${maxBytes} bytes; check the address`);
}
