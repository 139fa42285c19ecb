/**
 * The job that a shell has, and the watch for its end.
 * @module
 */
import { basename, join } from 'node:path';
import { statQuietly } from '../base/files/untrusted-file.ts';
import { watchFolder } from '../base/watch-folder.ts';
import { ticksNow } from '../process/identity.ts';
import type { ShellLaunch } from './request.ts';
import type { StartedShell } from './run-directory.ts';

export interface ActiveJob {
  readonly launch: Pick<ShellLaunch, 'id' | 'directory'> & Partial<ShellLaunch>;
  readonly startedAtTicks: number;
  /** The shell that was given the job; `undefined`: none yet. */
  shell: StartedShell | undefined;
  /** How often its shell ended before the job could begin. */
  attempts: number;
  goneAt: number | undefined;
  readonly stopWatching: (() => void)[];
}

/** What is needed to find the processes of a job. */
export type JobCommand = Pick<ActiveJob, 'launch' | 'startedAtTicks'>;

/** How often a job is checked, in case a change of its files was not reported. */
const checkMs = 100;

/** The command of a job of an earlier server. */
export function readCommand(directory: string): JobCommand {
  const claimed = statQuietly(join(directory, 'process'));
  const ageTicks = claimed ? Math.ceil((Date.now() - claimed.mtimeMs) / 10) : 0;
  return { launch: { id: basename(directory), directory }, startedAtTicks: ticksNow() - ageTicks - 1 };
}

/** Calls `check` when the job may have ended, until {@link stopWatching}. */
export function watchJob(job: ActiveJob, check: () => void): void {
  const onChange = (_event: string, name: string | null): void => {
    if (name === 'exit') check();
  };
  const folders = [job.launch.directory, ...(job.shell ? [job.shell.directory] : [])];
  for (const watcher of folders.map((folder) => watchFolder(folder, onChange))) {
    if (watcher) job.stopWatching.push(() => watcher.close());
  }
  const timer = setInterval(check, checkMs);
  timer.unref();
  job.stopWatching.push(() => clearInterval(timer));
}

export function stopWatching(job: ActiveJob): void {
  for (const stop of job.stopWatching.splice(0)) stop();
}
