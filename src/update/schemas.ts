/**
 * The schemas of answers about updates, for the documentation.
 * @module
 */
import type { Schema } from '../base/parse.ts';

const text = { type: 'string' };
const textOrNull = { type: ['string', 'null'] };
const unixSeconds = { type: 'number', description: 'Unix seconds' };

export const updateAnswerSchema: Schema = {
  type: 'object',
  required: ['status', 'version', 'message'],
  properties: {
    status: { enum: ['updating', 'current'], description: 'current: that version runs already, and nothing is done' },
    version: text,
    message: text,
  },
};

export const updateStateSchema: Schema = {
  type: 'object',
  required: [
    'current', 'previous', 'wrapper', 'source', 'available', 'checkError',
    'progress', 'probation', 'lastOutcome', 'bad', 'automatic',
  ],
  properties: {
    current: { ...text, description: 'The version that runs' },
    previous: {
      ...textOrNull,
      description: 'What a roll-back goes to; null: the version that was installed by hand, or nothing',
    },
    wrapper: { type: 'boolean', description: 'Whether a wrapper is there to carry out an update' },
    source: { ...text, description: 'Where new versions come from' },
    available: orNull('What the source named when it was last asked; null: it was not, or could not be', {
      version: text, isNewer: { type: 'boolean' }, checkedAt: unixSeconds,
    }),
    checkError: { ...textOrNull, description: 'Why the source could not be asked the last time' },
    progress: orNull('An update that is under way', {
      version: { ...textOrNull, description: 'null while it is being found' },
      step: { enum: ['finding', 'downloading', 'verifying', 'unpacking', 'starting', 'switching'] },
      startedAt: unixSeconds,
    }),
    probation: orNull('The current version has yet to prove itself', {
      version: text, startedAt: unixSeconds, endsAt: unixSeconds,
    }),
    lastOutcome: orNull('How the last attempt ended', {
      status: { enum: ['updated', 'rolled_back', 'failed'] },
      from: { ...textOrNull, description: 'null: the version that was installed by hand' },
      to: textOrNull, reason: text, at: unixSeconds,
    }),
    bad: {
      type: 'array', description: 'Versions that went wrong: not tried again unless asked for by name',
      items: fields({ version: text, reason: text, at: unixSeconds }),
    },
    automatic: orNull('null: updates come only when they are asked for', {
      intervalSeconds: { type: 'number' },
      window: { ...textOrNull, description: 'HH:MM-HH:MM, local time' },
      nextCheckAt: unixSeconds,
    }),
  },
};

type Properties = { readonly [name: string]: Schema };

function fields(properties: Properties): Schema {
  return { type: 'object', required: Object.keys(properties), properties };
}

function orNull(description: string, properties: Properties): Schema {
  return { ...fields(properties), type: ['object', 'null'], description };
}
