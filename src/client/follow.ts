/**
 * Follows a job: its events in order, each byte of its output once, across lost connections and restarts of the server.
 * @module
 */
import { ParseError } from '../base/parse.ts';
import { type JobEvent, type Position, formatPosition, parsePosition } from '../protocol/jobs.ts';
import type { JobId } from '../protocol/ids.ts';
import { ProblemError } from '../protocol/problem.ts';
import { eventAnswer } from './answers.ts';
import type { Endpoint } from './endpoint.ts';
import { badAnswer, networkFailure, problemOf } from './failure.ts';
import { backoffMs, pause, scope } from './pause.ts';
import { addressOf, requestInit } from './request.ts';
import { EventParser } from './sse.ts';

export interface FollowOptions {
  /** Goes on behind these bytes; `events`, of an agent's job, is one that an id named. Default: from the start. */
  readonly from?: Position;
  /** Milliseconds to look for a server that went away. Default: that of the `Sidecar`, 60,000. */
  readonly reconnectMs?: number;
  /** Told each time that the connection was lost, with the milliseconds until the next try. */
  readonly onLost?: (error: ProblemError, delayMs: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A server sends a comment every 15 s: after three missed ones nobody is there any more. */
const silenceMs = 50_000;

/**
 * Yields the events of a job, ends behind its `end` event. Reads no faster than it is consumed.
 *
 * @throws ProblemError `unreachable` when no server was found for `reconnectMs`; `job_not_found`; the reason of `signal`.
 */
export async function* follow(endpoint: Endpoint, id: JobId, options: FollowOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
  const { signal, onLost } = options;
  const reconnectMs = options.reconnectMs ?? endpoint.reconnectMs;
  const position: { -readonly [S in keyof Position]: Position[S] } = { stdout: 0, stderr: 0, ...options.from };
  let failures = 0;
  let lostAtMs = 0;
  for (;;) {
    try {
      for await (const { event, id: eventId } of connection(endpoint, id, position, signal)) {
        failures = 0;
        if (event.type === 'output') advance(position, event, endpoint.base);
        if (event.type === 'agent') position.events = behind(eventId, endpoint.base);
        yield event;
        if (event.type === 'end') return;
      }
      throw networkFailure(new Error('the connection ended early'), endpoint.base);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof ProblemError) || !isPassing(error)) throw error;
      failures += 1;
      if (failures === 1) lostAtMs = performance.now();
      if (performance.now() - lostAtMs > reconnectMs) throw error;
      const delayMs = backoffMs(failures, endpoint.retry);
      onLost?.(error, delayMs);
      await pause(delayMs, signal);
    }
  }
}

/** The bytes of an `output` event, as the job wrote them. */
export function outputBytes(event: Extract<JobEvent, { type: 'output' }>): Uint8Array<ArrayBuffer> {
  if ('text' in event && event.text !== undefined) return new TextEncoder().encode(event.text);
  const binary = atob('base64' in event ? event.base64 : '');
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/** One connection, until it breaks or ends. */
async function* connection(
  endpoint: Endpoint, id: JobId, position: Position, signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly event: JobEvent; readonly id: string | undefined }, void, undefined> {
  const headers = { Accept: 'text/event-stream', 'Last-Event-ID': formatPosition(position) };
  const call = { method: 'GET', path: `/jobs/${id}/events`, headers } as const;
  const silence = scope(signal, silenceMs);
  try {
    const response = await endpoint.fetch(addressOf(endpoint, call), requestInit(endpoint, call, silence.signal));
    if (!response.ok) throw await problemOf(response, endpoint.base);
    if (!response.headers.get('content-type')?.startsWith('text/event-stream') || !response.body) {
      throw badAnswer(endpoint.base, 'expected a text/event-stream');
    }
    const parser = new EventParser();
    const reader = response.body.getReader();
    for (;;) {
      silence.touch();
      const { done, value } = await reader.read();
      if (done) return;
      for (const received of parser.push(value)) {
        const event = eventAnswer(received.event, received.data, endpoint.base);
        if (event) yield { event, id: received.id };
      }
    }
  } catch (error) {
    throw error instanceof ProblemError ? error : networkFailure(error, endpoint.base);
  } finally {
    silence.close();
  }
}

/**
 * Moves `position` behind the event. A program that truncates its own output (it opened `/dev/stdout` anew) starts again at 0.
 *
 * @throws ProblemError `bad_answer` when bytes are missing in between.
 */
function advance(position: { stdout: number; stderr: number }, event: Extract<JobEvent, { type: 'output' }>, from: string): void {
  const { stream, offset } = event;
  const missing = offset - position[stream];
  if (missing > 0) throw badAnswer(from, `${missing} bytes of ${stream} are missing before byte ${offset}`);
  position[stream] = offset + outputBytes(event).length;
}

/**
 * Where the events of an agent go on behind the one of this id: how long it was on the disk of the server, only that knows.
 *
 * @throws ProblemError `bad_answer` where it does not say so.
 */
function behind(eventId: string | undefined, from: string): number {
  try {
    const { events } = parsePosition(eventId ?? '', 'id');
    if (events !== undefined) return events;
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
  }
  throw badAnswer(from, `the id of an event "agent" is no position in them: ${JSON.stringify(eventId)}`);
}

/** Worth another try: the server is away, starting or stopping. */
export function isPassing(error: ProblemError): boolean {
  return error.code === 'unreachable' || error.code === 'shutting_down' || error.code === 'unavailable'
    || error.status === 429 || error.status === 502 || error.status === 503 || error.status === 504;
}
