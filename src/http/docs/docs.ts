/**
 * The routes that document all routes: `/openapi.json` for programs, `/docs` for people.
 * @module
 */
import { TurnQueue } from '../../base/turn-queue.ts';
import { docsPage } from './docs-page.ts';
import { type ApiDescription, openApi } from './openapi.ts';
import { pageHeaders } from './page.ts';
import { jsonText, text } from '../routing/reply.ts';
import { type Route, bind } from '../routing/route.ts';
import { getDocs, getOpenApi } from '../../protocol/endpoints/server.ts';

/** The two public routes, which document `routes` and themselves. */
export function documentationRoutes(api: ApiDescription): Route[] {
  const whole: ApiDescription = { ...api, get routes() { return [...api.routes, ...own]; } };
  // Made on first use, so that the start of the server does not wait for them. Bytes, not text: all clients that read
  // slowly share them, while each write of a text would keep a copy, for anyone without a key.
  let document: Buffer | undefined;
  let page: Buffer | undefined;
  // The system takes 3 ms to copy a document for a client that does not read, and anyone may ask for it.
  const turns = new TurnQueue();
  const own: Route[] = [
    bind(getOpenApi, async (request) => {
      await turns.turn(() => !request.hasLeft);
      return jsonText(200, document ??= Buffer.from(JSON.stringify(openApi(whole))));
    }),
    bind(getDocs, async (request) => {
      await turns.turn(() => !request.hasLeft);
      return text(200, 'text/html; charset=utf-8', page ??= Buffer.from(docsPage(whole)), pageHeaders);
    }),
  ];
  return own;
}
