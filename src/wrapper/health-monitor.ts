/**
 * Watches a running server for a fault: it is not ready in time, fails its probation, or does not answer any more.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { unixSeconds } from '../base/unix-seconds.ts';
import { confirm } from '../update/versions/version-state.ts';
import { checkHealth } from './health-check.ts';
import type { InstalledReleases } from './installed-releases.ts';
import { type Ending, probationEnds, type WrapperTimings } from './restart-decision.ts';
import type { ServerProcess } from './server-process.ts';
import { watchEventLoop } from './watchdog.ts';

export interface HealthMonitorOptions {
  readonly log: Log;
  readonly timing: WrapperTimings;
  readonly releases: InstalledReleases;
  /** The version of the server, for the log. */
  readonly versionOf: (server: ServerProcess) => string;
  readonly isInProbation: (server: ServerProcess) => boolean;
  /** Called when a version has passed its probation. */
  readonly onProven: (version: string) => void;
}

const healthEveryMs = 1_000;
const healthMs = 5_000;
/** Failed checks in a row that count as a fault. */
const healthFailures = 3;
/** Factor on `readyMs` for a proven version, as it may have to read a hundred thousand jobs. */
const readyFactor = 20;

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  /** Resolves with the fault of a running server; never if it has no fault. */
  async faultOf(child: ServerProcess, signal: AbortSignal): Promise<Ending> {
    const { log, timing, versionOf, isInProbation } = this.#options;
    const isNew = isInProbation(child);
    const limitMs = timing.readyMs * (isNew ? 1 : readyFactor);
    if (child.servingSince === undefined && !await child.waitFor('serving', limitMs)) {
      if (!child.isGone && !signal.aborted) return { type: 'not_ready', afterMs: limitMs };
      return never();
    }
    if (!signal.aborted) {
      log.info('server runs', { pid: child.pid, version: versionOf(child), url: child.url });
    }
    const fault = isNew ? await this.#prove(child, signal) : undefined;
    if (fault !== undefined) return fault;
    const { watchEveryMs, watchLimitMs } = timing;
    const reason = await watchEventLoop({
      checkHealth: () => checkHealth(child.healthUrl ?? '', watchLimitMs),
      everyMs: watchEveryMs,
      signal,
    });
    return reason === undefined ? never() : { type: 'unhealthy', reason };
  }

  /** Checks a new version repeatedly. Resolves with its fault, or with `undefined` once it has passed its probation. */
  async #prove(child: ServerProcess, signal: AbortSignal): Promise<Ending | undefined> {
    const { log, timing, releases, onProven } = this.#options;
    const endsAt = probationEnds(
      releases.state,
      { wall: unixSeconds(), monotonicMs: performance.now() },
      timing,
    ) ?? 0;
    for (let failures = 0; ;) {
      const finding = await checkHealth(child.healthUrl ?? '', healthMs);
      if (signal.aborted) return undefined;
      const leftMs = endsAt - performance.now();
      if (finding.type === 'healthy') failures = 0;
      // Inconclusive checks are tolerated for a while, but a version that was never seen healthy has not proven itself.
      else if (finding.type === 'unhealthy' || leftMs < -timing.probationMs) failures += 1;
      if (finding.type !== 'healthy' && failures >= healthFailures) return { type: 'unhealthy', reason: finding.why };
      if (leftMs <= 0 && finding.type === 'healthy') break;
      await sleep(Math.min(healthEveryMs, Math.max(50, leftMs)), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return undefined;
    }
    const version = child.program.release;
    if (version === null) return undefined;
    releases.change((state) => confirm(state, version, unixSeconds()));
    log.info('version has proven itself', { version });
    onProven(version);
    return undefined;
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
