/**
 * The schema of an agent's turn, for the documentation.
 * @module
 */
import type { Schema } from '../base/parse.ts';
import { type AgentTurn, turnCounts } from './agent-jobs.ts';

/** A schema for each field of a type: a field without a schema does not compile. */
export type SchemasOf<T> = { readonly [F in keyof Required<T>]: Schema };

const count: Schema = { type: 'integer', minimum: 0 };

export const turnUsageSchema: Schema = {
  type: 'object', properties: Object.fromEntries(turnCounts.map((name) => [name, count])),
};

const turn: SchemasOf<AgentTurn> = {
  turn: { ...count, description: 'From 1' },
  text: { type: 'string', description: 'The message of the agent in this turn' },
  isTextCut: { type: 'boolean', description: 'The message is longer' },
  stopReason: { type: ['string', 'null'], description: 'null while it runs' },
  usage: { anyOf: [turnUsageSchema, { type: 'null' }] },
  denied: { ...count, description: 'Permissions that were denied in it' },
  startedAt: { type: 'number', description: 'Unix seconds' },
  finishedAt: { type: ['number', 'null'], description: 'Unix seconds; null while it runs' },
};

export const turnSchema: Schema = { type: 'object', properties: turn };
