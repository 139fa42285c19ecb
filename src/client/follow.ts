/**
 * Follows a job: its events in order, each byte of its output once, across lost connections and restarts of the server.
 * @module
 */
import { ParseError } from '../base/parse.ts';
import { pathOf } from '../protocol/endpoint.ts';
import { followJob } from '../protocol/endpoints/jobs.ts';
import { type JobEvent, type Position, formatPosition, parsePosition } from '../protocol/jobs/job.ts';
import type { JobId } from '../protocol/ids.ts';
import { eventAnswer } from './job-events.ts';
import type { Transport } from './transport/transport.ts';
import { receivedEvents, resuming, type ResumeOptions } from './transport/event-stream.ts';
import { badAnswer } from './transport/failure.ts';

export interface FollowOptions extends ResumeOptions {
  /** Resumes after these bytes; `events`, of an agent's job, is a position from an event id. Default: the start. */
  readonly from?: Position;
}

/**
 * Yields the events of a job, and ends after its `end` event. Reads no faster than the caller consumes.
 *
 * @throws ProblemError `unreachable` when no server was found for `reconnectMs`; `job_not_found`; the reason of
 * `signal`.
 */
export async function* follow(
  transport: Transport,
  id: JobId,
  options: FollowOptions = {},
): AsyncGenerator<JobEvent, void, undefined> {
  const position: { -readonly [S in keyof Position]: Position[S] } = { stdout: 0, stderr: 0, ...options.from };
  const path = pathOf(followJob, { id });
  const connect = async function* (): AsyncGenerator<JobEvent, void, undefined> {
    for await (const received of receivedEvents(
      transport, { path, lastEventId: formatPosition(position) }, options.signal,
    )) {
      const event = eventAnswer(received.event, received.data, transport.base);
      if (event?.type === 'output') advance(position, event, transport.base);
      if (event?.type === 'agent') position.events = behind(received.id, transport.base);
      if (event) yield event;
    }
  };
  yield* resuming(transport, options, connect, ({ type }) => type === 'end');
}

/** The bytes of an `output` event, as the job wrote them. */
export function outputBytes(event: Extract<JobEvent, { type: 'output' }>): Uint8Array<ArrayBuffer> {
  if ('text' in event && event.text !== undefined) return new TextEncoder().encode(event.text);
  const binary = atob('base64' in event ? event.base64 : '');
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/**
 * Moves `position` behind the event. A program that truncates its own output (by reopening `/dev/stdout`) starts again
 * at 0.
 *
 * @throws ProblemError `bad_answer` when bytes are missing in between.
 */
function advance(
  position: { stdout: number; stderr: number },
  event: Extract<JobEvent, { type: 'output' }>,
  from: string,
): void {
  const { stream, offset } = event;
  const missing = offset - position[stream];
  if (missing > 0) throw badAnswer(from, `${missing} bytes of ${stream} are missing before byte ${offset}`);
  position[stream] = offset + outputBytes(event).length;
}

/**
 * The position after the event with this id among the events of an agent: only the server knows it, as it depends on
 * the length of the event on its disk.
 *
 * @throws ProblemError `bad_answer` where the id does not tell it.
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
