/**
 * A server for tests of the client and the command line: speaks API.md as far as they need it, runs real processes, and fails
 * on demand. Its jobs outlive `stop()` and `start()`, as a real server's outlive a restart.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ArgvExec, Mode, PersistentShellExec } from '../../src/protocol/jobs/exec.ts';
import type { Job, JobEvent, JobStatus } from '../../src/protocol/jobs/job.ts';
import { ProblemError } from '../../src/protocol/problem.ts';
import { formatPosition, parsePosition } from '../../src/protocol/jobs/job.ts';
import { jobIdFactory } from '../../src/protocol/ids.ts';

export const key = 'test-key';

/** A request of any mode. */
type Requested = Partial<Omit<PersistentShellExec, 'mode'> & Omit<ArgvExec, 'mode'> & { readonly mode: Mode }>;

interface Entry {
  readonly job: { -readonly [K in keyof Job]: Job[K] };
  readonly request: Requested;
  readonly child: ChildProcess | undefined;
  readonly output: { stdout: Buffer; stderr: Buffer };
  readonly changed: EventEmitter;
  stdin: Buffer;
  isEof: boolean;
}

/** Seen of a request: `GET /jobs?limit=1`. */
export interface Seen {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Answers a request instead of the stand-in; `false` leaves it to the stand-in. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean;

export class FakeServer {
  readonly seen: Seen[] = [];
  readonly jobs: Map<string, Entry> = new Map();
  /** Tried in order before each request; one that took a request is dropped. */
  readonly faults: Fault[] = [];
  /** The stdin of a job takes so many bytes at once. */
  stdinRoom: number = Infinity;
  /** An `output` event has at most so many bytes. */
  eventBytes: number = 65_536;
  #server: Server | undefined;
  #port = 0;
  readonly #keys = new Map<string, string>();
  readonly #nextId = jobIdFactory({ now: Date.now, random: (below) => Math.floor(Math.random() * below) });

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => this.#fail(response, error));
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Breaks every connection and listens no more. The jobs go on. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.closeAllConnections();
    if (server?.listening) await new Promise((resolve) => server.close(resolve));
  }

  async close(): Promise<void> {
    for (const { child } of this.jobs.values()) if (child?.pid !== undefined && child.exitCode === null) signalGroup(child, 'SIGKILL');
    await this.stop();
  }

  /** A job that no process stands behind: the test says what it does. */
  script(status: JobStatus = 'running'): { job: Entry['job']; write: (stream: 'stdout' | 'stderr', bytes: Buffer | string) => void; end: (code: number) => void } {
    const entry = this.#add({ command: 'scripted' }, undefined);
    entry.job.status = status;
    return {
      job: entry.job,
      write: (stream, bytes) => this.#append(entry, stream, Buffer.from(bytes)),
      end: (code) => this.#end(entry, code, null),
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    this.seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body: body.toString() });
    const fault = this.faults.findIndex((take) => take(request, response));
    if (fault !== -1) return void this.faults.splice(fault, 1);
    const url = new URL(request.url ?? '/', this.url);
    const [, top, id, action] = url.pathname.split('/');
    const isAuthenticated = request.headers.authorization === `Bearer ${key}`;
    if (top === 'health') return this.#json(response, 200, isAuthenticated ? this.#health() : { status: 'ok', authenticated: false });
    if (!isAuthenticated) throw new ProblemError('unauthorized', 'Cannot do that without the key');
    if (top === 'exec') return this.#exec(request, response, body.toString());
    if (top === 'jobs' && id === undefined) return this.#list(response, url);
    const entry = this.jobs.get(id ?? '');
    if (!entry) throw new ProblemError('job_not_found', `Cannot find job "${id}"`);
    await this.#onJob(entry, `${request.method} ${action ?? ''}`, { request, response, url, body });
  }

  async #onJob(
    entry: Entry, call: string, on: { request: IncomingMessage; response: ServerResponse; url: URL; body: Buffer },
  ): Promise<void> {
    const { request, response, url, body } = on;
    const { child, job } = entry;
    const asked = (body.length === 0 || call === 'POST stdin' ? {} : JSON.parse(body.toString())) as { [name: string]: unknown };
    switch (call) {
      case 'GET ': return this.#get(entry, request, response, url);
      case 'GET stdout':
      case 'GET stderr': return this.#output(entry, call === 'GET stdout' ? 'stdout' : 'stderr', response, url);
      case 'GET events': return this.#events(entry, request, response);
      case 'POST nudge': {
        const isOpen = !isEnded(job) && !entry.isEof;
        if (isOpen) child?.stdin?.write(String(asked['input'] ?? '\n'));
        return this.#json(response, 200, isOpen
          ? { nudged: true, processAlive: true } : { nudged: false, reason: 'its stdin is closed', processAlive: !isEnded(job) });
      }
      case 'POST stdin': return this.#stdin(entry, response, body, url.searchParams.get('eof') === '1');
      case 'POST signal':
        if (child) signalGroup(child, asked['signal'] as NodeJS.Signals);
        return this.#json(response, 200, job);
      case 'POST cancel': {
        if (isEnded(job)) throw new ProblemError('job_not_running', `Cannot cancel job ${job.jobId}: it is not running`);
        job.reason = 'cancelled';
        if (child) signalGroup(child, (asked['signal'] ?? 'SIGTERM') as NodeJS.Signals);
        while (!isEnded(job)) await once(entry.changed, 'change');
        return this.#json(response, 200, job);
      }
      case 'POST rerun': return this.#json(response, 202, { ...this.#start(entry.request), rerunOf: job.jobId });
      case 'DELETE ':
        if (!isEnded(job)) throw new ProblemError('job_running', `Cannot delete job ${job.jobId}: it is running`);
        this.jobs.delete(job.jobId);
        return void response.writeHead(204).end();
      default: throw new ProblemError('not_found', 'There is nothing');
    }
  }

  #exec(request: IncomingMessage, response: ServerResponse, body: string): void {
    const idempotencyKey = request.headers['idempotency-key'];
    const known = idempotencyKey === undefined ? undefined : this.#keys.get(String(idempotencyKey));
    const accepted = known === undefined ? this.#start(JSON.parse(body) as Requested) : { jobId: known, status: 'pending' };
    if (idempotencyKey !== undefined) this.#keys.set(String(idempotencyKey), accepted.jobId);
    this.#json(response, 202, accepted);
  }

  #start(request: Requested): { jobId: string; status: string } {
    const [file = '/bin/sh', ...args] = request.argv ?? [request.shell ?? '/bin/sh', '-c', request.command ?? ''];
    const child = spawn(file, args, { detached: true, cwd: request.workdir, env: { ...process.env, ...request.env } });
    const entry = this.#add(request, child);
    child.stdout.on('data', (bytes: Buffer) => this.#append(entry, 'stdout', bytes));
    child.stderr.on('data', (bytes: Buffer) => this.#append(entry, 'stderr', bytes));
    child.stdin.on('error', () => undefined);
    if (typeof request.stdin === 'string' || request.stdin === null) child.stdin.end(request.stdin ?? '');
    child.on('error', (error) => {
      entry.job.error = error.message;
      this.#end(entry, 127, null, 'spawn_error');
    });
    child.on('close', (code, signal) => this.#end(entry, code, signal));
    if (typeof request.timeout === 'number') {
      setTimeout(() => {
        if (isEnded(entry.job)) return;
        entry.job.reason = 'timeout';
        signalGroup(child, 'SIGTERM');
      }, request.timeout * 1000).unref();
    }
    return { jobId: entry.job.jobId, status: 'pending' };
  }

  #add(request: Requested, child: ChildProcess | undefined): Entry {
    const now = Date.now() / 1000;
    const job: Entry['job'] = {
      jobId: this.#nextId(), status: 'running', reason: null, mode: request.mode ?? 'shell', workdir: request.workdir ?? '/',
      name: request.name ?? null, labels: request.labels ?? {}, timeout: request.timeout ?? null, submittedAt: now, startedAt: now,
      finishedAt: null, lastOutputAt: null, durationMs: null, signal: null, timedOut: false, processAlive: true,
      pid: child?.pid ?? null, lingering: [], stdoutBytes: 0, stderrBytes: 0,
      ...(request.command === undefined ? {} : { command: request.command }),
      ...(request.argv === undefined ? {} : { argv: request.argv }),
    };
    const empty = Buffer.alloc(0);
    const entry: Entry = {
      job, request, child, output: { stdout: empty, stderr: empty }, changed: new EventEmitter().setMaxListeners(0), stdin: empty,
      isEof: request.stdin !== undefined,
    };
    this.jobs.set(job.jobId, entry);
    return entry;
  }

  #append(entry: Entry, stream: 'stdout' | 'stderr', bytes: Buffer): void {
    entry.output[stream] = Buffer.concat([entry.output[stream], bytes]);
    if (stream === 'stdout') entry.job.stdoutBytes += bytes.length;
    else entry.job.stderrBytes += bytes.length;
    entry.changed.emit('change');
  }

  #end(entry: Entry, code: number | null, signal: NodeJS.Signals | null, reason?: Job['reason']): void {
    const { job } = entry;
    if (isEnded(job)) return;
    const numbers: { readonly [name: string]: number } = { SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15, SIGHUP: 1 };
    job.exitCode = code ?? 128 + (numbers[signal ?? ''] ?? 0);
    job.signal = signal;
    job.reason = reason ?? job.reason ?? (signal === null ? 'exit' : 'signal');
    job.status = job.reason === 'timeout' ? 'timeout' : job.exitCode === 0 ? 'completed' : 'failed';
    job.finishedAt = Date.now() / 1000;
    job.durationMs = (job.finishedAt - job.submittedAt) * 1000;
    job.processAlive = false;
    entry.changed.emit('change');
  }

  async #get(entry: Entry, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const etag = (): string => `"${entry.job.status}-${entry.job.stdoutBytes}-${entry.job.stderrBytes}"`;
    const before = request.headers['if-none-match'] ?? etag();
    const isForEnd = url.searchParams.get('waitFor') === 'end';
    const waitMs = Number(url.searchParams.get('wait') ?? 0) * 1000;
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), waitMs);
    response.once('close', () => over.abort());
    while (waitMs > 0 && !isEnded(entry.job) && (isForEnd || etag() === before) && !over.signal.aborted) {
      await once(entry.changed, 'change', { signal: over.signal }).catch(() => undefined);
    }
    clearTimeout(timer);
    if (etag() === request.headers['if-none-match']) return void response.writeHead(304, { ETag: etag() }).end();
    const maxBytes = Number(url.searchParams.get('maxBytes') ?? 2 ** 20);
    const text = (bytes: Buffer): string => (maxBytes === 0 ? '' : bytes.subarray(-maxBytes).toString());
    this.#json(response, 200, { ...entry.job, stdout: text(entry.output.stdout), stderr: text(entry.output.stderr) }, { ETag: etag() });
  }

  #output(entry: Entry, stream: 'stdout' | 'stderr', response: ServerResponse, url: URL): void {
    const offset = Number(url.searchParams.get('offset') ?? 0);
    const limit = Number(url.searchParams.get('limit') ?? Number.MAX_SAFE_INTEGER);
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
    response.end(entry.output[stream].subarray(offset, offset + limit));
  }

  async #events(entry: Entry, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const position = { ...parsePosition(String(request.headers['last-event-id'] ?? '0-0'), 'Last-Event-ID') };
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(': here\n\n');
    const send = (event: JobEvent): void => {
      response.write(`id: ${formatPosition(position)}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    };
    const left = new AbortController();
    response.once('close', () => left.abort());
    while (!left.signal.aborted) {
      const isLast = isEnded(entry.job);
      for (const stream of ['stdout', 'stderr'] as const) {
        while (position[stream] < entry.output[stream].length) {
          const offset = position[stream];
          const bytes = entry.output[stream].subarray(offset, offset + this.eventBytes);
          position[stream] += bytes.length;
          const text = bytes.toString();
          send({ type: 'output', stream, offset, ...(Buffer.from(text).equals(bytes) ? { text } : { base64: bytes.toString('base64') }) });
        }
      }
      if (isLast) {
        send({ type: 'end', job: entry.job });
        return void response.end();
      }
      await once(entry.changed, 'change', { signal: left.signal }).catch(() => undefined);
    }
  }

  #stdin(entry: Entry, response: ServerResponse, body: Buffer, eof: boolean): void {
    const { child, job } = entry;
    if (isEnded(job)) throw new ProblemError('job_not_running', `Cannot write to job ${job.jobId}: it has ended`);
    if (entry.isEof) throw new ProblemError('stdin_closed', `Cannot write to job ${job.jobId}: its stdin is closed`);
    const taken = body.subarray(0, this.stdinRoom);
    entry.stdin = Buffer.concat([entry.stdin, taken]);
    if (taken.length > 0) child?.stdin?.write(taken);
    if (taken.length < body.length) {
      throw new ProblemError('stdin_full', 'Cannot write: it is full', { extensions: { writtenBytes: taken.length } });
    }
    if (eof) child?.stdin?.end();
    entry.isEof = eof;
    this.#json(response, 200, { writtenBytes: taken.length, eof });
  }

  #list(response: ServerResponse, url: URL): void {
    const limit = Number(url.searchParams.get('limit') ?? 20);
    const before = url.searchParams.get('before') ?? '~';
    const status = url.searchParams.get('status');
    const reason = url.searchParams.get('reason');
    const labels = url.searchParams.getAll('label').map((label) => label.split(':'));
    const jobs = [...this.jobs.values()].map(({ job }) => job).reverse().filter((job) => job.jobId < before
      && (status === null || job.status === status) && (reason === null || job.reason === reason) && labels.every(([name = '', value]) => job.labels[name] === value));
    const last = jobs[limit - 1];
    const next = jobs.length > limit && last ? { Link: `</jobs?before=${last.jobId}&limit=${limit}>; rel="next"` } : {};
    this.#json(response, 200, jobs.slice(0, limit), next);
  }

  #health(): object {
    return {
      status: 'ok', authenticated: true, version: '9.9.9', hostname: 'test', platform: 'linux', arch: 'x64', pid: process.pid, cwd: '/',
      uptimeSeconds: 1, jobs: this.jobs.size, running: 0, queued: 0, capacity: { maxRunning: 1024, maxSessions: 32, maxTerminals: 32, connections: 4096, openFiles: 20_000, openFilesHard: 20_000, openFilesUsed: 30, isLowered: false, reason: null }, execution_modes: ['shell', 'argv'],
    };
  }

  #json(response: ServerResponse, status: number, body: unknown, headers: { [name: string]: string } = {}): void {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (!(error instanceof ProblemError)) throw error;
    refuse(error)(undefined as never, response);
  }
}

/** Answers with a problem. */
export function refuse(problem: ProblemError): Fault {
  return (_request, response) => {
    response.writeHead(problem.status, { 'Content-Type': 'application/problem+json', ...problem.headers }).end(JSON.stringify(problem));
    return true;
  };
}

/** Answers with anything. */
export function answer(status: number, headers: { [name: string]: string }, body: string): Fault {
  return (_request, response) => {
    response.writeHead(status, headers).end(body);
    return true;
  };
}

/** Breaks the connection instead of answering. */
export const hangUp: Fault = (request) => {
  request.socket.destroy();
  return true;
};

function isEnded(job: Job | Entry['job']): boolean {
  return job.status !== 'running' && job.status !== 'pending';
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
