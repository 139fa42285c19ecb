/**
 * A fake server that can be updated: the real routes over HTTP, and behind them only states that the test has written.
 * It goes away and comes back at the same address, as a server does that is replaced.
 *
 * @module
 */
import type { TestContext } from 'node:test';
import { createLog } from '../../src/base/log.ts';
import { createAuthenticator } from '../../src/http/auth/auth.ts';
import { type HttpServer, createHttpServer } from '../../src/http/server/listen.ts';
import type { ProblemError } from '../../src/protocol/problem.ts';
import type { LastUpdate, UpdateAnswer, UpdateRequest, UpdateState, UpdateStep } from '../../src/protocol/updates.ts';
import { updateRoutes } from '../../src/update/routes.ts';
import type { UpdateService } from '../../src/update/update-service.ts';

export const key = 'test-key';

export class FakeUpdateServer implements UpdateService {
  readonly begun: UpdateRequest[] = [];
  checks = 0;
  looks = 0;
  now: UpdateState = {
    current: '1.0.0', previous: null, wrapper: true, source: 'npm:machine-sidecar', available: null, checkError: null, progress: null,
    probation: null, lastOutcome: null, bad: [], automatic: null,
  };
  /** What each further look at the state finds, one after the other; the last one stays. */
  readonly upcoming: (Partial<UpdateState> | (() => void))[] = [];
  /** What the source says when it is asked. */
  offered: Pick<UpdateState, 'available' | 'checkError'> = { available: null, checkError: 'the registry is down' };
  answer: UpdateAnswer | ProblemError = { status: 'updating', version: '1.1.0', message: 'on its way' };
  #server: HttpServer | undefined;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  state(): UpdateState {
    this.looks += 1;
    const next = this.upcoming.shift();
    if (typeof next === 'function') next();
    else this.now = { ...this.now, ...next };
    return this.now;
  }

  async check(): Promise<void> {
    this.checks += 1;
    this.now = { ...this.now, ...this.offered };
  }

  async begin(request: UpdateRequest): Promise<UpdateAnswer> {
    this.begun.push(request);
    if (this.answer instanceof Error) throw this.answer;
    return this.answer;
  }

  async start(): Promise<void> {
    const log = createLog({ fd: 2, format: 'json', level: 'error' });
    const authenticator = createAuthenticator({ accepts: (presented) => presented === key, log });
    this.#server = createHttpServer({ log, isLoopback: true });
    this.#server.answer({ routes: updateRoutes(this), authenticator });
    this.#port = (await this.#server.listen({ host: '127.0.0.1', port: this.#port })).port;
  }

  async stop(): Promise<void> {
    await this.#server?.close({ graceMs: 0 });
    this.#server = undefined;
  }
}

/** One that runs, until the test ends. */
export async function startStub(t: TestContext): Promise<FakeUpdateServer> {
  const stub = new FakeUpdateServer();
  await stub.start();
  t.after(() => stub.stop());
  return stub;
}

export function underWay(step: UpdateStep, version: string | null = '1.1.0'): Partial<UpdateState> {
  return { progress: { version, step, startedAt: 100 } };
}

/** 1.1.0 runs and has yet to prove itself. */
export const onProbation: Partial<UpdateState> = {
  current: '1.1.0', previous: '1.0.0', progress: null, probation: { version: '1.1.0', startedAt: 200, endsAt: 260 },
};

/** 1.1.0 was to follow 1.0.0, and did not. */
export function ended(status: LastUpdate['status'], reason: string): Partial<UpdateState> {
  const [from, to] = status === 'rolled_back' ? ['1.1.0', '1.0.0'] : ['1.0.0', '1.1.0'];
  return { current: status === 'updated' ? '1.1.0' : '1.0.0', progress: null, probation: null, lastOutcome: { status, from, to, reason, at: 300 } };
}
