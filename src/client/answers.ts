/**
 * Checks that an answer is that of a machine-sidecar. Deliberately loose: fields that a later server adds are accepted,
 * and fields that it leaves out are not missed; only what this library itself relies on must be there.
 * @module
 */
import { type Fields, fieldsOf } from '../base/loose.ts';
import type { AgentTurn, PendingAnywhere } from '../protocol/agent-jobs.ts';
import type {
  AgentList, AgentListing, ChangeTaken, ElicitationTaken, PermissionTaken, PromptTaken, TurnCancelled,
} from '../protocol/agents.ts';
import type { Health, Liveness } from '../protocol/health.ts';
import { isJobId } from '../protocol/ids.ts';
import type { Accepted, FeedEvent, Job, JobEvent, Nudged } from '../protocol/jobs.ts';
import type { Session } from '../protocol/shells.ts';
import type { ServerMessage, Terminal } from '../protocol/terminals.ts';
import type { Ticket } from '../protocol/tickets.ts';
import type { UpdateAnswer, UpdateState } from '../protocol/updates.ts';
import type { Answer } from './transport/endpoint.ts';
import { badAnswer } from './transport/failure.ts';

export function jobAnswer(value: unknown, from: string): Job {
  const fields = fieldsOf(value);
  if (!isJob(fields)) throw badAnswer(from, 'expected a job');
  return fields;
}

export function jobsAnswer(value: unknown, from: string): Job[] {
  if (!Array.isArray(value)) throw badAnswer(from, 'expected an array of jobs');
  return value.map((item) => jobAnswer(item, from));
}

export function acceptedAnswer(value: unknown, from: string): Accepted {
  const fields = fieldsOf(value);
  if (!isAccepted(fields)) throw badAnswer(from, 'expected a job id');
  return fields;
}

/** With `?wait` an accepted job may already be finished. */
export function acceptedOrJobAnswer(value: unknown, from: string): Accepted | Job {
  const fields = fieldsOf(value);
  return isJob(fields) ? fields : acceptedAnswer(value, from);
}

export function nudgedAnswer(value: unknown, from: string): Nudged {
  const fields = fieldsOf(value);
  if (!isNudged(fields)) throw badAnswer(from, 'expected whether it was nudged');
  return fields;
}

export function healthAnswer(value: unknown, from: string): Health | Liveness {
  const fields = fieldsOf(value);
  if (!isHealth(fields)) throw badAnswer(from, 'expected the health of a machine-sidecar');
  return fields;
}

export function updateAnswer(value: unknown, from: string): UpdateAnswer {
  const fields = fieldsOf(value);
  if (!isUpdateAnswer(fields)) throw badAnswer(from, 'expected whether an update has begun');
  return fields;
}

export function updateStateAnswer(value: unknown, from: string): UpdateState {
  const fields = fieldsOf(value);
  if (!isUpdateState(fields)) throw badAnswer(from, 'expected the state of updates');
  return fields;
}

export function sessionAnswer(value: unknown, from: string): Session {
  const fields = fieldsOf(value);
  if (!isSession(fields)) throw badAnswer(from, 'expected a session');
  return fields;
}

export function sessionsAnswer(value: unknown, from: string): readonly Session[] {
  const { sessions } = fieldsOf(value);
  if (!Array.isArray(sessions)) throw badAnswer(from, 'expected a list of sessions');
  return sessions.map((item) => sessionAnswer(item, from));
}

export function terminalAnswer(value: unknown, from: string): Terminal {
  const fields = fieldsOf(value);
  if (!isTerminal(fields)) throw badAnswer(from, 'expected a terminal');
  return fields;
}

export function terminalsAnswer(value: unknown, from: string): readonly Terminal[] {
  const { terminals } = fieldsOf(value);
  if (!Array.isArray(terminals)) throw badAnswer(from, 'expected a list of terminals');
  return terminals.map((item) => terminalAnswer(item, from));
}

export function ticketAnswer(value: unknown, from: string): Ticket {
  const fields = fieldsOf(value);
  if (!isTicket(fields)) throw badAnswer(from, 'expected a ticket');
  return fields;
}

export function agentsAnswer(value: unknown, from: string): AgentList {
  const fields = fieldsOf(value);
  if (!isAgentList(fields)) throw badAnswer(from, 'expected a list of agents');
  return fields;
}

export function turnAnswer(value: unknown, from: string): AgentTurn {
  const fields = fieldsOf(value);
  if (!isTurn(fields)) throw badAnswer(from, 'expected a turn');
  return fields;
}

export function turnsAnswer(value: unknown, from: string): readonly AgentTurn[] {
  const { turns } = fieldsOf(value);
  if (!Array.isArray(turns)) throw badAnswer(from, 'expected a list of turns');
  return turns.map((item) => turnAnswer(item, from));
}

export function pendingAnswer(value: unknown, from: string): PendingAnywhere {
  const fields = fieldsOf(value);
  if (!isPending(fields)) throw badAnswer(from, 'expected what agents ask');
  return fields;
}

export function promptedAnswer(value: unknown, from: string): PromptTaken {
  const fields = fieldsOf(value);
  if (!isPromptTaken(fields)) throw badAnswer(from, 'expected the number of a turn');
  return fields;
}

export function changedAnswer(value: unknown, from: string): ChangeTaken {
  const fields = fieldsOf(value);
  if (!isChangeTaken(fields)) throw badAnswer(from, 'expected what was changed');
  return fields;
}

export function turnCancelledAnswer(value: unknown, from: string): TurnCancelled {
  const fields = fieldsOf(value);
  if (!isTurnCancelled(fields)) throw badAnswer(from, 'expected whether a turn was cancelled');
  return fields;
}

export function permittedAnswer(value: unknown, from: string): PermissionTaken {
  const fields = fieldsOf(value);
  if (!isPermissionTaken(fields)) throw badAnswer(from, 'expected the option that was taken');
  return fields;
}

export function elicitedAnswer(value: unknown, from: string): ElicitationTaken {
  const fields = fieldsOf(value);
  if (!isElicitationTaken(fields)) throw badAnswer(from, 'expected the action that was taken');
  return fields;
}

/**
 * A message of the server on the WebSocket of a terminal, without its NUL.
 * `undefined`: of a type that this version does not know.
 */
export function terminalMessage(text: string, from: string): ServerMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badAnswer(from, 'expected JSON behind a NUL', error);
  }
  const fields = fieldsOf(value);
  if (!messageTypes.includes(String(fields['type']))) return undefined;
  if (!isMessage(fields)) throw badAnswer(from, `a message "${String(fields['type'])}" is not complete`);
  return fields;
}

const messageTypes: readonly string[] = [
  'pong', 'error', 'attached', 'skipped', 'exit',
] satisfies readonly ServerMessage['type'][];

/** Reads an answer that only confirms the request. */
export async function drained(response: Answer): Promise<void> {
  await response.arrayBuffer();
}

/** `undefined`: an event of a type that this version does not know. */
export function eventAnswer(name: string, data: string, from: string): JobEvent | undefined {
  return anyEvent({ name, data, from }, ['output', 'agent', 'status', 'end'], isEvent);
}

/** {@link eventAnswer} for the stream about many jobs. */
export function feedEventAnswer(name: string, data: string, from: string): FeedEvent | undefined {
  return anyEvent({ name, data, from }, ['status', 'deleted', 'ready', 'end'], isFeedEvent);
}

function anyEvent<T>(
  { name, data, from }: { readonly name: string; readonly data: string; readonly from: string },
  known: readonly string[],
  isWhole: (fields: unknown) => fields is T,
): T | undefined {
  if (!known.includes(name)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (error) {
    throw badAnswer(from, `expected JSON in an event "${name}"`, error);
  }
  const fields: Fields = { ...fieldsOf(value), type: name };
  if (!isWhole(fields)) throw badAnswer(from, `an event "${name}" is not complete`);
  return fields;
}

export function isFinishedJob(value: Accepted | Job): value is Job {
  return value.status !== 'pending' && value.status !== 'running';
}

function isJob(fields: unknown): fields is Job {
  const { jobId, status, stdoutBytes } = fields as Fields;
  return typeof jobId === 'string' && isJobId(jobId) && typeof status === 'string' && typeof stdoutBytes === 'number';
}

function isAccepted(fields: unknown): fields is Accepted {
  const { jobId } = fields as Fields;
  return typeof jobId === 'string' && isJobId(jobId);
}

function isNudged(fields: unknown): fields is Nudged {
  return typeof (fields as Fields)['nudged'] === 'boolean';
}

function isHealth(fields: unknown): fields is Health | Liveness {
  const { status, authenticated } = fields as Fields;
  return status === 'ok' && typeof authenticated === 'boolean';
}

function isUpdateAnswer(fields: unknown): fields is UpdateAnswer {
  const { status, version } = fields as Fields;
  return (status === 'updating' || status === 'current') && typeof version === 'string';
}

function isUpdateState(fields: unknown): fields is UpdateState {
  const { current, available, progress, probation, lastOutcome } = fields as Fields;
  return typeof current === 'string'
    && [available, progress, probation, lastOutcome].every((part) => typeof part === 'object');
}

function isSession(fields: unknown): fields is Session {
  const { sessionKey, status } = fields as Fields;
  return typeof sessionKey === 'string' && typeof status === 'string';
}

function isTerminal(fields: unknown): fields is Terminal {
  const { terminalId, status } = fields as Fields;
  return typeof terminalId === 'string' && isJobId(terminalId) && typeof status === 'string';
}

function isTicket(fields: unknown): fields is Ticket {
  return typeof (fields as Fields)['ticket'] === 'string';
}

function isAgentList(fields: unknown): fields is AgentList {
  const { agents, defaultAgent } = fields as Fields;
  return Array.isArray(agents) && agents.map(fieldsOf).every(isAgentListing) && typeof defaultAgent === 'string';
}

function isAgentListing(fields: unknown): fields is AgentListing {
  const { name, title, command, packageName, installed } = fields as Fields;
  return [name, title, packageName].every((word) => typeof word === 'string')
    && Array.isArray(command) && typeof installed === 'boolean';
}

function isPromptTaken(fields: unknown): fields is PromptTaken {
  return Number.isSafeInteger((fields as Fields)['turn']);
}

function isChangeTaken(fields: unknown): fields is ChangeTaken {
  return typeof (fields as Fields)['jobId'] === 'string';
}

function isTurn(fields: unknown): fields is AgentTurn {
  const { turn, text } = fields as Fields;
  return Number.isSafeInteger(turn) && typeof text === 'string';
}

function isPending(fields: unknown): fields is PendingAnywhere {
  const { permissions, elicitations } = fields as Fields;
  return Array.isArray(permissions) && Array.isArray(elicitations);
}

function isTurnCancelled(fields: unknown): fields is TurnCancelled {
  return typeof (fields as Fields)['cancelled'] === 'boolean';
}

function isPermissionTaken(fields: unknown): fields is PermissionTaken {
  const { optionId, decision } = fields as Fields;
  return typeof (optionId ?? decision) === 'string';
}

function isElicitationTaken(fields: unknown): fields is ElicitationTaken {
  return typeof (fields as Fields)['action'] === 'string';
}

function isMessage(fields: unknown): fields is ServerMessage {
  const { type, offset, end, exitCode, message } = fields as Fields;
  switch (type) {
    case 'attached': return Number.isSafeInteger(offset) && Number.isSafeInteger(end);
    case 'skipped': return Number.isSafeInteger(offset);
    case 'exit': return Number.isSafeInteger(exitCode);
    case 'error': return typeof message === 'string';
    default: return true;
  }
}

function isFeedEvent(fields: unknown): fields is FeedEvent {
  const { type, job, jobId } = fields as Fields;
  if (type === 'status') return isJob(job ?? {});
  return type !== 'deleted' || (typeof jobId === 'string' && isJobId(jobId));
}

function isEvent(fields: unknown): fields is JobEvent {
  const { type, job, event, stream, offset, text, base64 } = fields as Fields;
  if (type === 'agent') return typeof event === 'object' && event !== null;
  if (type !== 'output') return isJob(job ?? {});
  const isPlaced = (stream === 'stdout' || stream === 'stderr') && Number.isSafeInteger(offset);
  return isPlaced && (typeof text === 'string' || typeof base64 === 'string');
}
