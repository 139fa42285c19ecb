/**
 * Changes the size of the terminal of a running job.
 * @module
 */
import { resizeJobTerminal } from '../../process/job-terminal.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { TerminalSize } from '../../protocol/terminals.ts';
import type { TrackedJob } from '../tracked-job.ts';
import type { Runner } from './runner.ts';

/** @throws ProblemError not_supported, no_terminal, job_not_running. */
export async function resizeTerminal(
  job: TrackedJob, size: TerminalSize, runner: Pick<Runner, 'family'>,
): Promise<void> {
  const name = job.toString();
  if (process.platform !== 'linux') {
    throw new ProblemError('not_supported', `Cannot resize the terminal of job ${name}: this machine has no /proc`);
  }
  if (job.request.tty === undefined) {
    throw new ProblemError('no_terminal', `Cannot resize job ${name}: it was started without tty`);
  }
  const isResized = job.state.is === 'running'
    && await resizeJobTerminal(await runner.family(job), size, () => job.isFinished);
  if (!isResized) throw new ProblemError('job_not_running', `Cannot resize job ${name}: its terminal is not open`);
}
