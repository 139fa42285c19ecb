/**
 * Attaches to a job: its output is written here, our stdin and Ctrl-C go to it, and its exit code becomes ours.
 * @module
 */
import { type Job, type JobId, type Sidecar, outputBytes } from '../../client/client.ts';
import { exitCodes, withUnreachableHint } from '../failure.ts';
import { type Interrupts, interruptedExitCode, readerGoneExitCode } from './interrupts.ts';
import { JobOutput } from './job-output.ts';
import { oneLine, printMessage } from '../io/print.ts';
import { forwardStdin } from './stdin.ts';
import { withHint, onReaderGone } from '../io/streams.ts';

/** Milliseconds to look for a server that is lost: long enough for an update or a reboot. */
export const reconnectTimeoutMs = 600_000;

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
  interrupts.setTarget(sidecar, id);
  let isReaderGone = false;
  const stopWatching = onReaderGone(() => {
    if (!isReaderGone) interrupts.cancel('SIGPIPE');
    isReaderGone = true;
  });
  if (options.isStdinForwarded) void forwardStdin(sidecar, id, interrupts);
  try {
    const hint = `Job ${id} may still run; once the server is back, "sidecar logs -f ${id}" shows all of it`;
    const job = await withUnreachableHint(hint, () => withJobHint(id, () => stream(sidecar, id, options)));
    options.onEnded?.(job);
    if (isReaderGone) return readerGoneExitCode;
    printShellChanges(job);
    printEnd(job);
    return exitCodeOf(job);
  } catch (error) {
    if (interrupts.leaving.aborted) return interruptedExitCode;
    throw error;
  } finally {
    stopWatching();
  }
}

/**
 * Runs an action that writes the output of a job.
 *
 * @throws OutputError naming the job, which continues when writing fails.
 */
export function withJobHint<T>(id: JobId, action: () => Promise<T>): Promise<T> {
  return withHint(`Job ${id} was left alone; "sidecar logs -f ${id}" shows its output`, action);
}

/** The exit code for a finished job: its own; 124 at its timeout, 1 when its own is unknown. */
export function exitCodeOf(job: Job): number {
  if (job.reason === 'timeout') return exitCodes.timeout;
  return job.exitCode === undefined || job.exitCode < 0 ? exitCodes.failure : job.exitCode;
}

export function printWarnings({ jobId, warnings = [] }: Job): void {
  for (const warning of warnings) printMessage(`job ${jobId}: ${warning}`);
}

/** Tells the person when the state of a persistent shell was lost. */
function printShellChanges({ sessionKey = '', shellStarted, shellEnded }: Job): void {
  const name = oneLine(sessionKey);
  if (shellStarted !== undefined && shellStarted.reason !== 'first') {
    printMessage(`the shell of session ${name} was started again (${
      shellStarted.reason.replaceAll('_', ' ')
    }): what the one before held is gone`);
  }
  if (shellEnded === undefined) return;
  const code = shellEnded.exitCode === undefined ? '' : `, exit code ${shellEnded.exitCode}`;
  printMessage(`the shell of session ${name} ended with this command (${
    shellEnded.reason.replaceAll('_', ' ')
  }${code}): the next one gets a new one`);
}

/** Prints the warnings of a job, and how it ended where its exit code does not tell. */
export function printEnd(job: Job): void {
  printWarnings(job);
  const end = endInWords(job);
  if (end !== undefined) printMessage(`job ${job.jobId} ${end}`);
}

/** Prints the message when the server is lost, once until it is found again. */
export function lostServerNotice(message: string): { readonly onLost: () => void; readonly onFound: () => void } {
  let isLost = false;
  return {
    onLost: () => {
      if (!isLost) printMessage(message);
      isLost = true;
    },
    onFound: () => { isLost = false; },
  };
}

async function stream(
  sidecar: Sidecar, id: JobId, { interrupts, onWritten, mode = 'shell' }: AttachOptions,
): Promise<Job> {
  const output = new JobOutput({ mode });
  const signal = interrupts.leaving;
  const { onFound, onLost } = lostServerNotice(
    `lost the server; job ${id} keeps running there, looking for it again`,
  );
  for await (const event of sidecar.jobs.follow(id, { signal, reconnectMs: reconnectTimeoutMs, onLost })) {
    onFound();
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
