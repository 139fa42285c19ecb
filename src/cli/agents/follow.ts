/**
 * Follows an agent: shows what it does, and lets the person at the terminal answer its requests for permission.
 * @module
 */
import {
  type AgentEvent, type AskedPermission, type Job, type JobId, type Position, type Sidecar, agentEvent,
} from '../../client/client.ts';
import { exposeText } from '../../base/text/escape.ts';
import { lostServerNotice, reconnectTimeoutMs } from '../follow/follow-job.ts';
import { type InterruptHandler, retryUntilReached } from '../follow/interrupts.ts';
import { type Paint, oneLine, printMessage } from '../io/print.ts';
import { writeStderr } from '../io/streams.ts';
import { isAlreadyDecided } from './ending.ts';
import { askPermission, optionInWords } from './question.ts';
import { type AgentView, whatOf } from './view.ts';

export interface FollowAgentOptions {
  readonly sidecar: Sidecar;
  readonly id: JobId;
  readonly view: AgentView;
  readonly paint: Paint;
  readonly interrupts: InterruptHandler;
  /** A person sits at the terminal and can be asked. */
  readonly canAsk: boolean;
  /** The first turn to show. Default: all turns are shown. */
  readonly fromTurn?: number;
  readonly from?: Position;
  /** Called with the number of each turn that begins. */
  readonly onBegin?: (turn: number) => void;
  /** Called for each turn that has stopped; `true` ends the following. */
  readonly onStop: (stop: { readonly turn: number; readonly stopReason: string }) => boolean;
}

/** Resolves with the finished job, or with `undefined` when `onStop` returned `true`. */
export async function followAgent(agent: FollowAgentOptions): Promise<Job | undefined> {
  const { sidecar, id, view, interrupts, fromTurn, from, onBegin, onStop } = agent;
  const prompter = new PermissionPrompter(agent);
  let isShown = fromTurn === undefined;
  const notice = lostServerNotice(`lost the server; job ${id} keeps running there, looking for it again`);
  try {
    for await (const event of sidecar.jobs.follow(id, {
      signal: interrupts.leaving, reconnectMs: reconnectTimeoutMs, onLost: notice.onLost, ...(from ? { from } : {}),
    })) {
      notice.onFound();
      if (event.type === 'end') {
        await view.endLine();
        return event.job;
      }
      const agentUpdate = event.type === 'agent' ? agentEvent(event.event) : undefined;
      if (agentUpdate === undefined) continue;
      isShown ||= agentUpdate.type === 'prompt' && agentUpdate.turn === fromTurn;
      if (!isShown) continue;
      await view.show(agentUpdate);
      await prompter.handle(agentUpdate);
      if (agentUpdate.type === 'prompt') onBegin?.(agentUpdate.turn);
      if (agentUpdate.type === 'stop' && onStop(agentUpdate)) return undefined;
    }
    throw new Error('the events ended without an end');
  } finally {
    prompter.close();
  }
}

/** Puts the agent's requests to the person, one after another. */
class PermissionPrompter {
  readonly #options: FollowAgentOptions;
  readonly #pending = new Map<string, AbortController>();
  #last: Promise<void> = Promise.resolve();

  constructor(options: FollowAgentOptions) {
    this.#options = options;
  }

  async handle(event: AgentEvent): Promise<void> {
    const { id, canAsk, view } = this.#options;
    if (event.type === 'elicitation' && event.decision === 'pending') {
      await view.endLine();
      printMessage(`the agent asks: ${event.message}`);
      if (event.url !== undefined) printMessage(`open: ${exposeText(event.url)}`);
      const how = event.url === undefined ? 'accept --field NAME=VALUE …' : 'accept';
      printMessage(`answer with: sidecar permissions ${id} ${shortId(event.elicitationId)} ${how} (or decline)`);
    }
    if (event.type !== 'permission') return;
    const { permission, decision } = event;
    if (decision !== 'pending') return this.#dismiss(permission, event);
    if (canAsk) this.#ask(permission);
    else await this.#printInstructions(permission);
  }

  close(): void {
    for (const decided of this.#pending.values()) decided.abort();
  }

  #dismiss(
    { permissionId, options }: AskedPermission, { decision, reason }: AgentEvent & { readonly type: 'permission' },
  ): void {
    const open = this.#pending.get(permissionId);
    if (!open) return;
    this.#pending.delete(permissionId);
    const option = options.find(({ optionId }) => optionId === decision);
    open.abort(`${option ? optionInWords(option) : decision}: ${reason}`);
  }

  #ask(permission: AskedPermission): void {
    const decided = new AbortController();
    this.#pending.set(permission.permissionId, decided);
    this.#last = this.#last.then(() => this.#prompt(permission, decided.signal));
  }

  async #prompt(permission: AskedPermission, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { sidecar, id, view, paint, interrupts } = this.#options;
    const { permissionId } = permission;
    await view.endLine();
    const answer = await askPermission(permission, { paint, signal });
    if (answer === 'decided') {
      const reason = typeof signal.reason === 'string' ? signal.reason : 'it no longer needs an answer';
      writeStderr(`\n  ${oneLine(reason)}\n`);
    } else if (answer === 'interrupt') {
      writeStderr('^C\n');
      interrupts.interrupt();
    } else if (answer === 'leave') {
      writeStderr('\n');
      await this.#printInstructions(permission);
    } else {
      // Nothing more is said: the effect of the answer shows in what the agent does.
      this.#pending.delete(permissionId);
      await retryUntilReached(async () => {
        try {
          await sidecar.agents.permit(id, permissionId, answer.optionId, { signal: interrupts.leaving });
        } catch (error) {
          if (!isAlreadyDecided(error)) throw error;
          printMessage('another client has decided that');
        }
      }, interrupts.leaving);
    }
  }

  async #printInstructions(permission: AskedPermission): Promise<void> {
    const { id, view } = this.#options;
    await view.endLine();
    printMessage(`the agent asks permission: ${whatOf(permission)}`);
    printMessage(`answer with: sidecar permissions ${id} ${shortId(permission.permissionId)} approve (or deny)`);
  }
}

/** The beginning of a long id, which commands accept in its place. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
