/**
 * Answers what an agent asks permission for, by the policy of its job or by somebody, and what it asks beside that.
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { PendingElicitation, PendingPermission } from '../protocol/agent-jobs.ts';
import type { PermissionPolicy } from '../protocol/agents.ts';
import { RpcError, rpcCodes } from '../jsonrpc/message.ts';
import { unlessAborted } from './abortable.ts';
import { Asking } from './asking.ts';
import type { ElicitationAnswer } from './conversation.ts';
import { outsideError } from './files.ts';
import { Grants } from './grants.ts';
import type { Jail } from './jail.ts';
import { type KnownCalls, isTooLong } from './known-calls.ts';
import { type Fields, beginning, bounded, fieldsOf, textOf } from './lenient.ts';
import type { AgentEvent, AgentOrder } from './order.ts';
import { questionOf } from './permission-question.ts';
import { type PermissionAnswer, type PermissionContext, type PermissionQuestion, decide, decideService } from './permissions.ts';
import type { Progress } from './progress.ts';
import type { ServiceCall } from './services.ts';

export interface AnsweringOptions {
  readonly order: Pick<AgentOrder, 'permissions' | 'askSeconds' | 'askDefault'>;
  readonly calls: KnownCalls;
  readonly progress: Progress;
  readonly tell: (event: AgentEvent) => void;
  /** Something is pending, or is not any more. */
  readonly onChange: () => void;
}

/** Of what is shown for as long as somebody is asked: as much as progress keeps of a name, and a form as long as anybody fills in. */
const maxNameCharacters = 2000;
const maxQuestionCharacters = 262_144;
/** Held by file contents whose permission is asked for: as much as one of the largest files. */
const maxHeldCharacters = 32 * 2 ** 20;

export class Answering {
  readonly #options: AnsweringOptions;
  /** `null` denies, by whatever option there is for that. */
  readonly permissions: Asking<PendingPermission, string | null>;
  readonly elicitations: Asking<PendingElicitation, ElicitationAnswer>;
  readonly #grants = new Grants();
  #policy: PermissionPolicy;
  #heldCharacters = 0;

  constructor(options: AnsweringOptions) {
    this.#options = options;
    const { order: { askSeconds, permissions }, onChange } = options;
    this.#policy = permissions;
    this.permissions = new Asking(askSeconds, onChange);
    this.elicitations = new Asking(askSeconds, onChange);
  }

  /** Another policy for all that is decided from now on; what was allowed by the one before counts no more. */
  set policy(policy: PermissionPolicy) {
    this.#policy = policy;
    this.#grants.clear();
  }

  /** What was allowed once is to be asked for again from now on. */
  endTurn(): void {
    this.#grants.endTurn();
  }

  /** @returns the id of an option; `undefined`: cancelled. */
  async permit(params: Fields, { jail, signal }: { readonly jail: Jail; readonly signal: AbortSignal }): Promise<string | undefined> {
    const { calls, progress } = this.#options;
    const asked = fieldsOf(params['toolCall']);
    // Of some tool calls gemini tells nothing else; codex calls here a command what it called a look before.
    if (!progress.knows(asked['toolCallId'])) progress.apply({ ...asked, sessionUpdate: 'tool_call' });
    const full = calls.questionOf(params);
    const question = full ?? { kind: 'other', tools: [], paths: [], commands: [], options: questionOf({ options: params['options'] }).options };
    const permissionId = randomUUID();
    const context = await contextOf(question, jail);
    const answer: PermissionAnswer = full ? decide(this.#policy, question, context)
      : { ...decide('deny', question, context), reason: 'what the agent told of it is too long or too deep to be judged' };
    const tell = (decision: string, reason: string): void => this.#options.tell({ type: 'permission', permissionId, decision, reason, question });
    if (answer.is === 'selected') {
      tell(answer.optionId, answer.reason);
      this.#remember(question, context, answer.optionId);
      return answer.optionId;
    }
    if (answer.is === 'cancelled') {
      tell('cancelled', answer.reason);
      return undefined;
    }
    const answering = this.#askSomebody(question, { permissionId, toolCallId: textOf(asked['toolCallId']) ?? null, jail, signal });
    // Whoever hears of it finds it pending.
    tell('pending', answer.reason);
    const { optionId, reason } = await answering;
    tell(optionId ?? 'cancelled', reason);
    this.#remember(question, context, optionId);
    return optionId;
  }

  /** So that the agent may do by its client what it was just allowed to do. */
  #remember(question: PermissionQuestion, context: PermissionContext, optionId: string | undefined): void {
    const kinds = question.options.filter((option) => option.optionId === optionId).map(({ kind }) => kind);
    if (kinds.length === 0 || !kinds.every((kind) => kind === 'allow_once' || kind === 'allow_always')) return;
    this.#grants.add(question, context, kinds.every((kind) => kind === 'allow_always'));
  }

  /**
   * Resolves once the agent may have its client do this: the policy says so, or a permission that it was granted in this turn, or whoever is asked.
   *
   * @param by.signals End the wait for an answer. @throws RpcError -32602 where it may not.
   */
  async allow(method: string, { question, heldCharacters }: ServiceCall, by: { readonly jail: Jail; readonly signals: readonly AbortSignal[] }): Promise<void> {
    if (!question) return;
    const { jail } = by;
    const context = await contextOf(question, jail);
    const outside = question.paths.find((path) => context.realPathOf(path) === undefined);
    if (outside !== undefined) throw outsideError(jail, actionOf(question), outside);
    const { decision, reason, isFinal } = decideService(this.#policy, question, context);
    if (decision === 'approve' || (!isFinal && this.#grants.covers(question, context))) return;
    if (decision === 'deny') throw this.#refused(method, question, reason);
    if (isTooLong(question)) throw this.#refused(method, question, 'it is too long to be shown for a permission');
    if (this.#heldCharacters + heldCharacters > maxHeldCharacters) throw this.#refused(method, question, 'too much waits for permission already');
    this.#heldCharacters += heldCharacters;
    try {
      const answer = await this.#askAbout(question, { ...by, reason });
      if (answer.optionId !== 'allow') throw this.#refused(method, question, answer.reason);
      const now = await contextOf(question, jail);
      const moved = question.paths.find((path) => now.realPathOf(path) !== context.realPathOf(path));
      if (moved !== undefined) throw this.#refused(method, question, `${moved} leads elsewhere now than when it was allowed`);
    } finally {
      this.#heldCharacters -= heldCharacters;
    }
  }

  /** Shows it as pending, as what the agent itself asks permission for. */
  async #askAbout(
    question: PermissionQuestion, { jail, signals, reason: why }: { readonly jail: Jail; readonly signals: readonly AbortSignal[]; readonly reason: string },
  ): Promise<{ readonly optionId: string | undefined; readonly reason: string }> {
    const permissionId = randomUUID();
    const tell = (decision: string, reason: string): void => this.#options.tell({ type: 'permission', permissionId, decision, reason, question });
    const cancelled = { optionId: undefined, reason: 'the turn was cancelled' };
    const answering = unlessAborted(signals, (signal) => this.#askSomebody(question, { permissionId, toolCallId: null, jail, signal }), cancelled);
    tell('pending', why);
    const { optionId, reason } = await answering;
    tell(optionId ?? 'cancelled', reason);
    return { optionId, reason };
  }

  #refused(method: string, { paths, commands }: PermissionQuestion, reason: string): RpcError {
    const what = beginning([...paths, ...commands].map((one) => beginning(one, maxNameCharacters)).join(' '), 2 * maxNameCharacters);
    this.#options.tell({ type: 'fault', what: `${method} ${what} was refused: ${reason}` });
    return new RpcError(rpcCodes.invalidParams, `Cannot do ${method} ${what}: ${reason}`);
  }

  async #askSomebody(
    question: PermissionQuestion,
    by: { readonly permissionId: string; readonly toolCallId: string | null; readonly jail: Jail; readonly signal: AbortSignal },
  ): Promise<{ readonly optionId: string | undefined; readonly reason: string }> {
    const { permissionId, toolCallId, jail, signal } = by;
    const { askSeconds, askDefault } = this.#options.order;
    const answer = await this.permissions.ask({
      id: permissionId, signal,
      show: ({ askedAt, expiresAt }) => ({
        permissionId, toolCallId: toolCallId && beginning(toolCallId, maxNameCharacters), ...question, tools: question.tools.map((tool) => beginning(tool, maxNameCharacters)), askedAt, expiresAt,
      }),
      isFit: (optionId) => optionId === null || question.options.some((option) => option.optionId === optionId),
    });
    if (answer.by === 'abort') return { optionId: undefined, reason: 'the turn was cancelled' };
    if (answer.by === 'somebody' && answer.answer !== null) return { optionId: answer.answer, reason: 'somebody has answered' };
    // Links may have changed since.
    const chosen = decide(answer.by === 'somebody' ? 'deny' : askDefault, question, await contextOf(question, jail));
    const reason = answer.by === 'somebody' ? 'somebody has denied it' : `nobody answered within ${askSeconds} s`;
    return { optionId: chosen.is === 'selected' ? chosen.optionId : undefined, reason };
  }

  /** Of a question that is no permission. */
  async elicit(params: Fields, signal: AbortSignal): Promise<ElicitationAnswer> {
    const message = textOf(params['message']) ?? '';
    const elicitationId = randomUUID();
    const tell = (decision: string, reason: string): void => this.#options.tell({ type: 'elicitation', elicitationId, decision, reason, message });
    if (bounded(params, maxQuestionCharacters) !== params) {
      this.#options.tell({ type: 'elicitation', elicitationId, decision: 'decline', reason: 'it is too long, or too deep, to be shown', message: beginning(message, maxNameCharacters) });
      return { action: 'decline' };
    }
    const answering = this.elicitations.ask({
      id: elicitationId, signal, isFit: () => true,
      show: ({ askedAt, expiresAt }) => ({ elicitationId, message, requestedSchema: params['requestedSchema'] ?? null, askedAt, expiresAt }),
    });
    tell('pending', 'somebody is to answer it');
    const answer = await answering;
    const given: ElicitationAnswer = answer.by === 'somebody' ? answer.answer : { action: answer.by === 'abort' ? 'cancel' : 'decline' };
    tell(given.action, answer.by === 'somebody' ? 'somebody has answered' : answer.by === 'abort' ? 'the turn was cancelled' : 'nobody answered in time');
    return given;
  }
}

/** In the words of an error. */
function actionOf({ kind }: PermissionQuestion): string {
  if (kind === 'execute') return 'run a command in';
  return kind === 'read' ? 'read' : 'write';
}

async function contextOf({ paths }: PermissionQuestion, jail: Jail): Promise<PermissionContext> {
  const real = new Map(await Promise.all(paths.map(async (path) => [path, await jail.realPathOf(path)] as const)));
  return { workdir: await jail.realPathOf('.') ?? jail.workdir, realPathOf: (path) => real.get(path) };
}
