/**
 * The file with the state of an agent: its bounds, and how the server reads it.
 *
 * The server reads it whenever it changes, when it lists jobs, and when it waits for something. A job can put any file
 * in its place. So the server counts the values before it parses them (see `untrusted-json.ts`), and parses a file
 * once.
 * @module
 */
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import { type Fields, fieldsOf } from '../base/loose.ts';
import { checkFolder, statFile, TooLargeError } from '../base/files/untrusted-file.ts';
import { isWithin, type JsonBounds, readJson } from '../base/files/untrusted-json.ts';
import { type AgentState, stateFile } from './runner-config.ts';

/** A file of the largest size takes about 0.2 s to read, once. */
export const stateBounds: JsonBounds = { maxBytes: 8 * 2 ** 20, maxTokens: 200_000 };

const tooLarge = `${stateFile} cannot be read: it is larger than any that a runner writes`;
/** Limit of the memory for the objects made from cached files. */
const maxCachedBytes = 32 * 2 ** 20;
/** Memory for the objects of a file as a multiple of its size: at most this much, if all values are small. */
const objectFactor = 4;
const maxCached = 1000;

export interface ParsedState {
  /** Empty if nothing is known. */
  readonly fields: Fields;
  /** For clients that look at the job. */
  readonly warnings: readonly string[];
}

interface CachedState {
  /** Identifies the version of the file that was read. */
  readonly version: string;
  readonly state: ParsedState;
  readonly sizeBytes: number;
}

const nothing: ParsedState = { fields: {}, warnings: [] };

/** The states that were read last, the longest unused first. */
export class StateCache {
  readonly #states = new Map<string, CachedState>();
  #sizeBytes = 0;

  /** The state of an agent, as far as it can be read. @param directory The directory of its job. */
  read(directory: string): ParsedState {
    const path = join(directory, stateFile);
    try {
      checkFolder(directory);
      const stats = statFile(path);
      const version = versionOf(stats);
      const before = this.#states.get(path);
      if (before) this.#forget(path, before.sizeBytes);
      if (!stats) return nothing;
      const state = before?.version === version ? before.state : readState(path);
      this.#keep(path, { version, state, sizeBytes: state === nothing ? 0 : objectFactor * stats.size });
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

/** Includes the time of the last change (ctime), which no writer can set. */
function versionOf(stats: Stats | undefined): string {
  return stats ? `${stats.dev} ${stats.ino} ${stats.mtimeMs} ${stats.ctimeMs} ${stats.size}` : '';
}

function readState(path: string): ParsedState {
  try {
    return { fields: fieldsOf(readJson(path, stateBounds)), warnings: [] };
  } catch (error) {
    // The agent has not begun, or the file is not one that a runner writes: nothing is known of it.
    return error instanceof TooLargeError ? { fields: {}, warnings: [tooLarge] } : nothing;
  }
}

/**
 * The state as its file has it, in UTF-8 and within the bounds. While it is too large, the longest of its lists loses
 * half of its entries. Of tool calls, results and denials the oldest are dropped.
 */
export function stateBytes(state: AgentState): Buffer {
  let left = state;
  for (;;) {
    const bytes = Buffer.from(JSON.stringify(left));
    if (isWithin(bytes, stateBounds)) return bytes;
    const less = shrink(left);
    if (less === undefined) return bytes;
    left = less;
  }
}

/** Returns `undefined` if all lists are empty. */
function shrink(state: AgentState): AgentState | undefined {
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
    case 'plan': return { ...state, progress: { ...progress, plan: firstHalf(lists.plan) } };
    case 'results': return { ...state, results: results.slice(Math.ceil(results.length / 2)) };
    case 'permissionsDenied':
      return { ...state, permissionsDenied: permissionsDenied.slice(Math.ceil(permissionsDenied.length / 2)) };
    case 'sessions': return { ...state, sessions: firstHalf(sessions) };
    default: return undefined;
  }
}

/** The first half of the list. */
function firstHalf<T>(list: readonly T[]): readonly T[] {
  return list.slice(0, Math.floor(list.length / 2));
}
