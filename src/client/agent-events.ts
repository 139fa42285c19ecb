/**
 * What an agent does, as the events of its job report it. Unknown events and fields are tolerated: a runner of another
 * version may have written them.
 * @module
 */
import { defined } from '../base/defined.ts';
import { type Fields, fieldsOf, isFields, listOf, textOf } from '../base/loose.ts';
import type { CommonAgentEvent } from '../protocol/agents/events.ts';
import type { AgentChange } from '../protocol/agents/calls.ts';

/** A permission request of an agent, as far as the agent describes it. */
export interface AskedPermission {
  readonly permissionId: string;
  /** The kind of tool: `edit`, `execute`, … */
  readonly kind: string;
  /** The tool's name and its title, where it has them. */
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly options: readonly { readonly optionId: string; readonly kind: string; readonly name?: string }[];
}

/** `seq` counts from 1 within the job, `at` is Unix seconds. */
export type AgentEvent = { readonly seq: number; readonly at: number } & (
  | CommonAgentEvent
  /** The agent has started. */
  | { readonly type: 'agent'; readonly name: string | null; readonly version: string | null }
  | { readonly type: 'session'; readonly sessionId: string; readonly isResumed: boolean }
  /**
   * A `session/update` of the Agent Client Protocol. `isReplay`: an update of an earlier turn, sent again. `isCut`: the
   * update was too long to be kept whole.
   */
  | { readonly type: 'update'; readonly update: unknown; readonly isReplay: boolean; readonly isCut: boolean }
  /** `decision`: `pending` while the request waits for an answer; then the id of an option, or `cancelled`. */
  | {
    readonly type: 'permission'; readonly decision: string; readonly reason: string;
    readonly permission: AskedPermission
  }
);

/**
 * @param event That of a {@link JobEvent} `agent`, or one of the `events` of a job.
 * @returns `undefined` for an event of a type that this version does not know, and for one in `events` that repeats an
 *   update as other clients read it (`message`, `thought`, `tool_call`, `tool_result`, `plan`): each is reported once.
 */
export function agentEvent(event: unknown): AgentEvent | undefined {
  const fields = fieldsOf(event);
  const head = { seq: numberOf(fields['seq']), at: numberOf(fields['at']) };
  const part = partOf(fields);
  return part && { ...head, ...part };
}

type Part = AgentEvent extends infer E ? E extends AgentEvent ? Omit<E, 'seq' | 'at'> : never : never;

function partOf(fields: Fields): Part | undefined {
  const [turn, reason, decision] = [numberOf(fields['turn']), textIn(fields['reason']), textIn(fields['decision'])];
  switch (fields['type']) {
    case 'agent': {
      const { name, version } = fieldsOf(fields['info']);
      return { type: 'agent', name: textOrNull(name), version: textOrNull(version) };
    }
    case 'session': return {
      type: 'session', sessionId: textIn(fields['sessionId']), isResumed: fields['isResumed'] === true,
    };
    case 'config_refused': return {
      type: 'config_refused', category: textIn(fields['category']), wanted: textIn(fields['wanted']),
      offered: textsOf(fields['offered']),
    };
    case 'changed': {
      const { model, effort, agentMode, permissions } = fields as AgentChange;
      return { type: 'changed', ...defined({ model, effort, agentMode, permissions }) };
    }
    case 'prompt': return { type: 'prompt', turn };
    case 'update': return {
      type: 'update', update: fields['update'], isReplay: fields['isReplay'] === true, isCut: fields['isCut'] === true,
    };
    case 'permission': return {
      type: 'permission', decision, reason,
      permission: permissionOf(textIn(fields['permissionId']), fieldsOf(fields['question'])),
    };
    case 'elicitation': {
      const [elicitationId, message] = [textIn(fields['elicitationId']), textIn(fields['message'])];
      const url = textIn(fields['url']);
      return { type: 'elicitation', elicitationId, decision, reason, message, ...(url === '' ? {} : { url }) };
    }
    case 'stop': return { type: 'stop', turn, stopReason: textIn(fields['stopReason']) };
    case 'fault': return { type: 'fault', what: textIn(fields['what']) };
    case 'error': {
      const { code, message, details } = fieldsOf(fields['error']);
      const error = { code: textIn(code), message: textIn(message), details: isFields(details) ? details : {} };
      return { type: 'error', error };
    }
    default: return undefined;
  }
}

function permissionOf(permissionId: string, { kind, tools, paths, commands, options }: Fields): AskedPermission {
  return {
    permissionId, kind: textIn(kind), tools: textsOf(tools), paths: textsOf(paths), commands: textsOf(commands),
    options: listOf(options).map(fieldsOf).flatMap(({ optionId, kind: optionKind, name }) => {
      if (typeof optionId !== 'string') return [];
      return [{ optionId, kind: textIn(optionKind), ...(typeof name === 'string' ? { name } : {}) }];
    }),
  };
}

function textsOf(value: unknown): readonly string[] {
  return listOf(value).filter((one): one is string => typeof one === 'string');
}

function textIn(value: unknown): string {
  return textOf(value) ?? '';
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
