/**
 * The table of routes as an OpenAPI 3.1 document.
 * @module
 */
import type { Route } from './route.ts';

export interface ApiDescription {
  readonly title: string;
  readonly version: string;
  readonly description?: string;
  readonly routes: readonly Route[];
}

export function openApi(api: ApiDescription): { readonly [member: string]: unknown } {
  throw new Error(`not written yet: ${api.title}`);
}
