/**
 * Interrupts (Ctrl-C, SIGTERM, SIGHUP) while a command is attached to a job: they apply to the job.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type JobId, ProblemError, type Sidecar } from '../../client/client.ts';
import { printMessage } from '../io/print.ts';

export interface Interrupts {
  /** Aborts when the third interrupt leaves the job alone, and on `close`. */
  readonly leaving: AbortSignal;
  /** Sets the job; it also gets the interrupts that came before. */
  setTarget(sidecar: Sidecar, id: JobId): void;
  /** Cancels the job, with SIGTERM first, or with `signal`. */
  cancel(signal?: 'SIGPIPE'): void;
  close(): void;
}

export interface InterruptHandler extends Interrupts {
  /** Acts like Ctrl-C, for a terminal where Ctrl-C is only a key. */
  interrupt(): void;
  /** Forgets the interrupts so far: they were meant for something that has ended. */
  reset(): void;
  /** Whether an interrupt has come since the last `reset`. */
  readonly isInterrupted: () => boolean;
}

/** The action of the first Ctrl-C on a job. */
export type FirstInterrupt = (sidecar: Sidecar, id: JobId, signal: AbortSignal) => Promise<unknown>;

const sendInterrupt: FirstInterrupt = (sidecar, id, signal) => sidecar.jobs.signal(id, 'SIGINT', { signal });

/** The exit code that a shell reports for a command ended by SIGINT. */
export const interruptedExitCode = 130;
/** The exit code that a shell reports for a command ended by SIGPIPE. */
export const readerGoneExitCode = 141;

/**
 * Handles signals. The first SIGINT goes to the job, or runs `first`; the second cancels the job; the third leaves it
 * alone. The first SIGTERM or SIGHUP cancels the job, the next one leaves it.
 *
 * @param options.isOwn The job was started for this command and ends with it. Default true; otherwise SIGTERM and
 *   SIGHUP run `first`.
 */
export function handleInterrupts(
  first: FirstInterrupt = sendInterrupt, { isOwn = true }: { readonly isOwn?: boolean } = {},
): InterruptHandler {
  const leaving = new AbortController();
  let target: { sidecar: Sidecar; id: JobId } | undefined;
  let waiting: ((sidecar: Sidecar, id: JobId) => Promise<unknown>)[] = [];
  let interrupts = 0;

  function act(action: (sidecar: Sidecar, id: JobId) => Promise<unknown>): void {
    if (target) void retryUntilReached(() => action(target!.sidecar, target!.id), leaving.signal);
    else waiting.push(action);
  }
  function cancel(signal?: 'SIGPIPE'): void {
    act((sidecar, id) => sidecar.jobs.cancel(id, signal === undefined ? {} : { signal }, { signal: leaving.signal }));
  }
  function leave(): void {
    printMessage(
      target ? `leaving job ${target.id}, which may still run; "sidecar logs -f ${target.id}" follows it` : 'leaving',
    );
    leaving.abort();
  }
  function interrupt(): void {
    interrupts += 1;
    if (interrupts === 1) return act((sidecar, id) => first(sidecar, id, leaving.signal));
    if (interrupts > 2) return leave();
    printMessage('cancelling the job; once more to leave it alone');
    cancel();
  }
  function terminate(): void {
    interrupts += 2;
    if (interrupts > 3) leave();
    else if (isOwn) cancel();
    else act((sidecar, id) => first(sidecar, id, leaving.signal));
  }

  process.on('SIGINT', interrupt);
  process.on('SIGTERM', terminate);
  process.on('SIGHUP', terminate);
  return {
    leaving: leaving.signal,
    setTarget: (sidecar, id) => {
      target = { sidecar, id };
      const actions = waiting;
      waiting = [];
      for (const action of actions) act(action);
    },
    cancel,
    interrupt,
    reset: () => { interrupts = 0; },
    isInterrupted: () => interrupts > 0,
    close: () => {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', terminate);
      process.off('SIGHUP', terminate);
      leaving.abort();
    },
  };
}

/** Handles signals while the action runs. Resolves with 130 when an interrupt has left the job alone. */
export async function withInterrupts(
  action: (interrupts: InterruptHandler) => Promise<number>, ...options: Parameters<typeof handleInterrupts>
): Promise<number> {
  const interrupts = handleInterrupts(...options);
  try {
    return await action(interrupts);
  } catch (error) {
    if (interrupts.leaving.aborted) return interruptedExitCode;
    throw error;
  } finally {
    interrupts.close();
  }
}

/** Retries until the server gets the request. Repeating is harmless: the job is only signalled or cancelled again. */
export async function retryUntilReached(action: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await action();
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ProblemError)) throw error;
      if (error.code === 'job_not_running' || error.code === 'job_not_found') return;
      if (error.code !== 'unreachable' && error.code !== 'shutting_down') return printMessage(error.message);
      await delay(300, undefined, { signal }).catch(() => undefined);
    }
  }
}
