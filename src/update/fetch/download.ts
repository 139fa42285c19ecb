/**
 * Downloads a file completely or not at all: it is written beside its final path, resumed where the connection broke,
 * and renamed when every byte is on disk. The caller checks that they are the right bytes.
 * @module
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import type { Fetch } from '../../proxy/proxied-fetch.ts';
import { chunks } from './chunks.ts';
import { type Headers, request } from './request.ts';
import { withRetries } from './retry.ts';
import { type StallGuard, createStallGuard } from './stall-timeout.ts';
import { SourceError } from '../errors.ts';
import { redactUrl } from '../redact-url.ts';

export interface DownloadOptions {
  /** A larger file is not downloaded. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Number of attempts. Default 5. */
  readonly attempts?: number | undefined;
  /** Milliseconds before the second attempt, doubled for each further one. Default 500. */
  readonly backoffMs?: number | undefined;
  /** Milliseconds within which something must arrive: a connection, an answer, the next bytes. Default 30,000. */
  readonly stalledMs?: number | undefined;
  readonly headers?: Headers | undefined;
  /** Default: the global one. */
  readonly fetch?: Fetch | undefined;
}

/**
 * Downloads `url` to `file`. Only one call at a time may have the same `file`; `<file>.part` is removed in any case.
 *
 * @throws SourceError when the download fails; errors of the file system (ENOSPC, EACCES, …) unchanged.
 */
export async function download(url: URL, file: string, options: DownloadOptions): Promise<void> {
  const beside = `${file}.part`;
  // A part that a killed process left cannot be resumed: the version of the file that it belongs to is unknown.
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

/** The part of the file that was received so far. */
interface Part {
  readonly handle: FileHandle;
  sizeBytes: number;
  /** Identifies the version of the file that these bytes belong to; without it the download cannot be resumed. */
  validator: string | undefined;
  totalBytes: number | undefined;
}

async function fill(part: Part, url: URL, options: DownloadOptions): Promise<void> {
  const { stalledMs = 30_000, signal, headers, fetch } = options;
  await withRetries(async () => {
    const stallGuard = createStallGuard({ stalledMs, signal });
    try {
      const call = { url, what: `download ${redactUrl(url)}`, headers, stallGuard, fetch };
      await continueWith(part, call, options.maxBytes);
    } finally {
      stallGuard.close();
    }
  }, options);
}

interface Call {
  readonly url: URL;
  readonly what: string;
  readonly headers: Headers | undefined;
  readonly stallGuard: StallGuard;
  readonly fetch: Fetch | undefined;
}

async function continueWith(part: Part, call: Call, maxBytes: number): Promise<void> {
  const response = await resumed(part, call) ?? await fresh(part, call);
  const { what } = call;
  if (part.totalBytes !== undefined && part.totalBytes > maxBytes) throw tooLarge(what, maxBytes);
  for await (const piece of chunks(response, what, call.stallGuard)) {
    if (part.sizeBytes + piece.byteLength > maxBytes) throw tooLarge(what, maxBytes);
    await append(part, piece);
  }
  if (part.totalBytes !== undefined && part.sizeBytes !== part.totalBytes) {
    throw new SourceError(
      'truncated',
      `Cannot ${what}: it ended after ${part.sizeBytes} of ${part.totalBytes} bytes; try again later`,
    );
  }
}

/**
 * Requests the rest of the file; `undefined` when the download must start again. An answer with the whole file is
 * accepted.
 */
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
  throw new SourceError(
    'malformed',
    `Cannot ${call.what}: the server answered ${response.status} where a file should come; check the address`,
  );
}

async function send(call: Call, range: Headers, accept: readonly number[]): Promise<Response> {
  const { url, what, stallGuard } = call;
  // Asks for the bytes as stored: with compression in transit, a range and a length would mean something else.
  const headers = { ...call.headers, ...range, 'accept-encoding': 'identity' };
  const response = await request({ url, what, stallGuard, accept, headers, fetch: call.fetch });
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (encoding === 'identity') return response;
  await response.body?.cancel();
  throw new SourceError(
    'malformed',
    `Cannot ${what}: the server sends it as ${encoding}, which it was asked not to; ask who runs it`,
  );
}

async function begun(part: Part, response: Response): Promise<Response> {
  await part.handle.truncate(0);
  part.sizeBytes = 0;
  part.validator = validatorOf(response.headers);
  const length = response.headers.get('content-length');
  part.totalBytes = length === null ? undefined : Number(length);
  return response;
}

/** RFC 9110 §14.4: whether the answer is exactly the missing part, of the same file. */
function isRest({ sizeBytes, totalBytes, validator }: Part, { headers }: Response): boolean {
  const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  if (Number(from) !== sizeBytes || Number(to) + 1 !== Number(total)) return false;
  const etag = headers.get('etag');
  const isSame = etag === null || !isStrong(validator) || etag === validator;
  return isSame && (totalBytes === undefined || totalBytes === Number(total));
}

/**
 * The value for `If-Range` (RFC 9110 §13.1.5): a strong ETag, or a modification date that is old enough to be strong.
 */
function validatorOf(headers: Response['headers']): string | undefined {
  const etag = headers.get('etag') ?? undefined;
  if (isStrong(etag)) return etag;
  const modified = headers.get('last-modified') ?? '';
  // RFC 9110 §8.8.2.2: a file may change twice within one second.
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
