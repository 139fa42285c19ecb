/**
 * The server as a whole: opens the domains, collects their routes, listens, closes in reverse order.
 * @module
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from './base/log.ts';
import { TimeSlicer } from './base/time-slicer.ts';
import { Agents } from './agents/server/agents.ts';
import { AgentJobKind } from './agents/job-kind.ts';
import { agentRoutes } from './agents/routes.ts';
import type { Config } from './config/config.ts';
import { createAuthenticator } from './http/auth/auth.ts';
import { documentationRoutes } from './http/docs/docs.ts';
import { homeRoutes } from './http/docs/home.ts';
import { type Keys, openKeys } from './http/auth/keys.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from './http/server/listen.ts';
import { type Limits, connectionLimits, defaultLimits } from './http/server/limits.ts';
import { Tickets, ticketRoutes } from './http/auth/tickets.ts';
import { Jobs } from './jobs/jobs.ts';
import { jobRoutes } from './jobs/routes.ts';
import { ProcessKind } from './jobs/run/process-kind.ts';
import { JobStore } from './jobs/store/store.ts';
import { type Gauge, Metrics } from './metrics/metrics.ts';
import { metricsRoutes } from './metrics/routes.ts';
import { DirectStarter } from './process/launcher/direct.ts';
import { keepReserve } from './process/state/disk-reserve.ts';
import { ForkServer } from './process/launcher/fork-server.ts';
import { StdinHolder } from './process/launcher/stdin-holder.ts';
import { fifosDirectory } from './process/launcher/launched.ts';
import { findBash, LauncherPool } from './process/launcher/pool.ts';
import { JobShells } from './process/launcher/job-shells.ts';
import { acquireLock, type Lock, LockHeldError } from './process/state/lock.ts';
import {
  type Capacity, FileBudget, type OpenFileLimit, capacityWithin, hasFilesToStart, openFileCount, openFileLimit,
  readersWithin,
} from './process/open-files.ts';
import { goFirst } from './process/priority.ts';
import { SparePool } from './process/launcher/spares.ts';
import { openStateDirectory } from './process/state/state-directory.ts';
import type { Starter, StarterEvents } from './process/launcher/starter.ts';
import { getHealth } from './protocol/endpoints/server.ts';
import {
  type Health, type HealthOfCapacity, type HealthOfShells, type HealthOfTerminals, healthUpdate,
} from './protocol/health.ts';
import { throughProxy } from './proxy/through-proxy.ts';
import { type Mode, modes } from './protocol/jobs.ts';
import { shellKinds } from './protocol/shells.ts';
import { ShellJobKind } from './shells/job-kind.ts';
import { shellRoutes } from './shells/routes.ts';
import { Shells } from './shells/shells.ts';
import { ownDirectory } from './process/workdir.ts';
import { scriptBackend } from './terminals/backend.ts';
import { terminalPortRoutes, terminalRoutes } from './terminals/routes.ts';
import { ownProgram } from './process/own-program.ts';
import { Terminals } from './terminals/server/terminals.ts';
import { UpdateAnswers } from './update/answers.ts';
import { updateRoutes } from './update/routes.ts';
import { parseWindow } from './update/schedule.ts';
import { parseSource } from './update/sources/spec.ts';
import { readTrustedKeys } from './update/trust/trusted-keys.ts';
import { Updater } from './update/updater.ts';
import { Versions } from './update/versions/version-store.ts';
import type { WrapperLink } from './update/wrapper-link/wrapper-link.ts';

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
const lookAfterMs = 10_000;

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
  const { log, version, wrapped } = options;
  const capacity = capacityOf(settings, { ...defaultLimits, ...options.limits }.connections, log);
  const config = { ...settings, ...capacity.settings };
  const pace = new TimeSlicer();
  openStateDirectory(config.stateDir, log);
  // Warned about now: the first request through the proxy may come days later.
  for (const { problem } of config.proxyReport()) if (problem !== undefined) log.warn(problem);
  const metrics = new Metrics();
  const httpOptions: HttpServerOptions = {
    log,
    allowHosts: config.allowHosts,
    trustedProxies: config.trustProxies,
    allowOrigins: config.allowOrigins,
    isLoopback: isLoopback(config.host),
    pace,
    observe: (measurement) => metrics.observe(measurement),
    limits: { ...options.limits, ...capacity.connections },
    ...tlsOf(config),
  };
  const http = createHttpServer(httpOptions);
  const terminalHttp = config.terminalPort === undefined ? undefined : createHttpServer(httpOptions);
  const closers: (() => Promise<void> | void)[] = [];
  const letGo = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const jobShells = new JobShells({ preferred: config.shell, path: config.jobEnvironment['PATH'] ?? '' });
    jobShells.checkDefault();
    const isStandby = wrapped?.role === 'standby';
    let url = isStandby ? await standBy(wrapped, config, http) : undefined;
    const lock = await takeLock(config, { version, wrapped, patienceMs: isStandby ? patienceMs : 0 });
    closers.push(() => lock.release());
    const keys = await openKeys({
      stateDir: config.stateDir, environmentKey: config.apiKey, isWeakAllowed: config.allowWeakKey, log,
    });
    let terminals: Terminals | undefined;
    const agents = new Agents({
      env: config.jobEnvironment, jobShells, version, directory: join(config.stateDir, 'agents'), log,
      installProgram: ownProgram(import.meta.url, 'cli/install-main'),
      isSupported: process.platform !== 'win32', hasTerminals: () => (terminals?.backend ?? null) !== null,
    });
    const { jobs, shells } = await openJobs(config, {
      agents, jobShells, log, pace, files: capacity.files, closers,
    });
    const updates = openUpdates(config, {
      version, wrapped, log, running: () => jobs.counts.running + jobs.counts.queued,
    });
    closers.push(() => updates.close());
    terminals = await openTerminals(config, log, closers);
    let terminalPort: number | null = null;
    const startedAt = performance.now();
    const health = (): Health => ({
      status: 'ok', authenticated: true, version,
      hostname: hostname(), platform: process.platform, arch: process.arch,
      pid: process.pid, cwd: ownDirectory(), uptimeSeconds: Math.round((performance.now() - startedAt) / 1000),
      ...jobs.counts, capacity: capacity.health(),
      execution_modes: executionModes(shells, agents), acp_supported: agents.isSupported,
      default_shell: jobShells.defaultShell,
      ...healthOfShells(shells), ...healthOfTerminals(terminals), terminal_port: terminalPort,
      wrapper: wrapped?.isConnected === true ? { pid: wrapped.pid } : null, update: healthUpdate(updates.state()),
    });
    const tickets = new Tickets();
    const routes = [
      ...metricsRoutes({ metrics, gauges: gaugesOf(jobs, shells, terminals), health }),
      ...jobRoutes(jobs), ...agentRoutes(agents), ...shellRoutes(shells), ...terminalRoutes(terminals),
      ...updateRoutes(updates), ...ticketRoutes(tickets), ...homeRoutes(),
    ];
    const authenticator = createAuthenticator({ accepts: (key) => keys.accepts(key), log });
    http.answer({
      routes: [...routes, ...documentationRoutes({ title: 'machine-sidecar', version, routes })],
      authenticator, tickets,
    });
    terminalHttp?.answer({ routes: terminalPortRoutes(terminals), authenticator, tickets });
    ({ url } = url === undefined ? await listenOn(config, http, wrapped) : { url });
    if (terminalHttp) terminalPort = await listenForTerminals(config, terminalHttp, wrapped, log);
    lock.announce(url);
    const lookingAfter = setInterval(() => lookAfter(lock, config, log), lookAfterMs);
    lookingAfter.unref();
    closers.push(() => clearInterval(lookingAfter));
    if (wrapped) wrapped.onDraining = (isDraining) => http.drain(isDraining);
    return {
      url,
      healthUrl: new URL(getHealth.path, url).href,
      keys,
      async handOver() {
        agents.close();
        jobs.endWaits();
        await Promise.all([http, terminalHttp].map((one) => one?.stopAccepting({ limitMs: settleMs })));
        http.refuse();
        terminalHttp?.refuse();
        jobs.beginClose();
        await letGo();
      },
      async close({ graceMs = closeGraceMs } = {}) {
        agents.close();
        jobs.beginClose();
        await Promise.all([http, terminalHttp].map((one) => one?.close({ graceMs })));
        await letGo();
      },
    };
  } catch (error) {
    await Promise.all([http, terminalHttp].map((one) => one?.close({ graceMs: 0 })));
    await letGo();
    throw error;
  }
}

/** Checks that this server could serve, then waits beside another server until it takes over. @returns its address. */
async function standBy(wrapped: WrapperLink, config: Config, http: HttpServer): Promise<string> {
  accessSync(config.stateDir, constants.R_OK | constants.W_OK | constants.X_OK);
  await openKeys({
    stateDir: config.stateDir, environmentKey: config.apiKey, isWeakAllowed: config.allowWeakKey,
  });
  const jobsDirectory = JobStore.jobsDirectory(config.stateDir);
  if (existsSync(jobsDirectory)) readdirSync(jobsDirectory);
  wrapped.send({ say: 'ready' });
  if (!await wrapped.waitFor('listen')) throw wrapperGone();
  const { url } = await listenOn(config, http, wrapped);
  wrapped.send({ say: 'listening' });
  // If the wrapper exits during the hand-over, this server takes over by itself.
  if (!await wrapped.waitFor('takeOver') && !wrapped.isHandingOver) throw wrapperGone();
  return url;
}

function wrapperGone(): Error {
  return new Error('Cannot stand by: the wrapper has gone');
}

/** Listens through the wrapper's socket, and by itself if there is no wrapper or the wrapper exits meanwhile. */
async function listenOn(
  { host, port }: { readonly host: string; readonly port: number },
  http: HttpServer,
  wrapped: WrapperLink | undefined,
): Promise<{ url: string }> {
  // Exclusive even without a wrapper: if NODE_UNIQUE_ID is set, Node would ask an absent wrapper for the socket.
  if (wrapped === undefined) return await http.listen({ host, port, isExclusive: true });
  const listening = wrapped.isConnected
    ? await Promise.race([http.listen({ host, port }), wrapped.disconnected])
    : undefined;
  return listening ?? await http.listen({ host, port, isExclusive: true });
}

/** Opens the second listener. If it cannot listen, the server runs without it. */
async function listenForTerminals(
  config: Config, http: HttpServer, wrapped: WrapperLink | undefined, log: Log,
): Promise<number | null> {
  const { host, terminalPort: port = 0 } = config;
  try {
    const { url } = await listenOn({ host, port }, http, wrapped);
    log.info('listening for terminals', { url });
    return Number(new URL(url).port);
  } catch (error) {
    log.error('the port for terminals cannot be had', { port, error });
    return null;
  }
}

async function openTerminals(
  config: Config, log: Log, closers: (() => Promise<void> | void)[],
): Promise<Terminals> {
  const {
    stateDir, jobEnvironment: env, maxTerminals, terminalScrollbackBytes, terminalIdleSeconds, terminalLifetimeSeconds,
  } = config;
  const terminals = await Terminals.open({
    stateDir, env, maxTerminals,
    scrollbackBytes: terminalScrollbackBytes,
    idleSeconds: terminalIdleSeconds,
    lifetimeSeconds: terminalLifetimeSeconds,
    log,
  });
  closers.push(() => terminals.close());
  return terminals;
}

function healthOfTerminals(terminals: Terminals): Omit<HealthOfTerminals, 'terminal_port'> {
  const { backend, running } = terminals;
  return { terminal_supported: backend !== null, terminal_sessions: running, terminal_backend: backend };
}

/** @throws LockHeldError if another server still holds the state directory after `patienceMs`. */
async function takeLock(
  config: Config, by: { version: string; wrapped: WrapperLink | undefined; patienceMs: number },
): Promise<Lock> {
  const until = performance.now() + by.patienceMs;
  for (;;) {
    try {
      return await acquireLock(join(config.stateDir, 'server.lock'), by.version, { wrapperPid: by.wrapped?.pid });
    } catch (error) {
      if (!(error instanceof LockHeldError) || performance.now() >= until) throw error;
      await sleep(20);
    }
  }
}

function healthOfShells(shells: Shells): HealthOfShells {
  const { found, defaultShell, count, maxSessions, idleSeconds } = shells;
  return {
    persistent_shell_supported: found.size > 0,
    persistent_shell_shells: Object.fromEntries(shellKinds.map((kind) => [kind, found.has(kind)])),
    persistent_shell_default_shell: defaultShell,
    persistent_shell_sessions: count,
    persistent_shell_max_sessions: maxSessions,
    persistent_shell_idle_timeout_seconds: idleSeconds,
  };
}

function gaugesOf(jobs: Jobs, shells: Shells, terminals: Terminals): readonly Gauge[] {
  return [
    { name: 'sidecar_jobs', help: 'Jobs remembered.', read: () => jobs.counts.jobs },
    { name: 'sidecar_jobs_running', help: 'Jobs running.', read: () => jobs.counts.running },
    { name: 'sidecar_jobs_queued', help: 'Jobs waiting to be started.', read: () => jobs.counts.queued },
    { name: 'sidecar_agents', help: 'Agents running.', read: () => jobs.runningInteractive },
    { name: 'sidecar_sessions', help: 'Persistent shells open.', read: () => shells.count },
    { name: 'sidecar_terminals', help: 'Terminals whose program runs.', read: () => terminals.running },
    { name: 'process_resident_memory_bytes', help: 'Resident memory.', read: () => process.memoryUsage.rss() },
    { name: 'process_cpu_seconds', help: 'Processor time used.', read: () => cpuSeconds() },
  ];
}

/** The limits on open files for jobs. */
interface Files {
  /** Counts the files that stay open while clients read output. */
  readonly readers: FileBudget;
  /** `undefined`: no limit is known, or it allows all that the settings ask for. */
  readonly limit: OpenFileLimit | undefined;
}

interface ServerCapacity {
  readonly settings: Pick<Config, 'maxRunning' | 'maxSessions' | 'maxTerminals'>;
  readonly connections: Pick<Limits, 'connections'> & Partial<Limits>;
  readonly files: Files;
  readonly health: () => HealthOfCapacity;
}

/** The capacities in the settings, lowered to what the limit on open files allows. */
function capacityOf(config: Config, connections: number, log: Log): ServerCapacity {
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

/** Whether only this machine can connect to the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function executionModes({ found }: Shells, { isSupported }: Agents): readonly Mode[] {
  return modes.filter(
    (mode) => (mode !== 'persistent_shell' || found.size > 0) && (mode !== 'acp' || isSupported),
  );
}

async function openJobs(
  config: Config, by: {
    readonly agents: Agents;
    readonly jobShells: JobShells;
    readonly log: Log;
    readonly pace: TimeSlicer;
    readonly files: Files;
    readonly closers: (() => Promise<void> | void)[];
  },
): Promise<{ jobs: Jobs; shells: Shells }> {
  const { agents, jobShells, log, pace, files, closers } = by;
  const { limit } = files;
  const bash = process.platform === 'win32' ? undefined : findBash();
  // Not without bash: jobs that Node itself starts would inherit the priority.
  if (bash !== undefined) goFirst();
  else log.warn('no bash with job control: a running job will not outlive this server; see sidecar doctor');
  const { jobEnvironment: env } = config;
  const jobsDirectory = JobStore.jobsDirectory(config.stateDir);
  const onWarning = (message: string, error?: unknown): void => log.warn(message, { error });
  const first = bash === undefined ? undefined : new ForkServer({ bash, jobsDirectory, env, onWarning });
  const keeper = first && new StdinHolder({ forkServer: first, stateDir: config.stateDir, onWarning });
  const spares = keeper && new SparePool(first, join(config.stateDir, 'spares'), keeper);
  const fifos = first && new SparePool(first, fifosDirectory(config.stateDir));
  closers.push(async () => {
    await Promise.all([spares?.close(), fifos?.close()]);
    keeper?.close();
    first?.close();
  });
  const {
    stateDir, maxRunning, maxQueued, keepJobs, keepDays, keepBytes, maxSessions, sessionIdleSeconds: idleSeconds,
  } = config;
  // Opened before the jobs, since it knows how jobs ended whose shell ended while no server ran.
  const shells = new Shells({
    stateDir, takeFifo: fifos && (async () => (await fifos.take()).path), inherited: env,
    maxSessions, idleSeconds, log,
  });
  closers.push(() => shells.close());
  const createStarter = (events: StarterEvents): Starter => {
    if (!first || !keeper || !fifos) return new DirectStarter(events, { env });
    return new LauncherPool({
      ...events, forkServer: first, stdinHolder: keeper, fifos, jobsDirectory,
      ...(files.limit === undefined ? {} : { maxIdle: Math.max(2, Math.ceil(maxRunning / 32)) }),
      onWarning,
    });
  };
  const kinds = [
    new ProcessKind({ jobShells, inherited: env, hasPipes: spares !== undefined }),
    new ShellJobKind(shells),
    new AgentJobKind(agents),
  ];
  const jobs = await Jobs.open({
    stateDir, createStarter, kinds, inherited: env,
    hasTty: () => scriptBackend(env['PATH']) !== undefined,
    ahead: spares && keeper && { spares, keeper },
    maxRunning, maxQueued, keepJobs, keepDays, keepBytes, pace, readers: files.readers, log,
    ...(limit === undefined ? {} : { hasFiles: (running: number) => hasFilesToStart(limit, running) }),
  });
  closers.push(() => jobs.close());
  return { jobs, shells };
}

function openUpdates(
  config: Config, by: { version: string; wrapped: WrapperLink | undefined; log: Log; running: () => number },
): Updater {
  const { stateDir, updateSource, updateWindow, updateProbationSeconds, updateIntervalSeconds } = config;
  const { version, wrapped, log, running } = by;
  return new Updater({
    versions: new Versions({
      directory: Versions.directoryIn(stateDir), onWarning: (message, error) => log.warn(message, { error }),
    }),
    current: version,
    release: wrapped?.release ?? null,
    source: parseSource(updateSource),
    sourceText: updateSource,
    registry: () => config.updateRegistry(),
    fetch: () => throughProxy(config.updateProxies()).fetch,
    trusted: () => readTrustedKeys(stateDir),
    executor: wrapped,
    answers: new UpdateAnswers(UpdateAnswers.directoryIn(stateDir)),
    running,
    log,
    probationSeconds: updateProbationSeconds,
    automatic: config.autoUpdate
      ? {
        intervalSeconds: updateIntervalSeconds,
        window: updateWindow === undefined ? undefined : parseWindow(updateWindow),
      }
      : undefined,
  });
}

function tlsOf(config: Config): { tls?: { cert: Buffer; key: Buffer } } {
  const { tlsCert, tlsKey } = config;
  if (tlsCert === undefined && tlsKey === undefined) return {};
  if (tlsCert === undefined || tlsKey === undefined) throw new Error(
    'Cannot serve HTTPS: --tls-cert and --tls-key go together',
  );
  return { tls: { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) } };
}

/** Restores the lock file and the disk reserve if they are missing: the next server needs them. */
function lookAfter(lock: Pick<Lock, 'renew'>, { stateDir }: Pick<Config, 'stateDir'>, log: Log): void {
  try {
    lock.renew();
    keepReserve(stateDir);
  } catch (error) {
    log.warn('cannot look after the state directory', { error });
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
