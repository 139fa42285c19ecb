/**
 * Agents as jobs of a server: real processes that do what their prompt says, and what is waited for of them.
 *
 * @module
 */
import { fileURLToPath } from 'node:url';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { until } from './wait.ts';
import { processesWith } from './processes.ts';
import { type Reached, show } from './client.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

export const fakeAgent: string = fixture('fake-agent.mjs');
export const tellingAgent: string = fixture('telling-agent.mjs');

/** A request: the agent of the fixtures that does what its prompt says, a line at a time. */
export function fake(prompt?: string, more: object = {}): object {
  return { mode: 'acp', argv: [process.execPath, fakeAgent], ...(prompt === undefined ? {} : { prompt }), ...more };
}

/** A request: the one that tells what it was told. @param options What it can, see there. */
export function telling(prompt: string | object | undefined, more: object = {}, options: object = {}): object {
  return { mode: 'acp', argv: [process.execPath, tellingAgent, JSON.stringify(options)], ...(prompt === undefined ? {} : { prompt }), ...more };
}

/** Waits until the job shows what is meant. */
export async function reaches(server: Reached, id: string, what: string, isThere: (job: Job) => boolean): Promise<Job> {
  return await until(async () => {
    const job = await show(server, id);
    if (!isThere(job) && job.finishedAt !== null) throw new Error(`The job ended before: ${what}; ${JSON.stringify(job)}`);
    return isThere(job) ? job : undefined;
  }, { what });
}

/** Waits for the agent to be at a turn, or to wait for a prompt behind a turn. */
export async function inPhase(server: Reached, id: string, phase: Job['agentPhase'], turns: number): Promise<Job> {
  return await reaches(server, id, `${phase} of turn ${turns}`, (job) => job.agentPhase === phase && job.turnCount === turns);
}

/** Waits until no process of the job is left, its runner included. */
export async function noProcessLeft(id: string): Promise<void> {
  let left = processesWith(`SIDECAR_JOB_ID=${id}`);
  await until(() => (left = processesWith(`SIDECAR_JOB_ID=${id}`)).length === 0, { what: 'nobody of the job is left' })
    .catch((error: unknown) => { throw new Error(`${String(error)}: ${JSON.stringify(left)}`); });
}

export interface Event {
  readonly seq: number;
  readonly at: number;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The events of the runner that a job shows, as the stream has them: without what existing clients read. */
export function eventsOf(job: Job): readonly Event[] {
  const own = (job.events ?? []).filter((event): event is Event => Number((event as Partial<Event>).seq) > 0);
  return own.map(({ timestamp: _timestamp, data: _data, ...event }) => event as Event);
}

/** An event as existing clients read it. */
export interface ReadEvent {
  readonly type: string;
  readonly timestamp: number;
  readonly data: { readonly [field: string]: unknown };
}

/** All events that a job shows, as an existing client reads them: it knows no other field. */
export function readEventsOf(job: Job): readonly ReadEvent[] {
  return (job.events ?? []).map((event) => {
    const { type, timestamp, data } = event as ReadEvent;
    return { type, timestamp, data };
  });
}

/** Those of the types that existing clients know. */
export function knownEventsOf(job: Job): readonly ReadEvent[] {
  const types = ['message', 'thought', 'tool_call', 'tool_result', 'plan', 'permission'];
  return readEventsOf(job).filter(({ type }) => types.includes(type));
}
