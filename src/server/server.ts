/**
 * The server as a whole: opens its parts in order, listens, and closes the parts in reverse order.
 * @module
 */
import type { Log } from '../base/log.ts';
import { TimeSlicer } from '../base/time-slicer.ts';
import type { Config } from '../config/config.ts';
import { type Keys, openKeys } from '../http/auth/keys.ts';
import { type Limits, defaultLimits } from '../http/server/limits.ts';
import { createHttpServer, type HttpServerOptions } from '../http/server/listen.ts';
import { Metrics } from '../metrics/metrics.ts';
import { keepReserve } from '../process/state/disk-reserve.ts';
import type { Lock } from '../process/state/lock.ts';
import { openStateDirectory } from '../process/state/state-directory.ts';
import { getHealth } from '../protocol/endpoints/server.ts';
import type { Terminals } from '../terminals/server/terminals.ts';
import type { WrapperLink } from '../update/wrapper-link/wrapper-link.ts';
import { capacityOf } from './capacity.ts';
import type { ServerContext } from './context.ts';
import { isLoopback, listenForTerminals, listenOn, tlsOf } from './listeners.ts';
import { Parts } from './parts.ts';
import { openJobs, openJobShells } from './parts/jobs.ts';
import { openFiles } from './parts/files.ts';
import { openTerminals } from './parts/terminals.ts';
import { openUpdates } from './parts/updates.ts';
import { serverRoutes } from './server-routes.ts';
import { standBy, takeLock } from './standby.ts';

export interface Server {
  /** The address of the server. */
  readonly url: string;
  /** The address of the health check, which needs no key. */
  readonly healthUrl: string;
  readonly keys: Keys;
  /**
   * Hands over to another server on the same socket: stops accepting, finishes short requests, ends waits, and
   * releases the state directory. Responses that are still being sent continue until `close()`.
   */
  handOver(): Promise<void>;
  /** Finishes the requests in progress, then releases everything; running jobs keep running. */
  close(options?: { graceMs?: number }): Promise<void>;
}

const closeGraceMs = 5000;
/** How long a server that hands over waits for the requests that it has accepted. */
const settleMs = 3_000;
/** How long a server that takes over waits for the other server to release the state directory. */
const patienceMs = 10_000;
const checkMs = 10_000;

/**
 * Starts the server.
 *
 * @throws LockHeldError if another server holds the state directory; the system's error if it cannot listen.
 */
export async function startServer(
  settings: Config,
  options: {
    readonly version: string; readonly log: Log; readonly limits?: Partial<Limits>;
    readonly wrapped?: WrapperLink | undefined
  },
): Promise<Server> {
  const { log, version, wrapped: wrapper } = options;
  const capacity = capacityOf(settings, { ...defaultLimits, ...options.limits }.connections, log);
  const parts = new Parts(log);
  const context: ServerContext = {
    config: { ...settings, ...capacity.settings }, log, pace: new TimeSlicer(), version, wrapper,
    files: capacity.files, parts,
  };
  const { config } = context;
  openStateDirectory(config.stateDir, log);
  // Warned about now: the first request through the proxy may come days later.
  for (const { problem } of config.proxyReport()) if (problem !== undefined) log.warn(problem);
  const metrics = new Metrics();
  const httpOptions = httpOptionsOf(context, metrics, { ...options.limits, ...capacity.connections });
  const http = createHttpServer(httpOptions);
  const terminalHttp = config.terminalPort === undefined ? undefined : createHttpServer(httpOptions);
  const listeners = terminalHttp === undefined ? [http] : [http, terminalHttp];
  try {
    const jobShells = openJobShells(context);
    const isStandby = wrapper?.role === 'standby';
    let url = isStandby ? await standBy(wrapper, config, http) : undefined;
    const lock = await takeLock(config, { version, wrapper, patienceMs: isStandby ? patienceMs : 0 });
    parts.onClose('lock', () => lock.release());
    const keys = await openKeys({
      stateDir: config.stateDir, environmentKey: config.apiKey, isWeakAllowed: config.allowWeakKey, log,
    });
    let terminals: Terminals | undefined;
    const jobs = await openJobs(context, {
      jobShells, hasTerminals: () => (terminals?.backend ?? null) !== null,
    });
    terminals = await openTerminals(context);
    await openFiles(context);
    openUpdates(context, () => jobs.counts.running + jobs.counts.queued);
    let terminalPort: number | null = null;
    const routes = serverRoutes(context, {
      metrics, keys, terminals, capacity: capacity.health, terminalPort: () => terminalPort,
    });
    http.answer(routes.main);
    terminalHttp?.answer(routes.terminals);
    ({ url } = url === undefined ? await listenOn(config, http, wrapper) : { url });
    if (terminalHttp) terminalPort = await listenForTerminals(config, terminalHttp, wrapper, log);
    lock.announce(url);
    const checks = setInterval(() => checkStateDirectory(lock, config, log), checkMs);
    checks.unref();
    parts.onClose('checks', () => clearInterval(checks));
    if (wrapper) wrapper.onDraining = (isDraining) => http.drain(isDraining);
    return {
      url,
      healthUrl: new URL(getHealth.path, url).href,
      keys,
      async handOver() {
        parts.endWaits();
        await Promise.all(listeners.map((one) => one.stopAccepting({ limitMs: settleMs })));
        for (const one of listeners) one.refuse();
        parts.beginClose();
        await parts.close();
      },
      async close({ graceMs = closeGraceMs } = {}) {
        parts.beginClose();
        await Promise.all(listeners.map((one) => one.close({ graceMs })));
        await parts.close();
      },
    };
  } catch (error) {
    await Promise.all(listeners.map((one) => one.close({ graceMs: 0 })));
    await parts.close();
    throw error;
  }
}

function httpOptionsOf(
  { config, log, pace }: ServerContext, metrics: Metrics, limits: Partial<Limits>,
): HttpServerOptions {
  return {
    log,
    allowHosts: config.allowHosts,
    trustedProxies: config.trustProxies,
    allowOrigins: config.allowOrigins,
    isLoopback: isLoopback(config.host),
    pace,
    observe: (measurement) => metrics.observe(measurement),
    limits,
    ...tlsOf(config),
  };
}

/** Restores the lock file and the disk reserve if they are missing: the next server needs them. */
function checkStateDirectory(lock: Pick<Lock, 'renew'>, { stateDir }: Pick<Config, 'stateDir'>, log: Log): void {
  try {
    lock.renew();
    keepReserve(stateDir);
  } catch (error) {
    log.warn('cannot check the state directory', { error });
  }
}
