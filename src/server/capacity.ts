/**
 * How much the server may run at once, with the files that it may have open.
 * @module
 */
import type { Log } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { type Limits, connectionLimits } from '../http/server/limits.ts';
import {
  type Capacity, FileBudget, type OpenFileLimit, capacityWithin, openFileCount, openFileLimit, readersWithin,
} from '../process/open-files.ts';
import type { HealthOfCapacity } from '../protocol/health.ts';

/** The limits on open files for jobs. */
export interface FileLimits {
  /** Counts the files that stay open while clients read output. */
  readonly readers: FileBudget;
  /** `undefined`: no limit is known, or it allows all that the settings ask for. */
  readonly limit: OpenFileLimit | undefined;
}

export interface ServerCapacity {
  readonly settings: Pick<Config, 'maxRunning' | 'maxSessions' | 'maxTerminals'>;
  readonly connections: Pick<Limits, 'connections'> & Partial<Limits>;
  readonly files: FileLimits;
  readonly health: () => HealthOfCapacity;
}

/** The capacities in the settings, lowered to what the limit on open files allows. */
export function capacityOf(config: Config, connections: number, log: Log): ServerCapacity {
  const { maxRunning, maxSessions, maxTerminals, terminalPort } = config;
  const wanted: Capacity = { maxRunning, maxSessions, maxTerminals, connections };
  const limit = openFileLimit();
  const { usualConnections, ...granted } = capacityWithin(limit, wanted, {
    listeners: terminalPort === undefined ? 1 : 2,
  });
  const lowered = (Object.keys(wanted) as (keyof Capacity)[]).filter((name) => granted[name] < wanted[name]);
  const isLowered = lowered.length > 0;
  const isLent = usualConnections < granted.connections;
  const changes = lowered.map((name) => `${name} is ${granted[name]} instead of ${wanted[name]}`).join(', ');
  const reason = isLowered
    ? `the server may have ${limit?.soft} files open (ulimit -n), so that ${changes}; jobs beyond it wait`
    : null;
  if (reason !== null) log.warn(reason, {
    fix: 'ulimit -n 65536 before the server starts, or LimitNOFILE= in its unit',
  });
  const health = (): HealthOfCapacity => ({
    ...granted,
    openFiles: limit?.soft ?? null, openFilesHard: limit?.hard ?? null, openFilesUsed: openFileCount() ?? null,
    isLowered, reason,
  });
  const { connections: most, ...settings } = granted;
  return {
    settings, health,
    connections: isLowered || isLent ? { ...connectionLimits(most), usualConnections } : { connections: most },
    files: { readers: new FileBudget(readersWithin(limit)), limit: isLowered || isLent ? limit : undefined },
  };
}
