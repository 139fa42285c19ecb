/**
 * The interface of what starts jobs: launchers where there is a bash, else Node itself.
 * @module
 */
import type { FifoWrite } from './fifo.ts';
import type { Launch } from './launch-script.ts';

/** Events of started jobs. */
export interface StarterEvents {
  /** The job has got a launcher: its timeout begins. */
  readonly onStarted: (id: string) => void;
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
