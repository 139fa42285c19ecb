/**
 * Gives prompts to agents: to that of the job, or, where it has ended, to a new one that continues its session.
 * @module
 */
import type { Fields } from '../../base/loose.ts';
import type { PromptTaken } from '../../protocol/agents/calls.ts';
import { type Prompt, promptBlocks } from '../../protocol/agents/prompt-blocks.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { AgentJob, AgentJobs, Continuation } from './agent-jobs.ts';
import { changesOf, phaseOf, resultOf, summaryOf } from './job-view.ts';
import { type RunnerCommands, commandMs, isFinishedJob } from './runner-commands.ts';

export interface PromptsContext {
  readonly jobs: () => AgentJobs;
  readonly commands: RunnerCommands;
  /** Reads the state of an agent from the directory of its job. */
  readonly readState: (directory: string) => Fields;
}

export class Prompts {
  readonly #context: PromptsContext;
  /** Jobs whose continuation in a new job is being started. */
  readonly #continuing = new Map<string, Promise<unknown>>();

  constructor(context: PromptsContext) {
    this.#context = context;
  }

  /**
   * Sends the prompt of the next turn to the last job that continues this one. If the agent of that job has ended,
   * starts a new job that continues its session, with the prompt as its first turn.
   *
   * @param sameId Key of a request that may be repeated: a prompt that a runner took with this key is not sent again,
   * and no second job is started.
   * @throws ProblemError job_not_found, not_an_agent, job_not_running, too_many_prompts, unavailable; those of a
   * request for a job if one is started.
   */
  async give(id: string, prompt: Prompt, sameId?: string): Promise<PromptTaken> {
    const known = sameId === undefined ? undefined : this.#jobs.byKey(continuationKey(sameId));
    if (known) return toPromptTaken(known);
    for (;;) {
      const { job, hasTaken } = this.#lastOf(id, sameId);
      const going = this.#continuing.get(job.id);
      if (going) await going.catch(() => undefined);
      else if (job.isAgent && job.isFinished && !hasTaken) return await this.#continue(job, prompt, sameId);
      else {
        const turn = await this.#turnOf(job, prompt, sameId);
        if (turn !== undefined) return { jobId: job.id, turn, ...(job.id === id ? {} : { continues: id }) };
      }
    }
  }

  /** The last job in the chain of continuations of this one, or the job that has taken the request already. */
  #lastOf(id: string, sameId: string | undefined): { readonly job: AgentJob; readonly hasTaken: boolean } {
    for (let job = this.#jobs.get(id); ;) {
      const result = sameId === undefined ? undefined : resultOf(this.#context.readState(job.directory), sameId);
      if (result?.problem === null) return { job, hasTaken: true };
      if (job.continuedBy === undefined) return { job, hasTaken: false };
      job = this.#jobs.get(job.continuedBy);
    }
  }

  /** @returns `undefined` if the agent ended before it took the prompt. @throws ProblemError as {@link give}. */
  async #turnOf({ id, directory }: AgentJob, prompt: Prompt, sameId: string | undefined): Promise<number | undefined> {
    try {
      const command = { is: 'prompt', prompt: promptBlocks(prompt) ?? [] } as const;
      return (await this.#context.commands.run(id, command, sameId)).turn ?? 0;
    } catch (error) {
      if (!(error instanceof ProblemError) || error.code !== 'job_not_running') throw error;
      // The job is about to end, unless the agent is at its last turn.
      if (phaseOf(this.#context.readState(directory)) !== 'turn') await this.#jobs.until(id, () => false, commandMs);
      if (!isFinishedJob(this.#jobs, id)) throw error;
      return undefined;
    }
  }

  async #continue({ id, directory }: AgentJob, prompt: Prompt, sameId: string | undefined): Promise<PromptTaken> {
    const state = this.#context.readState(directory);
    const { acpSessionId } = summaryOf(state);
    if (acpSessionId === null) {
      throw new ProblemError('job_not_running',
        `Cannot reach the agent of job ${id}: it has ended, and had no session to continue`);
    }
    const differing = { ...changesOf(state), prompt, acp_session_id: acpSessionId };
    const going = this.#jobs
      .continueJob(id, differing, sameId === undefined ? undefined : continuationKey(sameId));
    this.#continuing.set(id, going);
    return toPromptTaken(await going.finally(() => this.#continuing.delete(id)));
  }

  get #jobs(): AgentJobs {
    return this.#context.jobs();
  }
}

function continuationKey(sameId: string): string {
  return `continue/${sameId}`;
}

function toPromptTaken({ id, continues, keepAlive }: Continuation): PromptTaken {
  return { jobId: id, turn: 1, continues, keepAlive };
}
