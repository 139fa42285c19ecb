/**
 * Finds files by name and by content: a few searches at a time, each within its limits.
 *
 * Names are found by a thread of the server. Content is found by ripgrep where the machine has it; not within
 * `--files-root`, as ripgrep enters directories by their paths, where a link may have come in meanwhile.
 *
 * @module
 */
import { access, constants, lstat } from 'node:fs/promises';
import { basename, dirname, sep } from 'node:path';
import { onAbort } from '../../base/abort.ts';
import { type HeldDirectory, holdDirectory, type Place, type Roots } from '../../base/files/roots.ts';
import { findProgram } from '../../process/find-program.ts';
import type { FindEngine, FindRecord, FindRequest } from '../../protocol/files/find.ts';
import { explained } from '../failure.ts';
import { mustBeFile } from '../info.ts';
import { statAt } from '../read.ts';
import { Answer } from './answer.ts';
import type { EngineEnd, Findings } from './found.ts';
import { ignoresAbove, partsOf } from './ignores-above.ts';
import { searchByThread } from './own-engine.ts';
import { type Plan, planOf } from './plan.ts';
import { RgError, searchByRg } from './rg-engine.ts';
import { Room } from './room.ts';

export interface FinderOptions {
  readonly roots: Roots;
  /** Where ripgrep is looked for, as in the environment. */
  readonly programPath: string;
}

/** What is searched, held open. */
interface Target {
  readonly held: HeldDirectory;
  /** Of the directory, without links. */
  readonly realPath: string;
  /** Only this file in it. */
  readonly only: string | undefined;
}

export class Finder {
  readonly #roots: Roots;
  readonly #programPath: string;
  readonly #room = new Room();

  constructor({ roots, programPath }: FinderOptions) {
    this.#roots = roots;
    this.#programPath = programPath;
  }

  /**
   * The records of the answer, in batches. The first one has only the begin.
   *
   * @throws ParseError; ProblemError file_not_found, path_not_allowed, not_a_file, file_unusable, unavailable; the
   * reason of the signal.
   */
  async *find(request: FindRequest, signal: AbortSignal): AsyncGenerator<readonly FindRecord[], void, undefined> {
    const plan = planOf(request);
    await this.#room.enter(signal);
    try {
      const target = await this.#open(request.path);
      try {
        yield [{ type: 'begin', path: target.realPath }];
        yield* this.#run(plan, target, signal);
      } finally {
        await target.held.close();
      }
    } finally {
      this.#room.leave();
    }
  }

  #open(path: string): Promise<Target> {
    return explained('search', path, () => this.#roots.at(path, async (place) => {
      const stats = await statAt(place);
      if (stats?.isDirectory() !== true) return await fileTarget(place);
      const held = await holdDirectory(place.path);
      try {
        await access(held.path, constants.R_OK);
      } catch (error) {
        await held.close();
        throw error;
      }
      return { held, realPath: place.realPath, only: undefined };
    }));
  }

  async *#run(plan: Plan, target: Target, signal: AbortSignal): AsyncGenerator<readonly FindRecord[], void, undefined> {
    const startedAtMs = performance.now();
    const stopping = new AbortController();
    const timer = setTimeout(() => stopping.abort(), plan.timeLimitMs);
    const stop = onAbort(signal, () => stopping.abort());
    const answer = new Answer(plan);
    const used: { engine: FindEngine } = { engine: 'own' };
    const findings = this.#search(plan, target, used, stopping.signal);
    let end: EngineEnd = { unreadable: 0, longLines: 0 };
    try {
      while (!answer.isFull) {
        const next = await findings.next();
        if (next.done === true) {
          end = next.value;
          break;
        }
        const records = answer.take(next.value);
        if (records.length > 0) yield records;
      }
    } finally {
      clearTimeout(timer);
      stop();
      await findings.return(end);
    }
    signal.throwIfAborted();
    const stoppedBy = answer.isFull ? 'limit' : 'time';
    const isWhole = !answer.isFull && !stopping.signal.aborted;
    yield [{
      type: 'end', ...answer.counts, truncated: !isWhole, ...(isWhole ? {} : { stoppedBy }), ...end, ...used,
      elapsedMs: Math.round(performance.now() - startedAtMs),
    }];
  }

  /** @param used Gets the engine. */
  async *#search(plan: Plan, target: Target, used: { engine: FindEngine }, signal: AbortSignal): Findings {
    const { names, isIgnoredFound, isHiddenFound, before, after, lineCharacters } = plan;
    const { held: { path: directory }, only } = target;
    const common = { names, isIgnoredFound, isHiddenFound };
    const rg = plan.content === undefined || !this.#roots.isRoot(sep)
      ? undefined
      : findProgram('rg', this.#programPath);
    if (rg !== undefined && plan.content !== undefined) {
      const { rust: pattern, isCaseSensitive } = plan.content;
      used.engine = 'rg';
      try {
        return yield* searchByRg({
          file: rg, directory, only, pattern, isCaseSensitive, ...common, before, after, lineCharacters,
        }, signal);
      } catch (error) {
        if (!(error instanceof RgError)) throw error;
        used.engine = 'own';
      }
    }
    const base = partsOf(target.realPath);
    const ignored = isIgnoredFound || only !== undefined ? [] : await ignoresAbove(this.#roots, target.realPath);
    return yield* searchByThread({
      walk: { directory, only, ...common, base, ignored },
      content: plan.content, type: plan.type, before, after, lineCharacters,
    }, signal);
  }
}

/** One file: found by its name in its directory. */
async function fileTarget(place: Place): Promise<Target> {
  mustBeFile('search', place.realPath, await lstat(place.path));
  const held = await holdDirectory(place.beside('.'));
  return { held, realPath: dirname(place.realPath), only: Buffer.from(basename(place.realPath)).toString('latin1') };
}
