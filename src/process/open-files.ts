/**
 * The limit on open files of this process, and its distribution, so that connections, `/health` and the end of jobs
 * never lack a file descriptor.
 * @module
 */
import { closeSync, openSync, readFileSync, readdirSync, statSync } from 'node:fs';

/** RLIMIT_NOFILE (getrlimit(2)). */
export interface OpenFileLimit {
  readonly soft: number;
  readonly hard: number;
}

/**
 * The limit; `undefined` where the system does not tell. Node itself raises the soft limit to the hard one when it
 * starts, and its children inherit that.
 */
export function openFileLimit(): OpenFileLimit | undefined {
  try {
    const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined || hard === undefined ? undefined : { soft: Number(soft), hard: Number(hard) };
  } catch {
    // Not Linux.
    return undefined;
  }
}

/** How many files this process has open; `undefined` where the system does not tell. */
export function openFileCount(): number | undefined {
  try {
    // Since Linux 6.2 the size of the directory is the count (proc_pid_fd(5)); before, it is 0. Counting the entries
    // takes longer the more there are.
    const { size } = statSync('/proc/self/fd');
    // One of the listed entries is the directory itself.
    return size > 0 ? size : readdirSync('/proc/self/fd').length - 1;
  } catch {
    return undefined;
  }
}

/** Limits the files that stay open while clients read them. */
export class FileBudget {
  readonly #most: number;
  #taken = 0;

  /** @param most Default: no limit. */
  constructor(most: number = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  /** @returns whether one was left; the caller must then give it back. */
  tryTake(): boolean {
    if (this.#taken >= this.#most) return false;
    this.#taken += 1;
    return true;
  }

  release(): void {
    this.#taken -= 1;
  }
}

/** Limits, as wanted or as granted. */
export interface Capacity {
  readonly maxRunning: number;
  readonly maxSessions: number;
  readonly maxTerminals: number;
  /** Per listener. */
  readonly connections: number;
}

/** `usualConnections` are guaranteed; `connections` may use the files of jobs while jobs do not need them. */
export interface Granted extends Capacity {
  /** With more connections than that, which use the files of jobs, answers close their connections. */
  readonly usualConnections: number;
}

/** Files of Node, the logs, the lock, the pipes to the launchers, and files that are open for a moment. */
const ownFiles = 48;
const connectionShare = 0.45;
/** Share of files that stay open for clients that read output, see {@link FileBudget}. */
const readerShare = 0.05;
/** Share of shells, and that of terminals. */
const guestShare = 0.08;
/**
 * A launcher has two FIFOs; a shell has a launcher and its control; a terminal has its socket and, while it opens,
 * another.
 */
const filesPerJob = 2;
const filesPerSession = 3;
const filesPerTerminal = 2;
const maxReserved = 32;
const minReserved = 4;
/** So many jobs may always run; connections may use the files of further jobs while those do not run. */
const minRunning = 16;
/** Files that are opened in addition while a job is started. */
const filesToStart = 8;

/**
 * How many connections are accepted beyond the limit: each is answered that the limit is reached, and vital requests
 * are served.
 */
export function reservedConnections(connections: number): number {
  return Math.min(maxReserved, Math.max(minReserved, Math.ceil(connections / 16)));
}

/** How many files may stay open for clients that read output. */
export function readersWithin(limit: OpenFileLimit | undefined): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(filesToShare(limit) * readerShare));
}

/** @returns each limit at most as wanted, and at least 1 where any is wanted. */
export function capacityWithin(
  limit: OpenFileLimit | undefined, wanted: Capacity, { listeners }: { readonly listeners: number },
): Granted {
  if (limit === undefined) return { ...wanted, usualConnections: wanted.connections };
  const files = filesToShare(limit);
  const maxSessions = atMost(wanted.maxSessions, files * guestShare / filesPerSession);
  const maxTerminals = atMost(wanted.maxTerminals, files * guestShare / filesPerTerminal);
  const usualConnections = connectionsWithin(files * connectionShare / listeners, wanted.connections);
  const shared = files * (1 - readerShare) - maxSessions * filesPerSession - maxTerminals * filesPerTerminal;
  const left = shared - listeners * (usualConnections + reservedConnections(usualConnections));
  const maxRunning = atMost(wanted.maxRunning, left / filesPerJob);
  const lent = shared - filesPerJob * Math.min(minRunning, maxRunning);
  const connections = Math.max(usualConnections, connectionsWithin(lent / listeners, wanted.connections));
  return { maxRunning, maxSessions, maxTerminals, connections, usualConnections };
}

/**
 * Whether a job may be started beside `running` others: connections may use the files that it needs. A descriptor is
 * the lowest free number (open(2)), so opening files shows which ones the job would get.
 */
export function hasFilesToStart(limit: OpenFileLimit, running: number): boolean {
  if (running < minRunning) return true;
  const fds: number[] = [];
  try {
    while (fds.length < filesToStart) fds.push(openSync('/dev/null', 'r'));
    return Math.max(...fds) < limit.soft - ownFiles;
  } catch {
    return false;
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** How many connections fit, including the reserved ones. */
function connectionsWithin(files: number, wanted: number): number {
  return atMost(wanted, Math.min(files * 16 / 17, files - minReserved));
}

function filesToShare({ soft }: OpenFileLimit): number {
  return Math.max(0, soft - ownFiles);
}

function atMost(count: number, most: number): number {
  return Math.min(count, Math.max(1, Math.floor(most)));
}
