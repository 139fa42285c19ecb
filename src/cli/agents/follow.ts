/**
 * Follows an agent: shows what it does, and lets the person at the terminal answer its requests for permission.
 * @module
 */
import {
  type AgentEvent, type AskedPermission, type Job, type JobId, type Position, type Sidecar, agentEvent,
} from '../../client/client.ts';
import { exposeText } from '../../base/escape.ts';
import { patienceMs } from '../follow-job.ts';
import { type InterruptHandler, untilReached } from '../interrupts.ts';
import { type Paint, oneLine, say } from '../print.ts';
import { tell } from '../streams.ts';
import { isDecided } from './ending.ts';
import { askPermission, optionInWords } from './question.ts';
import { type AgentView, whatOf } from './view.ts';

export interface FollowedAgent {
  readonly sidecar: Sidecar;
  readonly id: JobId;
  readonly view: AgentView;
  readonly paint: Paint;
  readonly interrupts: InterruptHandler;
  /** A person sits at the terminal and can be asked. */
  readonly isAsking: boolean;
  /** The first turn to show. Default: all turns are shown. */
  readonly fromTurn?: number;
  readonly from?: Position;
  /** Called with the number of each turn that begins. */
  readonly onBegin?: (turn: number) => void;
  /** Called for each turn that has stopped; `true` ends the following. */
  readonly onStop: (stop: { readonly turn: number; readonly stopReason: string }) => boolean;
}

/** Resolves with the finished job, or with `undefined` when `onStop` returned `true`. */
export async function followAgent(agent: FollowedAgent): Promise<Job | undefined> {
  const { sidecar, id, view, interrupts, fromTurn, from, onBegin, onStop } = agent;
  const questions = new Questions(agent);
  let isShown = fromTurn === undefined;
  let isLost = false;
  const onLost = (): void => {
    if (!isLost) say(`lost the server; job ${id} keeps running there, looking for it again`);
    isLost = true;
  };
  try {
    for await (const event of sidecar.jobs.follow(id, {
      signal: interrupts.leaving, reconnectMs: patienceMs, onLost, ...(from ? { from } : {}),
    })) {
      isLost = false;
      if (event.type === 'end') {
        await view.endLine();
        return event.job;
      }
      const told = event.type === 'agent' ? agentEvent(event.event) : undefined;
      if (told === undefined) continue;
      isShown ||= told.type === 'prompt' && told.turn === fromTurn;
      if (!isShown) continue;
      await view.show(told);
      await questions.take(told);
      if (told.type === 'prompt') onBegin?.(told.turn);
      if (told.type === 'stop' && onStop(told)) return undefined;
    }
    throw new Error('the events ended without an end');
  } finally {
    questions.close();
  }
}

/** Puts the agent's requests to the person, one after another. */
class Questions {
  readonly #agent: FollowedAgent;
  readonly #open = new Map<string, AbortController>();
  #last: Promise<void> = Promise.resolve();

  constructor(agent: FollowedAgent) {
    this.#agent = agent;
  }

  async take(event: AgentEvent): Promise<void> {
    const { id, isAsking, view } = this.#agent;
    if (event.type === 'elicitation' && event.decision === 'pending') {
      await view.endLine();
      say(`the agent asks: ${event.message}`);
      if (event.url !== undefined) say(`open: ${exposeText(event.url)}`);
      const how = event.url === undefined ? 'accept --field NAME=VALUE …' : 'accept';
      say(`answer with: sidecar permissions ${id} ${shortId(event.elicitationId)} ${how} (or decline)`);
    }
    if (event.type !== 'permission') return;
    const { permission, decision } = event;
    if (decision !== 'pending') return this.#decided(permission, event);
    if (isAsking) this.#ask(permission);
    else await this.#tellHow(permission);
  }

  close(): void {
    for (const decided of this.#open.values()) decided.abort();
  }

  #decided(
    { permissionId, options }: AskedPermission, { decision, reason }: AgentEvent & { readonly type: 'permission' },
  ): void {
    const open = this.#open.get(permissionId);
    if (!open) return;
    this.#open.delete(permissionId);
    const option = options.find(({ optionId }) => optionId === decision);
    open.abort(`${option ? optionInWords(option) : decision}: ${reason}`);
  }

  #ask(permission: AskedPermission): void {
    const decided = new AbortController();
    this.#open.set(permission.permissionId, decided);
    this.#last = this.#last.then(() => this.#put(permission, decided.signal));
  }

  async #put(permission: AskedPermission, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { sidecar, id, view, paint, interrupts } = this.#agent;
    const { permissionId } = permission;
    await view.endLine();
    const answer = await askPermission(permission, { paint, signal });
    if (answer === 'decided') {
      tell(`\n  ${oneLine(typeof signal.reason === 'string' ? signal.reason : 'it need not be answered any more')}\n`);
    } else if (answer === 'interrupt') {
      tell('^C\n');
      interrupts.interrupt();
    } else if (answer === 'leave') {
      tell('\n');
      await this.#tellHow(permission);
    } else {
      // Nothing more is said: the effect of the answer shows in what the agent does.
      this.#open.delete(permissionId);
      await untilReached(async () => {
        try {
          await sidecar.agents.permit(id, permissionId, answer.optionId, { signal: interrupts.leaving });
        } catch (error) {
          if (!isDecided(error)) throw error;
          say('that was decided meanwhile');
        }
      }, interrupts.leaving);
    }
  }

  async #tellHow(permission: AskedPermission): Promise<void> {
    const { id, view } = this.#agent;
    await view.endLine();
    say(`the agent asks permission: ${whatOf(permission)}`);
    say(`answer with: sidecar permissions ${id} ${shortId(permission.permissionId)} approve (or deny)`);
  }
}

/** The beginning of a long id, which commands accept in its place. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
