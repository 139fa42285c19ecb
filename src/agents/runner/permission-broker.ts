/**
 * Answers the permission requests of an agent, by the policy of its job or through a client, and its other questions.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { runUnlessAborted } from '../../base/abort.ts';
import { defined } from '../../base/defined.ts';
import { tokensIn } from '../../base/untrusted-json.ts';
import type { PendingElicitation, PendingPermission, PermissionDenial } from '../../protocol/agent-jobs.ts';
import type { PermissionPolicy } from '../../protocol/agents.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { idOf, webAddressOf } from '../acp/v1.ts';
import { Asking } from './pending-requests.ts';
import { Denials } from '../permissions/denials.ts';
import type { ElicitationAnswer } from '../acp/conversation.ts';
import { outsideError } from '../services/files.ts';
import { Grants } from '../permissions/grants.ts';
import type { Jail } from '../services/sandbox.ts';
import { type KnownCalls, isTooLong, lengthOf } from '../permissions/tool-call-history.ts';
import { type Fields, fieldsOf, textOf } from '../../base/loose.ts';
import { truncate, truncateJson } from '../../base/truncate.ts';
import type { AgentEvent, AgentOrder, PermissionReply } from '../runner-config.ts';
import { questionOf } from '../permissions/question.ts';
import {
  type PermissionAnswer, type PermissionContext, type PermissionQuestion, decide, decideService, optionOf,
} from '../permissions/policy.ts';
import type { Progress } from '../acp/progress.ts';
import { RememberedAnswers } from '../permissions/remembered.ts';
import type { ServiceCall } from '../services/services.ts';

export interface AnsweringOptions {
  readonly order: Pick<AgentOrder, 'permissions' | 'askSeconds' | 'askDefault'>;
  readonly calls: KnownCalls;
  readonly progress: Progress;
  readonly tell: (event: AgentEvent) => void;
  /** Called when a request becomes pending, and when it no longer is. */
  readonly onChange: () => void;
  /** The number of the current turn, from 1. */
  readonly turn?: () => number;
  readonly onDenied?: (denial: PermissionDenial) => void;
}

/** The context of a permission request: its ids, the directories of the job, and the signal that ends the wait. */
interface Asker {
  readonly permissionId: string;
  readonly toolCallId: string | null;
  readonly jail: Jail;
  readonly signal: AbortSignal;
}

interface Answered {
  readonly optionId: string | undefined;
  readonly reason: string;
  /** Set if a client chose this option. Absent for a timeout, a cancelled turn and a denial without an option. */
  readonly isByPerson?: boolean;
}

/**
 * Limits on a pending request as clients see it: a name as long as progress keeps it, a form as long as a person would
 * fill in.
 */
const maxNameCharacters = 2000;
const maxQuestionCharacters = 262_144;
const cancelledReason = 'the turn was cancelled';
/** Limit of all file contents that wait for a permission: the size of one of the largest files. */
const maxHeldCharacters = 32 * 2 ** 20;
/**
 * Limit of all pending requests, because the agent's state holds them. Each JSON value counts as `charactersPerToken`
 * more.
 */
const maxPendingCharacters = 3 * 2 ** 20;
const charactersPerToken = 100;
const maxFormTokens = 10_000;
const tooMuchReason = 'too much waits for an answer already';

export class Answering {
  readonly #options: AnsweringOptions;
  readonly permissions: Asking<PendingPermission, PermissionReply>;
  readonly elicitations: Asking<PendingElicitation, ElicitationAnswer>;
  readonly #grants = new Grants();
  #policy: PermissionPolicy;
  readonly #remembered = new RememberedAnswers();
  readonly #denials = new Denials();
  #heldCharacters = 0;
  #pendingCharacters = 0;
  /** The ids of pending questions by URL, by the ids that the agent gave them. */
  readonly #byUrl = new Map<string, string>();
  readonly #doneByUrl = new Set<string>();

  constructor(options: AnsweringOptions) {
    this.#options = options;
    const { order: { askSeconds, permissions }, onChange } = options;
    this.#policy = permissions;
    this.permissions = new Asking(askSeconds, onChange);
    this.elicitations = new Asking(askSeconds, onChange);
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
  get asked(): number {
    return this.#denials.asked;
  }

  /** The most recent denials. */
  get denied(): readonly PermissionDenial[] {
    return this.#denials.denied;
  }

  /** @returns the id of an option; `undefined` if the request is cancelled. */
  async permit(
    params: Fields,
    { jail, signal }: { readonly jail: Jail; readonly signal: AbortSignal },
  ): Promise<string | undefined> {
    const { calls, progress } = this.#options;
    const asked = fieldsOf(params['toolCall']);
    // For some tool calls gemini sends nothing else; codex calls here a command what it called a look before.
    if (!progress.knows(asked['toolCallId'])) progress.apply({ ...asked, sessionUpdate: 'tool_call' });
    const full = calls.questionOf(params);
    // Of a tool call that cannot be judged, only the options are read.
    const question = full ?? questionOf({ options: params['options'] });
    const permissionId = randomUUID();
    const context = await contextOf(question, jail);
    this.#denials.ask();
    const judged: PermissionAnswer = full ? decide(this.#policy, question, context)
      : {
        ...decide('deny', question, context),
        reason: 'what the agent told of it is too long or too deep to be judged',
      };
    const before = judged.is === 'pending' ? this.#answerBefore(question, context) : undefined;
    const answer = before ?? judged;
    const tell = (decision: string, reason: string): void => this.#options.tell(
      { type: 'permission', permissionId, decision, reason, question },
    );
    const settle = (optionId: string | undefined, reason: string, isByPerson: boolean): string | undefined => {
      tell(optionId ?? 'cancelled', reason);
      if (isByPerson) this.#grant(question, context, optionId);
      if (!isAllowed(question, optionId) && !signal.aborted) this.#deny(question, reason);
      return optionId;
    };
    if (answer.is === 'selected') return settle(answer.optionId, answer.reason, before !== undefined);
    if (answer.is === 'cancelled') return settle(undefined, answer.reason, false);
    const answering = this.#askSomebody(
      question,
      { permissionId, toolCallId: textOf(asked['toolCallId']) ?? null, jail, signal },
    );
    // Clients that receive the event find the request pending.
    tell('pending', answer.reason);
    const { optionId, reason, isByPerson = false } = await answering;
    return settle(optionId, reason, isByPerson);
  }

  /** A remembered answer: a person gave it for more than one question. */
  #answerBefore(question: PermissionQuestion, context: PermissionContext): PermissionAnswer | undefined {
    const before = this.#remembered.find(question, context);
    if (!before) return undefined;
    const reason = `it was answered before, for the ${before.scope}`;
    const optionId = optionOf(question, before.decision);
    const optionKind = before.decision === 'approve' ? 'allow_once' : 'reject_once';
    if (optionId !== undefined) return { is: 'selected', optionId, optionKind, reason };
    return before.decision === 'deny' ? { is: 'cancelled', reason } : undefined;
  }

  #deny(question: PermissionQuestion, reason: string): void {
    const denial = this.#denials.deny(question, { turn: this.#options.turn?.() ?? 1, reason });
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
    by: { readonly jail: Jail; readonly signals: readonly AbortSignal[] },
  ): Promise<void> {
    if (!question) return;
    const { jail } = by;
    const context = await contextOf(question, jail);
    const outside = question.paths.find((path) => context.realPathOf(path) === undefined);
    if (outside !== undefined) {
      this.#deny(question, `${outside} is outside of the directories of the job`);
      throw outsideError(jail, actionOf(question), outside);
    }
    const { decision, reason, isFinal } = decideService(this.#policy, question, context);
    if (decision === 'approve' || (!isFinal && this.#grants.covers(question, context))) return;
    if (decision === 'deny') throw this.#refused(method, question, reason);
    if (isTooLong(question)) throw this.#refused(method, question, 'it is too long to be shown for a permission');
    if (this.#heldCharacters + heldCharacters > maxHeldCharacters) throw this.#refused(
      method,
      question,
      'too much waits for permission already',
    );
    this.#heldCharacters += heldCharacters;
    try {
      const answer = await this.#askAbout(question, { ...by, reason });
      if (answer.optionId !== 'allow') throw this.#refused(method, question, answer.reason);
      const now = await contextOf(question, jail);
      const moved = question.paths.find((path) => now.realPathOf(path) !== context.realPathOf(path));
      if (moved !== undefined) throw this.#refused(
        method,
        question,
        `${moved} leads elsewhere now than when it was allowed`,
      );
    } finally {
      this.#heldCharacters -= heldCharacters;
    }
  }

  /** Shows the question as pending, like a permission that the agent requests itself. */
  async #askAbout(
    question: PermissionQuestion,
    { jail, signals, reason: why }:
      { readonly jail: Jail; readonly signals: readonly AbortSignal[]; readonly reason: string },
  ): Promise<{ readonly optionId: string | undefined; readonly reason: string }> {
    const permissionId = randomUUID();
    this.#denials.ask();
    const tell = (decision: string, reason: string): void => this.#options.tell(
      { type: 'permission', permissionId, decision, reason, question },
    );
    const before = this.#answerBefore(question, await contextOf(question, jail));
    if (before?.is === 'selected') {
      tell(before.optionId, before.reason);
      return before;
    }
    const cancelled = { optionId: undefined, reason: cancelledReason };
    const answering = runUnlessAborted(
      signals,
      (signal) => this.#askSomebody(question, { permissionId, toolCallId: null, jail, signal }),
      cancelled,
    );
    tell('pending', why);
    const { optionId, reason } = await answering;
    tell(optionId ?? 'cancelled', reason);
    return { optionId, reason };
  }

  #refused(method: string, question: PermissionQuestion, reason: string): RpcError {
    if (reason !== cancelledReason) this.#deny(question, reason);
    const { paths, commands } = question;
    const what = truncate(
      [...paths, ...commands].map((one) => truncate(one, maxNameCharacters)).join(' '),
      2 * maxNameCharacters,
    );
    this.#options.tell({ type: 'fault', what: `${method} ${what} was refused: ${reason}` });
    return new RpcError(rpcCodes.invalidParams, `Cannot do ${method} ${what}: ${reason}`);
  }

  async #askSomebody(question: PermissionQuestion, by: Asker): Promise<Answered> {
    const characters = lengthOf(question);
    if (this.#pendingCharacters + characters > maxPendingCharacters) {
      const denied = decide('deny', question, await contextOf(question, by.jail));
      return { optionId: denied.is === 'selected' ? denied.optionId : undefined, reason: tooMuchReason };
    }
    this.#pendingCharacters += characters;
    try {
      return await this.#answerOf(question, by);
    } finally {
      this.#pendingCharacters -= characters;
    }
  }

  async #answerOf(question: PermissionQuestion, by: Asker): Promise<Answered> {
    const { permissionId, toolCallId, jail, signal } = by;
    const { askSeconds, askDefault } = this.#options.order;
    const { parts: _, inputs: _i, isUnclear: _u, ...asked } = question;
    const answer = await this.permissions.ask({
      id: permissionId, signal,
      show: ({ askedAt, expiresAt }) => ({
        permissionId, toolCallId: toolCallId && truncate(toolCallId, maxNameCharacters), ...asked,
        tools: question.tools.map((tool) => truncate(tool, maxNameCharacters)), askedAt, expiresAt,
      }),
      isFit: ({ optionId }) => optionId === null || question.options.some((option) => option.optionId === optionId),
    });
    if (answer.by === 'abort') return { optionId: undefined, reason: cancelledReason };
    const context = await contextOf(question, jail);
    if (answer.by === 'somebody') {
      const { optionId = null, remember } = answer.answer;
      const decision = isAllowed(question, optionId ?? undefined) ? 'approve' : 'deny';
      if (remember !== undefined) this.#remembered.add(question, context, { decision, scope: remember });
      if (optionId !== null) return { optionId, reason: 'somebody has answered', isByPerson: true };
    }
    // Symbolic links may have changed since.
    const chosen = decide(answer.by === 'somebody' || askDefault === 'deny' ? 'deny' : 'edits', question, context);
    const reason = answer.by === 'somebody' ? 'somebody has denied it' : `nobody answered within ${askSeconds} s`;
    return { optionId: chosen.is === 'selected' ? chosen.optionId : undefined, reason };
  }

  /** Asks for the answer to a question that is not a permission. */
  async elicit(params: Fields, signal: AbortSignal): Promise<ElicitationAnswer> {
    const message = textOf(params['message']) ?? '';
    const elicitationId = randomUUID();
    const url = params['mode'] === 'url' ? webAddressOf(params['url']) : undefined;
    const tell = (decision: string, reason: string): void => {
      this.#options.tell({ type: 'elicitation', elicitationId, decision, reason, message, ...defined({ url }) });
    };
    const json = truncateJson(params, maxQuestionCharacters) === params ? JSON.stringify(params) : undefined;
    const tokens = json === undefined ? Infinity : tokensIn(Buffer.from(json), maxFormTokens);
    const characters = (json?.length ?? 0) + charactersPerToken * tokens;
    const isTooLarge = tokens > maxFormTokens;
    if (isTooLarge || this.#pendingCharacters + characters > maxPendingCharacters) {
      const reason = isTooLarge ? 'it is too long, or too deep, to be shown' : tooMuchReason;
      const shown = truncate(message, maxNameCharacters);
      this.#options.tell({ type: 'elicitation', elicitationId, decision: 'decline', reason, message: shown });
      return { action: 'decline' };
    }
    this.#pendingCharacters += characters;
    const ofAgent = url === undefined ? undefined : idOf(params['elicitationId']);
    const answering = this.elicitations.ask({
      id: elicitationId, signal,
      // An answer given on the page does not pass through here.
      isFit: (answer) => url === undefined || answer.action !== 'accept' || answer.content === undefined,
      show: ({ askedAt, expiresAt }) => ({
        elicitationId, message, ...defined({ url }), requestedSchema: params['requestedSchema'] ?? null,
        askedAt, expiresAt,
      }),
    });
    if (ofAgent !== undefined) this.#byUrl.set(ofAgent, elicitationId);
    tell('pending', 'somebody is to answer it');
    const answer = await answering;
    this.#pendingCharacters -= characters;
    if (ofAgent !== undefined) this.#byUrl.delete(ofAgent);
    const isDone = this.#doneByUrl.delete(elicitationId);
    const given: ElicitationAnswer = answer.by === 'somebody' ? answer.answer
      : { action: answer.by === 'abort' ? 'cancel' : 'decline' };
    tell(given.action, isDone ? 'it was done at the URL' : reasonOf[answer.by]);
    return given;
  }

  /** The agent reports that a question by URL was answered on its page: it need not be answered here. */
  elicited(ofAgent: string): void {
    const elicitationId = this.#byUrl.get(ofAgent);
    if (elicitationId === undefined) return;
    this.#doneByUrl.add(elicitationId);
    this.elicitations.answer(elicitationId, { action: 'accept' });
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

/** The reason that is reported for each way in which a question ends. */
const reasonOf = {
  somebody: 'somebody has answered', abort: 'the turn was cancelled', nobody: 'nobody answered in time',
} as const;

/** The action in the words of an error message. */
function actionOf({ kind }: PermissionQuestion): string {
  if (kind === 'execute') return 'run a command in';
  return kind === 'read' ? 'read' : 'write';
}

async function contextOf({ paths }: PermissionQuestion, jail: Jail): Promise<PermissionContext> {
  const real = new Map(await Promise.all(paths.map(async (path) => [path, await jail.realPathOf(path)] as const)));
  return { workdir: await jail.realPathOf('.') ?? jail.workdir, realPathOf: (path) => real.get(path) };
}
