/**
 * What to write to a shell, in its own language. Pure.
 *
 * A persistent shell reads its script from a FIFO, the control, line by line as they come: at the top level, so that what a job sets, defines or
 * turns on is there for the next one. For a job it is told to source a file, the run file, which claims the job, sources the command with its
 * stdin, stdout and stderr on the files of the job, and writes down its exit code.
 * @module
 */

import type { Variables } from '../process/environment/secrets.ts';

/** A job as its run file needs it. */
export interface ShellJob {
  readonly id: string;
  /** Holds `command`, `stdout`, `stderr`, `process`, `exit` and, unless stdin is empty, `stdin`. */
  readonly directory: string;
  /** `fifo`: kept open by the keeper. `file`: what the file holds. `null`: empty. */
  readonly stdin: 'fifo' | 'file' | 'null';
  /** A line for `process`; only who reads it back as the first one runs the job. */
  readonly claim: string;
  /** The directory of the shell. Holds its {@link toldFile} once the exit code could not be told in that of the job. */
  readonly shell: string;
  /** The file of the bootstrap, which goes first. */
  readonly bootstrap?: string;
}

export interface Dialect {
  /** How the shell is started: without the files of the user's, as the bootstrap is what a session begins with. */
  argv(program: string, control: string): readonly string[];
  /**
   * The first line: from then on the shell itself has the control open, so that it never ends. Said twice it does no harm.
   *
   * @param environment The file that holds the {@link exports}.
   */
  begin(control: string, environment: string): string;
  /** Says variables that such a shell obeys from its start on, once it has started without. Absent: it obeys none. */
  exports?(variables: Variables): string;
  /** Sources the run file, and ends the job if the shell left that before its end. Without the last newline. */
  source(runFile: string): string;
  run(job: ShellJob): string;
  /**
   * Stops the job that the shell runs, and never the shell; ignored where none runs. Absent: nothing does. A shell that
   * has got it adds a byte to the {@link interruptsFile}; until then it may be sent again.
   */
  readonly interrupt?: NodeJS.Signals;
}

/** In the directory of the job: there while the shell slept as it was interrupted last. */
export const sleepsFile = 'sleeps';

/** In the directory of the job: there once the command is to be left whatever it does on SIGINT. */
export const lastFile = 'last';

/** In the directory of the job. */
export const interruptsFile = 'interrupts';

/** In the directory of the shell: what `exit` would hold in that of the job. */
export const toldFile = (jobId: string): string => `exit-${jobId}`;

/** Says that the bootstrap went wrong; the job is run all the same. */
export const bootstrapFailed = 'sidecar: the bootstrap command of this session failed with exit code';
