/**
 * Asks a server how it is.
 * @module
 */
import { get as getHttp } from 'node:http';
import { createRequire } from 'node:module';

const answerBytes = 64 * 1024;

/** @param url Of its health. @returns `undefined` where all is well, else what is not. */
export async function ailment(url: string, limitMs: number): Promise<string | undefined> {
  try {
    const { status, text } = await ask(addressFor(url), limitMs);
    if (status !== 200) return `it answered with status ${status}`;
    return isWell(text) ? undefined : 'it did not answer {"status":"ok"}';
  } catch (error) {
    return (error as Error).message;
  }
}

/** A server that listens everywhere is asked on this machine. */
function addressFor(url: string): URL {
  const address = new URL(url);
  if (address.hostname === '0.0.0.0') address.hostname = '127.0.0.1';
  if (address.hostname === '[::]') address.hostname = '[::1]';
  return address;
}

function isWell(text: string): boolean {
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
    // Nothing is told to it, and nothing believed but that it is well: its certificate does not matter.
    const request = url.protocol === 'https:'
      ? loadHttps().get(url, { agent: false, rejectUnauthorized: false, signal }, give)
      : getHttp(url, { agent: false, signal }, give);
    request.on('error', (error) => reject(signal.aborted ? new Error(`no answer within ${limitMs / 1000} s`) : error));
  });
}

/** Loaded only where it is used. */
function loadHttps(): typeof import('node:https') {
  return createRequire(import.meta.url)('node:https') as typeof import('node:https');
}
