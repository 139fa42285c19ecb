/**
 * Keeps a server running: starts the current version, restarts it when it crashes, replaces it by the next version
 * while it still answers, and rolls back if that version fails. `restart-decision.ts` decides what follows the end of a
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
import { unixSeconds } from '../base/unix-seconds.ts';
import { letSessionGoFirst } from '../process/priority.ts';
import type { ToWrapper } from '../update/wrapper-link/messages.ts';
import { compareVersions, isVersion } from '../update/versions/semver.ts';
import {
  countStart, type FailedAttempt, installedByHand, markFailed, mostStarts, type ReleaseName, rollBack,
} from '../update/versions/version-state.ts';
import { ServerProcess, type ServerProgram, stopMs } from './server-process.ts';
import { HealthMonitor } from './health-monitor.ts';
import { endOrphan } from './orphan.ts';
import { InstalledReleases } from './installed-releases.ts';
import {
  decideRestart, type RestartDecision, defaultTimings, describeEnding, type Ending, withFailureReason,
  type WrapperTimings,
} from './restart-decision.ts';
import { VersionSwitcher } from './version-switcher.ts';

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

/** Between SIGTERM and SIGKILL for a server that fails its health check. */
const hungMs = 5_000;

export class Wrapper {
  readonly #options: WrapperOptions;
  readonly #log: Log;
  readonly #timing: WrapperTimings;
  readonly #releases: InstalledReleases;
  #active: ServerProcess | undefined;
  readonly #health: HealthMonitor;
  readonly #switcher: VersionSwitcher;
  #crashes = 0;
  /** See {@link EndedServer}. */
  #refusals = 0;
  #hasServed = false;
  readonly #stopping = new AbortController();

  constructor(options: WrapperOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#timing = { ...defaultTimings, ...options.timing };
    const releases = this.#releases = new InstalledReleases(options.stateDir, options.log);
    const { log } = options;
    this.#health = new HealthMonitor({
      log, timing: this.#timing, releases,
      versionOf: (server) => this.#nameOf(server.program.release),
      isInProbation: (server) => this.#isInProbation(server),
      onProven: (version) => {
        if (this.#switcher.standby === undefined) this.#prune(version);
      },
    });
    this.#switcher = new VersionSwitcher({
      log, timing: this.#timing, releases, ownVersion: options.own.version,
      isSocketShared: options.isSocketShared ?? process.platform !== 'win32',
      isStopping: () => this.#isStopping,
      active: () => this.#active,
      setActive: (server) => { this.#active = server; },
      launch: (release, role) => this.#launch(release, role),
      prune: (current) => this.#prune(current),
      record: (attempt) => this.#record(attempt),
    });
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
    for (const child of [this.#active, this.#switcher.standby, ...this.#switcher.draining]) {
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
      await this.#switcher.handOver?.catch(() => undefined);
      if (ending === undefined || child !== this.#active) continue;
      await this.#switcher.abandon();
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
    for (const child of this.#switcher.draining) await child.end(stopMs);
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
      this.#releases.change((state) => rollBack(state, decision.from, decision.reason, unixSeconds(), decision.to));
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
      const ending = await Promise.race([child.ended, child.replaced, this.#health.faultOf(child, over.signal)]);
      // A server that answers no requests will not handle SIGTERM either.
      if (ending !== undefined && !child.isGone) await child.end(ending.type === 'unhealthy' ? hungMs : stopMs);
      return ending;
    } finally {
      over.abort();
    }
  }

  /**
   * Removes the versions that neither a server nor an update needs. Their directories are renamed before it returns.
   *
   * @param current The version that runs.
   */
  #prune(current: ReleaseName): void {
    const releases = [this.#active, ...this.#switcher.draining]
      .flatMap((child) => (child === undefined || child.isGone ? [] : child.program.release ?? []));
    void this.#releases.prune(this.#nameOf(current), releases);
  }

  #record(attempt: FailedAttempt): void {
    this.#releases.change((state) => markFailed(state, attempt, unixSeconds()));
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
    this.#switcher.switch(child, message.version).catch((error: unknown) => {
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
    this.#releases.change((state) => rollBack(state, current, reason, unixSeconds(), to));
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
