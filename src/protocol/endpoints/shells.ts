/**
 * The calls of persistent shells.
 * @module
 */
import { endpoint } from '../endpoint.ts';
import { session, sessionDeleted, sessionList } from '../shells.ts';

export const listSessions = endpoint('GET', '/sessions', {
  summary: 'Lists persistent shells, by key',
  answers: { 200: { description: 'The sessions', body: sessionList } },
});

export const getSession = endpoint('GET', '/sessions/:key', {
  summary: 'Shows a persistent shell',
  answers: { 200: { description: 'The session', body: session } },
  problems: ['session_not_found'],
});

export const deleteSession = endpoint('DELETE', '/sessions/:key', {
  summary: 'Ends a persistent shell',
  description: 'Its jobs, running and waiting, are ended with reason cancelled, and its state is forgotten.',
  answers: { 200: { description: 'It is gone', body: sessionDeleted } },
  problems: ['session_not_found'],
});
