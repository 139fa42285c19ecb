/**
 * The routes of persistent shells.
 * @module
 */
import type { Schema } from '../base/parse.ts';
import { type SessionDeleted, type SessionList, shellKinds } from '../protocol/shells.ts';
import { json } from '../http/routing/reply.ts';
import { type Route, route } from '../http/routing/route.ts';
import type { Shells } from './shells.ts';

const seconds = { type: 'number', description: 'Unix seconds' };
const sessionSchema: Schema = {
  type: 'object',
  properties: {
    sessionKey: { type: 'string' },
    shell: { enum: shellKinds },
    status: {
      enum: ['running', 'idle', 'stopped'],
      description: 'stopped: its process has ended; the next job starts another',
    },
    createdAt: seconds,
    lastUsedAt: seconds,
    lastOutputAt: { ...seconds, type: ['number', 'null'] },
    processAlive: { type: 'boolean' },
    activeCommand: { type: 'boolean', description: 'A job runs in it' },
    activeJobId: { type: ['string', 'null'] },
    pid: { type: ['integer', 'null'] },
    starts: { type: 'integer', description: 'How often its process was started' },
    workdir: { type: 'string', description: 'Where each process begins' },
    bootstrapCommand: { type: ['string', 'null'] },
  },
};

export function shellRoutes(shells: Shells): Route[] {
  return [
    route('GET', '/sessions', {
      documentation: {
        summary: 'Lists persistent shells, by key',
        answers: {
          200: {
            description: 'The sessions',
            schema: { type: 'object', properties: { sessions: { type: 'array', items: sessionSchema } } },
          },
        },
      },
    }, () => {
      const body: SessionList = { sessions: shells.list() };
      return json(200, body);
    }),

    route('GET', '/sessions/:key', {
      documentation: {
        summary: 'Shows a persistent shell',
        answers: { 200: { description: 'The session', schema: sessionSchema } },
        problems: ['session_not_found'],
      },
    }, ({ params }) => json(200, shells.get(params.key))),

    route('DELETE', '/sessions/:key', {
      documentation: {
        summary: 'Ends a persistent shell',
        description: 'Its jobs, running and waiting, are ended with reason cancelled, and its state is forgotten.',
        answers: { 200: { description: 'It is gone', schema: {
          type: 'object', properties: { deleted: { const: true }, sessionKey: { type: 'string' } },
        } } },
        problems: ['session_not_found'],
      },
    }, async ({ params }) => {
      await shells.delete(params.key);
      const body: SessionDeleted = { deleted: true, sessionKey: params.key };
      return json(200, body);
    }),
  ];
}
