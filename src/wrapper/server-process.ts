/**
 * Starts one server process of the wrapper, exchanges messages with it and ends it.
 * @module
 */
import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ToServer, type ToWrapper, readMessage } from '../update/wrapper-link/messages.ts';
import type { ReleaseName } from '../update/versions/version-state.ts';
import type { Ending } from './restart-decision.ts';

/** The program of a server process. */
export interface ServerProgram {
  readonly release: ReleaseName;
  /** The file that Node runs. */
  readonly main: string;
  readonly execArgv: readonly string[];
  readonly args: readonly string[];
}

type MessageName = ToWrapper['say'];

/** How long a server may take to stop before it is killed. */
export const stopMs = 20_000;

export class ServerProcess {
  readonly program: ServerProgram;
  /** Resolves with the way the process ended, once it is gone. */
  readonly ended: Promise<Ending>;
  /** The addresses of the server and of its health check; `undefined` until it serves. */
  url: string | undefined;
  healthUrl: string | undefined;
  /** Value of `performance.now()` when it began to serve. */
  servingSince: number | undefined;
  /** Resolves when another server has replaced it. */
  readonly replaced: Promise<undefined>;
  /** The server reported that it was told to stop. */
  wasToldToStop = false;
  #replace: (value: undefined) => void = () => undefined;
  /** The reason that the server gave for its own failure. */
  #failureReason: string | undefined;
  /** The server reported that a restart would fail in the same way. */
  hasRefused = false;
  #ending: Ending | undefined;
  /** `undefined`: the process could not be started. */
  readonly #worker: Worker | undefined;
  readonly #waiting: { readonly say: MessageName; readonly resolve: (isSent: boolean) => void }[] = [];

  /** @param onMessage Called with every message of the server, after the child has handled it. */
  constructor(program: ServerProgram, role: 'server' | 'standby', onMessage: (message: ToWrapper) => void) {
    this.program = program;
    const { main: exec, execArgv, args, release } = program;
    // SCHED_NONE: each worker accepts on the shared listening socket itself, so one can close it while another keeps
    // serving.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec, execArgv: [...execArgv], args: [...args] });
    let failure: Error | undefined;
    try {
      this.#worker = cluster.fork();
    } catch (error) {
      // For example EMFILE.
      failure = error as Error;
    }
    const worker = this.#worker;
    this.replaced = new Promise((resolve) => { this.#replace = resolve; });
    this.ended = new Promise((resolve) => {
      const settle = (ending: Ending): void => {
        this.#ending ??= ending;
        for (const { resolve: settleWait } of this.#waiting.splice(0)) settleWait(false);
        resolve(this.#ending);
      };
      if (worker === undefined) return settle({ type: 'not_started', reason: failure?.message ?? '' });
      worker.once('exit', (code, signal) => settle(signal ? { type: 'killed', signal } : { type: 'exited', code }));
      // Without a pid: EAGAIN or ENOMEM, no process was started. With one: a message could not be sent; `exit` covers
      // that.
      worker.on('error', (error) => {
        if (worker.process.pid === undefined) settle({ type: 'not_started', reason: error.message });
      });
    });
    worker?.on('message', (raw) => {
      const message = readMessage<ToWrapper>(raw);
      if (message === undefined) return;
      if (message.say === 'hello') this.send({ say: 'begin', role, release, wrapperPid: process.pid });
      if (message.say === 'failed') {
        this.#failureReason = message.reason;
        this.hasRefused = message.isFinal === true;
      }
      if (message.say === 'stopping') this.wasToldToStop = true;
      if (message.say === 'serving') {
        this.url = message.url;
        this.healthUrl = message.healthUrl;
        this.servingSince = performance.now();
      }
      onMessage(message);
      const said = this.#waiting.filter(({ say }) => say === message.say);
      for (const one of said) {
        this.#waiting.splice(this.#waiting.indexOf(one), 1);
        one.resolve(true);
      }
    });
  }

  get pid(): number | undefined {
    return this.#worker?.process.pid;
  }

  /** Records that another server has replaced this one. */
  markReplaced(): void {
    this.#replace(undefined);
  }

  get isGone(): boolean {
    return this.#ending !== undefined;
  }

  /** Milliseconds since it began to serve; `undefined` if it never did. */
  get upMs(): number | undefined {
    return this.servingSince === undefined ? undefined : performance.now() - this.servingSince;
  }

  get failureReason(): string | undefined {
    return this.#failureReason;
  }

  send(message: ToServer): void {
    if (this.#worker?.isConnected() === true) this.#worker.send(message, () => undefined);
  }

  /** Resolves with `true` when the server sends that message, with `false` when it ends or `limitMs` is over. */
  async waitFor(say: Exclude<MessageName, 'switch' | 'note'>, limitMs: number): Promise<boolean> {
    if (this.isGone) return false;
    const over = new AbortController();
    const sent = new Promise<boolean>((resolve) => { this.#waiting.push({ say, resolve }); });
    const late = sleep(limitMs, false, { signal: over.signal }).catch(() => false);
    const isSent = await Promise.race([sent, late]);
    over.abort();
    return isSent;
  }

  signal(signal: NodeJS.Signals): void {
    this.#worker?.process.kill(signal);
  }

  /** Tells the server to stop, and kills it (SIGKILL) if it still runs after `graceMs`. Resolves when it is gone. */
  async end(graceMs: number): Promise<Ending> {
    const overdue = setTimeout(() => this.signal('SIGKILL'), graceMs);
    if (process.platform === 'win32') this.send({ say: 'stop' });
    else this.signal('SIGTERM');
    try {
      return await this.ended;
    } finally {
      clearTimeout(overdue);
    }
  }
}
