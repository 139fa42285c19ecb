/**
 * Which names a search is for. Pure.
 * @module
 */
import { type Glob, GlobError, matchesGlob, parseGlobs } from './glob.ts';

export interface NameFilterOptions {
  readonly globs: readonly string[];
  readonly isCaseSensitive: boolean;
}

export class NameFilter {
  readonly #wanted: readonly Glob[];
  readonly #unwanted: readonly Glob[];
  readonly #fold: (text: string) => string;

  /** @throws GlobError. */
  constructor({ globs, isCaseSensitive }: NameFilterOptions) {
    this.#fold = isCaseSensitive ? (text) => text : (text) => text.toLowerCase();
    const parsed = (isNegated: boolean): readonly Glob[] => globs.filter((glob) => glob.startsWith('!') === isNegated)
      .flatMap((glob) => parse(this.#fold(isNegated ? glob.slice(1) : glob), glob));
    this.#wanted = parsed(false);
    this.#unwanted = parsed(true);
  }

  /** Whether it is what the search is for. @param path Its parts. */
  takes(path: readonly string[], isDirectory: boolean): boolean {
    if (this.#wanted.length === 0) return true;
    const folded = path.map(this.#fold);
    return this.#wanted.some((glob) => matchesGlob(glob, folded, 0, isDirectory));
  }

  /** Whether it is left out, with all that is in it. */
  leavesOut(path: readonly string[], isDirectory: boolean): boolean {
    if (this.#unwanted.length === 0) return false;
    const folded = path.map(this.#fold);
    return this.#unwanted.some((glob) => matchesGlob(glob, folded, 0, isDirectory));
  }

  /** Whether a file is what the search is for, and no directory above it is left out. */
  takesFile(path: readonly string[]): boolean {
    if (!this.takes(path, false) || this.leavesOut(path, false)) return false;
    return this.#unwanted.length === 0
      || path.slice(0, -1).every((_, index) => !this.leavesOut(path.slice(0, index + 1), true));
  }
}

function parse(glob: string, shown: string): readonly Glob[] {
  try {
    return parseGlobs(glob);
  } catch (error) {
    if (!(error instanceof GlobError)) throw error;
    throw new GlobError(`Cannot read the glob ${JSON.stringify(shown)}: ${error.message}`, { cause: error });
  }
}
