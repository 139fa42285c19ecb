/**
 * Server-sent events over lost connections and restarts of the server.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Transport } from './transport.ts';
import { badAnswer, networkFailure, problemOf } from './failure.ts';
import { backoffMs, pause, scope } from './pause.ts';
import { addressOf, type Call, requestInit } from './request.ts';
import { EventParser, type ReceivedEvent } from './sse.ts';

export interface ResumeOptions {
  /** Milliseconds to look for a server that went away. Default: that of the `Sidecar`, 60,000. */
  readonly reconnectMs?: number;
  /** Called each time that the connection was lost, with the milliseconds until the next try. */
  readonly onLost?: (error: ProblemError, delayMs: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A server sends a comment every 15 s: after three missed ones the connection counts as dead. */
const silenceMs = 50_000;

/**
 * Yields what `connect` yields, on one connection after another, until `isLast` holds.
 *
 * @param connect Opens a connection that continues after what was yielded so far.
 * @throws ProblemError `unreachable` when no server was found for `reconnectMs`; the server's own; the reason of
 * `signal`.
 */
export async function* resuming<T>(
  transport: Transport, options: ResumeOptions, connect: () => AsyncIterable<T>, isLast: (item: T) => boolean,
): AsyncGenerator<T, void, undefined> {
  const { signal, onLost, reconnectMs = transport.reconnectMs } = options;
  let failures = 0;
  let lostAtMs = 0;
  for (;;) {
    try {
      for await (const item of connect()) {
        failures = 0;
        yield item;
        if (isLast(item)) return;
      }
      throw networkFailure(new Error('the connection ended early'), transport.base);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof ProblemError) || !isPassing(error)) throw error;
      failures += 1;
      if (failures === 1) lostAtMs = performance.now();
      if (performance.now() - lostAtMs > reconnectMs) throw error;
      const delayMs = backoffMs(failures, transport.retry);
      onLost?.(error, delayMs);
      await pause(delayMs, signal);
    }
  }
}

/** The events of one connection, until it breaks or ends. @param lastEventId Resumes after this event. */
export async function* receivedEvents(
  transport: Transport,
  { path, query, lastEventId }: Pick<Call, 'path' | 'query'> & { readonly lastEventId: string | undefined },
  signal: AbortSignal | undefined,
): AsyncGenerator<ReceivedEvent, void, undefined> {
  const headers = {
    Accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }),
  };
  const call: Call = { method: 'GET', path, headers, ...defined({ query }) };
  const silence = scope(signal, silenceMs);
  try {
    const response = await transport.fetch(addressOf(transport, call), requestInit(transport, call, silence.signal));
    if (!response.ok) throw await problemOf(response, transport.base);
    if (!response.headers.get('content-type')?.startsWith('text/event-stream') || !response.body) {
      throw badAnswer(transport.base, 'expected a text/event-stream');
    }
    const parser = new EventParser();
    const reader = response.body.getReader();
    for (;;) {
      silence.touch();
      const { done, value } = await reader.read();
      if (done === true || value === undefined) return;
      yield* parser.push(value);
    }
  } catch (error) {
    throw error instanceof ProblemError ? error : networkFailure(error, transport.base);
  } finally {
    silence.close();
  }
}

/** Whether another try may succeed: the server is away, starting or stopping. */
export function isPassing(error: ProblemError): boolean {
  return error.code === 'unreachable' || error.code === 'shutting_down' || error.code === 'unavailable'
    || error.status === 429 || error.status === 502 || error.status === 503 || error.status === 504;
}
