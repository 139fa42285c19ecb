/**
 * The routes of jobs.
 * @module
 */
import { join } from 'node:path';
import { defined } from '../base/defined.ts';
import { refuse } from '../base/parse.ts';
import { matchesTag } from '../http/routing/conditional.ts';
import { preferredWait } from '../http/routing/prefer.ts';
import { parseRange } from '../http/routing/range.ts';
import { empty, events, json, jsonList, jsonText, type Reply, stream } from '../http/routing/reply.ts';
import { type Request, type Route, bind } from '../http/routing/route.ts';
import { idempotencyOf } from '../process/state/idempotency.ts';
import { callName, pathOf } from '../protocol/endpoint.ts';
import {
  cancelJob, deleteJob, execute, followJob, followJobs, getJob, getStderr, getStdout, listJobs, listPending, nudgeJob,
  rerunJob, resizeJob, signalJob, writeStdin,
} from '../protocol/endpoints/jobs.ts';
import { type Accepted, type Nudged, parsePosition, type StdinWritten, type StreamName } from '../protocol/jobs/job.ts';
import {
  answerDefaults, type ExecQuery, type JobQuery, type ListQuery, type OutputQuery,
} from '../protocol/jobs/queries.ts';
import { ProblemError } from '../protocol/problem.ts';
import { feedPosition } from './feed/feed.ts';
import { FeedStream } from './feed/feed-stream.ts';
import { sendEvents } from './feed/send-events.ts';
import type { Jobs } from './jobs.ts';
import { sendOutput, startOf } from './output/output-file.ts';
import type { TrackedJob } from './tracked-job.ts';
import { entityTag } from './view.ts';

export function jobRoutes(jobs: Jobs): Route[] {
  return [...mainRoutes(jobs), ...actionRoutes(jobs)];
}

/** The calls that start, show, follow and delete jobs. */
function mainRoutes(jobs: Jobs): Route[] {
  return [
    bind(execute, async (request) => {
      const entry = await jobs.submit(request.body, { idempotency: idempotencyOf(request, callName(execute, {})) });
      return accepted(jobs, entry, request, request.query);
    }),

    bind(listJobs, ({ query }) => {
      const { jobs: entries, hasMore } = jobs.reader.list(query);
      const last = entries.at(-1);
      const headers = hasMore && last ? { Link: `<${nextPage(query, last)}>; rel="next"` } : undefined;
      return jsonList(
        200,
        jobs.reader.shown(entries, query.output === true ? { maxBytes: answerDefaults.textBytes / 16 } : undefined),
        headers,
      );
    }),

    bind(listPending, async () => json(200, await jobs.reader.pending())),

    bind(followJobs, ({ query, headers }) => {
      const { value, at } = resumeId(query.after, headers);
      const after = value === undefined ? undefined : feedPosition(value, at);
      // A job that is gone when a follower resumes was deleted meanwhile; in a first request its id is a mistake.
      if (after === undefined) query.job?.forEach((id) => jobs.tracker.get(id));
      return events(async (sink) => {
        for await (const { id, event } of new FeedStream(jobs.waits.feedSources, query).events(after, sink.signal)) {
          const { type, ...data } = event;
          await sink.send({ event: type, id, data });
        }
      });
    }),

    bind(getJob, (request) => show(jobs, request)),

    bind(deleteJob, async ({ params }) => {
      await jobs.actions.remove(jobs.tracker.get(params.id));
      return empty(204);
    }),

    bind(getStdout, (request) => output(jobs, 'stdout', request)),
    bind(getStderr, (request) => output(jobs, 'stderr', request)),

    bind(followJob, ({ params, query, headers }) => {
      const entry = jobs.tracker.get(params.id);
      const { value, at } = resumeId(query.after, headers);
      const from = value === undefined ? { stdout: 0, stderr: 0 } : parsePosition(value, at);
      if ('events' in from && entry.request.mode !== 'acp') refuse(
        at, 'an event id such as "0-0", as the job runs no agent', value,
      );
      return events((sink) => sendEvents(jobs, entry, from, sink));
    }),
  ];
}

/** The calls that act on a job. */
function actionRoutes(jobs: Jobs): Route[] {
  return [
    bind(nudgeJob, (request) => nudge(jobs, request)),

    bind(writeStdin, (request) => once(jobs, request, `stdin eof=${request.query.eof ?? false}`, async (
      entry, begin,
    ): Promise<StdinWritten> => {
      const eof = request.query.eof ?? false;
      return { writtenBytes: await jobs.actions.writeStdin(entry, request.bodyBytes, { eof, begin }), eof };
    })),

    bind(cancelJob, (request) => once(jobs, request, 'cancel', async (entry) => {
      await jobs.actions.cancel(entry, request.body);
      return jobs.reader.detailed(entry, { maxBytes: answerDefaults.textBytes });
    })),

    bind(signalJob, (request) => once(jobs, request, 'signal', async (entry, begin) => {
      await jobs.actions.signal(entry, request.body.signal, begin);
      return { signal: request.body.signal };
    })),

    bind(resizeJob, (request) => once(jobs, request, 'resize', async (entry) => {
      await jobs.actions.resize(entry, request.body);
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
  await jobs.waits.hold(entry, {
    waitSeconds, waitFor: waitFor ?? 'end', remember: () => isUnchanged(jobs, entry),
  }, request.signal);
  const job = await jobs.reader.detailed(entry, { maxBytes: answerDefaults.textBytes });
  return json(job.finishedAt === null ? 202 : 200, job, location);
}

/** Remembers the job as it is now. @returns whether it is still the same. */
function isUnchanged(jobs: Jobs, entry: TrackedJob): () => boolean {
  const tagNow = (): string => (jobs.reader.refresh(entry), entityTag(entry, ''));
  const tag = tagNow();
  return () => tagNow() === tag;
}

type AnyRequest = Pick<Request, 'headers' | 'signal' | 'bodyBytes'>;

function show(jobs: Jobs, request: Request<{ readonly id: string }, JobQuery>): Reply | Promise<Reply> {
  const entry = jobs.tracker.get(request.params.id);
  const known = request.headers['if-none-match'];
  const variant = `${request.query.tailLines ?? ''}/${request.query.maxBytes ?? ''}`;
  const cached = jobs.tracker.cache.get(entry, variant);
  if (cached === undefined) return showFresh(jobs, entry, request, variant);
  return known !== undefined && matchesTag(known, cached.tag)
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
  const tagNow = (): string => (jobs.reader.refresh(entry), entityTag(entry, variant));
  let tag = tagNow();
  const { wait, waitFor = 'change' } = query;
  // A change that the client does not know has already come.
  const isDue = waitFor === 'change' && known !== undefined && !matchesTag(known, tag);
  if (wait !== undefined && !isDue && (!entry.isFinished || (entry.isSearching && waitFor === 'change'))) {
    await jobs.waits.hold(
      entry, { waitSeconds: wait, waitFor, remember: () => () => tagNow() === tag }, request.signal,
    );
    tag = tagNow();
  }
  if (known !== undefined && matchesTag(known, tag)) return empty(304, { ETag: tag });
  const { maxBytes = answerDefaults.textBytes, tailLines } = query;
  const text = JSON.stringify(await jobs.reader.detailed(entry, { maxBytes, tailLines }));
  jobs.tracker.cache.put(entry, { variant, tag, text });
  return jsonText(200, text, { ETag: tag });
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
  return json(200, await jobs.actions.once(request.params.id, request, call, act));
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
    return await once(jobs, request, 'nudge', (entry, begin) =>
      jobs.actions.nudge(entry, request.body.input ?? '\n', begin));
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'outcome_unknown') throw error;
    const processAlive = jobs.tracker.get(request.params.id).state.is === 'running';
    const answer: Nudged = { nudged: false, unknown: true, reason: error.message, processAlive };
    return json(200, answer);
  }
}

// Output. -------------------------------------------------------------------------------------------------------------

async function output(
  jobs: Jobs, name: StreamName, { params, query, headers: { range } }: Request<{ readonly id: string }, OutputQuery>,
): Promise<Reply> {
  const entry = jobs.tracker.get(params.id);
  const path = join(jobs.reader.directory(entry), name);
  const { start, size } = await startOf(entry, path, query);
  if (query.follow === true) {
    return stream(200, headersOf(entry), async (sink) => {
      let sent = 0;
      for await (const { bytes } of jobs.waits.follow(entry, {
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
    await sendOutput(entry, path, { first, last, sink }, jobs.waits.readers);
  });
}

/** A header is one line of ASCII (RFC 9110 §5.5); a warning may name a path of any characters. */
function headersOf(entry: TrackedJob): { readonly [name: string]: string } {
  const [warning] = entry.warnings;
  return {
    'X-Job-Status': entry.isFinished ? 'finished' : entry.state.is,
    ...(warning === undefined ? {} : { 'X-Job-Warning': warning.replaceAll(/[^\x20-\x7e]/g, '?') }),
  };
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
