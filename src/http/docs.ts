/**
 * The routes that describe the table: `/openapi.json` for programs, `/docs` for people.
 * @module
 */
import type { ApiDescription } from './openapi.ts';
import type { Route } from './route.ts';

/** The two routes, public, describing `routes` and themselves. */
export function documentationRoutes(api: ApiDescription): Route[] {
  throw new Error(`not written yet: ${api.title}`);
}
