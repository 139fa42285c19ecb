/**
 * The versions directory: one unpacked release in `versions/<version>/` each, and `update.json`, which says what is made of them.
 *
 * A directory cannot be renamed over one that holds something (rename(2): ENOTEMPTY). So a version that is there already is
 * first set aside as `.replaced-<version>`, a name that is still read as that version: whenever either of the two renames
 * is the last thing that happened, one complete copy has a name, {@link Versions.directoryOf} gives it, and the next start
 * puts it in its place.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../base/atomic-file.ts';
import { makeFolder } from '../base/make-folder.ts';
import { ParseError } from '../base/parse.ts';
import { readRegular, UntrustedFileError } from '../base/untrusted-file.ts';
import { isAliveNow, isPidAlive, readStat } from '../process/identity.ts';
import { removeFolder } from '../process/trash.ts';
import { compareVersions, isVersion } from './version.ts';
import { syncFolder } from './write-entries.ts';
import { noVersions, parseVersionState, type PruneOptions, superfluous, type VersionState } from './version-state.ts';

export interface VersionsOptions {
  /** Is made where it is missing. */
  readonly directory: string;
  readonly onWarning: (message: string, error: unknown) => void;
}

const replaced = '.replaced-';
const maxStateBytes = 2 ** 20;
/** Tells this process from an earlier one with the same pid, as after every start of a container. */
const mark = readStat(process.pid)?.startTime ?? randomBytes(6).toString('hex');
let count = 0;

/** One program at a time changes it (the wrapper, or the server without one); any may read. */
export class Versions {
  readonly #directory: string;
  readonly #file: string;
  readonly #onWarning: VersionsOptions['onWarning'];
  /** What was read last, for when the file cannot be read at the moment. */
  #last: VersionState = noVersions;

  constructor({ directory, onWarning }: VersionsOptions) {
    this.#directory = directory;
    this.#file = join(directory, 'update.json');
    this.#onWarning = onWarning;
  }

  /** Where the versions of a state directory are. */
  static directoryIn(stateDir: string): string {
    return join(stateDir, 'versions');
  }

  /** What `update.json` says now. One that is none is reported, set aside as `update.json.bad`, and counts as missing. */
  read(): VersionState {
    try {
      // An open that fails takes ten times as long, and `/health` asks each time.
      if (lstatSync(this.#file, { throwIfNoEntry: false }) === undefined) return this.#last = noVersions;
      this.#last = parseVersionState(readRegular(this.#file, maxStateBytes).toString());
    } catch (error) {
      this.#last = this.#withoutFile(error as NodeJS.ErrnoException);
    }
    return this.#last;
  }

  /** Reads, changes and writes, without a turn of the event loop between. @throws what the file system says; nothing has changed then. */
  change(step: (state: VersionState) => VersionState): VersionState {
    const before = this.read();
    const after = step(before);
    if (after === before) return before;
    this.#make();
    replaceFile(this.#file, `${JSON.stringify(after, undefined, 2)}\n`);
    this.#last = after;
    return after;
  }

  /** Where the version is, whether or not it is installed. @throws RangeError where `version` is none. */
  directoryOf(version: string): string {
    const [own, aside] = this.#placesOf(version);
    return !existsSync(own) && existsSync(aside) ? aside : own;
  }

  /** A new, empty directory beside the versions, thus on their file system. */
  stagingDirectory(): string {
    const path = this.#freshName('staging');
    makeFolder(path, { mode: 0o700 });
    return path;
  }

  /** Makes a complete release, unpacked in a staging directory, the one of that version. */
  async install(staging: string, version: string): Promise<void> {
    const [own, aside] = this.#placesOf(version);
    this.#putBack(version);
    await removeFolder(aside);
    if (existsSync(own)) renameSync(own, aside);
    try {
      renameSync(staging, own);
      // update.json is about to name it.
      await syncFolder(this.#directory);
    } catch (error) {
      this.#putBack(version);
      throw error;
    }
    // What was set aside stays until the next start: somebody may have been given its path in between.
  }

  /** The installed versions, the newest first. */
  list(): string[] {
    const names = this.#entries().filter(({ isDirectory }) => isDirectory).map(({ name }) => versionIn(name));
    return [...new Set(names.filter((name) => isVersion(name)))].sort((one, other) => compareVersions(other, one));
  }

  /** Removes the versions that are not needed any more. @returns which; one that cannot be removed is reported. */
  async prune(options: PruneOptions): Promise<string[]> {
    const gone = superfluous(this.read(), this.list(), options);
    // Set aside before anything is waited for: a version that is installed meanwhile is not one of these.
    const doomed = gone.flatMap((version) => this.#setAside(version));
    for (const path of doomed) await this.#remove(path);
    return gone;
  }

  /** At a start: finishes what a program that was killed had begun, and removes what it left. */
  async clean(): Promise<void> {
    for (const { name } of this.#entries()) {
      if (name.startsWith(replaced)) this.#putBack(versionIn(name));
      const isLeft = name.startsWith(replaced) || isDeserted(name);
      if (isLeft) await this.#remove(join(this.#directory, name));
    }
  }

  /** The version's own place, and the one where it is while another copy takes that. */
  #placesOf(version: string): readonly [own: string, aside: string] {
    if (!isVersion(version)) throw new RangeError(`Cannot name a directory after ${JSON.stringify(version)}: it is no version`);
    return [join(this.#directory, version), join(this.#directory, `${replaced}${version}`)];
  }

  #putBack(version: string): void {
    if (!isVersion(version)) return;
    const [own, aside] = this.#placesOf(version);
    if (!existsSync(own) && existsSync(aside)) renameSync(aside, own);
  }

  /** Renames what is to be removed: what is half removed must not look like a version. @returns the new paths. */
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

  #withoutFile(error: NodeJS.ErrnoException): VersionState {
    if (error.code === 'ENOENT') return noVersions;
    this.#onWarning(`Cannot read ${this.#file}`, error);
    // Anything else may be over the next time (EMFILE, EIO): the file stays where it is.
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
      // ENOENT: nothing was ever installed.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return [];
    }
  }
}

function versionIn(name: string): string {
  return name.startsWith(replaced) ? name.slice(replaced.length) : name;
}

/** Whether its maker has gone: of a staging directory, of one being removed, of a file that was to replace `update.json`. */
function isDeserted(name: string): boolean {
  const beside = /^update\.json\.(\d+)\.\d+$/.exec(name);
  // Writing it takes no turn of the event loop: where this process finds one of its own pid, an earlier one left it.
  if (beside) return Number(beside[1]) === process.pid || !isPidAlive(Number(beside[1]));
  const [, pid, startTime] = /^\.(?:staging|removed)-(\d+)-(\w+)-\d+$/.exec(name) ?? [];
  if (pid === undefined || startTime === undefined) return false;
  return Number(pid) === process.pid ? startTime !== mark : !isAliveNow({ pid: Number(pid), startTime });
}
