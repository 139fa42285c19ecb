/**
 * How many files this process may have open, and how they are shared out: so that connections, `/health` and the end of jobs never lack one.
 * @module
 */
import { readFileSync, readdirSync } from 'node:fs';

/** RLIMIT_NOFILE (getrlimit(2)). */
export interface OpenFileLimit {
  readonly soft: number;
  readonly hard: number;
}

/**
 * The limit; `undefined` where the system does not tell. Node itself raises the soft limit to the hard one when it starts, and what it starts
 * inherits that.
 */
export function openFileLimit(): OpenFileLimit | undefined {
  try {
    const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined || hard === undefined ? undefined : { soft: Number(soft), hard: Number(hard) };
  } catch {
    // No Linux.
    return undefined;
  }
}

/** How many files this process has open; `undefined` where the system does not tell. */
export function openFileCount(): number | undefined {
  try {
    // One of them is the directory itself.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return undefined;
  }
}

/** Counts files that stay open for as long as a client reads them. */
export class FileBudget {
  readonly #most: number;
  #taken = 0;

  /** @param most Default: no limit. */
  constructor(most: number = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  /** @returns whether there was one left; it is then to be given back. */
  tryTake(): boolean {
    if (this.#taken >= this.#most) return false;
    this.#taken += 1;
    return true;
  }

  giveBack(): void {
    this.#taken -= 1;
  }
}

/** What is wanted, and what there is room for. */
export interface Capacity {
  readonly maxRunning: number;
  readonly maxSessions: number;
  readonly maxTerminals: number;
  /** Of each listener. */
  readonly connections: number;
}

/** Node's own, the logs, the lock, the pipes to the launchers, what is opened for a moment. */
const ownFiles = 64;
const connectionShare = 0.45;
/** The share of output that clients read, see {@link FileBudget}. */
const readerShare = 0.08;
/** The share of shells and of terminals. */
const guestShare = 0.1;
/** A launcher has two FIFOs; a shell has a launcher and its control; a terminal has its socket and, as it opens, another. */
const filesPerJob = 2;
const filesPerSession = 3;
const filesPerTerminal = 2;
const maxReserved = 64;
const minReserved = 4;

/** How many connections there may be beyond those that are served: each is told so, and vital requests on it are answered. */
export function reservedConnections(connections: number): number {
  return Math.min(maxReserved, Math.max(minReserved, Math.ceil(connections / 8)));
}

/** How many files may stay open for clients that read output. */
export function readersWithin(limit: OpenFileLimit | undefined): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(filesToShare(limit) * readerShare));
}

/** @returns each at most as wanted, and at least 1 where any is wanted. */
export function capacityWithin(limit: OpenFileLimit | undefined, wanted: Capacity, { listeners }: { readonly listeners: number }): Capacity {
  if (limit === undefined) return wanted;
  const files = filesToShare(limit);
  const maxSessions = atMost(wanted.maxSessions, files * guestShare / filesPerSession);
  const maxTerminals = atMost(wanted.maxTerminals, files * guestShare / filesPerTerminal);
  const share = files * connectionShare / listeners;
  const connections = atMost(wanted.connections, Math.min(share * 8 / 9, share - minReserved));
  const ofConnections = listeners * (connections + reservedConnections(connections));
  const left = files * (1 - readerShare) - ofConnections - maxSessions * filesPerSession - maxTerminals * filesPerTerminal;
  return { maxRunning: atMost(wanted.maxRunning, left / filesPerJob), maxSessions, maxTerminals, connections };
}

function filesToShare({ soft }: OpenFileLimit): number {
  return Math.max(0, soft - ownFiles);
}

function atMost(count: number, most: number): number {
  return Math.min(count, Math.max(1, Math.floor(most)));
}
