/**
 * The routes that document all routes: `/openapi.json` for programs, `/docs` for people.
 * @module
 */
import { docsPage } from './docs-page.ts';
import { type ApiDescription, openApi } from './openapi.ts';
import { pageHeaders } from './page.ts';
import { jsonText, text } from '../routing/reply.ts';
import { type Route, route } from '../routing/route.ts';

/** The two public routes, which document `routes` and themselves. */
export function documentationRoutes(api: ApiDescription): Route[] {
  const whole: ApiDescription = { ...api, get routes() { return [...api.routes, ...own]; } };
  // Made on first use, so that the start of the server does not wait for them.
  let document: string | undefined;
  let page: string | undefined;
  const own: Route[] = [
    route('GET', '/openapi.json', {
      access: 'public',
      documentation: {
        summary: 'This API as an OpenAPI 3.1 document',
        answers: { 200: { description: 'The document', type: 'application/json' } },
      },
    }, () => jsonText(200, document ??= JSON.stringify(openApi(whole)))),
    route('GET', '/docs', {
      access: 'public',
      documentation: { summary: 'This API for people', answers: { 200: { description: 'A page', type: 'text/html' } } },
    }, () => text(200, 'text/html; charset=utf-8', page ??= docsPage(whole), pageHeaders)),
  ];
  return own;
}
