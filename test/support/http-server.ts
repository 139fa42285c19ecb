/**
 * An HTTP server with routes of the tests on port 0, and raw sockets to it, which send exactly what is written.
 *
 * @module
 */
import { connect, type Socket } from 'node:net';
import { openSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Log, createLog } from '../../src/base/log.ts';
import { array, integer, object, optional, repeated, text, fromText } from '../../src/base/parse.ts';
import { createAuthenticator } from '../../src/http/auth/auth.ts';
import { type RoutingOptions, type HttpServerOptions, type Measurement, createHttpServer } from '../../src/http/server/listen.ts';
import { type Reply, events, json, stream } from '../../src/http/routing/reply.ts';
import { type Opened, type Request, type Route, bind, bindWebSocket } from '../../src/http/routing/route.ts';
import { type EndpointOptions, type Method, type PathParams, endpoint, webSocketEndpoint } from '../../src/protocol/endpoint.ts';
import { ProblemError } from '../../src/protocol/problem.ts';
import type { WebSocketLimits } from '../../src/websocket/connection.ts';

export const key = 'the-key-of-the-tests';

export interface Served {
  readonly port: number;
  readonly seen: { calls: number; signal?: AbortSignal; last?: Request };
  readonly measured: Measurement[];
  readonly logged: () => string;
  readonly close: (graceMs?: number) => Promise<void>;
  /** Sends text, returns all that came until the server closed or `until` is in it. */
  readonly talk: (sent: string | Buffer, until?: RegExp) => Promise<string>;
  /** The same with a whole request: adds host and key; closes afterwards. */
  readonly ask: (line: string, headers?: string[], body?: string | Buffer) => Promise<Answer>;
  readonly open: () => Promise<Wire>;
}

export interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly text: string;
  readonly problem: { code: string; detail: string; error: string; status: number; title: string; type: string };
}

type Documented = Pick<EndpointOptions<unknown, unknown, unknown>, 'summary' | 'headers' | 'problems' | 'answers'>;
type RouteOptions<Query, Body> = Pick<EndpointOptions<Query, Body, unknown>, 'access' | 'isVital' | 'query' | 'body'> & { readonly documentation: Documented };

/** An endpoint and its handler in one. */
export function route<const P extends string, Query = unknown, Body = unknown>(
  method: Method, path: P, { documentation: documented, ...options }: RouteOptions<Query, Body>,
  handle: (request: Request<PathParams<P>, Query, Body>) => Reply | Promise<Reply>,
): Route {
  return bind(endpoint<P, Query, Body, unknown>(method, path, { ...documented, ...options }), handle);
}

export function webSocket<const P extends string, Query = unknown>(
  path: P,
  { documentation: documented, limits, ...options }: Pick<EndpointOptions<Query, unknown, never>, 'access' | 'query' | 'protocols'> & {
    readonly limits?: Partial<WebSocketLimits>; readonly documentation: Omit<Documented, 'answers'>;
  },
  open: (request: Request<PathParams<P>, Query>) => Opened | Promise<Opened>,
): Route {
  return bindWebSocket(webSocketEndpoint(path, { ...documented, ...options }), open, limits);
}

const documentation = { summary: 'For tests', answers: { 200: { description: 'Whatever it is' } } };

export function testRoutes(seen: Served['seen'], more: readonly Route[] = []): Route[] {
  const count = (request: object): void => { seen.calls += 1; seen.last = request as Request; };
  const echo = (request: { body: unknown; query: unknown; params: unknown }): Reply => {
    count(request);
    return json(200, { body: request.body, query: request.query, params: request.params });
  };
  return [
    route('GET', '/health', { access: 'public', documentation }, (request) => json(200, { authenticated: request.isAuthenticated })),
    route('GET', '/things/:id', { documentation }, echo),
    route('GET', '/things/:id/part/:part', { documentation }, echo),
    route('GET', '/things/special', { documentation }, () => json(200, 'special')),
    route('DELETE', '/things/:id', { documentation }, echo),
    route('GET', '/query', {
      query: object({ a: optional(text()), n: optional(fromText(integer({ min: 0, max: 9 }))), list: optional(repeated(text(), { max: 3 })) }),
      documentation,
    }, echo),
    route('POST', '/echo', { body: object({ a: optional(text()), deep: optional(array(text(), { max: 5 })) }), documentation }, echo),
    route('POST', '/required', { body: object({ a: text() }), documentation }, echo),
    route('POST', '/raw', { body: 'raw', documentation }, (request) => { count(request); return json(200, { bytes: request.bodyBytes.length }); }),
    route('POST', '/none', { documentation }, echo),
    route('GET', '/bug', { documentation }, () => { throw new Error('secret inside', { cause: new Error('the cause') }); }),
    route('GET', '/problem', { documentation }, () => {
      throw new ProblemError('too_many_jobs', 'Cannot start: full', { headers: { 'Retry-After': '7' }, extensions: { waiting: 3 } });
    }),
    route('GET', '/wait', { documentation }, async (request) => {
      seen.signal = request.signal;
      await new Promise((_, reject) => {
        request.signal.addEventListener('abort', () => reject(request.signal.reason as Error));
      });
      return json(200, {});
    }),
    route('GET', '/late', { documentation }, async () => { await delay(150); return json(200, { late: true }); }),
    route('GET', '/torn', { documentation }, () => stream(200, {}, async (sink) => {
      await sink.write('begun');
      await delay(30);
      throw new Error('torn apart');
    })),
    route('GET', '/short', { documentation }, () => stream(200, { 'Content-Length': 10 }, (sink) => sink.write('12345'))),
    route('GET', '/flood', { documentation }, () => stream(200, {}, async (sink) => {
      seen.signal = sink.signal;
      for (seen.calls = 0; seen.calls < 4096; seen.calls += 1) await sink.write(Buffer.alloc(65_536, 'x'));
    })),
    route('GET', '/events', { documentation }, () => events(async (sink) => {
      seen.signal = sink.signal;
      await sink.send({ event: 'first', id: '1-0', data: { text: 'a\nb' } });
      await new Promise<void>((resolve) => { sink.signal.addEventListener('abort', () => resolve()); });
    })),
    ...more,
  ];
}

export async function serve(t: TestContext, { routes, tickets, ...options }: Partial<HttpServerOptions & RoutingOptions> = {}): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'sidecar-http-'));
  // Never closed: what ends later than the server may still tell of it, and must not write to whoever has that number by then.
  const fd = openSync(join(folder, 'log'), 'a');
  const log: Log = createLog({ fd, format: 'json', level: 'debug' });
  const seen: Served['seen'] = { calls: 0 };
  const measured: Measurement[] = [];
  const server = createHttpServer({
    log, isLoopback: true,
    observe: (measurement) => measured.push(measurement),
    ...options,
    limits: { lingerMs: 200, ...options.limits },
  });
  const authenticator = createAuthenticator({ accepts: (presented) => presented === key, log, maxDelayMs: 100 });
  server.answer({ routes: routes ?? testRoutes(seen), authenticator, ...(tickets ? { tickets } : {}) });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const close = (graceMs = 0): Promise<void> => server.close({ graceMs });
  const wires: Wire[] = [];
  t.after(async () => {
    for (const wire of wires) wire.socket.destroy();
    await close();
    await log.flush();
    rmSync(folder, { recursive: true });
  });
  const open = async (): Promise<Wire> => {
    const wire = await dial(port);
    wires.push(wire);
    return wire;
  };
  const talk = async (sent: string | Buffer, until?: RegExp): Promise<string> => {
    const wire = await open();
    wire.socket.write(sent);
    const received = await (until ? wire.until(until) : wire.end());
    wire.socket.destroy();
    return received;
  };
  const ask: Served['ask'] = async (line, headers = [], body = '') => {
    const bytes = Buffer.from(body);
    const own = headers.map((header) => header.toLowerCase());
    const lines = [
      `${line} HTTP/1.1`,
      ...(own.some((header) => header.startsWith('host:')) ? [] : ['Host: localhost']),
      ...(own.some((header) => /^(x-api-key|authorization):/.test(header)) ? [] : [`X-API-Key: ${key}`]),
      ...(bytes.length > 0 && !own.some((header) => header.startsWith('transfer-encoding:')) ? [`Content-Length: ${bytes.length}`] : []),
      'Connection: close',
      ...headers,
    ];
    return parseAnswer(await talk(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), bytes])));
  };
  return { port, seen, measured, logged: () => readFileSync(join(folder, 'log'), 'utf8'), close, talk, ask, open };
}

export interface Wire {
  readonly socket: Socket;
  readonly received: () => string;
  /** Waits for it to come; what came so far when the connection ends. */
  readonly until: (pattern: RegExp) => Promise<string>;
  readonly end: () => Promise<string>;
}

export async function dial(port: number): Promise<Wire> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let received = '';
  let isEnded = false;
  let wake = (): void => undefined;
  socket.on('data', (chunk) => { received += chunk.toString('latin1'); wake(); });
  socket.on('end', () => { isEnded = true; socket.end(); wake(); });
  socket.on('close', () => { isEnded = true; wake(); });
  socket.on('error', () => undefined);
  await new Promise((resolve, reject) => { socket.once('connect', resolve).once('error', reject); });
  const wait = async (isDone: () => boolean): Promise<string> => {
    while (!isDone() && !isEnded) await new Promise<void>((resolve) => { wake = resolve; });
    return received;
  };
  return { socket, received: () => received, until: (pattern) => wait(() => pattern.test(received)), end: () => wait(() => false) };
}

export function parseAnswer(received: string): Answer {
  const end = received.indexOf('\r\n\r\n');
  const [line = '', ...lines] = received.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(lines.map((header) => {
    const colon = header.indexOf(':');
    return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()];
  }));
  const body = received.slice(end + 4);
  const isProblem = headers['content-type'] === 'application/problem+json' && body !== '';
  return { status: Number(line.split(' ')[1] ?? 0), headers, text: body, problem: isProblem ? JSON.parse(body) as Answer['problem'] : {} as Answer['problem'] };
}

/** Waits until it is so, for at most five seconds. */
export async function eventually(isSo: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !isSo(); waited += 10) {
    if (waited > 5000) throw new Error(`never happened: ${what}`);
    await delay(10);
  }
}
