/**
 * The health check of a server.
 * @module
 */
import { get as getHttp } from 'node:http';
import { createRequire } from 'node:module';
import { errorCode } from '../base/error-code.ts';
import { localAddress } from '../base/local-address.ts';

const answerBytes = 64 * 1024;

/**
 * Set explicitly, since a small `--max-http-header-size` in NODE_OPTIONS would make every server appear ill (node(1)).
 */
const maxHeaderSize = 16 * 1024;

/**
 * `unknown`: the check says nothing about the server, for example because it has too many clients, or because the
 * machine has no descriptors left.
 */
export type HealthResult =
  | { readonly type: 'healthy' }
  /** `isSilent`: no answer arrived in time. */
  | { readonly type: 'unhealthy'; readonly why: string; readonly isSilent?: boolean }
  | { readonly type: 'unknown'; readonly why: string };

/** @param url URL of the health endpoint. */
export async function checkHealth(url: string, limitMs: number): Promise<HealthResult> {
  try {
    const { status, text } = await ask(new URL(localAddress(url)), limitMs);
    if (status === 503) return { type: 'unknown', why: 'it answered with status 503' };
    if (status !== 200) return { type: 'unhealthy', why: `it answered with status ${status}` };
    return isHealthy(text) ? { type: 'healthy' } : { type: 'unhealthy', why: 'it did not answer {"status":"ok"}' };
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof SilenceError) return { type: 'unhealthy', why: message, isSilent: true };
    return { type: ownFaults.includes(errorCode(error)) ? 'unknown' : 'unhealthy', why: message };
  }
}

class SilenceError extends Error {
  override readonly name = 'SilenceError';
}

/** Errors of this process (no resources left) or of the name look-up; they say nothing about the server. */
const ownFaults: readonly string[] = [
  'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN',
];

function isHealthy(text: string): boolean {
  try {
    return (JSON.parse(text) as { status?: unknown } | null)?.status === 'ok';
  } catch {
    return false;
  }
}

function ask(url: URL, limitMs: number): Promise<{ status: number; text: string }> {
  const signal = AbortSignal.timeout(limitMs);
  return new Promise((resolve, reject) => {
    const give = (response: import('node:http').IncomingMessage): void => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > answerBytes) response.destroy(new Error('it answers without an end'));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    };
    // The request carries no secret and the answer is trusted only for its health, so the certificate does not matter.
    const request = url.protocol === 'https:'
      ? loadHttps().get(url, { agent: false, maxHeaderSize, rejectUnauthorized: false, signal }, give)
      : getHttp(url, { agent: false, maxHeaderSize, signal }, give);
    request.on('error', (error) =>
      reject(signal.aborted ? new SilenceError(`no answer within ${limitMs / 1000} s`) : error));
  });
}

/** Loaded only when needed. */
function loadHttps(): typeof import('node:https') {
  return createRequire(import.meta.url)('node:https') as typeof import('node:https');
}
