/**
 * What .gitignore, .ignore and .rgignore leave out, by the rules of ripgrep (its GUIDE.md, "Automatic filtering"):
 * a file that is deeper decides before one above it, .rgignore before .ignore, that before .gitignore, and in one file
 * the last rule that matches. A .gitignore counts up to the top of its repository, and also where there is none. Pure.
 * @module
 */
import { type Glob, GlobError, matchesGlob, parseGlobs } from './glob.ts';

export const ignoreFiles: readonly ['.rgignore', '.ignore', '.gitignore'] = ['.rgignore', '.ignore', '.gitignore'];

interface Rule {
  readonly globs: readonly Glob[];
  readonly isKept: boolean;
}

/** What the ignore files of a directory say; names and texts are bytes as Latin-1. */
export interface IgnoreTexts {
  /** How many parts the path of the directory has. */
  readonly depth: number;
  /** Of each of {@link ignoreFiles}; `undefined`: there is none. */
  readonly texts: readonly (string | undefined)[];
  /** The top of a repository. */
  readonly hasGit: boolean;
}

/** The rules of a directory and of those above it. */
export class IgnoreRules {
  readonly #above: IgnoreRules | undefined;
  readonly #depth: number;
  readonly #hasGit: boolean;
  /** Of each of {@link ignoreFiles}, the last rule first. */
  readonly #rules: readonly (readonly Rule[])[];

  constructor({ depth, texts, hasGit }: IgnoreTexts, above?: IgnoreRules) {
    this.#above = above;
    this.#depth = depth;
    this.#hasGit = hasGit;
    this.#rules = texts.map((text) => (text === undefined ? [] : rulesOf(text)));
  }

  /** @param path The parts of its path, as Latin-1. */
  leavesOut(path: readonly string[], isDirectory: boolean): boolean {
    for (const [kind, name] of ignoreFiles.entries()) {
      for (let level: IgnoreRules | undefined = this; level !== undefined; level = level.#above) {
        const depth = level.#depth;
        const rule = (level.#rules[kind] ?? []).find(({ globs }) =>
          globs.some((glob) => matchesGlob(glob, path, depth, isDirectory)));
        if (rule !== undefined) return !rule.isKept;
        if (level.#hasGit && name === '.gitignore') break;
      }
    }
    return false;
  }
}

function rulesOf(text: string): readonly Rule[] {
  return text.replace(/^\xef\xbb\xbf/, '').split(/\r?\n/).flatMap((line) => ruleOf(line) ?? []).reverse();
}

function ruleOf(line: string): Rule | undefined {
  if (line.startsWith('#')) return undefined;
  const trimmed = line.endsWith('\\ ') ? line : line.trimEnd();
  const isKept = trimmed.startsWith('!');
  const glob = isKept ? trimmed.slice(1) : trimmed;
  if (glob === '' || glob === '/') return undefined;
  try {
    return { globs: parseGlobs(glob), isKept };
  } catch (error) {
    // A line that is no glob says nothing.
    if (!(error instanceof GlobError)) throw error;
    return undefined;
  }
}
