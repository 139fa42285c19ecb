/**
 * Replaces the running server by another version: starts that as a standby, hands over once it is ready, and lets the
 * old server finish its responses. Until the hand-over the old server is not touched.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { unixSeconds } from '../base/unix-seconds.ts';
import { beginProbation, type FailedAttempt, type ReleaseName } from '../update/versions/version-state.ts';
import type { InstalledReleases } from './installed-releases.ts';
import { describeEnding, type WrapperTimings, withFailureReason } from './restart-decision.ts';
import { type ServerProcess, stopMs } from './server-process.ts';

export interface VersionSwitcherOptions {
  readonly log: Log;
  readonly timing: WrapperTimings;
  readonly releases: InstalledReleases;
  /** The version of the program that was installed by hand. */
  readonly ownVersion: string;
  /** Whether two processes can share a listening socket. */
  readonly isSocketShared: boolean;
  readonly isStopping: () => boolean;
  readonly active: () => ServerProcess | undefined;
  readonly setActive: (server: ServerProcess) => void;
  readonly launch: (release: ReleaseName, role: 'server' | 'standby') => ServerProcess;
  /** Removes the versions that are not needed while this one runs. */
  readonly prune: (current: ReleaseName) => void;
  readonly record: (attempt: FailedAttempt) => void;
}

/** How long the old server, before it stops accepting, tells clients that a response is the last on its connection. */
const drainMs = 300;
/** How long the old server may take to release the jobs, and after that to finish its responses. */
const handOverMs = 15_000;
const lastAnswersMs = 45_000;
const plainAnswersMs = 5_000;
const listenMs = 5_000;

export class VersionSwitcher {
  readonly #options: VersionSwitcherOptions;
  readonly #log: Log;
  #standby: ServerProcess | undefined;
  /** Replaced servers that are finishing their responses. */
  readonly #draining = new Set<ServerProcess>();
  /** The replacement in progress. */
  #attempt: Promise<void> | undefined;
  /** Set while a new server takes over from the old one; from then on only a roll-back undoes the update. */
  #handOver: Promise<void> | undefined;

  constructor(options: VersionSwitcherOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** The server that is to take over. */
  get standby(): ServerProcess | undefined {
    return this.#standby;
  }

  /** Replaced servers that are finishing their responses. */
  get draining(): ReadonlySet<ServerProcess> {
    return this.#draining;
  }

  /** Set while a new server takes over from the old one. */
  get handOver(): Promise<void> | undefined {
    return this.#handOver;
  }

  /** Replaces the server that asks for it by an installed version. */
  async switch(old: ServerProcess, version: string): Promise<void> {
    if (old !== this.#options.active() || this.#standby !== undefined || this.#options.isStopping()) {
      return old.send({ say: 'switchFailed', reason: 'the wrapper is busy with something else' });
    }
    if (this.#options.releases.available(version) === undefined) {
      const reason = 'it was removed before it could be started; try again';
      this.#note({ version, reason, isToBlame: false });
      return old.send({ say: 'switchFailed', reason });
    }
    this.#attempt = this.#replaceBy(version, old);
    try {
      await this.#attempt;
    } finally {
      this.#attempt = undefined;
    }
  }

  /**
   * Gives up the attempt in progress, as the server that asked for it has ended. Resolves once its outcome is recorded:
   * the next server may ask for another version at once.
   */
  async abandon(): Promise<void> {
    await this.#standby?.end(stopMs);
    await this.#attempt?.catch(() => undefined);
  }

  async #replaceBy(version: string, old: ServerProcess): Promise<void> {
    const standby = this.#standby = this.#options.launch(version, 'standby');
    try {
      const isReady = await standby.waitFor('ready', this.#options.timing.readyMs);
      if (!isReady) return await this.#refuse(old, standby, this.#options.timing.readyMs);
      old.send({ say: 'drain' });
      await sleep(drainMs);
      const isShared = this.#options.isSocketShared;
      if (isShared && !await this.#listen(standby)) return await this.#refuse(old, standby, listenMs);
      if (old !== this.#options.active() || old.isGone || this.#options.isStopping()) {
        return await this.#refuse(old, standby, 0);
      }
      this.#handOver = isShared ? this.#replace(old, standby) : this.#replaceUnshared(old, standby);
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
    this.#beginProbation(standby);
    standby.send({ say: 'handingOver' });
    old.send({ say: 'handOver' });
    if (!await old.waitFor('released', handOverMs) && !old.isGone) {
      this.#log.warn('the server that is replaced does not end: it is killed', { pid: old.pid });
      await old.end(0);
    }
    standby.send({ say: 'takeOver' });
    this.#options.setActive(standby);
    this.#drain(old);
  }

  /** Marks a server as replaced and lets it finish its responses. */
  #drain(old: ServerProcess): void {
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
  async #replaceUnshared(old: ServerProcess, standby: ServerProcess): Promise<void> {
    this.#log.warn('two servers cannot share the listening socket here: '
      + 'connections are refused until the new version listens');
    const { release } = standby.program;
    await standby.end(stopMs);
    this.#beginProbation(standby);
    old.send({ say: 'handOver' });
    if (!await old.waitFor('released', handOverMs)) await old.end(0);
    // Its socket must be free: unfinished responses are cut off after `plainAnswersMs`.
    await Promise.race([old.ended, sleep(plainAnswersMs)]);
    await old.end(0);
    this.#options.setActive(this.#options.launch(release, 'server'));
    this.#drain(old);
  }

  #beginProbation(standby: ServerProcess): void {
    const version = standby.program.release;
    if (version !== null) {
      const { releases, ownVersion } = this.#options;
      releases.change((state) => beginProbation(state, version, unixSeconds(), ownVersion));
    }
  }

  /** Discards the standby, because it failed or the old server is ending; the running server was never touched. */
  async #refuse(old: ServerProcess, standby: ServerProcess, afterMs: number): Promise<void> {
    const isToBlame = old === this.#options.active() && !old.isGone && !this.#options.isStopping();
    const isLate = !standby.isGone;
    const ending = await standby.end(stopMs);
    const why = describeEnding(isLate ? { type: 'not_ready', afterMs } : ending, undefined);
    const reason = isToBlame
      ? withFailureReason(why, standby.failureReason)
      : 'the server that was to be replaced ended meanwhile';
    this.#note({ version: standby.program.release, reason, isToBlame });
    // Done before the server is told, as it may then install the next version.
    this.#options.prune(old.program.release);
    old.send({ say: 'switchFailed', reason });
  }

  #note(attempt: FailedAttempt): void {
    this.#log.error('update failed', { version: attempt.version, reason: attempt.reason });
    this.#options.record(attempt);
  }
}
