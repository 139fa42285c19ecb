/**
 * The routes of jobs.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { defined } from '../base/defined.ts';
import { refuse } from '../base/parse.ts';
import { readAt } from '../base/files/untrusted-file.ts';
import { lineWithin } from '../base/files/untrusted-json.ts';
import { idempotencyOf } from '../process/state/idempotency.ts';
import { callName, pathOf } from '../protocol/endpoint.ts';
import {
  cancelJob, deleteJob, execute, followJob, followJobs, getJob, getStderr, getStdout, listJobs, listPending, nudgeJob,
  rerunJob, resizeJob, signalJob, writeStdin,
} from '../protocol/endpoints/jobs.ts';
import {
  answerDefaults, type ExecQuery, type JobQuery, type ListQuery, type OutputQuery, type WaitFor,
} from '../protocol/jobs/queries.ts';
import {
  type Accepted, formatPosition, type JobEvent, type Nudged, parsePosition, type Position, type StdinWritten,
  type StreamName,
} from '../protocol/jobs/job.ts';
import { ProblemError } from '../protocol/problem.ts';
import {
  empty, type EventSink, events, json, jsonList, jsonText, type Reply, type Sink, stream,
} from '../http/routing/reply.ts';
import { type Request, type Route, bind } from '../http/routing/route.ts';
import type { TrackedJob } from './tracked-job.ts';
import { feedPosition } from './feed/feed.ts';
import { FeedStream } from './feed/feed-stream.ts';
import { waitCondition } from './wait-condition.ts';
import type { Jobs } from './jobs.ts';
import { eventBounds } from './kind.ts';
import type { OutputChunk } from './output/follow.ts';
import { openOutput, startOfLastLines } from './output/output.ts';
import { entityTag } from './view.ts';

const newline = 0x0a;

export function jobRoutes(jobs: Jobs): Route[] {
  return [
    bind(execute, async (request) => {
      const entry = await jobs.submit(request.body, { idempotency: idempotencyOf(request, callName(execute, {})) });
      return accepted(jobs, entry, request, request.query);
    }),

    bind(listJobs, ({ query }) => {
      const { jobs: entries, hasMore } = jobs.list(query);
      const last = entries.at(-1);
      const headers = hasMore && last ? { Link: `<${nextPage(query, last)}>; rel="next"` } : undefined;
      return jsonList(
        200,
        jobs.shown(entries, query.output === true ? { maxBytes: answerDefaults.textBytes / 16 } : undefined),
        headers,
      );
    }),

    bind(listPending, async () => json(200, await jobs.pending())),

    bind(followJobs, ({ query, headers }) => {
      const { value, at } = resumeId(query.after, headers);
      const after = value === undefined ? undefined : feedPosition(value, at);
      // A job that is gone when a follower resumes was deleted meanwhile; in a first request its id is a mistake.
      if (after === undefined) query.job?.forEach((id) => jobs.get(id));
      return events(async (sink) => {
        for await (const { id, event } of new FeedStream(jobs.feedSources, query).events(after, sink.signal)) {
          const { type, ...data } = event;
          await sink.send({ event: type, id, data });
        }
      });
    }),

    bind(getJob, (request) => show(jobs, request)),

    bind(deleteJob, async ({ params }) => {
      await jobs.remove(jobs.get(params.id));
      return empty(204);
    }),

    bind(getStdout, ({ params, query, headers }) => output(jobs, jobs.get(params.id), 'stdout', query, headers.range)),
    bind(getStderr, ({ params, query, headers }) => output(jobs, jobs.get(params.id), 'stderr', query, headers.range)),

    bind(followJob, ({ params, query, headers }) => {
      const entry = jobs.get(params.id);
      const { value, at } = resumeId(query.after, headers);
      const from = value === undefined ? { stdout: 0, stderr: 0 } : parsePosition(value, at);
      if ('events' in from && entry.request.mode !== 'acp') refuse(
        at, 'an event id such as "0-0", as the job runs no agent', value,
      );
      return events((sink) => sendEvents(jobs, entry, from, sink));
    }),

    bind(nudgeJob, (request) => nudge(jobs, request)),

    bind(writeStdin, (request) => once(jobs, request, `stdin eof=${request.query.eof ?? false}`, async (
      entry, begin,
    ): Promise<StdinWritten> => {
      const eof = request.query.eof ?? false;
      return { writtenBytes: await jobs.writeStdin(entry, request.bodyBytes, { eof, begin }), eof };
    })),

    bind(cancelJob, (request) => once(jobs, request, 'cancel', async (entry) => {
      await jobs.cancel(entry, request.body);
      return jobs.detailed(entry, { maxBytes: answerDefaults.textBytes });
    })),

    bind(signalJob, (request) => once(jobs, request, 'signal', async (entry, begin) => {
      await jobs.signal(entry, request.body.signal, begin);
      return { signal: request.body.signal };
    })),

    bind(resizeJob, (request) => once(jobs, request, 'resize', async (entry) => {
      await jobs.resize(entry, request.body);
      return request.body;
    })),

    bind(rerunJob, async (request) => {
      const idempotency = idempotencyOf(request, callName(rerunJob, request.params));
      return accepted(jobs, await jobs.rerun(request.params.id, idempotency), request, request.query);
    }),
  ];
}

async function accepted(
  jobs: Jobs, entry: TrackedJob, request: AnyRequest, { wait, waitFor }: ExecQuery,
): Promise<Reply> {
  const location = { Location: pathOf(getJob, { id: entry.id }) };
  const waitSeconds = wait ?? preferredWait(request.headers.prefer);
  if (waitSeconds === 0) {
    if (waitFor !== undefined && wait === undefined) refuse(
      'query.waitFor', 'wait beside it: the seconds to wait', waitFor,
    );
    const body: Accepted = {
      jobId: entry.id, status: 'pending', ...defined({ rerunOf: entry.rerunOf }),
    };
    return json(202, body, location);
  }
  await held(jobs, entry, {
    waitSeconds, waitFor: waitFor ?? 'end', remember: () => isUnchanged(jobs, entry),
  }, request.signal);
  const job = await jobs.detailed(entry, { maxBytes: answerDefaults.textBytes });
  return json(job.finishedAt === null ? 202 : 200, job, location);
}

interface Held {
  readonly waitSeconds: number;
  readonly waitFor: WaitFor;
  /** Remembers the job as it is now. @returns whether it is still the same. */
  readonly remember: () => () => boolean;
}

/** Resolves once the awaited event has come, or at the end of the wait. */
async function held(
  jobs: Jobs,
  entry: TrackedJob,
  { waitSeconds, waitFor, remember }: Held,
  signal: AbortSignal,
): Promise<void> {
  const limitMs = waitSeconds * 1000;
  if (waitFor === 'end') return void await jobs.finished(entry, limitMs, signal);
  const isThere = waitFor === 'change' ? undefined : waitCondition(waitFor, entry, jobs);
  await jobs.changed(entry, isThere ? () => !entry.isFinished && !isThere() : remember(), limitMs, signal);
}

/** Remembers the job as it is now. @returns whether it is still the same. */
function isUnchanged(jobs: Jobs, entry: TrackedJob): () => boolean {
  const tagNow = (): string => (jobs.refresh(entry), entityTag(entry, ''));
  const tag = tagNow();
  return () => tagNow() === tag;
}

type AnyRequest = Pick<Request, 'headers' | 'signal' | 'bodyBytes'>;

/** RFC 7240 §4.3: seconds that the client is ready to wait, at most 60; a malformed preference is ignored (§2). */
function preferredWait(prefer: string | string[] | undefined): number {
  const match = /(?:^|[,;\s])wait\s*=\s*(\d{1,9})(?=$|[,;\s])/i.exec(String(prefer ?? ''));
  return Math.min(Number(match?.[1] ?? 0), 60);
}

function show(jobs: Jobs, request: Request<{ readonly id: string }, JobQuery>): Reply | Promise<Reply> {
  const entry = jobs.get(request.params.id);
  const known = request.headers['if-none-match'];
  const variant = `${request.query.tailLines ?? ''}/${request.query.maxBytes ?? ''}`;
  const cached = jobs.cache.get(entry, variant);
  if (cached === undefined) return showFresh(jobs, entry, request, variant);
  return known !== undefined && isKnown(known, cached.tag)
    ? empty(304, { ETag: cached.tag })
    : jsonText(200, cached.text, { ETag: cached.tag });
}

async function showFresh(
  jobs: Jobs,
  entry: TrackedJob,
  request: Request<{ readonly id: string }, JobQuery>,
  variant: string,
): Promise<Reply> {
  const { query, headers } = request;
  const known = headers['if-none-match'];
  const tagNow = (): string => (jobs.refresh(entry), entityTag(entry, variant));
  let tag = tagNow();
  const { wait, waitFor = 'change' } = query;
  // A change that the client does not know has already come.
  const isDue = waitFor === 'change' && known !== undefined && !isKnown(known, tag);
  if (wait !== undefined && !isDue && (!entry.isFinished || (entry.isSearching && waitFor === 'change'))) {
    await held(jobs, entry, { waitSeconds: wait, waitFor, remember: () => () => tagNow() === tag }, request.signal);
    tag = tagNow();
  }
  if (known !== undefined && isKnown(known, tag)) return empty(304, { ETag: tag });
  const { maxBytes = answerDefaults.textBytes, tailLines } = query;
  const text = JSON.stringify(await jobs.detailed(entry, { maxBytes, tailLines }));
  jobs.cache.put(entry, { variant, tag, text });
  return jsonText(200, text, { ETag: tag });
}

/** RFC 9110 §13.1.2: weak comparison. */
function isKnown(header: string, tag: string): boolean {
  return header.trim() === '*' || header.split(',').some((one) => one.trim().replace(/^W\//, '') === tag);
}

function nextPage(query: ListQuery, last: TrackedJob): string {
  const next = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...query, before: last.id })) {
    for (const one of [value].flat()) {
      if (one !== undefined) next.append(name, one === true ? '1' : String(one));
    }
  }
  return `${listJobs.path}?${next.toString()}`;
}

/** Acts on the job once for each Idempotency-Key. @param call Names the call in the key's fingerprint. */
async function once<T>(
  jobs: Jobs,
  request: AnyRequest & { readonly params: { readonly id: string } },
  call: string,
  act: (entry: TrackedJob, begin: () => void) => Promise<T>,
): Promise<Reply> {
  return json(200, await jobs.once(request.params.id, request, call, act));
}

/** A nudge whose outcome is unknown is answered, too. */
async function nudge(
  jobs: Jobs,
  request: AnyRequest & {
    readonly params: { readonly id: string };
    readonly body: { readonly input?: string | undefined }
  },
): Promise<Reply> {
  try {
    return await once(jobs, request, 'nudge', (entry, begin) => jobs.nudge(entry, request.body.input ?? '\n', begin));
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'outcome_unknown') throw error;
    const processAlive = jobs.get(request.params.id).state.is === 'running';
    const answer: Nudged = { nudged: false, unknown: true, reason: error.message, processAlive };
    return json(200, answer);
  }
}

// Output. -------------------------------------------------------------------------------------------------------------

async function output(
  jobs: Jobs,
  entry: TrackedJob,
  name: StreamName,
  query: OutputQuery,
  range: string | undefined,
): Promise<Reply> {
  const path = join(jobs.directory(entry), name);
  const { start, size } = await startOf(entry, path, query);
  if (query.follow === true) {
    return stream(200, headersOf(entry), async (sink) => {
      let sent = 0;
      for await (const { bytes } of jobs.follow(entry, {
        from: { [name]: start }, signal: sink.signal, limit: query.limit,
      })) {
        await sink.write(bytes);
        sent += bytes.length;
      }
      // Without this error the end of the answer would say that there is no more output to come.
      if (!entry.isFinished && sent !== query.limit) throw new ProblemError('shutting_down',
        'Cannot follow any longer: the server is shutting down');
    });
  }
  const asked = query.offset === undefined && query.limit === undefined && query.tailLines === undefined
    ? parseRange(range, size)
    : undefined;
  const first = asked?.first ?? Math.min(start, size);
  const last = asked?.last ?? Math.min(size, first + (query.limit ?? size)) - 1;
  const length = last - first + 1;
  const headers = {
    ...headersOf(entry), 'Accept-Ranges': 'bytes', 'Content-Length': length,
    ...(asked ? { 'Content-Range': `bytes ${first}-${last}/${size}` } : {}),
  };
  return stream(asked ? 206 : 200, headers, async (sink) => {
    if (length === 0) return;
    if (!jobs.readers.tryTake()) return await sendPieces(entry, path, { first, last, sink });
    try {
      await sendFile(entry, path, { first, last, sink });
    } finally {
      jobs.readers.release();
    }
  });
}

interface Sending {
  readonly first: number;
  /** Inclusive: what is appended to the file meanwhile is not part of the answer. */
  readonly last: number;
  readonly sink: Sink;
}

const sentBytes = 2 ** 18;

async function sendFile(entry: TrackedJob, path: string, { first, last, sink }: Sending): Promise<void> {
  const file = await openReadable(entry, path);
  if (!file) throw unreadable(entry, path);
  try {
    for await (const chunk of file.createReadStream({
      start: first, end: last, autoClose: false, highWaterMark: sentBytes,
    })) {
      await sink.write(chunk as Buffer);
    }
  } finally {
    await file.close();
  }
}

/** {@link sendFile} for when the limit of open files is reached: the file is open only while a piece is read. */
async function sendPieces(entry: TrackedJob, path: string, { first, last, sink }: Sending): Promise<void> {
  for (let offset = first; offset <= last;) {
    const file = await openReadable(entry, path);
    if (!file) throw unreadable(entry, path);
    const piece = await readAt(file, offset, Math.min(sentBytes, last - offset + 1)).finally(() => file.close());
    if (piece.length === 0) return;
    await sink.write(piece);
    offset += piece.length;
  }
}

/** A header is one line of ASCII (RFC 9110 §5.5); a warning may name a path of any characters. */
function headersOf(entry: TrackedJob): { readonly [name: string]: string } {
  const [warning] = entry.warnings;
  return {
    'X-Job-Status': entry.isFinished ? 'finished' : entry.state.is,
    ...(warning === undefined ? {} : { 'X-Job-Warning': warning.replaceAll(/[^\x20-\x7e]/g, '?') }),
  };
}

/** `undefined`: there is no output yet. @throws ProblemError output_unreadable. */
async function openReadable(entry: TrackedJob, path: string): Promise<FileHandle | undefined> {
  const file = await openOutput(path);
  if (file === 'replaced') throw unreadable(entry, path);
  return file;
}

function unreadable(entry: TrackedJob, path: string): ProblemError {
  return new ProblemError('output_unreadable',
    `Cannot read ${basename(path)} of job ${entry.toString()}: something has replaced the file`);
}

async function startOf(entry: TrackedJob, path: string, query: OutputQuery): Promise<{ start: number; size: number }> {
  const file = await openReadable(entry, path);
  if (!file) return { start: query.offset ?? 0, size: 0 };
  try {
    const { size } = await file.stat();
    if (query.tailLines === undefined) return { start: query.offset ?? 0, size };
    const start = await startOfLastLines(file, size, query.tailLines);
    return { start: Math.max(start, query.offset ?? 0), size };
  } finally {
    await file.close();
  }
}

/**
 * One range of bytes (RFC 9110 §14.1.2); several ranges, another unit or a malformed header are ignored, as §14.2
 * allows.
 *
 * @throws ProblemError range_not_satisfiable.
 */
function parseRange(
  header: string | undefined,
  size: number,
): { readonly first: number; readonly last: number } | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const [from, to] = [match[1] ?? '', match[2] ?? ''];
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== '' && to !== '' && Number(to) < first) return undefined;
  if (first < size && first <= last) return { first, last };
  throw new ProblemError('range_not_satisfiable', `Cannot read ${header ?? ''}: there are ${size} bytes`,
    { headers: { 'Content-Range': `bytes */${size}` } });
}

/** The event id to resume after, and where the request gave it. */
function resumeId(
  after: string | undefined,
  headers: AnyRequest['headers'],
): { readonly value: string | undefined; readonly at: string } {
  if (after !== undefined) return { value: after === '' ? undefined : after, at: 'query.after' };
  const header = headers['last-event-id'];
  return { value: header === undefined || header === '' ? undefined : String(header), at: 'the header Last-Event-ID' };
}

// Events. -------------------------------------------------------------------------------------------------------------

async function sendEvents(jobs: Jobs, entry: TrackedJob, from: Position, sink: EventSink): Promise<void> {
  const position: { -readonly [S in keyof Position]: Position[S] } = entry.request.mode === 'acp'
    ? { ...from, events: from.events ?? 0 }
    : { stdout: from.stdout, stderr: from.stderr };
  let sent = '';
  const send = (event: JobEvent): Promise<void> => {
    const { type, ...data } = event;
    return sink.send({ event: type, id: formatPosition(position), data });
  };
  const sendStatus = async (): Promise<void> => {
    const job = jobs.summary(entry);
    if (job.status === sent || entry.isFinished) return;
    sent = job.status;
    await send({ type: 'status', job });
  };
  await sendStatus();
  for await (const piece of jobs.follow(entry, { from: { ...position }, signal: sink.signal, wholeCharacters: true })) {
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
      const event = parsedLine(line);
      if (event !== undefined) await send({ type: 'agent', event });
    }
  }
  if (sink.signal.aborted || !entry.isFinished) return;
  const job = jobs.summary(entry);
  await send({ type: 'status', job });
  await send({ type: 'end', job });
}

/** The lines, with their newlines. */
function* linesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(newline, start) + 1;
    yield bytes.subarray(start, end);
    start = end;
  }
}

function parsedLine(line: Buffer): unknown {
  return lineWithin(line, eventBounds);
}

function outputEvent(name: StreamName, { offset, bytes }: OutputChunk): JobEvent {
  return isUtf8(bytes)
    ? { type: 'output', stream: name, offset, text: bytes.toString('utf8') }
    : { type: 'output', stream: name, offset, base64: bytes.toString('base64') };
}
