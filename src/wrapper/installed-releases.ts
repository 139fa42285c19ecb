/**
 * The installed releases as the wrapper sees them, and the record of updates, which only the wrapper writes.
 * @module
 */
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import { isOwn } from '../process/state/state-directory.ts';
import { compareVersions } from '../update/versions/semver.ts';
import { isBad, parseVersionState, type ReleaseName, type VersionState } from '../update/versions/version-state.ts';
import { Versions } from '../update/versions/version-store.ts';

/** Number of versions kept. */
const keptVersions = 2;

export class InstalledReleases {
  readonly #versions: Versions;
  readonly #log: Log;
  /** State changes that could not be written yet. */
  #unwritten: ((state: VersionState) => VersionState)[] = [];

  constructor(stateDir: string, log: Log) {
    this.#log = log;
    this.#versions = new Versions({
      directory: Versions.directoryIn(stateDir),
      onWarning: (message, error) => log.warn(message, { error }),
    });
  }

  get state(): VersionState {
    return this.#unwritten.reduce((state, step) => step(state), this.#versions.read());
  }

  /**
   * Applies a change. A full disk must not undo a roll-back: a change that cannot be written is kept in memory until it
   * can.
   *
   * @throws ParseError where the result would be a state that cannot be read back; nothing is changed then.
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

  /** Path of the program of an installed version. */
  mainOf(version: string): string {
    return join(this.#versions.directoryOf(version), 'dist', 'cli', 'main.js');
  }

  /** `undefined` where the release has no program, or one that another user may have written. */
  available(release: ReleaseName): ReleaseName | undefined {
    if (release === null) return release;
    const isOurs = isOwn(this.mainOf(release)) && isOwn(this.#versions.directoryOf(release));
    return isOurs ? release : undefined;
  }

  /** Tidies the versions directory. Never rejects: a fault there must not keep a server from running. */
  async tidy(): Promise<void> {
    await this.#versions.clean().catch((error: unknown) => this.#log.warn('cannot tidy the versions', { error }));
  }

  /**
   * Removes unneeded versions, including failed ones, whose name and reason stay in `update.json`. A version newer than
   * `current` that did not fail was just installed and is about to be started, so it stays. Never rejects.
   *
   * @param inUse The versions that servers run from.
   */
  async prune(current: string, inUse: readonly string[]): Promise<void> {
    try {
      const { state } = this;
      const toCome = this.#versions.list()
        .filter((version) => compareVersions(version, current) > 0 && !isBad(state, version));
      await this.#versions.prune({ keep: keptVersions, inUse: [...inUse, ...toCome] });
    } catch (error) {
      this.#log.warn('cannot remove old versions', { error });
    }
  }
}
