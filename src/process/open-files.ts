/**
 * How many files this process may have open, and how they are shared out: so that connections, `/health` and the end of jobs never lack one.
 * @module
 */
import { readFileSync } from 'node:fs';

/**
 * The limit (RLIMIT_NOFILE, getrlimit(2)); `undefined` where the system does not tell. Node itself raises the soft limit to the hard one when it
 * starts, and what it starts inherits that.
 */
export function openFileLimit(): number | undefined {
  try {
    const [, soft = ''] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === '' ? undefined : Number(soft);
  } catch {
    // No Linux.
    return undefined;
  }
}

/** What is wanted, and what there is room for. */
export interface Capacity {
  readonly maxRunning: number;
  readonly maxSessions: number;
  readonly maxTerminals: number;
  readonly connections: number;
}

/** Node's own, the logs, the lock, the pipes to the launchers. */
const ownFiles = 64;
/** The share of connections, and of what is opened for a moment: output that is read, files that are written, followers. */
const connectionShare = 0.35;
const momentShare = 0.15;
/** The share of shells and of terminals. */
const guestShare = 0.1;
/** A launcher has two FIFOs; a shell has a launcher and its control; a terminal has its socket and, as it opens, another. */
const filesPerJob = 2;
const filesPerSession = 3;
const filesPerTerminal = 2;

/** @returns each at most as wanted, and at least 1 where any is wanted. */
export function capacityWithin(limit: number | undefined, wanted: Capacity): Capacity {
  if (limit === undefined) return wanted;
  const files = Math.max(0, limit - ownFiles);
  const atMost = (count: number, most: number): number => Math.min(count, Math.max(1, Math.floor(most)));
  const maxSessions = atMost(wanted.maxSessions, files * guestShare / filesPerSession);
  const maxTerminals = atMost(wanted.maxTerminals, files * guestShare / filesPerTerminal);
  const connections = atMost(wanted.connections, files * connectionShare);
  const left = files - connections - files * momentShare - maxSessions * filesPerSession - maxTerminals * filesPerTerminal;
  return { maxRunning: atMost(wanted.maxRunning, left / filesPerJob), maxSessions, maxTerminals, connections };
}
