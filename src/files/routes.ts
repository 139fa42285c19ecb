/**
 * The routes of the machine's files.
 * @module
 */
import { ParseError } from '../base/parse.ts';
import { idempotencyOf } from '../process/state/idempotency.ts';
import {
  copyFile, deleteFile, editFile, listFiles, makeDirectory, moveFile, readFile, readTextFile, statFile, writeFile,
} from '../protocol/endpoints/files.ts';
import { callName, type Endpoint } from '../protocol/endpoint.ts';
import type { FileDeleted, FileEdited, ReadQuery, WriteQuery } from '../protocol/files.ts';
import type { FilesPatched } from '../protocol/files/patch.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import { matchesTag } from '../http/routing/conditional.ts';
import { type ByteRange, parseRange } from '../http/routing/range.ts';
import { empty, json, type Reply, type ReplyHeaders, stream } from '../http/routing/reply.ts';
import { bind, type Request, type Route } from '../http/routing/route.ts';
import { archiveRoutes } from './archive/routes.ts';
import { conditionsOf, contentRangeOf } from './conditions.ts';
import type { Files } from './files.ts';
import { findRoute } from './find/routes.ts';
import { watchRoute } from './watch/routes.ts';
import type { Snapshot } from './read.ts';

/** @param files Is made at the first request: the start of a server does not load what it needs. */
export function fileRoutes(files: () => Files): Route[] {
  return [
    bind(readFile, (request) => read(files(), request)),
    bind(readTextFile, async ({ query: { path, line = 1, limit = 2000 } }) =>
      json(200, await files().text(path, { line, limit }))),
    bind(writeFile, (request) => write(files(), request)),
    bind(editFile, async (request) =>
      json(200, await once<FileEdited | FilesPatched>(files(), editFile, request, () =>
        ('patch' in request.body ? files().patch(request.body) : files().edit(request.body))))),
    bind(deleteFile, async ({ query: { path, recursive = false } }) => {
      const body: FileDeleted = { deleted: true, path: await files().delete(path, { isRecursive: recursive }) };
      return json(200, body);
    }),
    bind(statFile, async ({ query: { path, follow = false } }) =>
      json(200, await files().stat(path, { isFollowed: follow }))),
    bind(listFiles, async ({ query: { path, depth = 1, limit = 1000, after, hashes: isHashed = false } }) =>
      json(200, await files().list(path, { depth, limit, after, isHashed }))),
    bind(makeDirectory, async (request) => {
      const { info, isNew } = await once(files(), makeDirectory, request, () => files().makeDirectory(request.body));
      return json(isNew ? 201 : 200, info);
    }),
    bind(moveFile, async (request) => json(200, await once(files(), moveFile, request, (begin) => {
      begin();
      return files().move(request.body, request.signal);
    }))),
    bind(copyFile, async (request) => json(200, await once(files(), copyFile, request, () =>
      files().copy(request.body, request.signal)))),
    findRoute(() => files().finder),
    watchRoute(() => files().watches),
    ...archiveRoutes(() => files().archives),
  ];
}

/** Acts once for each Idempotency-Key. */
function once<T>(
  files: Files, called: Endpoint, request: Repeatable, act: (begin: () => void) => Promise<T>,
): Promise<T> {
  return files.answers.once(idempotencyOf(request, callName(called, {})), act);
}

async function read(files: Files, { query, headers }: Request<unknown, ReadQuery>): Promise<Reply> {
  const offset = await files.uploadOffset(query.path);
  const upload: { readonly [name: string]: string } = offset === undefined ? {} : { 'Upload-Offset': String(offset) };
  const file = await files.snapshot(query.path).catch((error: unknown) => {
    if (!(error instanceof ProblemError) || offset === undefined) throw error;
    throw new ProblemError(error.code, error.message, { cause: error, headers: { ...error.headers, ...upload } });
  });
  const { etag, sizeBytes } = file;
  const known = headers['if-none-match'];
  if (known !== undefined && matchesTag(known, etag)) return empty(304, { ETag: etag });
  const range = sizeBytes === undefined ? undefined : rangeOf(query, headers, etag, sizeBytes);
  return part(files, file, range, upload);
}

/** `undefined`: the whole file. @throws ProblemError range_not_satisfiable. */
function rangeOf(
  { tailBytes }: ReadQuery, { range, 'if-range': ifRange }: Request['headers'], etag: string, sizeBytes: number,
): ByteRange | undefined {
  if (tailBytes !== undefined) {
    return tailBytes >= sizeBytes ? undefined : { first: sizeBytes - tailBytes, last: sizeBytes - 1 };
  }
  return ifRange === undefined || ifRange === etag ? parseRange(range, sizeBytes) : undefined;
}

function part(files: Files, file: Snapshot, range: ByteRange | undefined, more: ReplyHeaders): Reply {
  const { content, sizeBytes } = file;
  const first = range?.first ?? 0;
  const last = range?.last ?? (sizeBytes === undefined ? undefined : sizeBytes - 1);
  const headers = {
    ...headersOf(file), ...more,
    ...(last === undefined ? {} : { 'Content-Length': last - first + 1, 'Accept-Ranges': 'bytes' }),
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${range.first}-${range.last}/${sizeBytes}` }),
  };
  return stream(range === undefined ? 200 : 206, headers, async (sink) => {
    if (content !== undefined) return await sink.write(content.subarray(first, (last ?? content.length) + 1));
    for await (const piece of files.bytesOf(file, first, last)) await sink.write(piece);
  });
}

function headersOf({ path, etag, modifiedAtMs }: Snapshot): ReplyHeaders {
  const name = path.slice(path.lastIndexOf('/') + 1);
  // RFC 6266 §4.3, RFC 8187 §3.2.
  const encoded = encodeURIComponent(name)
    .replaceAll(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return {
    'ETag': etag,
    'Last-Modified': new Date(modifiedAtMs).toUTCString(),
    'Content-Disposition': `attachment; filename*=UTF-8''${encoded}`,
  };
}

async function write(files: Files, { query, headers, content }: Request<unknown, WriteQuery>): Promise<Reply> {
  const { path, mode, append, mkdirs } = query;
  const range = contentRangeOf(headers);
  if (range !== undefined && append === true) {
    throw new ParseError('header Content-Range', 'expected none with append: parts make a whole file');
  }
  const length = headers['content-length'];
  const result = await files.write(path, {
    content, range, append, mkdirs,
    lengthBytes: length === undefined ? undefined : Number(length),
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8),
    ...conditionsOf(headers),
  });
  if (!result.isComplete) {
    const { uploadOffset } = result;
    return json(202, { path: result.path, uploadOffset }, { 'Upload-Offset': String(uploadOffset) });
  }
  const { isComplete: _, ...body } = result;
  return json(body.created ? 201 : 200, body, { ETag: body.etag });
}
