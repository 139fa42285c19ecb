/**
 * One server process of the wrapper: started, spoken to, ended.
 * @module
 */
import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ToServer, type ToWrapper, readMessage } from '../update/link.ts';
import type { Release } from '../update/version-state.ts';
import type { Ending } from './supervise.ts';

/** What is started. */
export interface Program {
  readonly release: Release;
  /** The file that Node runs. */
  readonly main: string;
  readonly execArgv: readonly string[];
  readonly args: readonly string[];
}

type Say = ToWrapper['say'];

export class Child {
  readonly program: Program;
  /** Resolves when the process is gone, with how it went. */
  readonly ended: Promise<Ending>;
  /** Where it can be reached, and asked how it is, once it serves. */
  url: string | undefined;
  healthUrl: string | undefined;
  /** Of `performance.now()`, when it began to serve. */
  servingSince: number | undefined;
  /** Resolves when another server has taken its place. */
  readonly replaced: Promise<undefined>;
  /** It said that somebody had told it to stop. */
  wasTold = false;
  #replace: (nothing: undefined) => void = () => undefined;
  /** What it said of its own failure. */
  #complaint: string | undefined;
  /** It said that another start would end the same way. */
  hasRefused = false;
  #ending: Ending | undefined;
  /** `undefined`: there is no process. */
  readonly #worker: Worker | undefined;
  readonly #waiting: { readonly say: Say; readonly resolve: (isSaid: boolean) => void }[] = [];

  /** @param onMessage Gets what asks for something. */
  constructor(program: Program, role: 'server' | 'standby', onMessage: (message: ToWrapper) => void) {
    this.program = program;
    const { main: exec, execArgv, args, release } = program;
    // Each worker has the listening socket itself: one that is replaced lets go of it while another goes on.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec, execArgv: [...execArgv], args: [...args] });
    let failure: Error | undefined;
    try {
      this.#worker = cluster.fork();
    } catch (error) {
      // EMFILE, say.
      failure = error as Error;
    }
    const worker = this.#worker;
    this.replaced = new Promise((resolve) => { this.#replace = resolve; });
    this.ended = new Promise((resolve) => {
      const settle = (ending: Ending): void => {
        this.#ending ??= ending;
        for (const { resolve: give } of this.#waiting.splice(0)) give(false);
        resolve(this.#ending);
      };
      if (worker === undefined) return settle({ is: 'not_started', reason: failure?.message ?? '' });
      worker.once('exit', (code, signal) => settle(signal ? { is: 'killed', signal } : { is: 'exited', code }));
      // EAGAIN, ENOMEM: there is no process. Also where a message could not be sent, which its end tells by itself.
      worker.on('error', (error) => {
        if (worker.process.pid === undefined) settle({ is: 'not_started', reason: error.message });
      });
    });
    worker?.on('message', (raw) => {
      const message = readMessage<ToWrapper>(raw);
      if (message === undefined) return;
      if (message.say === 'hello') this.tell({ say: 'begin', role, release, wrapperPid: process.pid });
      if (message.say === 'failed') {
        this.#complaint = message.reason;
        this.hasRefused = message.isFinal === true;
      }
      if (message.say === 'stopping') this.wasTold = true;
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

  /** Another server has taken its place. */
  markReplaced(): void {
    this.#replace(undefined);
  }

  get isGone(): boolean {
    return this.#ending !== undefined;
  }

  /** Milliseconds since it began to serve; `undefined`: it never did. */
  get upMs(): number | undefined {
    return this.servingSince === undefined ? undefined : performance.now() - this.servingSince;
  }

  get complaint(): string | undefined {
    return this.#complaint;
  }

  tell(message: ToServer): void {
    if (this.#worker?.isConnected() === true) this.#worker.send(message, () => undefined);
  }

  /** Resolves with `true` once it says so, with `false` when it ends or the time is over. */
  async says(say: Exclude<Say, 'switch' | 'note'>, limitMs: number): Promise<boolean> {
    if (this.isGone) return false;
    const over = new AbortController();
    const said = new Promise<boolean>((resolve) => { this.#waiting.push({ say, resolve }); });
    const late = sleep(limitMs, false, { signal: over.signal }).catch(() => false);
    const isSaid = await Promise.race([said, late]);
    over.abort();
    return isSaid;
  }

  signal(signal: NodeJS.Signals): void {
    this.#worker?.process.kill(signal);
  }

  /** Told to stop, and SIGKILL when it is still there after `graceMs`. Resolves when it is gone. */
  async end(graceMs: number): Promise<Ending> {
    const overdue = setTimeout(() => this.signal('SIGKILL'), graceMs);
    if (process.platform === 'win32') this.tell({ say: 'stop' });
    else this.signal('SIGTERM');
    try {
      return await this.ended;
    } finally {
      clearTimeout(overdue);
    }
  }
}
