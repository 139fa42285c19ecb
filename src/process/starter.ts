/**
 * What starts jobs: launchers where there is a bash, else Node itself.
 * @module
 */
import type { FifoWrite } from './fifo.ts';
import type { Launch } from './launch-script.ts';

/** What is learnt of a job that was started. */
export interface StarterEvents {
  /** It no longer waits for a launcher: its time begins. */
  readonly onStarted: (id: string) => void;
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
