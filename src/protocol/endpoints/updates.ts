/**
 * The calls of updates.
 * @module
 */
import { endpoint } from '../endpoint.ts';
import { updateAnswer, updateQuery, updateRequest, updateState } from '../updates.ts';

export const getUpdate = endpoint('GET', '/update', {
  summary: 'What runs, what is available, and how the last update went',
  description: 'A source that cannot be asked is no failure of this call: it is told in checkError.',
  query: updateQuery,
  answers: { 200: { description: 'The state of updates', body: updateState } },
});

export const beginUpdate = endpoint('POST', '/update', {
  summary: 'Updates the server to another version',
  description: 'Answers once the version is found and may be tried. Behind the answer it is fetched, verified, '
    + 'started beside this one and found well '
    + 'before this one hands over; jobs continue. GET /update tells how far it is. '
    + 'Asked again without an Idempotency-Key: an update is under way, '
    + 'or the version runs already.',
  body: updateRequest,
  example: { version: '1.2.3', ifIdle: true },
  isIdempotent: true,
  answers: { 200: { description: 'The update has begun, or there is nothing to do', body: updateAnswer } },
  problems: [
    'version_not_found', 'busy', 'no_wrapper', 'update_in_progress', 'update_refused', 'update_source_failed',
    'storage_full', 'shutting_down',
  ],
});
