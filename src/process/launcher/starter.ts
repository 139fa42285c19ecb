/**
 * The interfaces of what starts jobs: launchers where there is a bash, else Node itself; and persistent shells.
 * @module
 */
import type { ShellEnded, ShellKind, ShellStarted } from '../../protocol/shells.ts';
import type { FifoWrite } from './fifo.ts';
import type { Launch } from './launch-script.ts';

/** Events of started jobs. */
export interface StarterEvents {
  /** The job has got a launcher: its timeout begins. */
  readonly onStarted: (id: string) => void;
  /** The job will be the first one of a new persistent shell, which has not received it yet. */
  readonly onShellStarted?: (id: string, started: ShellStarted) => void;
  /** The job's process ended; its exit file is written if that was possible. */
  readonly onExit: (id: string, exit: Exit) => void;
  /** Another launcher had claimed the job before: it runs, or ran, and must be watched by its files. */
  readonly onClaimed: (id: string) => void;
  /** The launcher of the job is gone; the job itself may still run. */
  readonly onOrphaned: (id: string) => void;
  /** The job could not be started. */
  readonly onFailed: (id: string, error: Error) => void;
}

export interface Exit {
  /** `undefined`: unknown. */
  readonly code: number | undefined;
  /** The job's first process, whose pid names its group. */
  readonly pid: number;
  /** Processes of the group are left. */
  readonly hasLeft: boolean;
  /** The persistent shell that ran it ended with it. */
  readonly shellEnded?: ShellEnded | undefined;
}

export interface Starter {
  /** Starts the job now, or as soon as there is a launcher for it. */
  start(launch: Launch): void;
  /** Takes back a job that was not given to a launcher yet. `false`: it was. */
  withdraw(id: string): boolean;
  /** Writes what fits, without waiting. */
  writeStdin(id: string, directory: string, bytes: Uint8Array): FifoWrite;
  /**
   * Ends the job's input. `false`: that is not possible any more.
   *
   * @param lease What keeps the input open, if not the starter itself.
   */
  closeStdin(id: string, lease: string | undefined): boolean;
  /** Releases the stdin of a job that has ended. @param lease As above. */
  releaseStdin(lease: string | undefined): void;
  /** Stops starting jobs; running jobs keep running. */
  close(): void;
}

/** The part of a request that is about its persistent shell. */
export interface ShellRequest {
  readonly sessionKey: string;
  /** Absent: the session's own shell, or the best one available. */
  readonly shell?: ShellKind;
  /** `workdir` and `env` start the session if this request is its first. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  /** From now on run at each start of the shell. */
  readonly bootstrapCommand?: string;
  /** The command is the bootstrap, or has the same effect. */
  readonly isBootstrap: boolean;
  /** Run only in the shell that earlier jobs have used. */
  readonly requireShell?: boolean;
}

/** A job as a persistent shell runs it. */
export interface ShellLaunch extends Pick<Launch, 'id' | 'directory' | 'stdin'> {
  readonly sessionKey: string;
  readonly command: string;
  /** The bootstrap need not run before it. */
  readonly isBootstrap: boolean;
  /** Fail if the shell that earlier jobs have used has ended. */
  readonly requireShell?: boolean;
}

/** Runs jobs in shells that outlive them, and reports by {@link StarterEvents}. One job per session at a time. */
export interface ShellHost {
  /**
   * Ensures that the session exists.
   *
   * @returns the kind of its shell.
   * @throws ProblemError not_supported, too_many_sessions, session_conflict, shell_gone.
   */
  admit(request: ShellRequest): ShellKind;
  start(launch: ShellLaunch): void;
  /** Continues with a job that an earlier server gave to its shell. */
  adopt(launch: Pick<ShellLaunch, 'id' | 'directory' | 'sessionKey'>): void;
  /** How its shell ended together with a job of an earlier server; `undefined`: the shell did not end with that job. */
  endedWith(launch: Pick<ShellLaunch, 'directory' | 'sessionKey'>): ShellEnded | undefined;
  /** Takes back a job that was not given to its shell yet. `false`: it was. */
  withdraw(id: string): boolean;
  /** Ends what the job runs and, if the job still runs then, its shell. `false`: a process hangs in the kernel. */
  end(id: string, options: { readonly signal: NodeJS.Signals; readonly graceMs: number }): Promise<boolean>;
  /** Sends a signal to what the job runs. `false`: only the shell itself runs. */
  signal(id: string, name: NodeJS.Signals): Promise<boolean>;
}
