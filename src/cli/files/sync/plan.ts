/**
 * What has to be done so that one tree becomes as another. Pure.
 * @module
 */
import type { Tree, TreeEntry } from './tree.ts';

export interface Plan {
  /** To be sent, each directory before what is in it. */
  readonly send: readonly string[];
  /** Files of the same size that only their hashes tell apart. */
  readonly suspects: readonly string[];
  /** What only the target has: the topmost of each. */
  readonly extra: readonly string[];
  /** Directories of the target where the source has a file or a link. */
  readonly inTheWay: readonly string[];
  /** Those of them that have something in them that stays. */
  readonly stuck: readonly string[];
}

export interface PlanOptions {
  /** Whether files of the same size and time are suspects, too. */
  readonly comparesAll: boolean;
  /** Paths of the target that stay, though the source does not have them. */
  readonly kept: readonly string[];
}

/** @param source What the target is to become. */
export function planOf(source: Tree, target: Tree, { comparesAll, kept }: PlanOptions): Plan {
  const send: string[] = [];
  const suspects: string[] = [];
  const inTheWay: string[] = [];
  for (const [path, entry] of source) {
    const there = target.get(path);
    if (there?.type === 'directory' && entry.type !== 'directory') inTheWay.push(path);
    if (isSame(entry, there, comparesAll)) continue;
    if (there !== undefined && mayBeSame(entry, there)) suspects.push(path);
    else send.push(path);
  }
  const needed = new Set(kept.flatMap(directoriesAbove));
  const stuck = inTheWay.filter((path) => needed.has(path));
  return { send, suspects, extra: extraOf(source, target, kept), inTheWay, stuck };
}

function isSame(entry: TreeEntry, there: TreeEntry | undefined, comparesAll: boolean): boolean {
  if (there === undefined || entry.type !== there.type) return false;
  // The permissions of a link mean nothing.
  if (entry.type === 'symlink') return entry.target === there.target;
  if (entry.mode !== there.mode) return false;
  if (entry.type === 'directory') return true;
  return !comparesAll && entry.sizeBytes === there.sizeBytes && entry.modifiedMs === there.modifiedMs;
}

function mayBeSame(entry: TreeEntry, there: TreeEntry): boolean {
  return entry.type === 'file' && there.type === 'file'
    && entry.mode === there.mode && entry.sizeBytes === there.sizeBytes;
}

function extraOf(source: Tree, target: Tree, kept: readonly string[]): readonly string[] {
  const needed = new Set(kept.flatMap((path) => [...directoriesAbove(path), path]));
  const isExtra = (path: string): boolean => !source.has(path) && !needed.has(path);
  // What is below a file of the source goes with the directory that is in its way.
  const goesAnyway = (above: string): boolean =>
    isExtra(above) || (source.get(above)?.type ?? 'directory') !== 'directory';
  return [...target.keys()].filter((path) => isExtra(path) && !directoriesAbove(path).some(goesAnyway));
}

/** `a`, `a/b` for `a/b/c`. */
export function directoriesAbove(path: string): readonly string[] {
  const above: string[] = [];
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) above.push(path.slice(0, end));
  return above;
}

/** The paths with all directories above them, as in the source: an archive of them says what these are. */
export function withDirectories(source: Tree, paths: readonly string[]): readonly string[] {
  const wanted = new Set(paths.flatMap((path) => [...directoriesAbove(path), path]));
  return [...source.keys()].filter((path) => wanted.has(path));
}
