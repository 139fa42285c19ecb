/**
 * Jobs that run an agent: the job's process is the runner of the agent.
 * @module
 */
import { join } from 'node:path';
import { defined } from '../base/defined.ts';
import { array, fieldsOf, oneOf, optional, text } from '../base/parse.ts';
import { appendLine } from '../base/files/untrusted-file.ts';
import type { EndingReason, JobState, Outcome } from '../jobs/job.ts';
import type {
  EndOptions, Interaction, JobKind, KindContext, KindJob, ProgramSummary, RequestCheck, RequestOf,
} from '../jobs/kind.ts';
import { sendSignal } from '../process/identity.ts';
import { terminate, terminateMarked } from '../process/terminate.ts';
import { agentShape } from '../protocol/agents/exec-fields.ts';
import { type AgentProgram, agentCommand, agentProgram } from '../protocol/agents/program.ts';
import { promptText } from '../protocol/agents/prompt-blocks.ts';
import { shellKinds } from '../protocol/shells.ts';
import { stateFile, turnTimeoutCode } from './runner-config.ts';
import { jobsForAgents } from './server/agent-jobs.ts';
import type { Agents } from './server/agents.ts';
import type { AgentLaunch } from './server/runner-setup.ts';
import { runnerError, turnEndOf, withJobEnd } from './server/job-end.ts';

const agentFields = fieldsOf({
  ...agentShape,
  argv: optional(array(text({ allowNul: true }), { max: 1_000_000 })),
  shell: optional(oneOf(...shellKinds)),
});

type AgentRequest = RequestOf<AgentProgram>;

export class AgentJobKind implements JobKind<AgentProgram> {
  readonly modes = ['acp'] as const;
  readonly hasOwnProcess = true;
  readonly interaction: Interaction;
  readonly #agents: Agents;
  #context!: KindContext;

  constructor(agents: Agents) {
    this.#agents = agents;
    const summary = (directory: string, state?: JobState): ReturnType<Interaction['summary']> => {
      const written = agents.summary(directory);
      return state === undefined ? written : withJobEnd(state, written);
    };
    this.interaction = {
      stateFile,
      stdinRefusal: 'it runs an agent, which takes prompts instead',
      summary,
      details: async (directory, state, { maxBytes }) =>
        withJobEnd(state, await agents.details(directory, { maxBytes, end: turnEndOf(state) })),
      warnings: (directory) => agents.warnings(directory),
    };
  }

  parse(value: unknown, path: string): AgentProgram {
    return agentProgram(agentFields(value, path), path);
  }

  /** MCP servers may hold secrets, as the environment may, and images are long: neither is shown. */
  describe({ program }: AgentRequest): ProgramSummary {
    const { mode, agent, argv, prompt } = program;
    const shown = defined({ mode, agent, argv, prompt: promptText(prompt), command: agentCommand(program) });
    return { program: shown, length: JSON.stringify(shown).length, limitSeconds: program.lifetime ?? null };
  }

  attach(context: KindContext): void {
    this.#context = context;
  }

  reconciled(): void {
    this.#agents.connect(jobsForAgents(this.#context.jobs));
  }

  async check({ program, workdir, env }: AgentRequest): Promise<RequestCheck> {
    await this.#agents.setup.check(program, { workdir, env });
    return {};
  }

  start(job: KindJob, request: AgentRequest, directory: string): void {
    const launch = launchOf(job, request, directory);
    const { id, request: { stdin } } = job;
    this.#context.starter.start({ id, directory, stdin, ...this.#agents.setup.prepare(launch) });
    this.#agents.watch(launch);
  }

  adopt(job: KindJob, directory: string): boolean {
    const { program, ...request } = this.#context.jobs.request(job);
    if (program.mode === 'acp') this.#agents.watch(launchOf(job, { ...request, program }, directory));
    return true;
  }

  cancelPending({ id }: KindJob): boolean {
    return this.#context.starter.withdraw(id);
  }

  /** The signal goes to the runner alone, which shuts its agent down. */
  terminate({ family }: KindJob, options: EndOptions): Promise<boolean> {
    return terminate(family, { ...options, to: 'leader' });
  }

  async signal({ leader }: KindJob, name: NodeJS.Signals): Promise<boolean> {
    return leader !== undefined && sendSignal(-leader.pid, name);
  }

  /** A runner ends its job when a turn takes too long. */
  endingBy(exitCode: number | undefined): EndingReason | undefined {
    return exitCode === turnTimeoutCode ? 'timeout' : undefined;
  }

  explain(_job: KindJob, outcome: Outcome, directory: string): void {
    const error = outcome.exitCode === 0 ? undefined : runnerError(outcome, this.#agents.summary(directory));
    if (error !== undefined) appendLine(join(directory, 'stderr'), error.message);
  }

  /** An agent must not outlive its runner, even where the runner was killed. */
  cleanUp({ id }: KindJob, options: EndOptions): Promise<boolean> {
    return terminateMarked(id, options);
  }
}

function launchOf({ id }: KindJob, request: AgentRequest, directory: string): AgentLaunch {
  const { program, workdir, env, timeoutSeconds } = request;
  return { id, directory, workdir, env, program, timeoutSeconds };
}
