/**
 * The HTTP routes of updates.
 * @module
 */
import { json } from '../http/routing/reply.ts';
import { type Route, route } from '../http/routing/route.ts';
import { idempotencyHeader, idempotencyOf } from '../process/state/idempotency.ts';
import { updateQuery, updateRequest } from '../protocol/updates.ts';
import { updateAnswerSchema, updateStateSchema } from './schemas.ts';
import type { UpdateService } from './update-service.ts';

export function updateRoutes(updates: UpdateService): Route[] {
  return [
    route('GET', '/update', {
      query: updateQuery,
      documentation: {
        summary: 'What runs, what is available, and how the last update went',
        description: 'A source that cannot be asked is no failure of this call: it is told in checkError.',
        answers: { 200: { description: 'The state of updates', schema: updateStateSchema } },
      },
    }, async (request) => {
      if (request.query.check === true) await updates.check(request.signal);
      return json(200, updates.state());
    }),

    route('POST', '/update', {
      body: updateRequest,
      documentation: {
        summary: 'Updates the server to another version',
        description: 'Answers once the version is found and may be tried. Behind the answer it is fetched, verified, '
          + 'started beside this one and found well '
          + 'before this one hands over; jobs continue. GET /update tells how far it is. '
          + 'Asked again without an Idempotency-Key: an update is under way, '
          + 'or the version runs already.',
        headers: idempotencyHeader,
        answers: {
          200: { description: 'The update has begun, or there is nothing to do', schema: updateAnswerSchema },
        },
        problems: [
          'idempotency_mismatch', 'version_not_found', 'busy', 'no_wrapper', 'update_in_progress', 'update_refused',
          'update_source_failed', 'storage_full', 'shutting_down',
        ],
      },
    }, async (request) => json(200, await updates.begin(request.body, idempotencyOf(request, 'POST /update')))),
  ];
}
