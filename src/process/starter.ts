/**
 * What starts jobs: launchers where there is a bash, else Node itself.
 * @module
 */
import type { ShellEnded, ShellKind, ShellStarted } from '../protocol/shells.ts';
import type { FifoWrite } from './fifo.ts';
import type { Launch } from './launch-script.ts';

/** What is learnt of a job that was started. */
export interface StarterEvents {
  /** It no longer waits for a launcher: its time begins. */
  readonly onStarted: (id: string) => void;
  /** The job is to be the first one of a persistent shell, which has not been told of it yet. */
  readonly onShellStarted?: (id: string, started: ShellStarted) => void;
  /** The process ended, and its exit file is written if it could be. */
  readonly onExit: (id: string, exit: Exit) => void;
  /** Another launcher had taken this job before: it runs, or ran, and is to be watched by its files. */
  readonly onClaimed: (id: string) => void;
  /** What waited for the job is gone, the job itself perhaps not. */
  readonly onOrphaned: (id: string) => void;
  /** It cannot be started at all. */
  readonly onFailed: (id: string, error: Error) => void;
}

export interface Exit {
  /** `undefined`: nobody knows. */
  readonly code: number | undefined;
  /** The job's first process, which named its group. */
  readonly pid: number;
  /** Somebody of the group is left. */
  readonly hasLeft: boolean;
  /** The persistent shell that ran it ended with it. */
  readonly shellEnded?: ShellEnded | undefined;
}

export interface Starter {
  /** Starts the job now, or as soon as there is a launcher for it. */
  start(launch: Launch): void;
  /** Takes back a job that has not been handed on yet. `false`: it has. */
  withdraw(id: string): boolean;
  /** Writes what fits, without a wait. */
  writeStdin(id: string, directory: string, bytes: Uint8Array): FifoWrite;
  /**
   * The job reads the end of its input. `false`: that cannot be done any more.
   *
   * @param hold What keeps it open, where that is not the starter itself.
   */
  closeStdin(id: string, hold: string | undefined): boolean;
  /** The job has ended. @param hold As above. */
  letGoOfStdin(hold: string | undefined): void;
  /** Running jobs go on. */
  close(): void;
}

/** What a request says of the persistent shell that its job is for. */
export interface ShellRequest {
  readonly sessionKey: string;
  /** Absent: the session's own, or the best that there is. */
  readonly shell?: ShellKind;
  /** The seed, where this request is the first of its session. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  /** Run each time the shell starts, from now on. */
  readonly bootstrapCommand?: string;
  /** The command is the bootstrap, or has done what it does. */
  readonly isBootstrap: boolean;
  /** Only in the shell that earlier jobs have used. */
  readonly requireShell?: boolean;
}

/** A job as a persistent shell runs it. */
export interface ShellLaunch extends Pick<Launch, 'id' | 'directory' | 'stdin'> {
  readonly sessionKey: string;
  readonly command: string;
  /** The bootstrap need not go before it. */
  readonly isBootstrap: boolean;
  /** It fails where the shell that earlier jobs have used has ended. */
  readonly requireShell?: boolean;
}

/** What runs jobs in shells that outlive them; tells what becomes of them by {@link StarterEvents}. One job of a session at a time. */
export interface ShellHost {
  /**
   * There is, from now on, such a session.
   *
   * @returns the shell that it has.
   * @throws ProblemError not_supported, too_many_sessions, session_conflict, shell_gone.
   */
  admit(request: ShellRequest): ShellKind;
  start(launch: ShellLaunch): void;
  /** Goes on with a job that an earlier server gave to its shell. */
  adopt(launch: Pick<ShellLaunch, 'id' | 'directory' | 'sessionKey'>): void;
  /** How its shell ended with a job of an earlier server; `undefined`: not with that one. */
  endedWith(launch: Pick<ShellLaunch, 'directory' | 'sessionKey'>): ShellEnded | undefined;
  /** Takes back a job that its shell was not told of yet. `false`: it was. */
  withdraw(id: string): boolean;
  /** Ends what the job runs and, where the job then still goes on, its shell. `false`: something hangs in the kernel. */
  end(id: string, options: { readonly signal: NodeJS.Signals; readonly graceMs: number }): Promise<boolean>;
  /** Sends a signal to what the job runs. `false`: it runs nothing but the shell itself. */
  signal(id: string, name: NodeJS.Signals): Promise<boolean>;
}
