/**
 * The kinds of jobs (own process, persistent shell, agent), and how each is started, adopted and ended.
 * @module
 */
import { join } from 'node:path';
import { appendLine } from '../../base/untrusted-file.ts';
import type { JobId } from '../../protocol/ids.ts';
import type { AgentHost } from '../../process/agent-host.ts';
import { sendSignal } from '../../process/identity.ts';
import { withCarrier } from '../../process/launcher/carry.ts';
import { byHandling } from '../../process/environment/shell-variables.ts';
import { overlayForTerminal } from '../../process/environment/terminal.ts';
import { ttyArgv } from '../../process/pty.ts';
import type { Variables } from '../../process/environment/secrets.ts';
import type { JobShells } from '../../process/launcher/job-shells.ts';
import type { ShellHost, Starter } from '../../process/launcher/starter.ts';
import { isGone, terminate } from '../../process/terminate.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { runnerError } from '../agent-end.ts';
import { type JobRecord, type Outcome, unknownExitCode } from '../job.ts';
import { programFor } from '../modes.ts';
import type { JobStore } from '../store/store.ts';

export type Ending = { readonly signal: NodeJS.Signals; readonly graceMs: number };

export interface Kind {
  /** @throws where the job cannot be started. */
  start(entry: TrackedJob, request: JobRecord['request'], directory: string): void;
  /** Continues a job that an earlier server started. @returns whether only its files report its end. */
  adopt(entry: TrackedJob, directory: string): boolean;
  /** Takes back a job that was not handed on yet. `false`: it was handed on. */
  withdraw(entry: TrackedJob): boolean;
  /** Ends the job and all that it has started. `false`: a process hangs in the kernel. */
  terminate(entry: TrackedJob, options: Ending): Promise<boolean>;
  /** `false`: there is no process to send the signal to. */
  signal(entry: TrackedJob, name: NodeJS.Signals): Promise<boolean>;
  /** Called when the outcome is known and not shown yet: writes what only the server can say of it. */
  explain(entry: TrackedJob, outcome: Outcome): void;
  /** Called when the job has ended: ends what must not outlive it. */
  ended(entry: TrackedJob, options: Ending): Promise<unknown>;
}

export interface KindOptions {
  readonly starter: Starter;
  readonly shells: ShellHost;
  readonly jobShells: JobShells;
  readonly agents: AgentHost;
  readonly store: JobStore;
  /** The environment that every job inherits. */
  readonly inherited: Variables;
}

/** @returns a function that tells the kind of a job. */
export function kindsOf(options: KindOptions): (entry: TrackedJob) => Kind {
  const [own, inShell, agent] = [ownKind(options), shellKind(options), agentKind(options)];
  return ({ request: { mode } }) => (mode === 'acp' ? agent : mode === 'persistent_shell' ? inShell : own);
}

function ownKind({ starter, jobShells, inherited }: KindOptions): Kind {
  return {
    start({ id, request: { stdin, tty, output } }, { program, workdir, env }, directory) {
      if (program.mode === 'acp' || program.mode === 'persistent_shell') throw new Error(
        `a job of mode ${program.mode} is of another kind`,
      );
      const argv = programFor(program, { directory, pathOf: (shell) => jobShells.programOf(shell, env['PATH']) });
      if (tty === undefined) return starter.start({
        id, directory, stdin, workdir, env, argv, ...(output === 'pipe' ? { output } : {}),
      });
      // The shells that start the program do not pass on variables whose names a shell cannot have.
      const overlay = { ...byHandling(inherited).foreign, ...overlayForTerminal(inherited, env) };
      const launch = withCarrier({ id, directory, stdin, workdir, env: overlay, argv }, inherited);
      starter.start({ ...launch, argv: ttyArgv(launch.argv, tty) });
    },
    adopt: () => true,
    withdraw: ({ id }) => starter.withdraw(id),
    terminate: (entry, ending) => terminate(entry.family, ending),
    signal: async ({ leader }, name) => leader !== undefined && sendSignal(-leader.pid, name),
    explain: () => undefined,
    ended: async () => undefined,
  };
}

function shellKind({ shells }: KindOptions): Kind {
  return {
    start({ id, request: { stdin } }, { program }, directory) {
      if (program.mode !== 'persistent_shell') throw new Error(`a job of mode ${program.mode} is of another kind`);
      const { sessionKey, command, bootstrapCurrentCommand: isBootstrap = false, requireShell = false } = program;
      shells.start({ id, directory, stdin, sessionKey, command, isBootstrap, requireShell });
    },
    adopt({ id, request: { sessionKey = '' } }, directory) {
      shells.adopt({ id, directory, sessionKey });
      return false;
    },
    withdraw: ({ id }) => shells.withdraw(id),
    terminate: ({ id }, ending) => shells.end(id, ending),
    signal: ({ id }, name) => shells.signal(id, name),
    explain: () => undefined,
    // A job whose exit code is unknown may still be running: the files that report about its shell are gone.
    ended: async ({ id, state }, ending) => state.is === 'finished' && state.startedAt !== null
      && state.outcome.exitCode === unknownExitCode && await endMarked(id, ending),
  };
}

/** The process of an agent's job is the agent's runner. */
function agentKind(options: KindOptions): Kind {
  const { starter, agents, store } = options;
  return {
    ...ownKind(options),
    start({ id, request: { stdin } }, { program, workdir, env, timeoutSeconds }, directory) {
      if (program.mode !== 'acp') throw new Error(`a job of mode ${program.mode} is of another kind`);
      const launch = { id, directory, workdir, env, program, timeoutSeconds };
      starter.start({ id, directory, stdin, ...agents.prepare(launch) });
      agents.watch(launch);
    },
    adopt({ id }, directory) {
      const { program, workdir, env, timeoutSeconds } = store.read(id).request;
      if (program.mode === 'acp') agents.watch({ id, directory, workdir, env, program, timeoutSeconds });
      return true;
    },
    // The signal goes to the runner alone, which shuts its agent down.
    terminate: (entry, ending) => terminate(entry.family, { ...ending, to: 'leader' }),
    explain({ id }, outcome) {
      const error = outcome.exitCode === 0 ? undefined : runnerError(outcome, agents.summary(store.directory(id)));
      if (error !== undefined) appendLine(join(store.directory(id), 'stderr'), error.message);
    },
    // An agent must not outlive its runner, even where the runner was killed.
    ended: async ({ id }, ending) => await endMarked(id, ending),
  };
}

/** Ends the processes that carry the mark of a job. */
async function endMarked(id: JobId, ending: Ending): Promise<boolean> {
  const family = { id, leader: undefined };
  return await isGone(family) || await terminate(family, ending);
}
