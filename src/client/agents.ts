/**
 * Agents: jobs that speak the Agent Client Protocol, with their prompts and their requests.
 * @module
 */
import { onAbort } from '../base/abort.ts';
import { defined } from '../base/defined.ts';
import { type AgentTurn, type PendingAnywhere, optionFor } from '../protocol/agents/job-details.ts';
import type {
  AgentChange, ChangeTaken, ElicitationRequest, ElicitationTaken, PermissionRequest, PermissionTaken, PromptTaken,
  TurnCancelled, TurnsQuery,
} from '../protocol/agents/calls.ts';
import type { AgentList } from '../protocol/agents/listing.ts';
import type { Prompt } from '../protocol/agents/prompt-blocks.ts';
import type { InstallRequest } from '../protocol/agents/install-requests.ts';
import {
  answerElicitation, answerPermission, cancelTurn, changeAgent, getTurn, installAgent, listAgents, listTurns,
  promptAgent,
} from '../protocol/endpoints/agents.ts';
import { execute, listPending } from '../protocol/endpoints/jobs.ts';
import type { JobId } from '../protocol/ids.ts';
import { accepted } from '../protocol/jobs/answers.ts';
import type { AgentExec } from '../protocol/jobs/exec.ts';
import type { Accepted, Job } from '../protocol/jobs/job.ts';
import { ProblemError } from '../protocol/problem.ts';
import { type AgentEvent, type AskedPermission, agentEvent } from './agent-events.ts';
import type { Transport } from './transport/transport.ts';
import { waitingFor } from './transport/failure.ts';
import { follow } from './follow.ts';
import { type ActOptions, type Cancellable, checkedId, type Jobs, type TextOptions } from './jobs.ts';
import { call, keyed } from './transport/call.ts';

/** The fields of a request for an agent's job. */
export type AgentRequest = Omit<AgentExec, 'mode'>;

export interface AgentRunOptions extends AgentRequest, TextOptions {
  /** Default: a new one for each call. */
  readonly idempotencyKey?: string;
  /** Called as soon as the job has an id. */
  readonly onAccepted?: (accepted: Accepted) => void;
  /** Called with what the agent does; a promise that it returns is awaited before more is read. */
  readonly onEvent?: (event: AgentEvent) => void | Promise<void>;
  /**
   * Answers a permission request of the agent: `approve`, `deny`, the id of one of the options, or a decision with how
   * long it is remembered; `undefined` leaves the request to other clients. With it `permissions` is `ask` by default.
   * `signal` aborts when the request was decided meanwhile.
   */
  readonly onPermission?: (
    permission: AskedPermission, options: { readonly signal: AbortSignal },
  ) => PermissionAnswer | undefined | Promise<PermissionAnswer | undefined>;
}

/** `approve`, `deny` or the id of an option; or a decision. */
export type PermissionAnswer = string | Extract<PermissionRequest, { readonly decision: unknown }>;

export interface ElicitationReply {
  readonly action: ElicitationRequest['action'];
  /** With `accept`: what the form asks for, by field. */
  readonly content?: NonNullable<ElicitationRequest['content']>;
}

/** Milliseconds that a server may take to learn from the agent's runner what became of a request. */
const runnerHoldMs = 15_000;

export class Agents {
  readonly #transport: Transport;
  readonly #jobs: Jobs;

  constructor(transport: Transport, jobs: Jobs) {
    this.#transport = transport;
    this.#jobs = jobs;
  }

  /** The agents that can be asked for by name, and which of them are installed on the server's machine. */
  list({ signal }: Cancellable = {}): Promise<AgentList> {
    return call(this.#transport, listAgents, { signal });
  }

  /** The requests of agents that wait for a person to answer, of all jobs. */
  pending({ signal }: Cancellable = {}): Promise<PendingAnywhere> {
    return call(this.#transport, listPending, { signal });
  }

  /**
   * The last turns of a job's agent, in their order, with how their texts begin.
   *
   * @param options.before Only turns before this one. @param options.limit Default, and at most: 100.
   * @throws ProblemError `not_an_agent`.
   */
  async turns(id: string, options: Partial<TurnsQuery> & Cancellable = {}): Promise<readonly AgentTurn[]> {
    const { before, limit, signal } = options;
    const params = { id: checkedId(id) };
    return (await call(this.#transport, listTurns, { params, query: { before, limit }, signal })).turns;
  }

  /** A turn with its whole text. @param turn From 1. @throws ProblemError `not_an_agent`, `turn_not_found`. */
  async turn(id: string, turn: number, { signal }: Cancellable = {}): Promise<AgentTurn> {
    return call(this.#transport, getTurn, { params: { id: checkedId(id), turn: String(turn) }, signal });
  }

  /**
   * Starts the job that installs an agent: by the name of one that {@link list} shows, or by an entry of a registry.
   *
   * @throws ProblemError `invalid_request`, `not_supported`, and as `Sidecar.exec`.
   */
  install(name: string, request: InstallRequest = {}, options: ActOptions = {}): Promise<Accepted> {
    return call(this.#transport, installAgent, { params: { name }, body: request, ...keyed(options) });
  }

  /** Submits a job for an agent and does not wait for it. @throws ProblemError as `Sidecar.exec`. */
  start(request: AgentRequest, options: ActOptions = {}): Promise<Accepted> {
    return call(this.#transport, execute, { body: { ...request, mode: 'acp' }, ...keyed(options) }, [accepted]);
  }

  /**
   * Submits a job for an agent and waits until it has ended; how it ended is in `stopReason` and `acpError`, not
   * thrown. Aborting the signal ends the wait, not the job.
   *
   * @throws ProblemError as `Sidecar.run`; what `onEvent` and `onPermission` throw.
   */
  async run(options: AgentRunOptions): Promise<Job> {
    const { idempotencyKey, onAccepted, onEvent, onPermission, signal, tailLines, maxBytes, ...request } = options;
    const asked = onPermission === undefined ? request : { permissions: 'ask' as const, ...request };
    const started = await this.start(asked, { ...defined({ idempotencyKey }), signal });
    onAccepted?.(started);
    if (onEvent ?? onPermission) await waitingFor(started.jobId, signal, this.#watch(started.jobId, options));
    return this.#jobs.wait(started.jobId, {
      signal,
      ...defined({ tailLines, maxBytes }),
    });
  }

  /**
   * Sends a prompt to an agent that is kept alive, see `keepAlive`. If the agent is in a turn, the prompt waits for the
   * end of the turn. If the agent has ended, a new job continues its session: the `jobId` of the answer.
   *
   * @throws ProblemError `not_an_agent`, `job_not_running`, `too_many_prompts`.
   */
  async prompt(id: string, prompt: Prompt, options: ActOptions = {}): Promise<PromptTaken> {
    return call(this.#transport, promptAgent, { params: { id: checkedId(id) }, body: { prompt }, ...acting(options) });
  }

  /**
   * Changes the mode, model, effort and permissions of a live agent, also in the middle of a turn.
   *
   * @returns the values that it has now.
   *
   * @throws ProblemError `not_an_agent`, `job_not_running`, `config_not_supported`, `agent_error`.
   */
  async change(id: string, change: AgentChange, options: ActOptions = {}): Promise<ChangeTaken> {
    return call(this.#transport, changeAgent, { params: { id: checkedId(id) }, body: change, ...acting(options) });
  }

  /** Ends the agent's current turn, and not the agent. @throws ProblemError `not_an_agent`, `job_not_running`. */
  async cancelTurn(id: string, options: ActOptions = {}): Promise<TurnCancelled> {
    return call(this.#transport, cancelTurn, { params: { id: checkedId(id) }, body: {}, ...acting(options) });
  }

  /**
   * Answers a permission request of the agent.
   *
   * @param answer The id of an option, or `{ decision: 'approve' | 'deny', remember?: 'turn' | 'job' }`.
   * @throws ProblemError `permission_not_found`, `invalid_request`, `job_not_running`.
   */
  async permit(
    id: string,
    permissionId: string,
    answer: string | PermissionRequest,
    options: ActOptions = {},
  ): Promise<PermissionTaken> {
    const body = typeof answer === 'string' ? { optionId: answer } : answer;
    const params = { id: checkedId(id), permissionId };
    return call(this.#transport, answerPermission, { params, body, ...acting(options) });
  }

  /** Answers a question of the agent. @throws ProblemError `elicitation_not_found`, `job_not_running`. */
  async answer(
    id: string,
    elicitationId: string,
    reply: ElicitationReply,
    options: ActOptions = {},
  ): Promise<ElicitationTaken> {
    const params = { id: checkedId(id), elicitationId };
    return call(this.#transport, answerElicitation, { params, body: reply, ...acting(options) });
  }

  /** Reports the job's events until the job has ended, or a callback has failed. */
  async #watch(id: JobId, { onEvent, onPermission, signal }: AgentRunOptions): Promise<void> {
    const leaving = new AbortController();
    const open = new Map<string, AbortController>();
    const ask = async (permission: AskedPermission): Promise<void> => {
      const decided = new AbortController();
      open.set(permission.permissionId, decided);
      try {
        await this.#ask(id, permission, await onPermission?.(permission, { signal: decided.signal }));
      } catch (error) {
        leaving.abort(error);
      }
    };
    const stop = onAbort(signal, () => leaving.abort(signal?.reason));
    try {
      for await (const event of follow(this.#transport, id, { signal: leaving.signal })) {
        const told = event.type === 'agent' ? agentEvent(event.event) : undefined;
        if (told === undefined) continue;
        await onEvent?.(told);
        if (told.type !== 'permission') continue;
        if (told.decision === 'pending') void ask(told.permission);
        else open.get(told.permission.permissionId)?.abort();
      }
    } finally {
      stop();
      for (const decided of open.values()) decided.abort();
    }
  }

  async #ask(id: string, permission: AskedPermission, answer: PermissionAnswer | undefined): Promise<void> {
    if (answer === undefined) return;
    const chosen = typeof answer === 'string' ? optionFor(permission, answer) : answer;
    if (chosen === undefined) {
      const offered = permission.options.map(({ optionId: one }) => one).join(', ');
      throw new ProblemError('invalid_request',
        `Cannot answer permission ${permission.permissionId} with ${JSON.stringify(answer)}: `
          + `its options are ${offered}`);
    }
    try {
      await this.permit(id, permission.permissionId, chosen);
    } catch (error) {
      // Another client was faster, or the agent does not wait for an answer any more.
      if (
        !(error instanceof ProblemError)
        || !['permission_not_found', 'job_not_running', 'job_not_found'].includes(error.code)
      ) throw error;
    }
  }
}

/** Options of a request that takes effect once, even if its answer is lost. */
function acting(options: ActOptions): ReturnType<typeof keyed> & { readonly holdMs: number } {
  return { ...keyed(options), holdMs: runnerHoldMs };
}
