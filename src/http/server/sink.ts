/**
 * The destination of a long answer, written at the pace of the client.
 * @module
 */
import type { ServerResponse } from 'node:http';
import type { Sink } from '../routing/reply.ts';

const written = Promise.resolve();

/** @param signal Aborts when the client leaves or the server closes. */
export function createSink(response: ServerResponse, signal: AbortSignal): Sink {
  let room: Promise<void> | undefined;
  return {
    signal,
    trailer(name, value) {
      response.addTrailers({ [name]: value });
    },
    write(chunk) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (chunk.length === 0 || response.write(chunk)) return written;
      room ??= heard(response, 'drain', signal).finally(() => { room = undefined; });
      return room;
    },
  };
}

/**
 * Resolves once an answer has the connection, as those to all earlier requests are written: data written before stays
 * in memory. Rejects as a write does.
 */
export function turnOf(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return heard(response, 'socket', signal);
}

function heard(response: ServerResponse, event: 'drain' | 'socket', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onEvent = (): void => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    const onAbort = (): void => {
      response.off(event, onEvent);
      reject(signal.reason as Error);
    };
    if (signal.aborted) return reject(signal.reason as Error);
    response.once(event, onEvent);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
