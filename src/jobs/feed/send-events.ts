/**
 * One event stream about one job: its states, its output, and the events of its agent.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { lineWithin } from '../../base/files/untrusted-json.ts';
import { type JobEvent, type Position, type StreamName, formatPosition } from '../../protocol/jobs/job.ts';
import { eventBounds } from '../kind.ts';
import type { OutputChunk } from '../output/follow.ts';
import type { JobReader } from '../reader.ts';
import type { TrackedJob } from '../tracked-job.ts';
import type { JobWaits } from '../waits.ts';

/** What a stream needs of the jobs of a server. */
export interface JobEventSources {
  readonly reader: Pick<JobReader, 'summary'>;
  readonly waits: Pick<JobWaits, 'follow'>;
}

/** Where the events go. */
export interface JobEventSink {
  send(event: { readonly event: string; readonly id: string; readonly data: unknown }): Promise<void>;
  readonly signal: AbortSignal;
}

const newline = 0x0a;

/** Resolves once the job has ended and all of it was sent, the signal aborts, or the server closes. */
export async function sendEvents(
  { reader, waits }: JobEventSources, job: TrackedJob, from: Position, sink: JobEventSink,
): Promise<void> {
  const position: { -readonly [S in keyof Position]: Position[S] } = job.request.mode === 'acp'
    ? { ...from, events: from.events ?? 0 }
    : { stdout: from.stdout, stderr: from.stderr };
  let sent = '';
  const send = (event: JobEvent): Promise<void> => {
    const { type, ...data } = event;
    return sink.send({ event: type, id: formatPosition(position), data });
  };
  const sendStatus = async (): Promise<void> => {
    const shown = reader.summary(job);
    if (shown.status === sent || job.isFinished) return;
    sent = shown.status;
    await send({ type: 'status', job: shown });
  };
  await sendStatus();
  const options = { from: { ...position }, signal: sink.signal, wholeCharacters: true };
  for await (const piece of waits.follow(job, options)) {
    await sendStatus();
    const { stream: name, offset, bytes } = piece;
    if (name !== 'events') {
      position[name] = offset + bytes.length;
      await send(outputEvent(name, piece));
      continue;
    }
    // Each event has an id of its own: a client that resumes after one gets the events that follow it.
    position.events = offset;
    for (const line of linesOf(bytes)) {
      position.events += line.length;
      const event = lineWithin(line, eventBounds);
      if (event !== undefined) await send({ type: 'agent', event });
    }
  }
  if (sink.signal.aborted || !job.isFinished) return;
  const shown = reader.summary(job);
  await send({ type: 'status', job: shown });
  await send({ type: 'end', job: shown });
}

/** The lines, with their newlines. */
function* linesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(newline, start) + 1;
    yield bytes.subarray(start, end);
    start = end;
  }
}

function outputEvent(name: StreamName, { offset, bytes }: OutputChunk): JobEvent {
  return isUtf8(bytes)
    ? { type: 'output', stream: name, offset, text: bytes.toString('utf8') }
    : { type: 'output', stream: name, offset, base64: bytes.toString('base64') };
}
