/**
 * Answers the permission requests of an agent, by the policy of its job or through a client.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { runUnlessAborted } from '../../base/abort.ts';
import { type Fields, fieldsOf, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { PendingElicitation, PendingPermission, PermissionDenial } from '../../protocol/agents/job-details.ts';
import type { PermissionPolicy } from '../../protocol/agents/permission-policy.ts';
import type { ElicitationAnswer } from '../acp/agent-requests.ts';
import type { Progress } from '../acp/progress.ts';
import { Denials } from '../permissions/denials.ts';
import { Grants } from '../permissions/grants.ts';
import {
  type PermissionAnswer, type PermissionContext, type PermissionQuestion, decide, decideService, optionOf,
} from '../permissions/policy.ts';
import { questionOf } from '../permissions/question.ts';
import { RememberedAnswers } from '../permissions/remembered.ts';
import { type ToolCallHistory, isTooLong, lengthOf } from '../permissions/tool-call-history.ts';
import type { PermissionReply, RunnerConfig } from '../runner-config.ts';
import { outsideError } from '../services/files.ts';
import type { Sandbox } from '../services/sandbox.ts';
import type { ServiceCall } from '../services/services.ts';
import { ElicitationBroker, overBudgetReason } from './elicitation-broker.ts';
import { PendingRequests, SizeBudget } from './pending-requests.ts';

export interface PermissionBrokerOptions {
  readonly config: Pick<RunnerConfig, 'permissions' | 'askSeconds' | 'askDefault'>;
  readonly toolCalls: ToolCallHistory;
  readonly progress: Progress;
  readonly emit: (event: AgentEvent) => void;
  /** Called when a request becomes pending, and when it no longer is. */
  readonly onChange: () => void;
  /** The number of the current turn, from 1. */
  readonly turn?: () => number;
  readonly onDenied?: (denial: PermissionDenial) => void;
}

/** The context of a permission request: its ids, the directories of the job, and the signal that ends the wait. */
interface RequestSource {
  readonly permissionId: string;
  readonly toolCallId: string | null;
  readonly sandbox: Sandbox;
  readonly signal: AbortSignal;
}

interface Answer {
  readonly optionId: string | undefined;
  readonly reason: string;
  /** Set if a client chose this option. Absent for a timeout, a cancelled turn and a denial without an option. */
  readonly isByPerson?: boolean;
}

/** Limit of a name in a pending request as clients see it: as long as progress keeps it. */
const maxNameCharacters = 2000;
const cancelledReason = 'the turn was cancelled';
/** Limit of all file contents that wait for a permission: the size of one of the largest files. */
const maxHeldCharacters = 32 * 2 ** 20;
/** Limit of all pending requests, because the agent's state holds them. */
const maxPendingCharacters = 3 * 2 ** 20;

export class PermissionBroker {
  readonly #options: PermissionBrokerOptions;
  readonly permissions: PendingRequests<PendingPermission, PermissionReply>;
  readonly #elicitationBroker: ElicitationBroker;
  readonly #grants = new Grants();
  #policy: PermissionPolicy;
  readonly #remembered = new RememberedAnswers();
  readonly #denials = new Denials();
  readonly #heldContent = new SizeBudget(maxHeldCharacters);
  readonly #budget = new SizeBudget(maxPendingCharacters);

  constructor(options: PermissionBrokerOptions) {
    this.#options = options;
    const { config: { askSeconds, permissions }, emit, onChange } = options;
    this.#policy = permissions;
    this.permissions = new PendingRequests(askSeconds, onChange);
    this.#elicitationBroker = new ElicitationBroker({
      timeoutSeconds: askSeconds, budget: this.#budget, emit, onChange,
    });
  }

  /** The pending questions that are not permissions. */
  get elicitations(): PendingRequests<PendingElicitation, ElicitationAnswer> {
    return this.#elicitationBroker.pending;
  }

  /** Whether a request waits for the answer of a client. */
  get hasPending(): boolean {
    return !this.permissions.isEmpty || !this.elicitations.isEmpty;
  }

  get policy(): PermissionPolicy {
    return this.#policy;
  }

  /** Sets the policy for all later decisions; permissions granted under the previous one no longer apply. */
  set policy(policy: PermissionPolicy) {
    this.#policy = policy;
    this.#grants.clear();
    this.#remembered.clear();
  }

  /** Ends the permissions that were granted for one turn only. */
  endTurn(): void {
    this.#grants.endTurn();
    this.#remembered.endTurn();
  }

  /** Number of permissions requested so far. */
  get requestCount(): number {
    return this.#denials.requestCount;
  }

  /** The most recent denials. */
  get recentDenials(): readonly PermissionDenial[] {
    return this.#denials.latest;
  }

  /** @returns the id of an option; `undefined` if the request is cancelled. */
  async permit(
    params: Fields,
    { sandbox, signal }: { readonly sandbox: Sandbox; readonly signal: AbortSignal },
  ): Promise<string | undefined> {
    const { toolCalls, progress } = this.#options;
    const asked = fieldsOf(params['toolCall']);
    // For some tool calls gemini sends nothing else; codex calls here a command what it called a look before.
    if (!progress.knows(asked['toolCallId'])) progress.apply({ ...asked, sessionUpdate: 'tool_call' });
    const full = toolCalls.questionOf(params);
    // Of a tool call that cannot be judged, only the options are read.
    const question = full ?? questionOf({ options: params['options'] });
    const permissionId = randomUUID();
    const context = await contextOf(question, sandbox);
    this.#denials.countRequest();
    const decided = full ? decide(this.#policy, question, context) : denyUnreadable(question, context);
    const remembered = decided.type === 'pending' ? this.#rememberedAnswer(question, context) : undefined;
    const answer = remembered ?? decided;
    const report = (decision: string, reason: string): void => this.#options.emit(
      { type: 'permission', permissionId, decision, reason, question },
    );
    const settle = (optionId: string | undefined, reason: string, isByPerson: boolean): string | undefined => {
      report(optionId ?? 'cancelled', reason);
      if (isByPerson) this.#grant(question, context, optionId);
      if (!isAllowed(question, optionId) && !signal.aborted) this.#deny(question, reason);
      return optionId;
    };
    if (answer.type === 'selected') return settle(answer.optionId, answer.reason, remembered !== undefined);
    if (answer.type === 'cancelled') return settle(undefined, answer.reason, false);
    const answerPromise = this.#askClient(
      question,
      { permissionId, toolCallId: textOf(asked['toolCallId']) ?? null, sandbox, signal },
    );
    // Clients that receive the event find the request pending.
    report('pending', answer.reason);
    const { optionId, reason, isByPerson = false } = await answerPromise;
    return settle(optionId, reason, isByPerson);
  }

  /** A remembered answer: a person gave it for more than one question. */
  #rememberedAnswer(question: PermissionQuestion, context: PermissionContext): PermissionAnswer | undefined {
    const before = this.#remembered.find(question, context);
    if (!before) return undefined;
    const reason = `it was answered before, for the ${before.scope}`;
    const optionId = optionOf(question, before.decision);
    const optionKind = before.decision === 'approve' ? 'allow_once' : 'reject_once';
    if (optionId !== undefined) return { type: 'selected', optionId, optionKind, reason };
    return before.decision === 'deny' ? { type: 'cancelled', reason } : undefined;
  }

  #deny(question: PermissionQuestion, reason: string): void {
    const denial = this.#denials.add(question, { turn: this.#options.turn?.() ?? 1, reason });
    this.#options.onDenied?.(denial);
  }

  /** Lets the agent do through its client what a person has just allowed. */
  #grant(question: PermissionQuestion, context: PermissionContext, optionId: string | undefined): void {
    if (!isAllowed(question, optionId)) return;
    this.#grants.add(question, context, kindsOf(question, optionId).every((kind) => kind === 'allow_always'));
  }

  /**
   * Resolves once the agent may have its client do this: the policy allows it, or a person has allowed it before, or
   * does so now.
   *
   * @param by.signals Each ends the wait for an answer. @throws RpcError -32602 if it is not allowed.
   */
  async allow(
    method: string,
    { question, heldCharacters }: ServiceCall,
    by: { readonly sandbox: Sandbox; readonly signals: readonly AbortSignal[] },
  ): Promise<void> {
    if (!question) return;
    const { sandbox } = by;
    const context = await contextOf(question, sandbox);
    const outside = question.paths.find((path) => context.realPathOf(path) === undefined);
    if (outside !== undefined) {
      this.#deny(question, `${outside} is outside of the directories of the job`);
      throw outsideError(sandbox, actionOf(question), outside);
    }
    const { decision, reason, isFinal } = decideService(this.#policy, question, context);
    if (decision === 'approve' || (!isFinal && this.#grants.covers(question, context))) return;
    if (decision === 'deny') throw this.#refusalError(method, question, reason);
    if (isTooLong(question)) throw this.#refusalError(method, question, 'it is too long to be shown for a permission');
    if (!this.#heldContent.tryTake(heldCharacters)) {
      throw this.#refusalError(method, question, 'too much waits for permission already');
    }
    try {
      const answer = await this.#askAbout(question, { ...by, reason });
      if (answer.optionId !== 'allow') throw this.#refusalError(method, question, answer.reason);
      const now = await contextOf(question, sandbox);
      const moved = question.paths.find((path) => now.realPathOf(path) !== context.realPathOf(path));
      if (moved !== undefined) {
        throw this.#refusalError(method, question, `${moved} leads elsewhere now than when it was allowed`);
      }
    } finally {
      this.#heldContent.giveBack(heldCharacters);
    }
  }

  /** Shows the question as pending, like a permission that the agent requests itself. */
  async #askAbout(
    question: PermissionQuestion,
    { sandbox, signals, reason: why }:
      { readonly sandbox: Sandbox; readonly signals: readonly AbortSignal[]; readonly reason: string },
  ): Promise<{ readonly optionId: string | undefined; readonly reason: string }> {
    const permissionId = randomUUID();
    const report = (decision: string, reason: string): void => this.#options.emit(
      { type: 'permission', permissionId, decision, reason, question },
    );
    const context = await contextOf(question, sandbox);
    // In the turn in which it becomes pending: a client that sees it counted finds it.
    this.#denials.countRequest();
    const remembered = this.#rememberedAnswer(question, context);
    if (remembered?.type === 'selected') {
      report(remembered.optionId, remembered.reason);
      return remembered;
    }
    const cancelled = { optionId: undefined, reason: cancelledReason };
    const answerPromise = runUnlessAborted(
      signals,
      (signal) => this.#askClient(question, { permissionId, toolCallId: null, sandbox, signal }),
      cancelled,
    );
    report('pending', why);
    const { optionId, reason } = await answerPromise;
    report(optionId ?? 'cancelled', reason);
    return { optionId, reason };
  }

  #refusalError(method: string, question: PermissionQuestion, reason: string): RpcError {
    if (reason !== cancelledReason) this.#deny(question, reason);
    const { paths, commands } = question;
    const what = truncate(
      [...paths, ...commands].map((one) => truncate(one, maxNameCharacters)).join(' '),
      2 * maxNameCharacters,
    );
    this.#options.emit({ type: 'fault', what: `${method} ${what} was refused: ${reason}` });
    return new RpcError(rpcCodes.invalidParams, `Cannot do ${method} ${what}: ${reason}`);
  }

  async #askClient(question: PermissionQuestion, source: RequestSource): Promise<Answer> {
    const characters = lengthOf(question);
    if (!this.#budget.tryTake(characters)) {
      const denied = decide('deny', question, await contextOf(question, source.sandbox));
      return { optionId: selectedOption(denied), reason: overBudgetReason };
    }
    try {
      return await this.#waitForAnswer(question, source);
    } finally {
      this.#budget.giveBack(characters);
    }
  }

  async #waitForAnswer(question: PermissionQuestion, source: RequestSource): Promise<Answer> {
    const { permissionId, toolCallId, sandbox, signal } = source;
    const { askSeconds, askDefault } = this.#options.config;
    const { parts: _, inputs: _i, isUnclear: _u, ...shown } = question;
    const outcome = await this.permissions.ask({
      id: permissionId, signal,
      show: ({ askedAt, expiresAt }) => ({
        permissionId, toolCallId: toolCallId && truncate(toolCallId, maxNameCharacters), ...shown,
        tools: question.tools.map((tool) => truncate(tool, maxNameCharacters)), askedAt, expiresAt,
      }),
      accepts: ({ optionId }) => optionId === null || question.options.some((option) => option.optionId === optionId),
    });
    if (outcome.type === 'aborted') return { optionId: undefined, reason: cancelledReason };
    // Symbolic links may have changed since.
    const context = await contextOf(question, sandbox);
    if (outcome.type === 'timed_out') {
      const decided = decide(askDefault === 'deny' ? 'deny' : 'edits', question, context);
      return { optionId: selectedOption(decided), reason: `timed out after ${askSeconds} s` };
    }
    const { optionId = null, remember } = outcome.answer;
    const decision = isAllowed(question, optionId ?? undefined) ? 'approve' : 'deny';
    if (remember !== undefined) this.#remembered.add(question, context, { decision, scope: remember });
    if (optionId !== null) return { optionId, reason: 'a client has answered', isByPerson: true };
    return { optionId: selectedOption(decide('deny', question, context)), reason: 'a client has denied it' };
  }

  /** Asks for the answer to a question that is not a permission. */
  async elicit(params: Fields, signal: AbortSignal): Promise<ElicitationAnswer> {
    return await this.#elicitationBroker.elicit(params, signal);
  }

  /** The agent reports that a question by URL was answered on its page. @param agentId The agent's id of it. */
  completeElicitation(agentId: string): void {
    this.#elicitationBroker.complete(agentId);
  }
}

/** The kinds of the options with this id: an agent may offer several with the same id. */
function kindsOf({ options }: PermissionQuestion, optionId: string | undefined): readonly string[] {
  return options.filter((option) => option.optionId === optionId).map(({ kind }) => kind);
}

function isAllowed(question: PermissionQuestion, optionId: string | undefined): boolean {
  const kinds = kindsOf(question, optionId);
  return kinds.length > 0 && kinds.every((kind) => kind === 'allow_once' || kind === 'allow_always');
}

/** The decision about a tool call that cannot be judged. */
function denyUnreadable(question: PermissionQuestion, context: PermissionContext): PermissionAnswer {
  const reason = 'its description is too long or too deep to be judged';
  return { ...decide('deny', question, context), reason };
}

function selectedOption(answer: PermissionAnswer): string | undefined {
  return answer.type === 'selected' ? answer.optionId : undefined;
}

/** The action in the words of an error message. */
function actionOf({ kind }: PermissionQuestion): string {
  if (kind === 'execute') return 'run a command in';
  return kind === 'read' ? 'read' : 'write';
}

async function contextOf({ paths }: PermissionQuestion, sandbox: Sandbox): Promise<PermissionContext> {
  const real = new Map(await Promise.all(paths.map(async (path) => [path, await sandbox.realPathOf(path)] as const)));
  return { workdir: await sandbox.realPathOf('.') ?? sandbox.workdir, realPathOf: (path) => real.get(path) };
}
