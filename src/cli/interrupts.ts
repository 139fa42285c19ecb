/**
 * Ctrl-C and its like, while a command stands for a job: they mean the job.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type JobId, ProblemError, type Sidecar } from '../client/client.ts';
import { say } from './print.ts';

export interface Interrupts {
  /** Aborts when the third interrupt leaves the job alone. */
  readonly leaving: AbortSignal;
  /** From now on there is a job; what was pressed before reaches it now. */
  aim(sidecar: Sidecar, id: JobId): void;
  /** Ends the job, SIGTERM first, or `signal`. */
  cancel(signal?: 'SIGPIPE'): void;
  close(): void;
}

export interface InterruptHandler extends Interrupts {
  /** As Ctrl-C, where a key is all that came of it. */
  interrupt(): void;
  /** What was pressed so far was for something that has ended. */
  forget(): void;
  /** Whether anything was pressed since. */
  readonly isInterrupted: () => boolean;
}

/** What the first Ctrl-C means for a job. */
export type FirstInterrupt = (sidecar: Sidecar, id: JobId, signal: AbortSignal) => Promise<unknown>;

const sendInterrupt: FirstInterrupt = (sidecar, id, signal) => sidecar.jobs.signal(id, 'SIGINT', { signal });

/** What a shell says of a command that SIGINT ended. */
export const interruptedExitCode = 130;

/**
 * Listens: SIGINT goes to the job, or does what is `first`; the second one cancels it, the third leaves it. SIGTERM and SIGHUP cancel, then leave.
 *
 * @param options.isOwn The job was begun for this command, so that it goes with it. Default true; else SIGTERM and SIGHUP do what is `first`.
 */
export function handleInterrupts(first: FirstInterrupt = sendInterrupt, { isOwn = true }: { readonly isOwn?: boolean } = {}): InterruptHandler {
  const leaving = new AbortController();
  let target: { sidecar: Sidecar; id: JobId } | undefined;
  let waiting: ((sidecar: Sidecar, id: JobId) => Promise<unknown>)[] = [];
  let interrupts = 0;

  function act(action: (sidecar: Sidecar, id: JobId) => Promise<unknown>): void {
    if (target) void untilReached(() => action(target!.sidecar, target!.id), leaving.signal);
    else waiting.push(action);
  }
  function cancel(signal?: 'SIGPIPE'): void {
    act((sidecar, id) => sidecar.jobs.cancel(id, signal === undefined ? {} : { signal }, { signal: leaving.signal }));
  }
  function leave(): void {
    say(target ? `leaving job ${target.id}, which may still run; "sidecar logs -f ${target.id}" follows it` : 'leaving');
    leaving.abort();
  }
  function interrupt(): void {
    interrupts += 1;
    if (interrupts === 1) return act((sidecar, id) => first(sidecar, id, leaving.signal));
    if (interrupts > 2) return leave();
    say('cancelling the job; once more to leave it alone');
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
    aim: (sidecar, id) => {
      target = { sidecar, id };
      const actions = waiting;
      waiting = [];
      for (const action of actions) act(action);
    },
    cancel,
    interrupt,
    forget: () => { interrupts = 0; },
    isInterrupted: () => interrupts > 0,
    close: () => {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', terminate);
      process.off('SIGHUP', terminate);
      leaving.abort();
    },
  };
}

/** Nothing is done twice that must not be: signalling or cancelling a job that a lost request had reached changes nothing. */
export async function untilReached(action: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await action();
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ProblemError)) throw error;
      if (error.code === 'job_not_running' || error.code === 'job_not_found') return;
      if (error.code !== 'unreachable' && error.code !== 'shutting_down') return say(error.message);
      await delay(300, undefined, { signal }).catch(() => undefined);
    }
  }
}
