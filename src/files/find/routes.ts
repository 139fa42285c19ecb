/**
 * The route that finds files.
 * @module
 */
import { stream } from '../../http/routing/reply.ts';
import { bind, type Route } from '../../http/routing/route.ts';
import { findFiles } from '../../protocol/endpoints/files.ts';
import type { FindRecord } from '../../protocol/files/find.ts';
import type { Finder } from './finder.ts';

export function findRoute(finder: () => Finder): Route {
  return bind(findFiles, async ({ body, signal }) => {
    const batches = finder().find(body, signal);
    // What cannot be searched is told before the answer begins.
    const first = await batches.next();
    return stream(200, { 'Content-Type': 'application/x-ndjson' }, async (sink) => {
      try {
        for (let next = first; next.done !== true; next = await batches.next()) await sink.write(linesOf(next.value));
      } finally {
        await batches.return();
      }
    });
  });
}

function linesOf(records: readonly FindRecord[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}
