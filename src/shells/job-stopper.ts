/**
 * Ends what a job runs in its shell: by an interrupt, then by signals, and at last together with the shell.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { isAliveNow, type ProcessStat, sendSignal } from '../process/identity.ts';
import type { ActiveJob } from './active-job.ts';
import type { Dialect } from './dialects/dialect.ts';
import { interruptCommand, isAsleep } from './interrupt.ts';
import { countInterrupts, hasClaimed, noteForcedStop, noteSleep, type StartedShell } from './run-directory.ts';
import { noteKilled } from './shell-end.ts';
import type { ShellProcess } from './shell-process.ts';

export interface JobStopperOptions {
  readonly process: ShellProcess;
  readonly dialect: Dialect;
  readonly log: Log;
  /** Whether the shell still has the job. */
  readonly isActive: (job: ActiveJob) => boolean;
  /** Checks whether the job has ended. */
  readonly check: (job: ActiveJob) => void;
}

/** A command without any process for so long runs in the shell itself. */
const noProcessMs = 1_500;
/** How long after SIGKILL a command may take to vanish, and its shell to continue, before the shell is killed, too. */
const killMs = 2_000;
const killCheckMs = 2;
/** How long a shell may take to notice SIGINT. */
const interruptMs = 2_000;
const slowestCheckMs = 100;

export class JobStopper {
  readonly #options: JobStopperOptions;

  constructor(options: JobStopperOptions) {
    this.#options = options;
  }

  /** Ends what the job runs and, if the job still runs then, the shell. `false`: a process hangs in the kernel. */
  async end(
    job: ActiveJob, shell: StartedShell, { signal, graceMs }: { signal: NodeJS.Signals; graceMs: number },
  ): Promise<boolean> {
    if (graceMs > 0 && signal !== 'SIGKILL') {
      const begunAt = performance.now();
      await this.#stopByInterrupt(job, shell, graceMs / 2);
      await this.#stopBySignal(job, shell, signal, graceMs - (performance.now() - begunAt));
      await this.#endBackground(job, shell, { signal, limitMs: graceMs - (performance.now() - begunAt) });
    }
    await this.#stopBySignal(job, shell, 'SIGKILL', killMs);
    await this.#endBackground(job, shell, { signal: 'SIGKILL', limitMs: killMs });
    if (!this.#isActive(job)) return true;
    const { process, log } = this.#options;
    log.info('shell ended, as its command could not be', {
      sessionKey: process.record.sessionKey, jobId: job.launch.id,
    });
    return await this.#kill(shell, job);
  }

  /** Sends a signal to what the job runs. `false`: only the shell itself runs. */
  async signal(job: ActiveJob, shell: StartedShell, name: NodeJS.Signals): Promise<boolean> {
    if (name === 'SIGINT') return await this.#interrupt(job, shell, interruptMs);
    const processes = await this.#findProcesses(job, shell);
    return processes.map(({ pid }) => sendSignal(pid, name)).includes(true);
  }

  /** Interrupts what the shell runs, and the shell. `false`: there was nothing to interrupt. */
  async #interrupt(job: ActiveJob, shell: StartedShell, limitMs: number): Promise<boolean> {
    return await interruptCommand({
      shell: shell.identity, find: () => this.#findProcesses(job, shell), limitMs,
      signalShell: (isAsleep) => this.#signalShell(job, shell, isAsleep),
    });
  }

  /**
   * Makes the shell leave the command of the job.
   *
   * @returns whether the shell has received it by now; `undefined`: it has not begun the command, or has no interrupt.
   */
  #signalShell(job: ActiveJob, shell: StartedShell, isAsleep: boolean): (() => boolean) | undefined {
    const { interrupt } = this.#options.dialect;
    const { directory } = job.launch;
    if (interrupt === undefined || !this.#isActive(job) || !hasClaimed(directory, shell.identity)) return undefined;
    const before = countInterrupts(directory);
    // Without the note the shell is interrupted, and killed if that is not enough.
    this.#options.process.tryNote(() => noteSleep(directory, isAsleep));
    if (!isAliveNow(shell.identity) || !sendSignal(shell.identity.pid, interrupt)) return undefined;
    return () => !this.#isActive(job) || countInterrupts(directory) !== before || !isAliveNow(shell.identity);
  }

  /** Interrupts the job once, and waits, as a SIGINT trap of the command may be running. */
  async #stopByInterrupt(job: ActiveJob, shell: StartedShell, limitMs: number): Promise<void> {
    let wasInterrupted = false;
    await this.#stop(job, shell, limitMs, async () => {
      wasInterrupted ||= await this.#interrupt(job, shell, limitMs);
    });
  }

  async #stopBySignal(job: ActiveJob, shell: StartedShell, signal: NodeJS.Signals, limitMs: number): Promise<void> {
    const signalled = new Set<number>();
    this.#options.process.tryNote(() => noteForcedStop(job.launch.directory));
    await this.#stop(job, shell, limitMs, (processes) => {
      this.#signalShell(job, shell, isAsleep(shell.identity));
      for (const { pid } of processes) signalOnce(pid, signal, signalled);
    });
  }

  /** Acts repeatedly until the job has ended, nothing is left to be signalled, or the time is over. */
  async #stop(
    job: ActiveJob, shell: StartedShell, limitMs: number,
    act: (processes: readonly ProcessStat[]) => Promise<void> | void,
  ): Promise<void> {
    const begunAt = performance.now();
    let seenAt = begunAt;
    for (let waitMs = 5; this.#isActive(job); waitMs = nextCheckMs(waitMs)) {
      const processes = await this.#findProcesses(job, shell);
      const now = performance.now();
      if (processes.length > 0) seenAt = now;
      if (now - seenAt >= noProcessMs || now - begunAt >= limitMs) return;
      await act(processes);
      await sleep(waitMs);
      this.#options.check(job);
    }
  }

  /** Ends what a stopped job has left running in the background. No other job of the session runs meanwhile. */
  async #endBackground(
    job: ActiveJob, shell: StartedShell, how: { signal: NodeJS.Signals; limitMs: number },
  ): Promise<void> {
    // A shell starts background processes with SIGINT ignored (POSIX, Shell Command Language 2.11).
    const signal = how.signal === 'SIGINT' ? 'SIGTERM' : how.signal;
    const signalled = new Set<number>();
    const begunAt = performance.now();
    for (
      let waitMs = 5;
      !this.#isActive(job) && performance.now() - begunAt < how.limitMs;
      waitMs = nextCheckMs(waitMs)
    ) {
      const processes = await this.#findProcesses(job, shell);
      if (processes.length === 0) return;
      for (const { pid } of processes) signalOnce(pid, signal, signalled);
      await sleep(waitMs);
    }
  }

  async #kill(shell: StartedShell, job: ActiveJob): Promise<boolean> {
    this.#options.process.tryNote(() => noteKilled(shell.directory, job.launch.directory));
    const deadline = performance.now() + killMs;
    do {
      if (isAliveNow(shell.identity)) sendSignal(shell.identity.pid, 'SIGKILL');
      for (const { pid } of await this.#findProcesses(job, shell)) sendSignal(pid, 'SIGKILL');
      await sleep(killCheckMs);
      this.#options.check(job);
      if (!this.#isActive(job)) return true;
    } while (performance.now() < deadline);
    return !isAliveNow(shell.identity);
  }

  #isActive(job: ActiveJob): boolean {
    return this.#options.isActive(job);
  }

  async #findProcesses(job: ActiveJob, shell: StartedShell): Promise<readonly ProcessStat[]> {
    return await this.#options.process.findProcesses(job, shell);
  }
}

function nextCheckMs(waitMs: number): number {
  return Math.min(waitMs * 1.5, slowestCheckMs);
}

/** Signals a process only once, except with SIGKILL. */
function signalOnce(pid: number, signal: NodeJS.Signals, signalled: Set<number>): void {
  if (signalled.has(pid) && signal !== 'SIGKILL') return;
  signalled.add(pid);
  sendSignal(pid, signal);
  // A stopped process acts on a signal only once it continues.
  if (signal !== 'SIGKILL') sendSignal(pid, 'SIGCONT');
}
