/**
 * The trees that are watched for clients: one watch for all that follow the same path.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { lstat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type HeldDirectory, holdDirectory, type Roots } from '../../base/files/roots.ts';
import type { Log } from '../../base/log.ts';
import type { WatchChange, WatchEvent, WatchQuery } from '../../protocol/files/watch.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { explained } from '../failure.ts';
import { ChangeRing } from './change-ring.ts';
import { type TreeChange, TreeWatch } from './tree-watch.ts';

const leftOutByDefault = ['.git', 'node_modules'];
const maxWatches = 64;
/** How long a watch continues without followers, so that one whose connection broke misses nothing. */
const graceMs = 30_000;

/** An event, and the id after which a follower continues. */
export interface IdentifiedEvent {
  readonly id: string;
  readonly event: WatchEvent;
}

interface Watch {
  readonly key: string;
  readonly realPath: string;
  readonly tree: TreeWatch;
  readonly ring: ChangeRing;
  followers: number;
  closing?: NodeJS.Timeout;
  /** Why it has ended; absent: it continues. */
  end?: { readonly error: unknown };
}

/** What is watched, held open. */
interface Target {
  readonly held: HeldDirectory;
  readonly realPath: string;
  readonly only: string | undefined;
}

export class Watches {
  readonly #roots: Roots;
  readonly #log: Pick<Log, 'warn'>;
  readonly #watches = new Map<string, Promise<Watch>>();

  constructor({ roots, log }: { readonly roots: Roots; readonly log: Pick<Log, 'warn'> }) {
    this.#roots = roots;
    this.#log = log;
  }

  /** Ends all watches. */
  close(): void {
    for (const watch of this.#watches.values()) void watch.then(({ tree, ring, closing }) => {
      clearTimeout(closing);
      tree.close();
      ring.end();
    }, () => undefined);
    this.#watches.clear();
  }

  /**
   * The events of a path. The first one is `ready`, or `lost` before it.
   *
   * @throws ProblemError file_not_found, path_not_allowed, file_unusable, payload_too_large, unavailable.
   */
  async *follow(
    { path, all: isAll = false }: WatchQuery, after: string | undefined, signal: AbortSignal,
  ): AsyncGenerator<IdentifiedEvent, void, undefined> {
    const watch = await this.#enter(path, isAll);
    try {
      const { ring, tree, realPath } = watch;
      const position = after === undefined ? undefined : ring.positionOf(after);
      const { id } = ring;
      if (after !== undefined && position === undefined) {
        yield { id, event: { type: 'lost', reason: 'what followed that event is not known any more' } };
      }
      const { directories, isPolled } = tree;
      const known = position === undefined ? id : after ?? id;
      yield { id: known, event: { type: 'ready', path: realPath, directories, isPolled } };
      for await (const one of ring.follow(position ?? ring.positionOf(id), signal)) {
        yield one.type === 'change'
          ? { id: one.id, event: one.change }
          : { id: one.id, event: { type: 'lost', reason: 'there were more changes than were read' } };
      }
      if (watch.end !== undefined && watch.end.error === undefined) yield { id: ring.id, event: { type: 'gone' } };
      else if (watch.end !== undefined) throw watch.end.error;
    } finally {
      this.#leave(watch);
    }
  }

  async #enter(path: string, isAll: boolean): Promise<Watch> {
    const target = await this.#open(path);
    const key = JSON.stringify([target.realPath, target.only, isAll]);
    const known = this.#watches.get(key);
    if (known === undefined && this.#watches.size >= maxWatches) {
      await target.held.close();
      throw new ProblemError('unavailable', `Cannot watch ${path}: ${maxWatches} paths are watched already`, {
        headers: { 'Retry-After': '10' },
      });
    }
    const made = known ?? this.#make(key, target, isAll);
    if (known === undefined) this.#watches.set(key, made);
    else await target.held.close();
    const watch = await made;
    watch.followers += 1;
    clearTimeout(watch.closing);
    return watch;
  }

  #leave(watch: Watch): void {
    watch.followers -= 1;
    if (watch.followers > 0 || watch.end !== undefined) return;
    watch.closing = setTimeout(() => {
      this.#watches.delete(watch.key);
      watch.tree.close();
      watch.ring.end();
    }, graceMs).unref();
  }

  #open(path: string): Promise<Target> {
    return explained('watch', path, () => this.#roots.at(path, async (place) => {
      const { realPath } = place;
      if ((await lstat(place.path)).isDirectory()) {
        return { held: await holdDirectory(place.path), realPath, only: undefined };
      }
      const only = Buffer.from(basename(realPath)).toString('latin1');
      return { held: await holdDirectory(place.beside('.')), realPath, only };
    }));
  }

  async #make(key: string, { held, realPath, only }: Target, isAll: boolean): Promise<Watch> {
    const ring = new ChangeRing();
    const end = (error: unknown): void => {
      this.#watches.delete(key);
      watch.end = { error };
      if (error !== undefined) this.#log.warn('a watch of files has ended', { path: realPath, error });
      ring.end();
    };
    const tree = new TreeWatch({
      held, only, leftOut: isAll ? [] : leftOutByDefault,
      onChanges: (changes) => ring.add(changes.map(toldOf)), onEnd: end,
    });
    const watch: Watch = { key, realPath, tree, ring, followers: 0 };
    try {
      await explained('watch', realPath, () => tree.start());
    } catch (error) {
      tree.close();
      this.#watches.delete(key);
      throw error;
    }
    return watch;
  }
}

function toldOf({ type, path, fileType }: TreeChange): WatchChange {
  const bytes = Buffer.from(path, 'latin1');
  const named = { path: bytes.toString(), ...(isUtf8(bytes) ? {} : { pathBase64: bytes.toString('base64') }) };
  return { type, ...named, fileType, at: Date.now() / 1000 };
}
