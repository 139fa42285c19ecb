/**
 * The HTTP routes of updates.
 * @module
 */
import { json } from '../http/routing/reply.ts';
import { type Route, bind } from '../http/routing/route.ts';
import { idempotencyOf } from '../process/state/idempotency.ts';
import { callName } from '../protocol/endpoint.ts';
import { beginUpdate, getUpdate } from '../protocol/endpoints/updates.ts';
import type { UpdateService } from './update-service.ts';

export function updateRoutes(updates: UpdateService): Route[] {
  return [
    bind(getUpdate, async (request) => {
      if (request.query.check === true) await updates.check(request.signal);
      return json(200, updates.state());
    }),
    bind(beginUpdate, async (request) =>
      json(200, await updates.begin(request.body, idempotencyOf(request, callName(beginUpdate, {}))))),
  ];
}
