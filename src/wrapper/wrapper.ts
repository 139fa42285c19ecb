/**
 * Keeps a server running: starts the current version, restarts it when it crashes, replaces it by the next version
 * while it still answers, and rolls back if that version fails. `supervise.ts` decides what follows the end of a
 * server; `../update/wrapper-link/messages.ts` defines the messages between the two processes.
 *
 * The wrapper is the only part that cannot be replaced while it runs, so it is small and starts nothing but servers.
 *
 * - Started by: the user or the service manager, with `sidecar serve --wrapper`.
 * - Talks by: Node's IPC with its servers, and `update.json` in the state directory, which it alone writes.
 * - Outlives: each of its servers. A server outlives a wrapper that was killed, until the next wrapper ends it.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { letSessionGoFirst } from '../process/priority.ts';
import type { ToWrapper } from '../update/wrapper-link/messages.ts';
import { compareVersions, isVersion } from '../update/versions/semver.ts';
import {
  beginProbation, confirm, countStart, type FailedAttempt, installedByHand, markFailed, mostStarts, type ReleaseName,
  rollBack,
} from '../update/versions/version-state.ts';
import { ServerProcess, type ServerProgram } from './server-process.ts';
import { checkHealth } from './health-check.ts';
import { endOrphan } from './orphan.ts';
import { InstalledReleases } from './installed-releases.ts';
import {
  decideRestart, type RestartDecision, defaultTimings, describeEnding, type Ending, probationEnds, type WrapperTimings,
} from './restart-decision.ts';
import { watchEventLoop } from './watchdog.ts';

export interface WrapperOptions {
  readonly stateDir: string;
  /** The program that was installed by hand. */
  readonly own: { readonly version: string; readonly main: string; readonly execArgv: readonly string[] };
  /** Arguments of every server: `serve` and its flags. */
  readonly args: readonly string[];
  readonly log: Log;
  readonly timing?: Partial<WrapperTimings>;
  /** Whether two processes can share a listening socket. Default: true, except on Windows. */
  readonly isSocketShared?: boolean;
}

/** How long the old server, before it stops accepting, tells clients that a response is the last on its connection. */
const drainMs = 300;
/** How long the old server may take to release the jobs, and after that to finish its responses. */
const handOverMs = 15_000;
const lastAnswersMs = 45_000;
const plainAnswersMs = 5_000;
const listenMs = 5_000;
const stopMs = 20_000;
const healthEveryMs = 1_000;
const healthMs = 5_000;
/** Between SIGTERM and SIGKILL for a server that fails its health check. */
const hungMs = 5_000;
/** Failed checks in a row that count as a fault. */
const healthFailures = 3;
/** Factor on `readyMs` for a proven version, as it may have to read a hundred thousand jobs. */
const readyFactor = 20;

export class Wrapper {
  readonly #options: WrapperOptions;
  readonly #log: Log;
  readonly #timing: WrapperTimings;
  readonly #releases: InstalledReleases;
  #active: ServerProcess | undefined;
  #standby: ServerProcess | undefined;
  /** Replaced servers that are finishing their responses. */
  readonly #draining = new Set<ServerProcess>();
  /** Set while a new server takes over from the old one; from then on only a roll-back undoes the update. */
  #handOver: Promise<void> | undefined;
  #crashes = 0;
  /** See {@link EndedServer}. */
  #refusals = 0;
  #hasServed = false;
  readonly #stopping = new AbortController();

  constructor(options: WrapperOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#timing = { ...defaultTimings, ...options.timing };
    this.#releases = new InstalledReleases(options.stateDir, options.log);
  }

  /**
   * Resolves with the exit code when the wrapper was told to stop, or its server has stopped on purpose or reports that
   * it cannot serve until a person changes something.
   *
   * @throws LockHeldError where a server without a wrapper has the state directory.
   */
  async run(): Promise<number> {
    letSessionGoFirst();
    await endOrphan(this.#options.stateDir, this.#log);
    await this.#releases.tidy();
    let release = this.#firstRelease();
    this.#prune(release);
    while (!this.#isStopping) {
      const child = this.#active = this.#launch(release, 'server');
      const decision = await this.#supervise(child);
      if (decision.type === 'stop') return decision.exitCode;
      release = await this.#prepare(decision, this.#active.program.release);
    }
    return 0;
  }

  /** Ends all servers, so that `run` returns. May be called repeatedly. */
  stop(): void {
    this.#stopping.abort();
    for (const child of [this.#active, this.#standby, ...this.#draining]) {
      if (child !== undefined && !child.isGone) void child.end(stopMs);
    }
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Supervises the active server, and each that replaces it without a gap, until one ends. @returns The decision. */
  async #supervise(first: ServerProcess): Promise<RestartDecision> {
    for (let child = first; ; child = this.#active ?? first) {
      const ending = await this.#endOf(child);
      await this.#handOver?.catch(() => undefined);
      if (ending === undefined || child !== this.#active) continue;
      await this.#standby?.end(stopMs);
      return this.#decide(child, ending);
    }
  }

  #decide(child: ServerProcess, ending: Ending): RestartDecision {
    const state = this.#releases.state;
    const { release } = child.program;
    const isInProbation = this.#isInProbation(child);
    const upMs = child.upMs;
    this.#hasServed ||= upMs !== undefined;
    this.#refusals = child.hasRefused ? this.#refusals + 1 : 0;
    const decision = decideRestart({
      ending, version: release, isInProbation, isStopping: this.#isStopping,
      wasToldToStop: child.wasToldToStop, upMs, crashes: this.#crashes,
      // The program that was installed by hand is always available.
      previous: isInProbation ? this.#releases.available(state.previous) ?? null : undefined,
      next: this.#releases.available(state.current),
      refusals: this.#refusals, hasServed: this.#hasServed,
    }, { random: Math.random, timing: this.#timing });
    const facts = {
      pid: child.pid,
      version: this.#nameOf(release),
      why: withFailureReason(describeEnding(ending, upMs), child.failureReason),
    };
    switch (decision.type) {
      case 'stop':
        if (child.hasRefused) this.#log.error('server cannot serve: it is not started again', facts);
        else this.#log.info('server stopped', facts);
        break;
      case 'switch':
        this.#log.info('server has been replaced', { ...facts, next: this.#nameOf(decision.to) });
        break;
      case 'restart':
        this.#log.error('server crashed: it is started again', {
          ...facts,
          crashes: decision.crashes,
          afterMs: Math.round(decision.afterMs),
        });
        break;
      case 'roll_back':
        this.#log.error('version went wrong: going back', { ...facts, to: this.#nameOf(decision.to) });
        break;
    }
    if (decision.type !== 'roll_back') return decision;
    return { ...decision, reason: withFailureReason(decision.reason, child.failureReason) };
  }

  /** Gets ready for the next start. @returns The release to start. */
  async #prepare(decision: Exclude<RestartDecision, { type: 'stop' }>, release: ReleaseName): Promise<ReleaseName> {
    // They may hold the state directory until they are gone.
    for (const child of this.#draining) await child.end(stopMs);
    await endOrphan(this.#options.stateDir, this.#log)
      .catch((error: unknown) => this.#log.error('another server has the state directory', { error }));
    if (decision.type === 'restart') {
      this.#crashes = decision.crashes;
      await sleep(decision.afterMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      await this.#releases.tidy();
      // The current version may have been removed by hand.
      return this.#releases.available(release) === undefined ? null : release;
    }
    this.#crashes = 0;
    if (decision.type === 'roll_back') {
      this.#releases.change((state) => rollBack(state, decision.from, decision.reason, seconds(), decision.to));
    }
    this.#prune(decision.to);
    return decision.to;
  }

  /**
   * Resolves once the server has ended, after ending it if it is faulty; with `undefined` if another one has replaced
   * it.
   */
  async #endOf(child: ServerProcess): Promise<Ending | undefined> {
    const over = new AbortController();
    try {
      const ending = await Promise.race([child.ended, child.replaced, this.#faultOf(child, over.signal)]);
      // A server that answers no requests will not handle SIGTERM either.
      if (ending !== undefined && !child.isGone) await child.end(ending.type === 'unhealthy' ? hungMs : stopMs);
      return ending;
    } finally {
      over.abort();
    }
  }

  /** Resolves with the fault of a running server; never if it has no fault. */
  async #faultOf(child: ServerProcess, signal: AbortSignal): Promise<Ending> {
    const isNew = this.#isInProbation(child);
    const limitMs = this.#timing.readyMs * (isNew ? 1 : readyFactor);
    if (child.servingSince === undefined && !await child.waitFor('serving', limitMs)) {
      if (!child.isGone && !signal.aborted) return { type: 'not_ready', afterMs: limitMs };
      return never();
    }
    if (!signal.aborted) {
      this.#log.info('server runs', { pid: child.pid, version: this.#nameOf(child.program.release), url: child.url });
    }
    const fault = isNew ? await this.#prove(child, signal) : undefined;
    if (fault !== undefined) return fault;
    const { watchEveryMs, watchLimitMs } = this.#timing;
    const reason = await watchEventLoop({
      checkHealth: () => checkHealth(child.healthUrl ?? '', watchLimitMs),
      everyMs: watchEveryMs,
      signal,
    });
    return reason === undefined ? never() : { type: 'unhealthy', reason };
  }

  /** Checks a new version repeatedly. Resolves with its fault, or with `undefined` once it has passed its probation. */
  async #prove(child: ServerProcess, signal: AbortSignal): Promise<Ending | undefined> {
    const endsAt = probationEnds(
      this.#releases.state,
      { wall: seconds(), monotonicMs: performance.now() },
      this.#timing,
    ) ?? 0;
    for (let failures = 0; ;) {
      const finding = await checkHealth(child.healthUrl ?? '', healthMs);
      if (signal.aborted) return undefined;
      const leftMs = endsAt - performance.now();
      if (finding.type === 'healthy') failures = 0;
      // Inconclusive checks are tolerated for a while, but a version that was never seen healthy has not proven itself.
      else if (finding.type === 'unhealthy' || leftMs < -this.#timing.probationMs) failures += 1;
      if (finding.type !== 'healthy' && failures >= healthFailures) return { type: 'unhealthy', reason: finding.why };
      if (leftMs <= 0 && finding.type === 'healthy') break;
      await sleep(Math.min(healthEveryMs, Math.max(50, leftMs)), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return undefined;
    }
    const version = child.program.release;
    if (version === null) return undefined;
    this.#releases.change((state) => confirm(state, version, seconds()));
    this.#log.info('version has proven itself', { version });
    if (this.#standby === undefined) this.#prune(version);
    return undefined;
  }

  /** Replaces the server that asks for it by an installed version. */
  async #switch(old: ServerProcess, version: string): Promise<void> {
    if (old !== this.#active || this.#standby !== undefined || this.#isStopping) {
      return old.send({ say: 'switchFailed', reason: 'the wrapper is busy with something else' });
    }
    if (this.#releases.available(version) === undefined) {
      const reason = 'it was removed before it could be started; try again';
      this.#note({ version, reason, isToBlame: false });
      return old.send({ say: 'switchFailed', reason });
    }
    const standby = this.#standby = this.#launch(version, 'standby');
    try {
      const isReady = await standby.waitFor('ready', this.#timing.readyMs);
      if (!isReady) return await this.#refuse(old, standby, this.#timing.readyMs);
      old.send({ say: 'drain' });
      await sleep(drainMs);
      const isShared = this.#options.isSocketShared ?? process.platform !== 'win32';
      if (isShared && !await this.#listen(standby)) return await this.#refuse(old, standby, listenMs);
      if (old !== this.#active || old.isGone || this.#isStopping) return await this.#refuse(old, standby, 0);
      this.#handOver = isShared ? this.#replace(old, standby) : this.#replacePlainly(old, standby);
      await this.#handOver;
    } finally {
      this.#standby = undefined;
      this.#handOver = undefined;
    }
  }

  #listen(standby: ServerProcess): Promise<boolean> {
    standby.send({ say: 'listen' });
    return standby.waitFor('listening', listenMs);
  }

  /** Hands over from the old server to the new one. */
  async #replace(old: ServerProcess, standby: ServerProcess): Promise<void> {
    this.#begin(standby);
    standby.send({ say: 'handingOver' });
    old.send({ say: 'handOver' });
    if (!await old.waitFor('released', handOverMs) && !old.isGone) {
      this.#log.warn('the server that is replaced does not end: it is killed', { pid: old.pid });
      await old.end(0);
    }
    standby.send({ say: 'takeOver' });
    this.#active = standby;
    this.#leave(old);
  }

  /** Marks a server as replaced and lets it finish its responses. */
  #leave(old: ServerProcess): void {
    old.markReplaced();
    if (old.isGone) return;
    this.#draining.add(old);
    const overdue = setTimeout(() => old.signal('SIGKILL'), lastAnswersMs);
    void old.ended.then(() => {
      clearTimeout(overdue);
      this.#draining.delete(old);
    });
  }

  /** Where two processes cannot share a socket: ends the old server, then starts the new one. */
  async #replacePlainly(old: ServerProcess, standby: ServerProcess): Promise<void> {
    this.#log.warn('two servers cannot share the listening socket here: '
      + 'connections are refused until the new version listens');
    const { release } = standby.program;
    await standby.end(stopMs);
    this.#begin(standby);
    old.send({ say: 'handOver' });
    if (!await old.waitFor('released', handOverMs)) await old.end(0);
    // Its socket must be free: unfinished responses are cut off after `plainAnswersMs`.
    await Promise.race([old.ended, sleep(plainAnswersMs)]);
    await old.end(0);
    this.#active = this.#launch(release, 'server');
    this.#leave(old);
  }

  #begin(standby: ServerProcess): void {
    const version = standby.program.release;
    if (version !== null) {
      this.#releases.change((state) => beginProbation(state, version, seconds(), this.#options.own.version));
    }
  }

  /** Discards the standby, because it failed or the old server is ending; the running server was never touched. */
  async #refuse(old: ServerProcess, standby: ServerProcess, afterMs: number): Promise<void> {
    const isToBlame = old === this.#active && !old.isGone && !this.#isStopping;
    const isLate = !standby.isGone;
    const ending = await standby.end(stopMs);
    const why = describeEnding(isLate ? { type: 'not_ready', afterMs } : ending, undefined);
    const reason = isToBlame
      ? withFailureReason(why, standby.failureReason)
      : 'the server that was to be replaced ended meanwhile';
    this.#note({ version: standby.program.release, reason, isToBlame });
    // Done before the server is told, as it may then install the next version.
    this.#prune(old.program.release);
    old.send({ say: 'switchFailed', reason });
  }

  /**
   * Removes the versions that neither a server nor an update needs. Their directories are renamed before it returns.
   *
   * @param current The version that runs.
   */
  #prune(current: ReleaseName): void {
    const releases = [this.#active, ...this.#draining]
      .flatMap((child) => (child === undefined || child.isGone ? [] : child.program.release ?? []));
    void this.#releases.prune(this.#nameOf(current), releases);
  }

  #note(attempt: FailedAttempt): void {
    this.#log.error('update failed', { version: attempt.version, reason: attempt.reason });
    this.#record(attempt);
  }

  #record(attempt: FailedAttempt): void {
    this.#releases.change((state) => markFailed(state, attempt, seconds()));
  }

  #launch(release: ReleaseName, role: 'server' | 'standby'): ServerProcess {
    const child: ServerProcess = new ServerProcess(
      this.#programOf(release), role, (message) => this.#handleMessage(child, message),
    );
    this.#log.debug('server process started', { pid: child.pid, version: this.#nameOf(release), role });
    return child;
  }

  /** Handles a message; an invalid one from a server must not harm the wrapper. */
  #handleMessage(child: ServerProcess, message: ToWrapper): void {
    if (message.say === 'note' && child === this.#active && isAttempt(message.attempt)) this.#record(message.attempt);
    if (message.say !== 'switch') return;
    if (!isVersion(message.version)) return child.send({ say: 'switchFailed', reason: 'that is no version' });
    this.#switch(child, message.version).catch((error: unknown) => {
      this.#log.error('update failed', { error });
      child.send({ say: 'switchFailed', reason: 'the wrapper failed; its log says why' });
    });
  }

  #programOf(release: ReleaseName): ServerProgram {
    const { own: { main, execArgv }, args } = this.#options;
    return release === null
      ? { release, main, execArgv, args }
      : { release, main: this.#releases.mainOf(release), execArgv: [], args };
  }

  #firstRelease(): ReleaseName {
    const { current, own } = this.#releases.state;
    if (current === null) return null;
    const isOwnNewer = compareVersions(this.#options.own.version, current) > 0 && this.#options.own.version !== own;
    if (this.#releases.available(current) !== undefined && !isOwnNewer) return this.#countStart(current);
    if (!isOwnNewer) {
      this.#log.warn(
        'the current version is not there any more: the one that was installed by hand runs',
        { version: current },
      );
    }
    this.#releases.change(installedByHand);
    return null;
  }

  /**
   * Counts a start. A new version may crash its wrapper or the whole machine, so too many starts in probation roll it
   * back.
   */
  #countStart(current: string): ReleaseName {
    this.#releases.change(countStart);
    const { probation, previous } = this.#releases.state;
    if (probation === null || (probation.starts ?? 0) < mostStarts) return current;
    const to = this.#releases.available(previous) ?? null;
    const reason = `the wrapper was started ${mostStarts} times before it had proven itself`;
    this.#log.error('version went wrong: going back', { version: current, why: reason, to: this.#nameOf(to) });
    this.#releases.change((state) => rollBack(state, current, reason, seconds(), to));
    return to;
  }

  #isInProbation({ program: { release } }: ServerProcess): boolean {
    return release !== null && this.#releases.state.probation?.version === release;
  }

  #nameOf(release: ReleaseName): string {
    return release ?? this.#options.own.version;
  }
}

/** Checks a failed attempt, as a server of another version may report it. */
function isAttempt(attempt: FailedAttempt | undefined): attempt is FailedAttempt {
  const { version, reason, isToBlame } = attempt ?? {};
  return (version === null || (typeof version === 'string' && isVersion(version)))
    && typeof reason === 'string' && typeof isToBlame === 'boolean';
}

/** Adds the reason that the server itself gave. */
function withFailureReason(reason: string, failureReason: string | undefined): string {
  return failureReason === undefined ? reason : `${reason}: ${failureReason}`;
}

function seconds(): number {
  return Date.now() / 1000;
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
