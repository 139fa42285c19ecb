/**
 * Plain HTTP against a server of the tests: sends exactly what a test writes, and gives back the whole answer.
 *
 * @module
 */
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { readStat } from '../../src/process/identity.ts';
import type { Problem } from '../../src/protocol/problem.ts';
import { type TestServer, atEnd } from './server.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body, read as JSON. */
  readonly json: <T = { readonly [name: string]: unknown }>() => T;
  /** The body, checked to be a problem (RFC 9457). */
  readonly problem: Problem;
}

export interface Asked {
  /** A header that is `undefined` is not sent. */
  readonly headers?: { readonly [name: string]: string | readonly string[] | undefined };
  /** An object is sent as JSON. */
  readonly body?: string | Buffer | object;
  /** Default: the right one; `null`: none. */
  readonly key?: string | null;
}

export type Reached = Pick<TestServer, 'url' | 'key'>;

/** Sends one request on a connection of its own and reads the whole answer. */
export async function ask(server: Reached, line: string, asked: Asked = {}): Promise<Answer> {
  const sent = send(server, line, asked);
  const [incoming] = await once(sent, 'response') as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const text = bytes.toString();
  return {
    status: incoming.statusCode ?? 0, headers: incoming.headers, bytes, text,
    json: <T>() => JSON.parse(text) as T,
    get problem() {
      if (incoming.headers['content-type'] !== 'application/problem+json') throw new Error(`This is no problem: ${incoming.statusCode} ${text}`);
      return JSON.parse(text) as Problem;
    },
  };
}

/** Submits a job and waits for its end. */
export async function run(server: Reached, body: object): Promise<Job> {
  const answer = await ask(server, 'POST /exec?wait=60', { body });
  if (answer.status !== 200) throw new Error(`The job did not finish: ${answer.status} ${answer.text}`);
  return answer.json<Job>();
}

/** Submits a job. @returns its id. */
export async function submit(server: Reached, body: object): Promise<string> {
  const answer = await ask(server, 'POST /exec', { body });
  if (answer.status !== 202) throw new Error(`The job was not taken on: ${answer.status} ${answer.text}`);
  return answer.json<{ jobId: string }>().jobId;
}

export async function show(server: Reached, id: string, query = ''): Promise<Job> {
  return (await ask(server, `GET /jobs/${id}${query}`)).json<Job>();
}

/** Waits for the end of a job: a wait alone ends with any change. */
export async function finished(server: Reached, id: string): Promise<Job> {
  for (;;) {
    const job = await show(server, id, '?wait=60');
    if (job.finishedAt !== null) return job;
  }
}

/** Whether a process is there and has not ended: one that nobody reaped yet has. */
export function isRunning(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && stat.state !== 'Z';
}

/** A long answer, read as it comes. */
export interface Live {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: () => string;
  readonly bytes: () => Buffer;
  /** Resolves once what came fits; rejects when the answer ends without it. */
  readonly until: (condition: RegExp | ((text: string) => boolean)) => Promise<string>;
  /** All of it. */
  readonly end: () => Promise<string>;
  readonly leave: () => void;
}

/** Begins a request whose answer goes on. */
export async function open(t: TestContext, server: Reached, line: string, asked: Asked = {}): Promise<Live> {
  const sent = send(server, line, asked);
  atEnd(t, () => { sent.destroy(); });
  const [incoming] = await once(sent, 'response') as [IncomingMessage];
  const chunks: Buffer[] = [];
  let isEnded = false;
  let wake = (): void => undefined;
  incoming.on('data', (chunk: Buffer) => { chunks.push(chunk); wake(); });
  incoming.on('error', () => undefined);
  incoming.on('close', () => { isEnded = true; wake(); });
  const bytes = (): Buffer => Buffer.concat(chunks);
  const text = (): string => bytes().toString();
  const more = (): Promise<void> => new Promise((resolve) => { wake = resolve; });
  return {
    status: incoming.statusCode ?? 0, headers: incoming.headers, text, bytes,
    until: async (condition) => {
      const holds = typeof condition === 'function' ? condition : (so: string) => condition.test(so);
      while (!holds(text())) {
        if (isEnded) throw new Error(`The answer ended without ${String(condition)}: ${text()}`);
        await more();
      }
      return text();
    },
    end: async () => {
      while (!isEnded) await more();
      return text();
    },
    leave: () => { sent.destroy(); },
  };
}

/** One event of a stream of them. */
export interface SentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: { readonly [name: string]: unknown };
}

/** Reads `text/event-stream` (WHATWG HTML §9.2); comments are passed over. */
export function eventsIn(text: string): SentEvent[] {
  return text.split('\n\n').filter((block) => block !== '' && !block.startsWith(':')).map((block) => {
    const fields = Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
    return { id: fields['id'] ?? '', event: fields['event'] ?? '', data: JSON.parse(fields['data'] ?? 'null') as SentEvent['data'] };
  });
}

function send(server: Reached, line: string, { headers = {}, body, key = server.key }: Asked): ClientRequest {
  const [method = '', path = ''] = line.split(' ');
  const isJson = typeof body === 'object' && !Buffer.isBuffer(body);
  const bytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(isJson ? JSON.stringify(body) : body as string);
  const all: [string, string | readonly string[] | undefined][] = Object.entries({
    ...(key === null ? {} : { 'X-API-Key': key }),
    ...(isJson ? { 'Content-Type': 'application/json' } : {}),
    ...(bytes === undefined ? {} : { 'Content-Length': String(bytes.length) }),
    Connection: 'close',
    ...headers,
  });
  const given = all.filter((entry): entry is [string, string | string[]] => entry[1] !== undefined);
  const { hostname, port } = new URL(server.url);
  const sent = request({ hostname, port, method, path, agent: false, headers: Object.fromEntries(given) });
  sent.on('error', () => undefined);
  sent.end(bytes);
  return sent;
}
