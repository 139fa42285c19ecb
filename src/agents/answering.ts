/**
 * Answers what an agent asks permission for, by the policy of its job or by somebody, and what it asks beside that.
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { PendingElicitation, PendingPermission } from '../protocol/agent-jobs.ts';
import { RpcError, rpcCodes } from '../jsonrpc/message.ts';
import { Asking } from './asking.ts';
import type { ElicitationAnswer } from './conversation.ts';
import type { Jail } from './jail.ts';
import type { KnownCalls } from './known-calls.ts';
import { type Fields, beginning, bounded, fieldsOf, listOf, textOf } from './lenient.ts';
import type { AgentEvent, AgentOrder } from './order.ts';
import { questionOf } from './permission-question.ts';
import { type PermissionAnswer, type PermissionContext, type PermissionQuestion, decide, refusalOf } from './permissions.ts';
import type { Progress } from './progress.ts';

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

export class Answering {
  readonly #options: AnsweringOptions;
  /** `null` denies, by whatever option there is for that. */
  readonly permissions: Asking<PendingPermission, string | null>;
  readonly elicitations: Asking<PendingElicitation, ElicitationAnswer>;

  constructor(options: AnsweringOptions) {
    this.#options = options;
    const { order: { askSeconds }, onChange } = options;
    this.permissions = new Asking(askSeconds, onChange);
    this.elicitations = new Asking(askSeconds, onChange);
  }

  /** @returns the id of an option; `undefined`: cancelled. */
  async permit(params: Fields, { jail, signal }: { readonly jail: Jail; readonly signal: AbortSignal }): Promise<string | undefined> {
    const { order: { permissions }, calls, progress } = this.#options;
    const asked = fieldsOf(params['toolCall']);
    // Of some tool calls gemini tells nothing else; codex calls here a command what it called a look before.
    if (!progress.knows(asked['toolCallId'])) progress.apply({ ...asked, sessionUpdate: 'tool_call' });
    const full = calls.questionOf(params);
    const question = full ?? { kind: 'other', tools: [], paths: [], commands: [], options: questionOf({ options: params['options'] }).options };
    const permissionId = randomUUID();
    const context = await contextOf(question, jail);
    const answer: PermissionAnswer = full ? decide(permissions, question, context)
      : { ...decide('deny', question, context), reason: 'what the agent told of it is too long to be judged' };
    const tell = (decision: string, reason: string): void => this.#options.tell({ type: 'permission', permissionId, decision, reason, question });
    if (answer.is === 'selected') {
      tell(answer.optionId, answer.reason);
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
    return optionId;
  }

  /** What it asks its client to do, without having asked for permission. @throws RpcError -32602 where the policy forbids it. */
  async allow(method: string, params: unknown, jail: Jail): Promise<void> {
    const question = serviceQuestion(method, fieldsOf(params));
    const reason = question && refusalOf(this.#options.order.permissions, question, await contextOf(question, jail));
    if (reason === undefined) return;
    const what = [...question?.paths ?? [], ...question?.commands ?? []].map((one) => beginning(one, maxNameCharacters)).join(' ');
    this.#options.tell({ type: 'fault', what: `${method} ${what} was refused: ${reason}` });
    throw new RpcError(rpcCodes.invalidParams, `Cannot do ${method} ${what}: ${reason}`);
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

/** What a service does, as a permission for it would say. */
function serviceQuestion(method: string, { path, command, args }: Fields): PermissionQuestion | undefined {
  const nothing = { tools: [], paths: [], commands: [], options: [] };
  switch (method) {
    case 'fs/read_text_file': return { ...nothing, kind: 'read', paths: [textOf(path) ?? ''] };
    case 'fs/write_text_file': return { ...nothing, kind: 'edit', paths: [textOf(path) ?? ''] };
    case 'terminal/create': return { ...nothing, kind: 'execute', commands: questionOf({ toolCall: { rawInput: { command: [command, ...listOf(args)].length === 1 ? command : [command, ...listOf(args)] } } }).commands };
    default: return undefined;
  }
}

async function contextOf({ paths }: PermissionQuestion, jail: Jail): Promise<PermissionContext> {
  const real = new Map(await Promise.all(paths.map(async (path) => [path, await jail.realPathOf(path)] as const)));
  return { workdir: await jail.realPathOf('.') ?? jail.workdir, realPathOf: (path) => real.get(path) };
}
