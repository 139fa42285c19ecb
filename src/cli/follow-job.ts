/**
 * Attaches to a job: its output is written here, our stdin and Ctrl-C go to it, and its exit code becomes ours.
 * @module
 */
import { type Job, type JobId, ProblemError, type Sidecar, outputBytes } from '../client/client.ts';
import { CommandError, exitCodes } from './failure.ts';
import { type Interrupts, interruptedExitCode } from './interrupts.ts';
import { JobOutput } from './job-output.ts';
import { oneLine, say } from './print.ts';
import { forwardStdin } from './stdin.ts';
import { hintingAt, onReaderGone } from './streams.ts';

/** Milliseconds to look for a server that is lost: long enough for an update or a reboot. */
export const patienceMs = 600_000;

/** The exit code that a shell reports for a command ended by SIGPIPE. */
const readerGoneExitCode = 141;

export interface AttachOptions {
  readonly interrupts: Interrupts;
  readonly isStdinForwarded: boolean;
  /** How the job runs, which decides how its text is shown. Default `shell`. */
  readonly mode?: Job['mode'];
  /** Called with the bytes that were written here. */
  readonly onWritten?: (bytes: Uint8Array) => void;
  /** Called when the job has ended and all of its output is written, before its end is reported. */
  readonly onEnded?: (job: Job) => void;
}

/**
 * Streams the job until it ends. Resolves with the exit code; says on stderr what the exit code does not tell.
 *
 * @throws CommandError with exit code 69 when the server stays unreachable.
 */
export async function attach(sidecar: Sidecar, id: JobId, options: AttachOptions): Promise<number> {
  const { interrupts } = options;
  interrupts.aim(sidecar, id);
  let isReaderGone = false;
  const stopWatching = onReaderGone(() => {
    if (!isReaderGone) interrupts.cancel('SIGPIPE');
    isReaderGone = true;
  });
  if (options.isStdinForwarded) void forwardStdin(sidecar, id, interrupts);
  try {
    const job = await writingFor(id, () => stream(sidecar, id, options));
    options.onEnded?.(job);
    if (isReaderGone) return readerGoneExitCode;
    tellShell(job);
    tellEnd(job);
    return exitCodeOf(job);
  } catch (error) {
    if (interrupts.leaving.aborted) return interruptedExitCode;
    if (!(error instanceof ProblemError) || error.code !== 'unreachable') throw error;
    throw new CommandError(error.message, {
      hint: `Job ${id} may still run; once the server is back, "sidecar logs -f ${id}" shows all of it`,
      exitCode: exitCodes.unreachable,
      cause: error,
    });
  } finally {
    stopWatching();
  }
}

/**
 * Runs an action that writes the output of a job.
 *
 * @throws OutputError naming the job, which continues when writing fails.
 */
export function writingFor<T>(id: JobId, action: () => Promise<T>): Promise<T> {
  return hintingAt(`Job ${id} was left alone; "sidecar logs -f ${id}" shows its output`, action);
}

/** The exit code for a finished job: its own; 124 at its timeout, 1 when its own is unknown. */
export function exitCodeOf(job: Job): number {
  if (job.reason === 'timeout') return exitCodes.timeout;
  return job.exitCode === undefined || job.exitCode < 0 ? exitCodes.failure : job.exitCode;
}

export function tellWarnings({ jobId, warnings = [] }: Job): void {
  for (const warning of warnings) say(`job ${jobId}: ${warning}`);
}

/** Tells the person when the state of a persistent shell was lost. */
function tellShell({ sessionKey = '', shellStarted, shellEnded }: Job): void {
  const name = oneLine(sessionKey);
  if (shellStarted !== undefined && shellStarted.reason !== 'first') {
    say(`the shell of session ${name} was started again (${
      shellStarted.reason.replaceAll('_', ' ')
    }): what the one before held is gone`);
  }
  if (shellEnded === undefined) return;
  const code = shellEnded.exitCode === undefined ? '' : `, exit code ${shellEnded.exitCode}`;
  say(`the shell of session ${name} ended with this command (${
    shellEnded.reason.replaceAll('_', ' ')
  }${code}): the next one gets a new one`);
}

/** Prints the warnings of a job, and how it ended where its exit code does not tell. */
export function tellEnd(job: Job): void {
  tellWarnings(job);
  const end = endInWords(job);
  if (end !== undefined) say(`job ${job.jobId} ${end}`);
}

async function stream(
  sidecar: Sidecar, id: JobId, { interrupts, onWritten, mode = 'shell' }: AttachOptions,
): Promise<Job> {
  const output = new JobOutput({ mode });
  const signal = interrupts.leaving;
  let isLost = false;
  const onLost = (): void => {
    if (!isLost) say(`lost the server; job ${id} keeps running there, looking for it again`);
    isLost = true;
  };
  for await (const event of sidecar.jobs.follow(id, { signal, reconnectMs: patienceMs, onLost })) {
    isLost = false;
    if (event.type === 'output') {
      const bytes = outputBytes(event);
      await output.write(bytes, event.stream === 'stdout' ? process.stdout : process.stderr);
      onWritten?.(bytes);
    }
    if (event.type === 'end') return event.job;
  }
  throw new Error('the events ended without an end');
}

/** An agent's job has a lifetime, and each of its turns a timeout, at which the agent's runner exits with 124. */
function timeoutInWords({ mode, timeout, lifetime = null, exitCode }: Job): string {
  const of = (seconds: number | null): string => (seconds === null ? '' : ` of ${seconds} s`);
  if (mode !== 'acp') return `was ended at its timeout${of(timeout)}`;
  if (exitCode === exitCodes.timeout) return `was ended at its timeout${of(timeout)} for a turn`;
  return `was ended at the end of its lifetime${of(lifetime)}`;
}

function endInWords(job: Job): string | undefined {
  switch (job.reason) {
    case 'timeout': return timeoutInWords(job);
    case 'lost': return 'is lost: it ended while no server was there, and how cannot be known';
    case 'cancelled': return 'was cancelled';
    case 'output_limit': return 'was ended because it wrote more than it may (--max-output-bytes)';
    case 'spawn_error': return `could not be started: ${job.error ?? `exit code ${job.exitCode}`}`;
    case 'signal':
      return job.signal === 'SIGINT' || job.signal === 'SIGPIPE' ? undefined : `was ended by ${job.signal}`;
    case 'exit':
    case null: return undefined;
  }
}
