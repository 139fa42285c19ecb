/**
 * The file in which the runner of an agent says where it stands: its bounds, and what the server reads of it.
 *
 * A server looks at it whenever it changes, lists jobs, or waits for something. A job can put any file there. So the server
 * counts the values before it parses them (see `untrusted-json.ts`), and parses a file once.
 * @module
 */
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import { checkFolder, statFile, TooLargeError } from '../base/untrusted-file.ts';
import { isWithin, type JsonBounds, readJson } from '../base/untrusted-json.ts';
import { type Fields, fieldsOf } from './lenient.ts';
import { type AgentState, stateFile } from './order.ts';

/** The largest takes about 0.2 s to read, once. */
export const stateBounds: JsonBounds = { maxBytes: 8 * 2 ** 20, maxTokens: 200_000 };

const tooLarge = `${stateFile} cannot be read: it is larger than any that a runner writes`;
/** Of what is kept in memory of files that were read, and of the objects made from them. */
const maxCachedBytes = 32 * 2 ** 20;
/** What the objects of a file take, beside its text: so many times its size at most, where all values are small. */
const objectFactor = 4;
const maxCached = 1000;

export interface ReadState {
  /** None where nothing is known. */
  readonly fields: Fields;
  /** For whoever looks at the job. */
  readonly warnings: readonly string[];
}

interface CachedState {
  /** Of the file that was read. */
  readonly mark: string;
  readonly state: ReadState;
  readonly sizeBytes: number;
}

const nothing: ReadState = { fields: {}, warnings: [] };

/** States as they were read last, the longest unused first. */
export class StateCache {
  readonly #states = new Map<string, CachedState>();
  #sizeBytes = 0;

  /** Where an agent stands, as far as that can be read. @param directory Of its job. */
  read(directory: string): ReadState {
    const path = join(directory, stateFile);
    try {
      checkFolder(directory);
      const stats = statFile(path);
      const mark = markOf(stats);
      const before = this.#states.get(path);
      if (before) this.#forget(path, before.sizeBytes);
      if (!stats) return nothing;
      const state = before?.mark === mark ? before.state : readState(path);
      this.#keep(path, { mark, state, sizeBytes: state === nothing ? 0 : objectFactor * stats.size });
      return state;
    } catch {
      return nothing;
    }
  }

  #keep(path: string, one: CachedState): void {
    this.#states.set(path, one);
    this.#sizeBytes += one.sizeBytes;
    for (const [oldest, { sizeBytes }] of this.#states) {
      if (this.#states.size === 1 || (this.#sizeBytes <= maxCachedBytes && this.#states.size <= maxCached)) return;
      this.#forget(oldest, sizeBytes);
    }
  }

  #forget(path: string, sizeBytes: number): void {
    this.#states.delete(path);
    this.#sizeBytes -= sizeBytes;
  }
}

/** No writer can set the time of the last change (ctime) of a file. */
function markOf(stats: Stats | undefined): string {
  return stats ? `${stats.dev} ${stats.ino} ${stats.mtimeMs} ${stats.ctimeMs} ${stats.size}` : '';
}

function readState(path: string): ReadState {
  try {
    return { fields: fieldsOf(readJson(path, stateBounds)), warnings: [] };
  } catch (error) {
    // It has not begun, or its file is not what a runner writes: nothing is known of it.
    return error instanceof TooLargeError ? { fields: {}, warnings: [tooLarge] } : nothing;
  }
}

/**
 * The state as its file has it, in UTF-8 and within the bounds: where it is larger, the longest of its lists loses half of
 * its entries, until it fits. Of tool calls, results and denials the oldest go.
 */
export function stateBytes(state: AgentState): Buffer {
  let left = state;
  for (;;) {
    const bytes = Buffer.from(JSON.stringify(left));
    if (isWithin(bytes, stateBounds)) return bytes;
    const less = withLess(left);
    if (less === undefined) return bytes;
    left = less;
  }
}

/** `undefined`: none of its lists has any entry left. */
function withLess(state: AgentState): AgentState | undefined {
  const { progress, results, permissionsDenied, sessions = [] } = state;
  const lists = { toolCalls: progress.toolCalls, plan: progress.plan ?? [], results, permissionsDenied, sessions };
  const lengths = Object.entries(lists).filter(([, list]) => list.length > 0)
    .map(([name, list]) => ({ name, length: JSON.stringify(list).length }));
  const longest = lengths.toSorted((one, other) => other.length - one.length)[0]?.name;
  switch (longest) {
    case 'toolCalls': {
      const dropped = Math.ceil(progress.toolCalls.length / 2);
      const toolCalls = progress.toolCalls.slice(dropped);
      return { ...state, progress: { ...progress, toolCalls, droppedToolCalls: progress.droppedToolCalls + dropped } };
    }
    case 'plan': return { ...state, progress: { ...progress, plan: half(lists.plan) } };
    case 'results': return { ...state, results: results.slice(Math.ceil(results.length / 2)) };
    case 'permissionsDenied':
      return { ...state, permissionsDenied: permissionsDenied.slice(Math.ceil(permissionsDenied.length / 2)) };
    case 'sessions': return { ...state, sessions: half(sessions) };
    default: return undefined;
  }
}

/** The first ones. */
function half<T>(list: readonly T[]): readonly T[] {
  return list.slice(0, Math.floor(list.length / 2));
}
