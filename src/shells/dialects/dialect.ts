/**
 * The language of a shell: what to write to it. Pure.
 *
 * A persistent shell reads its script from a FIFO, the control, line by line: at the top level, so that what a job
 * sets, defines or turns on is there for the next one. For each job the shell is told to source a file, the run file,
 * which claims the job, sources the command with its stdin, stdout and stderr on the job's files, and writes down its
 * exit code.
 * @module
 */

import type { Variables } from '../../process/environment/secrets.ts';

/** A job, as its run file needs it. */
export interface ShellJob {
  readonly id: string;
  /** Holds `command`, `stdout`, `stderr`, `process`, `exit` and, unless stdin is empty, `stdin`. */
  readonly directory: string;
  /** `fifo`: kept open by the stdin holder. `file`: the content of the file. `null`: empty. */
  readonly stdin: 'fifo' | 'file' | 'null';
  /** A line for `process`; the shell runs the job only if it reads this line back as the first one. */
  readonly claim: string;
  /**
   * The shell's directory. Holds the {@link fallbackExitFile} if the exit code could not be written in the job's
   * directory.
   */
  readonly shell: string;
  /** The file of the bootstrap, which runs before the command. */
  readonly bootstrap?: string;
}

export interface Dialect {
  /** How the shell is started: without the user's startup files, as a session begins with its bootstrap. */
  argv(program: string, control: string): readonly string[];
  /**
   * The first line: from then on the shell itself has the control open, so that the control never ends. Repeating the
   * line does no harm.
   *
   * @param environment The file that holds the {@link exports}.
   */
  begin(control: string, environment: string): string;
  /** Sets variables that the shell would obey at its start, once it has started without them. Absent: it obeys none. */
  exports?(variables: Variables): string;
  /** Sources the run file, and ends the job if the shell left that file early. Without the last newline. */
  source(runFile: string): string;
  run(job: ShellJob): string;
  /**
   * The signal that stops the job that the shell runs, and never the shell; ignored while no job runs. Absent: there is
   * no such signal. A shell that has received it adds a byte to the {@link interruptsFile}; until then it may be sent
   * again.
   */
  readonly interrupt?: NodeJS.Signals;
}

/** In the job's directory: exists if the shell slept when it was last interrupted. */
export const sleepsFile = 'sleeps';

/** In the job's directory: exists once the command has to be left whatever it does on SIGINT. */
export const forcedStopFile = 'last';

/** In the job's directory: holds a byte for each interrupt that has reached the shell. */
export const interruptsFile = 'interrupts';

/** In the shell's directory: holds the exit code that could not be written in the job's directory. */
export const fallbackExitFile = (jobId: string): string => `exit-${jobId}`;

/** Printed when the bootstrap has failed; the job is run nevertheless. */
export const bootstrapFailed = 'sidecar: the bootstrap command of this session failed with exit code';
