/**
 * How many files this process may have open, and how they are shared out: so that connections, `/health` and the end of jobs never lack one.
 * @module
 */
import { closeSync, openSync, readFileSync, readdirSync, statSync } from 'node:fs';

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
    // Since Linux 6.2 the size of the directory (proc_pid_fd(5)): counting takes longer the more there are. Before that it is 0.
    const { size } = statSync('/proc/self/fd');
    // One of those that are listed is the directory itself.
    return size > 0 ? size : readdirSync('/proc/self/fd').length - 1;
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

/** What connections have for certain, and what they may have while jobs do not need it: those wait then. */
export interface Granted extends Capacity {
  /** Above it, as connections have the files of jobs, answers end their connections. */
  readonly usualConnections: number;
}

/** Node's own, the logs, the lock, the pipes to the launchers, what is opened for a moment. */
const ownFiles = 48;
const connectionShare = 0.45;
/** The share of output that clients read, see {@link FileBudget}. */
const readerShare = 0.05;
/** The share of shells and of terminals. */
const guestShare = 0.08;
/** A launcher has two FIFOs; a shell has a launcher and its control; a terminal has its socket and, as it opens, another. */
const filesPerJob = 2;
const filesPerSession = 3;
const filesPerTerminal = 2;
const maxReserved = 32;
const minReserved = 4;
/** So many jobs may always run; what others would need connections may have, for as long as no job has it. */
const minRunning = 16;
/** What is opened beside, as a job is started. */
const filesToStart = 8;

/** How many connections there may be beyond those that are served: each is told so, and vital requests on it are answered. */
export function reservedConnections(connections: number): number {
  return Math.min(maxReserved, Math.max(minReserved, Math.ceil(connections / 16)));
}

/** How many files may stay open for clients that read output. */
export function readersWithin(limit: OpenFileLimit | undefined): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(filesToShare(limit) * readerShare));
}

/** @returns each at most as wanted, and at least 1 where any is wanted. */
export function capacityWithin(limit: OpenFileLimit | undefined, wanted: Capacity, { listeners }: { readonly listeners: number }): Granted {
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
 * Whether a job may be started beside `running` others: connections may have the files that it needs. A descriptor is the lowest number
 * that is free (open(2)), so those that it will get are known once they are opened.
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

/** How many there may be, those that are reserved included. */
function connectionsWithin(files: number, wanted: number): number {
  return atMost(wanted, Math.min(files * 16 / 17, files - minReserved));
}

function filesToShare({ soft }: OpenFileLimit): number {
  return Math.max(0, soft - ownFiles);
}

function atMost(count: number, most: number): number {
  return Math.min(count, Math.max(1, Math.floor(most)));
}
