/**
 * Where a long answer is written to, at the pace of its reader.
 * @module
 */
import type { ServerResponse } from 'node:http';
import type { Sink } from './reply.ts';

const written = Promise.resolve();

/** @param signal Aborts when the client leaves or the server closes. */
export function createSink(response: ServerResponse, signal: AbortSignal): Sink {
  let room: Promise<void> | undefined;
  return {
    signal,
    write(chunk) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (chunk.length === 0 || response.write(chunk)) return written;
      room ??= drained(response, signal).finally(() => { room = undefined; });
      return room;
    },
  };
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    const onAbort = (): void => {
      response.off('drain', onDrain);
      reject(signal.reason as Error);
    };
    response.once('drain', onDrain);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
