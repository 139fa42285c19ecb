/**
 * The routes of persistent shells.
 * @module
 */
import { deleteSession, getSession, listSessions } from '../protocol/endpoints/shells.ts';
import type { SessionDeleted, SessionList } from '../protocol/shells.ts';
import { json } from '../http/routing/reply.ts';
import { type Route, bind } from '../http/routing/route.ts';
import type { Shells } from './shells.ts';

export function shellRoutes(shells: Shells): Route[] {
  return [
    bind(listSessions, () => {
      const body: SessionList = { sessions: shells.list() };
      return json(200, body);
    }),
    bind(getSession, ({ params }) => json(200, shells.get(params.key))),
    bind(deleteSession, async ({ params }) => {
      await shells.delete(params.key);
      const body: SessionDeleted = { deleted: true, sessionKey: params.key };
      return json(200, body);
    }),
  ];
}
