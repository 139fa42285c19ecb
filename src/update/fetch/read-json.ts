/**
 * Reads a small JSON document, within limits of size and time.
 * @module
 */
import type { Fetch } from '../../proxy/proxied-fetch.ts';
import { SourceError } from '../errors.ts';
import { redactUrl } from '../redact-url.ts';
import { chunks } from './chunks.ts';
import { type Headers, request } from './request.ts';
import { type RetryOptions, withRetries } from './retry.ts';
import { type StallGuard, createStallGuard, stallError } from './stall-timeout.ts';

export interface ReadOptions extends RetryOptions {
  /** Limit on the size after decompression. */
  readonly maxBytes: number;
  /** Milliseconds for the whole call, with all retries. Default 60,000. */
  readonly withinMs?: number | undefined;
  /** Milliseconds within which something must arrive. Default 30,000. */
  readonly stalledMs?: number | undefined;
  readonly headers?: Headers | undefined;
  /** Default: the global one. */
  readonly fetch?: Fetch | undefined;
}

/** @throws SourceError when the document cannot be read or is not JSON. */
export async function readJson(url: URL, options: ReadOptions): Promise<unknown> {
  const { signal, withinMs = 60_000 } = options;
  const what = `read ${redactUrl(url)}`;
  const limit = new AbortController();
  const leave = (): void => limit.abort(signal?.reason);
  if (signal?.aborted) leave();
  signal?.addEventListener('abort', leave, { once: true });
  const overdue = setTimeout(() => limit.abort(stallError(what, withinMs)), withinMs);
  try {
    return await withRetries(
      () => readOnce(url, what, { ...options, signal: limit.signal }),
      { ...options, signal: limit.signal },
    );
  } finally {
    clearTimeout(overdue);
    signal?.removeEventListener('abort', leave);
  }
}

async function readOnce(url: URL, what: string, options: ReadOptions): Promise<unknown> {
  const { maxBytes, stalledMs = 30_000, signal, fetch } = options;
  const stallGuard = createStallGuard({ stalledMs, signal });
  try {
    const headers = { accept: 'application/json', ...options.headers };
    const response = await request({ url, headers, what, stallGuard, fetch });
    return parseJson(await readBody(response, { what, maxBytes, stallGuard }), what);
  } finally {
    stallGuard.close();
  }
}

async function readBody(
  response: Response,
  { what, maxBytes, stallGuard }: { what: string; maxBytes: number; stallGuard: StallGuard },
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of chunks(response, what, stallGuard)) {
    sizeBytes += piece.byteLength;
    if (sizeBytes > maxBytes) {
      throw new SourceError('too_large', `Cannot ${what}: it is larger than ${maxBytes} bytes; check the address`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces, sizeBytes);
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new SourceError('malformed', `Cannot ${what}: it is not JSON; check the address`, { cause: error });
  }
}
