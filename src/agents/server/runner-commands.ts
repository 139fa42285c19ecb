/**
 * Sends commands to the runners of agents, and waits for what comes of them.
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { Fields } from '../../base/loose.ts';
import { type ProblemCode, ProblemError } from '../../protocol/problem.ts';
import type { CommandResult, RunnerCommand } from '../runner-config.ts';
import type { AgentJob, AgentJobs } from './agent-jobs.ts';
import { phaseOf, resultOf } from './job-view.ts';

export type Command = RunnerCommand extends infer C ? C extends RunnerCommand ? Omit<C, 'id'> : never : never;

/** Milliseconds that a runner has to act on a command. */
export const commandMs = 10_000;

export class RunnerCommands {
  readonly #jobs: () => AgentJobs;
  readonly #readState: (directory: string) => Fields;

  /** @param readState Reads the state of an agent from the directory of its job. */
  constructor(jobs: () => AgentJobs, readState: (directory: string) => Fields) {
    this.#jobs = jobs;
    this.#readState = readState;
  }

  /** @returns what the runner has done. @throws ProblemError as {@link send}, and where the runner refused. */
  async run(id: string, command: Command, sameId?: string): Promise<CommandResult> {
    const result = await this.send(id, command, sameId);
    if (result.problem === null) return result;
    throw new ProblemError(problemOf(result, command), `Cannot reach the agent of job ${id}: ${result.message}`);
  }

  /**
   * Sends a command to the runner of a job, and resolves with the result.
   *
   * @param commandId Key of a request that may be repeated: what a runner has done with it is not done again.
   * @throws ProblemError job_not_found, not_an_agent, job_not_running, unavailable.
   */
  async send(id: string, command: Command, commandId: string = randomUUID()): Promise<CommandResult> {
    const jobs = this.#jobs();
    const job = agentJob(jobs, id);
    const ended = (): ProblemError =>
      new ProblemError('job_not_running',
        `Cannot reach the agent of job ${id}: it has ended; a prompt continues its session`);
    const state = this.#readState(job.directory);
    const known = resultOf(state, commandId);
    if (known) return known;
    if (job.isFinished || phaseOf(state) === 'ended') throw ended();
    await jobs.command(id, JSON.stringify({ id: commandId, ...command }));
    let result: CommandResult | undefined;
    const isReached = (): boolean => (result ??= resultOf(this.#readState(job.directory), commandId)) !== undefined;
    await jobs.until(id, isReached, commandMs);
    if (isReached() && result) return result;
    if (jobs.get(id).isFinished) throw ended();
    throw new ProblemError(
      'unavailable',
      `Cannot reach the agent of job ${id}: its runner has not answered yet; look at the job again`,
      { headers: { 'Retry-After': '2' } },
    );
  }
}

/** @throws ProblemError job_not_found, not_an_agent. */
export function agentJob(jobs: AgentJobs, id: string): AgentJob {
  const job = jobs.get(id);
  if (!job.isAgent) throw new ProblemError('not_an_agent', `Cannot ask this of job ${id}: it runs no agent`);
  return job;
}

/** A job that was deleted counts as finished. */
export function isFinishedJob(jobs: AgentJobs, id: string): boolean {
  try {
    return jobs.get(id).isFinished;
  } catch (error) {
    if (error instanceof ProblemError) return true;
    throw error;
  }
}

function problemOf({ problem }: CommandResult, { is }: Command): ProblemCode {
  switch (problem) {
    case 'unknown': return is === 'elicit' ? 'elicitation_not_found' : 'permission_not_found';
    case 'unfit': return is === 'change' ? 'config_not_supported' : 'invalid_request';
    case 'failed': return 'agent_error';
    case 'full': return 'too_many_prompts';
    case 'ended':
    case null: return 'job_not_running';
  }
}
