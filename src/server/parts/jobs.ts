/**
 * The parts of a server that run jobs: launchers, persistent shells, agents, and the jobs themselves.
 * @module
 */
import { join } from 'node:path';
import { AgentJobKind } from '../../agents/job-kind.ts';
import { agentRoutes } from '../../agents/routes.ts';
import { Agents } from '../../agents/server/agents.ts';
import { Jobs } from '../../jobs/jobs.ts';
import { jobRoutes } from '../../jobs/routes.ts';
import { ProcessKind } from '../../jobs/run/process-kind.ts';
import { JobStore } from '../../jobs/store/store.ts';
import { DirectStarter } from '../../process/launcher/direct.ts';
import { ForkServer } from '../../process/launcher/fork-server.ts';
import { JobShells } from '../../process/launcher/job-shells.ts';
import { fifosDirectory } from '../../process/launcher/launched.ts';
import { findBash, LauncherPool } from '../../process/launcher/pool.ts';
import { SparePool } from '../../process/launcher/spares.ts';
import type { Starter, StarterEvents } from '../../process/launcher/starter.ts';
import { StdinHolder } from '../../process/launcher/stdin-holder.ts';
import { hasFilesToStart } from '../../process/open-files.ts';
import { ownProgram } from '../../process/own-program.ts';
import { goFirst } from '../../process/priority.ts';
import type { HealthOfShells } from '../../protocol/health.ts';
import { type Mode, modes } from '../../protocol/jobs/exec.ts';
import { shellKinds } from '../../protocol/shells.ts';
import { ShellJobKind } from '../../shells/job-kind.ts';
import { shellRoutes } from '../../shells/routes.ts';
import { Shells } from '../../shells/shells.ts';
import { scriptBackend } from '../../terminals/backend.ts';
import type { ServerContext } from '../context.ts';

/** What starts the processes of jobs; `undefined` on a machine without bash: Node itself starts them. */
interface Launching {
  readonly forkServer: ForkServer;
  readonly stdinHolder: StdinHolder;
  /** Directories of jobs, made ahead. */
  readonly directories: SparePool;
  /** FIFOs for launchers and shells, made ahead. */
  readonly fifos: SparePool;
}

/** @throws ParseError where the default shell is not installed: before anything is opened. */
export function openJobShells({ config }: Pick<ServerContext, 'config'>): JobShells {
  const jobShells = new JobShells({ preferred: config.shell, path: config.jobEnvironment['PATH'] ?? '' });
  jobShells.checkDefault();
  return jobShells;
}

/** @param options.hasTerminals Whether an agent can be given a terminal to log in. */
export async function openJobs(
  context: ServerContext, options: { readonly jobShells: JobShells; readonly hasTerminals: () => boolean },
): Promise<Jobs> {
  const { config, log, pace, version, files, parts } = context;
  const { jobShells, hasTerminals } = options;
  const { stateDir, jobEnvironment: env, maxRunning, maxQueued, keepJobs, keepDays, keepBytes } = config;
  const agents = new Agents({
    env, jobShells, version, directory: join(stateDir, 'agents'), log, hasTerminals,
    installProgram: ownProgram(import.meta.url, '../../cli/install-main'),
    isSupported: process.platform !== 'win32',
  });
  const launching = openLaunching(context);
  // Opened before the jobs, since it knows how jobs ended whose shell ended while no server ran.
  const shells = openShells(context, launching);
  const { limit } = files;
  const jobs = await Jobs.open({
    stateDir, inherited: env, maxRunning, maxQueued, keepJobs, keepDays, keepBytes, pace, readers: files.readers, log,
    createStarter: (events) => createStarter(context, events, launching),
    kinds: [
      new ProcessKind({ jobShells, inherited: env, hasPipes: launching !== undefined }),
      new ShellJobKind(shells),
      new AgentJobKind(agents),
    ],
    hasTty: () => scriptBackend(env['PATH']) !== undefined,
    ahead: launching && { spares: launching.directories, stdinHolder: launching.stdinHolder },
    ...(limit === undefined ? {} : { hasFiles: (running: number) => hasFilesToStart(limit, running) }),
  });
  parts.onClose('jobs', () => jobs.close());
  parts.add({
    routes: jobRoutes(jobs),
    health: () => ({
      ...jobs.counts, execution_modes: executionModes(shells, agents), default_shell: jobShells.defaultShell,
    }),
    gauges: [
      { name: 'sidecar_jobs', help: 'Jobs remembered.', read: () => jobs.counts.jobs },
      { name: 'sidecar_jobs_running', help: 'Jobs running.', read: () => jobs.counts.running },
      { name: 'sidecar_jobs_queued', help: 'Jobs waiting to be started.', read: () => jobs.counts.queued },
    ],
    endWaits() {
      agents.close();
      jobs.waits.end();
    },
    beginClose() {
      agents.close();
      jobs.beginClose();
    },
  });
  parts.add({
    routes: agentRoutes(agents),
    health: () => ({ acp_supported: agents.isSupported }),
    gauges: [{ name: 'sidecar_agents', help: 'Agents running.', read: () => jobs.runningInteractive }],
  });
  parts.add({
    routes: shellRoutes(shells),
    health: () => healthOfShells(shells),
    gauges: [{ name: 'sidecar_sessions', help: 'Persistent shells open.', read: () => shells.count }],
  });
  return jobs;
}

function openLaunching({ config, log, parts }: ServerContext): Launching | undefined {
  const bash = process.platform === 'win32' ? undefined : findBash();
  if (bash === undefined) {
    log.warn('no bash with job control: a running job will not outlive this server; see sidecar doctor');
    return undefined;
  }
  // Not without bash: jobs that Node itself starts would inherit the priority.
  goFirst();
  const { stateDir, jobEnvironment: env } = config;
  const onWarning = (message: string, error?: unknown): void => log.warn(message, { error });
  const forkServer = new ForkServer({ bash, jobsDirectory: JobStore.jobsDirectory(stateDir), env, onWarning });
  const stdinHolder = new StdinHolder({ forkServer, stateDir, onWarning });
  const directories = new SparePool(forkServer, join(stateDir, 'spares'), stdinHolder);
  const fifos = new SparePool(forkServer, fifosDirectory(stateDir));
  parts.onClose('launchers', async () => {
    await Promise.all([directories.close(), fifos.close()]);
    stdinHolder.close();
    forkServer.close();
  });
  return { forkServer, stdinHolder, directories, fifos };
}

function openShells({ config, log, parts }: ServerContext, launching: Launching | undefined): Shells {
  const { stateDir, jobEnvironment: inherited, maxSessions, sessionIdleSeconds: idleSeconds } = config;
  const shells = new Shells({
    stateDir, inherited, maxSessions, idleSeconds, log,
    takeFifo: launching && (async () => (await launching.fifos.take()).path),
  });
  parts.onClose('shells', () => shells.close());
  return shells;
}

function createStarter(
  { config, log, files }: ServerContext, events: StarterEvents, launching: Launching | undefined,
): Starter {
  const { stateDir, jobEnvironment: env, maxRunning } = config;
  if (launching === undefined) return new DirectStarter(events, { env });
  const { forkServer, stdinHolder, fifos } = launching;
  return new LauncherPool({
    ...events, forkServer, stdinHolder, fifos, jobsDirectory: JobStore.jobsDirectory(stateDir),
    ...(files.limit === undefined ? {} : { maxIdle: Math.max(2, Math.ceil(maxRunning / 32)) }),
    onWarning: (message, error) => log.warn(message, { error }),
  });
}

function executionModes({ found }: Shells, { isSupported }: Agents): readonly Mode[] {
  return modes.filter(
    (mode) => (mode !== 'persistent_shell' || found.size > 0) && (mode !== 'acp' || isSupported),
  );
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
