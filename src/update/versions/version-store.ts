/**
 * The versions directory: one unpacked release in each `versions/<version>/`, and `update.json` with their state.
 *
 * A directory cannot be renamed over one that is not empty (rename(2): ENOTEMPTY). So an existing copy of a version is
 * first renamed to `.replaced-<version>`, a name that still counts as that version: after either of the two renames,
 * one complete copy has a name, {@link Versions.directoryOf} gives it, and the next start puts it in its place.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { errorCode } from '../../base/error-code.ts';
import { makeFolder } from '../../base/files/make-folder.ts';
import { ParseError } from '../../base/parse.ts';
import { readRegular, UntrustedFileError } from '../../base/files/untrusted-file.ts';
import { isAliveNow, isPidAlive, readStat } from '../../process/identity.ts';
import { removeFolder } from '../../process/state/trash.ts';
import { compareVersions, isVersion } from './semver.ts';
import { syncFolder } from '../archive/write-entries.ts';
import {
  noVersions, parseVersionState, type PruneOptions, removableVersions, type VersionState,
} from './version-state.ts';

export interface VersionsOptions {
  /** Made if missing. */
  readonly directory: string;
  readonly onWarning: (message: string, error: unknown) => void;
}

const replaced = '.replaced-';
const maxStateBytes = 2 ** 20;
/** Tells this process from an earlier one with the same pid, as after every start of a container. */
const mark = readStat(process.pid)?.startTime ?? randomBytes(6).toString('hex');
let count = 0;

/** One program at a time may change it (the wrapper, or the server without one); any may read. */
export class Versions {
  readonly #directory: string;
  readonly #file: string;
  readonly #onWarning: VersionsOptions['onWarning'];
  /** The state that was read last, used while the file cannot be read. */
  #last: VersionState = noVersions;

  constructor({ directory, onWarning }: VersionsOptions) {
    this.#directory = directory;
    this.#file = join(directory, 'update.json');
    this.#onWarning = onWarning;
  }

  /** The versions directory of a state directory. */
  static directoryIn(stateDir: string): string {
    return join(stateDir, 'versions');
  }

  /**
   * The content of `update.json`. An invalid file is reported, renamed to `update.json.bad`, and treated as missing.
   */
  read(): VersionState {
    try {
      // A failing open takes ten times as long, and `/health` reads the state each time.
      if (lstatSync(this.#file, { throwIfNoEntry: false }) === undefined) return this.#last = noVersions;
      this.#last = parseVersionState(readRegular(this.#file, maxStateBytes).toString());
    } catch (error) {
      this.#last = this.#withoutFile(error);
    }
    return this.#last;
  }

  /**
   * Reads, changes and writes the state, within one turn of the event loop.
   *
   * @throws The error of the file system; nothing has changed then.
   */
  change(step: (state: VersionState) => VersionState): VersionState {
    const before = this.read();
    const after = step(before);
    if (after === before) return before;
    this.#make();
    replaceFile(this.#file, `${JSON.stringify(after, undefined, 2)}\n`);
    this.#last = after;
    return after;
  }

  /** The directory of a version, installed or not. @throws RangeError where `version` is not a version. */
  directoryOf(version: string): string {
    const [own, aside] = this.#placesOf(version);
    return !existsSync(own) && existsSync(aside) ? aside : own;
  }

  /** Makes a new, empty directory beside the versions, and so on the same file system. */
  stagingDirectory(): string {
    const path = this.#freshName('staging');
    makeFolder(path, { mode: 0o700 });
    return path;
  }

  /** Installs a complete release, unpacked in a staging directory, as that version. */
  async install(staging: string, version: string): Promise<void> {
    const [own, aside] = this.#placesOf(version);
    this.#putBack(version);
    await removeFolder(aside);
    if (existsSync(own)) renameSync(own, aside);
    try {
      renameSync(staging, own);
      // `update.json` is about to name it.
      await syncFolder(this.#directory);
    } catch (error) {
      this.#putBack(version);
      throw error;
    }
    // The replaced copy stays until the next start: a caller may have been given its path in between.
  }

  /** The installed versions, the newest first. */
  list(): string[] {
    const names = this.#entries().filter(({ isDirectory }) => isDirectory).map(({ name }) => versionIn(name));
    return [...new Set(names.filter((name) => isVersion(name)))].sort((one, other) => compareVersions(other, one));
  }

  /** Removes the versions that are not needed any more. @returns Their names; a failed removal is reported. */
  async prune(options: PruneOptions): Promise<string[]> {
    const gone = removableVersions(this.read(), this.list(), options);
    // Renamed before the first wait: a version that is installed meanwhile is not affected.
    const doomed = gone.flatMap((version) => this.#setAside(version));
    for (const path of doomed) await this.#remove(path);
    return gone;
  }

  /** For a start: completes what a killed program has begun, and removes what it has left. */
  async clean(): Promise<void> {
    for (const { name } of this.#entries()) {
      if (name.startsWith(replaced)) this.#putBack(versionIn(name));
      const isLeft = name.startsWith(replaced) || isAbandoned(name);
      if (isLeft) await this.#remove(join(this.#directory, name));
    }
  }

  /** The version's own path, and the path of the copy that is being replaced. */
  #placesOf(version: string): readonly [own: string, aside: string] {
    if (!isVersion(version)) {
      throw new RangeError(`Cannot name a directory after ${JSON.stringify(version)}: it is no version`);
    }
    return [join(this.#directory, version), join(this.#directory, `${replaced}${version}`)];
  }

  #putBack(version: string): void {
    if (!isVersion(version)) return;
    const [own, aside] = this.#placesOf(version);
    if (!existsSync(own) && existsSync(aside)) renameSync(aside, own);
  }

  /** Renames a version before its removal: a half-removed one must not look installed. @returns The new paths. */
  #setAside(version: string): readonly string[] {
    return this.#placesOf(version).filter((path) => existsSync(path)).flatMap((place) => {
      const doomed = this.#freshName('removed');
      try {
        renameSync(place, doomed);
        return [doomed];
      } catch (error) {
        this.#onWarning(`Cannot remove version ${version}`, error);
        return [];
      }
    });
  }

  async #remove(path: string): Promise<void> {
    try {
      await removeFolder(path);
    } catch (error) {
      // The next start tries again.
      this.#onWarning(`Cannot remove ${path}`, error);
    }
  }

  #withoutFile(error: unknown): VersionState {
    if (errorCode(error) === 'ENOENT') return noVersions;
    this.#onWarning(`Cannot read ${this.#file}`, error);
    // Other errors may be temporary (EMFILE, EIO): the file stays where it is.
    if (!(error instanceof ParseError) && !(error instanceof UntrustedFileError)) return this.#last;
    try {
      renameSync(this.#file, `${this.#file}.bad`);
    } catch (failure) {
      this.#onWarning(`Cannot set ${this.#file} aside`, failure);
    }
    return noVersions;
  }

  #freshName(purpose: 'staging' | 'removed'): string {
    this.#make();
    return join(this.#directory, `.${purpose}-${process.pid}-${mark}-${count += 1}`);
  }

  #make(): void {
    makeFolder(this.#directory, { mode: 0o700 });
  }

  #entries(): { readonly name: string; readonly isDirectory: boolean }[] {
    try {
      return readdirSync(this.#directory, { withFileTypes: true })
        .map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
    } catch (error) {
      // ENOENT: nothing was installed yet.
      if (errorCode(error) !== 'ENOENT') throw error;
      return [];
    }
  }
}

function versionIn(name: string): string {
  return name.startsWith(replaced) ? name.slice(replaced.length) : name;
}

/**
 * Whether the process that made the entry is gone: a staging directory, a directory being removed, or a temporary file
 * for `update.json`.
 */
function isAbandoned(name: string): boolean {
  const beside = /^update\.json\.(\d+)\.\d+$/.exec(name);
  // It is written within one turn of the event loop: a file with this process's own pid was left by an earlier one.
  if (beside) return Number(beside[1]) === process.pid || !isPidAlive(Number(beside[1]));
  const [, pid, startTime] = /^\.(?:staging|removed)-(\d+)-(\w+)-\d+$/.exec(name) ?? [];
  if (pid === undefined || startTime === undefined) return false;
  return Number(pid) === process.pid ? startTime !== mark : !isAliveNow({ pid: Number(pid), startTime });
}
