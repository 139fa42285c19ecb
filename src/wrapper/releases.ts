/**
 * The installed releases as the wrapper sees them, and what became of updates: it alone writes that down.
 * @module
 */
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import { isOwn } from '../process/state-directory.ts';
import { compareVersions } from '../update/version.ts';
import { isBad, parseVersionState, type Release, type VersionState } from '../update/version-state.ts';
import { Versions } from '../update/versions.ts';

/** How many versions are kept. */
const keptVersions = 2;

export class Releases {
  readonly #versions: Versions;
  readonly #log: Log;
  /** Changes of the state that could not be written yet. */
  #unwritten: ((state: VersionState) => VersionState)[] = [];

  constructor(stateDir: string, log: Log) {
    this.#log = log;
    this.#versions = new Versions({ directory: Versions.directoryIn(stateDir), onWarning: (message, error) => log.warn(message, { error }) });
  }

  get state(): VersionState {
    return this.#unwritten.reduce((state, step) => step(state), this.#versions.read());
  }

  /**
   * A disk that is full must not undo a roll-back: what cannot be written holds in memory until it can.
   *
   * @throws ParseError where the step makes a state that nobody could read: nothing has changed then.
   */
  change(step: (state: VersionState) => VersionState): void {
    parseVersionState(JSON.stringify(step(this.state)));
    const steps = [...this.#unwritten, step];
    try {
      this.#versions.change((state) => steps.reduce((before, next) => next(before), state));
      this.#unwritten = [];
    } catch (error) {
      this.#unwritten = steps;
      this.#log.error('cannot write what became of an update', { error });
    }
  }

  /** The program of an installed version. */
  mainOf(version: string): string {
    return join(this.#versions.directoryOf(version), 'dist', 'cli', 'main.js');
  }

  /** `undefined` where it has no program to run, or one that another user may have put there. */
  available(release: Release): Release | undefined {
    if (release === null) return release;
    const isOurs = isOwn(this.mainOf(release)) && isOwn(this.#versions.directoryOf(release));
    return isOurs ? release : undefined;
  }

  /** Nothing that is wrong with the versions keeps a server from running. */
  async tidy(): Promise<void> {
    await this.#versions.clean().catch((error: unknown) => this.#log.warn('cannot tidy the versions', { error }));
  }

  /**
   * Removes the versions that are not needed any more, among them those that went wrong: of these `update.json` keeps name and reason.
   * What is newer than `current` and did not go wrong was just installed, and is about to be switched to. Never rejects.
   *
   * @param inUse The versions that servers run from.
   */
  async prune(current: string, inUse: readonly string[]): Promise<void> {
    try {
      const { state } = this;
      const toCome = this.#versions.list().filter((version) => compareVersions(version, current) > 0 && !isBad(state, version));
      await this.#versions.prune({ keep: keptVersions, inUse: [...inUse, ...toCome] });
    } catch (error) {
      this.#log.warn('cannot remove old versions', { error });
    }
  }
}
