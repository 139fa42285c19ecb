/**
 * The calls on the job of an agent: what they send, and what is answered.
 * @module
 */
import { defined } from '../../base/defined.ts';
import {
  type Parsed, type Parser, array, boolean, described, fromText, integer, object, oneOf, optional, optionalText, parser,
  record, refuse, text, ParseError,
} from '../../base/parse.ts';
import { anything, integer as whole, maybe, number as anyNumber, shape, string, word as wordOf } from '../answer.ts';
import type { AgentFields } from './exec-fields.ts';
import { maxShownTurns } from './job-details.ts';
import { type RememberScope, permissionPolicy, rememberScopes } from './permission-policy.ts';
import { prompt } from './prompt-blocks.ts';
import { shortText } from './short-text.ts';

export const promptRequest = object({
  prompt: described('What the agent is to do next.', notEmpty(prompt)),
});
export type PromptRequest = Parsed<typeof promptRequest>;

/** `turn` counts from 1 within the job. */
export interface PromptTaken {
  readonly jobId: string;
  readonly turn: number;
  /** Present where the agent of this job had ended: `jobId` continues its session. */
  readonly continues?: string;
  /** With `continues` and a new job: seconds for which its agent waits for another prompt. */
  readonly keepAlive?: number;
}

export const promptTaken = shape<PromptTaken>({
  jobId: string,
  turn: described('Its number within the job, from 1', whole),
  continues: maybe(described('The job whose session `jobId` continues', string)),
  keepAlive: maybe(described('Of a new job: seconds that its agent waits for another prompt', anyNumber)),
}, { name: 'the number of a turn', relies: ['turn'] });

/** Changes of a running agent. The permissions apply to all later decisions. */
export type AgentChange = Pick<AgentFields, 'agentMode' | 'model' | 'effort' | 'permissions'>;

/** The accepted changes; mode, model and effort by the agent's ids. */
export interface ChangeTaken extends AgentChange {
  readonly jobId: string;
}

export const changeTaken = shape<ChangeTaken>({
  jobId: string,
  agentMode: maybe(string),
  model: maybe(string),
  effort: maybe(string),
  permissions: maybe(anything({ description: 'As given' })),
}, { name: 'what was changed', relies: ['jobId'] });

const change = object({
  agentMode: described('The mode of the session, by its id or name.', optionalText(shortText)),
  model: described('The model, by its id or name.', optionalText(shortText)),
  effort: described(
    'How much the model is to think, by the id or name that the agent has for it.', optionalText(shortText),
  ),
  permissions: described('As in the request of the job. What is pending stays pending.', optional(permissionPolicy)),
});

export const changeRequest: Parser<AgentChange> = parser({ ...change.schema, minProperties: 1 }, (value, at) => {
  const given = defined(change(value, at));
  if (Object.keys(given).length > 0) return given;
  throw new ParseError(at, 'expected at least one of agentMode, model, effort and permissions');
});

export const turnsQuery = object({
  before: described('Only turns before this one.',
    optional(fromText(integer({ min: 1, max: Number.MAX_SAFE_INTEGER })))),
  limit: described(`How many, the last ones. Default ${maxShownTurns}.`,
    optional(fromText(integer({ min: 1, max: maxShownTurns })))),
});
export type TurnsQuery = Parsed<typeof turnsQuery>;

export interface TurnCancelled {
  /** `false`: no turn was running. */
  readonly cancelled: boolean;
}

export const turnCancelled = shape<TurnCancelled>(
  { cancelled: boolean }, { name: 'whether a turn was cancelled', relies: ['cancelled'] },
);

/** One of the agent's options, or a decision, independent of the agent's names. */
export type PermissionRequest =
  | { readonly optionId: string }
  | { readonly decision: 'approve' | 'deny'; readonly remember?: RememberScope };

/** Repeats the request. */
export interface PermissionTaken {
  readonly permissionId: string;
  readonly optionId?: string;
  readonly decision?: 'approve' | 'deny';
  readonly remember?: RememberScope;
}

const permissionAnswer = shape<PermissionTaken>({
  permissionId: string,
  optionId: maybe(string),
  decision: maybe(wordOf('approve', 'deny')),
  remember: maybe(wordOf(...rememberScopes)),
}, { name: 'the option that was taken' });

export const permissionTaken = parser(permissionAnswer.schema, (value, at) => {
  const taken = permissionAnswer(value, at);
  if (typeof (taken.optionId ?? taken.decision) === 'string') return taken;
  throw new ParseError(at, 'expected the option that was taken');
});

const permissionFields = object({
  optionId: described('One of those that the agent offers.', optional(shortText)),
  decision: described('Instead of optionId: approve allows once, deny rejects.', optional(oneOf('approve', 'deny'))),
  remember: described(
    'With decision: it holds for the same kind, commands and paths to the end of the turn, or of the job.',
    optional(oneOf(...rememberScopes)),
  ),
});

export const permissionRequest: Parser<PermissionRequest> = parser(permissionFields.schema, (value, at) => {
  const { optionId, decision, remember } = permissionFields(value, at);
  if (decision === undefined) {
    if (remember !== undefined) throw new ParseError(`${at}.remember`, 'expected nothing without a decision');
    return optionId === undefined ? refuse(at, 'optionId or decision', undefined) : { optionId };
  }
  if (optionId !== undefined) throw new ParseError(`${at}.optionId`, 'expected nothing, as decision is given');
  return defined({ decision, remember });
});

export interface ElicitationTaken {
  readonly elicitationId: string;
  readonly action: ElicitationRequest['action'];
}

export const elicitationTaken = shape<ElicitationTaken>(
  { elicitationId: string, action: wordOf('accept', 'decline', 'cancel') },
  { name: 'the action that was taken', relies: ['action'] },
);

const answer: Parser<string | number | boolean | readonly string[]> = parser({}, (value, at) => {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return array(text({ max: 2 ** 20 }), { max: 1000 })(value, at);
});

export const elicitationRequest = object({
  action: oneOf('accept', 'decline', 'cancel'),
  content: described(
    'With accept: what the form asks for, by field.', optional(record(shortText, answer, { max: 1000 })),
  ),
});
export type ElicitationRequest = Parsed<typeof elicitationRequest>;

function notEmpty<T>(inner: Parser<T>): Parser<T> {
  return parser(inner.schema, (value, at) =>
    (value === '' ? refuse(at, 'a string that is not empty', value) : inner(value, at)));
}
