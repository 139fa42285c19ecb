/**
 * The route that watches files.
 * @module
 */
import { events } from '../../http/routing/reply.ts';
import { bind, type Route } from '../../http/routing/route.ts';
import { watchFiles } from '../../protocol/endpoints/files.ts';
import type { Watches } from './watches.ts';

export function watchRoute(watches: () => Watches): Route {
  return bind(watchFiles, async ({ query, headers, signal }) => {
    const given = query.after ?? headers['last-event-id'];
    const after = given === undefined || given === '' ? undefined : String(given);
    const followed = watches().follow(query, after, signal);
    // What cannot be watched is told before the answer begins.
    const first = await followed.next();
    return events(async (sink) => {
      try {
        for (let next = first; next.done !== true; next = await followed.next()) {
          const { id, event: { type, ...data } } = next.value;
          await sink.send({ event: type, id, data });
        }
      } finally {
        await followed.return();
      }
    });
  });
}
