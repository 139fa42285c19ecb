/**
 * The routes of archives.
 * @module
 */
import { packFiles, unpackFiles } from '../../protocol/endpoints/files.ts';
import { type PackQuery, statusTrailer } from '../../protocol/files/archive.ts';
import { json, type Reply, stream } from '../../http/routing/reply.ts';
import { bind, type Request, type Route } from '../../http/routing/route.ts';
import type { Archives } from './archives.ts';

export function archiveRoutes(archives: () => Archives): Route[] {
  return [
    bind(packFiles, (request) => packed(archives(), request)),
    bind(unpackFiles, async ({ query, content }) => {
      const unpacked = await archives().unpack(content, query);
      return json(unpacked.created ? 201 : 200, unpacked);
    }),
  ];
}

async function packed(archives: Archives, { query }: Request<unknown, PackQuery>): Promise<Reply> {
  const { path, format = 'tar', glob: globs = [] } = query;
  const name = encodeURIComponent(`${await archives.nameOf(path)}.${format}`).replaceAll(/['()*]/g, '_');
  const headers = {
    'Content-Type': format === 'tar' ? 'application/x-tar' : 'application/gzip',
    'Content-Disposition': `attachment; filename*=UTF-8''${name}`,
    'Trailer': statusTrailer,
  };
  return stream(200, headers, async (sink) => {
    const pieces = archives.pack(path, { format, globs }, sink.signal);
    for (;;) {
      const { done, value } = await pieces.next();
      if (done === true) return sink.trailer(statusTrailer, statusOf(value));
      await sink.write(value).catch(async (error: unknown) => {
        await pieces.return(undefined);
        throw error;
      });
    }
  });
}

/** What a header can hold. */
function statusOf(changed: string | undefined): string {
  return changed === undefined ? 'complete' : `changed; ${changed.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 500)}`;
}
