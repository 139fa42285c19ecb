/**
 * Makes a directory of the machine as one of here: compares the trees, sends what differs as one archive, and deletes
 * what is too much.
 * @module
 */
import { type ArchiveUnpacked, ProblemError, type Sidecar } from '../../../client/client.ts';
import { leadsOut } from '../../../files/archive/look.ts';
import { CommandError } from '../../failure.ts';
import { localArchives } from '../local-archives.ts';
import { isDirectoryHere } from '../local-file.ts';
import { statIfThere } from '../place.ts';
import type { Progress } from '../progress.ts';
import { type Plan, planOf, withDirectories } from './plan.ts';
import { type Exclude, hashesHere, hashesOfMachine, scanHere, scanMachine, type Scan, type Tree } from './tree.ts';

export interface SyncOptions {
  /** Of this machine. */
  readonly directory: string;
  /** Of the other one. */
  readonly target: string;
  readonly exclude: Exclude;
  /** Whether anything is excluded. */
  readonly excludes: boolean;
  readonly deletes: boolean;
  /** Whether an empty directory may delete everything, and any one the root of the machine. */
  readonly isForced: boolean;
  /** Whether files of the same size and time are compared, too. */
  readonly comparesAll: boolean;
  readonly allLinks: boolean;
}

/** What is to be done, or was done. */
export interface SyncResult {
  /** `undefined`: everything, and only its number is known. */
  readonly sent: readonly string[] | undefined;
  readonly sentCount: number;
  /** The topmost of what is deleted. */
  readonly deleted: readonly string[];
  /** With all that is in them. */
  readonly deletedCount: number;
  readonly sentBytes: number;
  readonly sameCount: number;
  /** Left out, as it is no file, directory or link, or its name is not UTF-8. */
  readonly skipped: readonly string[];
  /** What changed while it was read. */
  readonly changed: readonly string[];
}

/** What is on the machine. */
interface Remote extends Scan {
  /** The real path; `undefined`: there is no such directory. */
  readonly root: string | undefined;
}

/** How many requests delete at once. */
const deletions = 8;
/** What an archive has for an entry beside its content. */
const headerBytes = 1536;

export class Sync {
  readonly #sidecar: Sidecar;
  readonly #options: SyncOptions;
  /** As the last pass has left it. */
  #remote: Remote | undefined;

  constructor(sidecar: Sidecar, options: SyncOptions) {
    this.#sidecar = sidecar;
    this.#options = options;
  }

  /** The next pass looks again at what is on the machine. */
  forget(): void {
    this.#remote = undefined;
  }

  /** @throws CommandError for what is refused; ProblemError. */
  async run(
    local: Scan, { isDry, progress }: { readonly isDry: boolean; readonly progress: Progress },
  ): Promise<SyncResult> {
    const { target, deletes } = this.#options;
    const remote = this.#remote ??= await this.#look();
    const plan = planOf(local.tree, remote.tree, {
      comparesAll: this.#options.comparesAll, kept: [...remote.skipped, ...remote.excluded, ...local.skipped],
    });
    const differing = new Set([...plan.send, ...await this.#differing(plan, remote)]);
    const sent = withDirectories(local.tree, [...differing]).filter((path) => differing.has(path));
    this.#mustBeAllowed(local.tree, plan, sent);
    const deleted = deletes ? [...plan.inTheWay, ...plan.extra] : [];
    const result = {
      sent, sentCount: sent.length, sameCount: local.tree.size - sent.length,
      deleted, deletedCount: countOf(remote.tree, deleted),
      sentBytes: sent.reduce((sum, path) => sum + sizeOf(local.tree, path), 0), skipped: local.skipped,
    };
    if (isDry) return { ...result, changed: [] };
    this.#remote = undefined;
    const root = remote.root ?? target;
    if (deletes) await this.#delete(root, plan.inTheWay);
    const isNeeded = sent.length > 0 || remote.root === undefined;
    const changed = isNeeded ? await this.#send(local.tree, remote, sent, progress) : [];
    if (deletes) await this.#delete(root, plan.extra);
    const tree = after(local.tree, remote.tree, deleted);
    this.#remote = { ...remote, root: remote.root ?? await this.#realPath(), tree };
    return { ...result, changed };
  }

  /**
   * Sends all of the directory where the machine has none yet, without a look at it before.
   *
   * @returns `undefined`: it is there already, or not all of the directory can be sent.
   */
  async runFirst(progress: Progress): Promise<SyncResult | undefined> {
    const { directory, target, excludes } = this.#options;
    if (excludes || !await isDirectoryHere(directory)) return undefined;
    const remote = this.#remote ??= await this.#look();
    if (remote.root !== undefined) return undefined;
    this.#remote = undefined;
    try {
      const changed: string[] = [];
      const content = this.#packed(undefined, changed);
      const { files, directories, links, sizeBytes } = await this.#unpack(target, content, (doneBytes) =>
        progress.update(doneBytes, undefined));
      const sentCount = files + directories + links;
      const nothing = { deleted: [], deletedCount: 0, sameCount: 0, skipped: [] };
      return { ...nothing, sent: undefined, sentCount, sentBytes: sizeBytes, changed };
    } catch (error) {
      // Something in it is not accepted: the comparison says what, or leaves it out.
      if (!(error instanceof ProblemError) || error.code !== 'invalid_request') throw error;
      return undefined;
    }
  }

  async #look(): Promise<Remote> {
    const { target, exclude, deletes, isForced } = this.#options;
    const found = await statIfThere(this.#sidecar, target);
    if (found === undefined) return { root: undefined, tree: new Map(), skipped: [], excluded: [] };
    if (found.type !== 'directory') throw new CommandError(`Cannot sync to :${target}: it is no directory`);
    if (found.path === '/' && deletes && !isForced) {
      throw new CommandError('Cannot sync to :/: --delete would delete all of the machine that DIR does not have', {
        hint: 'Give --force if that is what you want',
      });
    }
    return { root: found.path, ...await scanMachine(this.#sidecar, found.path, exclude) };
  }

  async #realPath(): Promise<string | undefined> {
    return (await statIfThere(this.#sidecar, this.#options.target))?.path;
  }

  /** Of files that may be the same, those that are not. */
  async #differing({ suspects }: Plan, { root }: Remote): Promise<readonly string[]> {
    if (suspects.length === 0 || root === undefined) return [];
    const there = await hashesOfMachine(this.#sidecar, root, suspects);
    const here = hashesHere(this.#options.directory, suspects);
    return suspects.filter((path) => here.get(path) === undefined || here.get(path) !== there.get(path));
  }

  /** @throws CommandError */
  #mustBeAllowed(local: Tree, plan: Plan, sent: readonly string[]): void {
    const { directory, deletes, isForced, allLinks } = this.#options;
    if (deletes && local.size === 0 && plan.extra.length > 0 && !isForced) {
      throw new CommandError(`Cannot sync ${directory}: it is empty, and --delete would delete everything`, {
        hint: 'Give --force if that is what you want',
      });
    }
    const [first] = deletes ? plan.stuck : plan.inTheWay;
    if (first !== undefined) {
      throw new CommandError(`Cannot put ${first} there: it is a directory on the machine`, {
        hint: deletes ? 'It has something in it that is excluded' : 'Give --delete to replace it',
      });
    }
    const out = sent.find((path) => leadsOut(`./${path}`, local.get(path)?.target ?? ''));
    if (out !== undefined && !allLinks) {
      throw new CommandError(`Cannot send the link ${out}: it leads out of ${directory}`, {
        hint: 'Give --all-links to send it, or --exclude it',
      });
    }
  }

  async #send(local: Tree, remote: Remote, sent: readonly string[], progress: Progress): Promise<readonly string[]> {
    const paths = withDirectories(local, sent);
    const names = remote.root === undefined ? ['.', ...paths] : paths;
    const totalBytes = paths.reduce((sum, path) => sum + sizeOf(local, path) + headerBytes, 0);
    const changed: string[] = [];
    await this.#unpack(remote.root ?? this.#options.target, this.#packed(names, changed), (doneBytes) =>
      progress.update(doneBytes, totalBytes));
    return changed;
  }

  /** @param names `undefined`: all. @param changed Gets what changed while it was read. */
  async *#packed(names: readonly string[] | undefined, changed: string[]): AsyncGenerator<Uint8Array, void> {
    const { signal } = new AbortController();
    const options = { format: 'tar', globs: [], isForUnpack: true, ...(names && { names }) } as const;
    const change = yield* localArchives().pack(this.#options.directory, options, signal);
    if (change !== undefined) changed.push(change);
  }

  #unpack(
    path: string, content: AsyncIterable<Uint8Array>, onProgress: (doneBytes: number) => void,
  ): Promise<ArchiveUnpacked> {
    const links = this.#options.allLinks ? 'any' : 'inside';
    return this.#sidecar.files.unpack(path, content, { keepModes: true, links, onProgress });
  }

  async #delete(root: string, paths: readonly string[]): Promise<void> {
    for (let at = 0; at < paths.length; at += deletions) {
      await Promise.all(paths.slice(at, at + deletions).map(async (path) => {
        try {
          await this.#sidecar.files.delete(`${root === '/' ? '' : root}/${path}`, { recursive: true });
        } catch (error) {
          if (!(error instanceof ProblemError) || error.code !== 'file_not_found') throw error;
        }
      }));
    }
  }
}

/** Reads the directory of here. @throws CommandError where there is none. */
export function scanSource({ directory, exclude }: Pick<SyncOptions, 'directory' | 'exclude'>): Scan {
  try {
    return scanHere(directory, exclude);
  } catch (error) {
    throw new CommandError(`Cannot read ${directory}: ${(error as Error).message}`, { cause: error });
  }
}

function sizeOf(tree: Tree, path: string): number {
  const entry = tree.get(path);
  return entry?.type === 'file' ? entry.sizeBytes : 0;
}

function countOf(tree: Tree, deleted: readonly string[]): number {
  if (deleted.length === 0) return 0;
  const topmost = new Set(deleted);
  return [...tree.keys()].filter((path) => isAtOrBelow(topmost, path)).length;
}

function after(local: Tree, remote: Tree, deleted: readonly string[]): Tree {
  const topmost = new Set(deleted);
  return new Map([...[...remote].filter(([path]) => !isAtOrBelow(topmost, path)), ...local]);
}

function isAtOrBelow(paths: ReadonlySet<string>, path: string): boolean {
  if (paths.size === 0) return false;
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    if (paths.has(path.slice(0, end))) return true;
  }
  return paths.has(path);
}
