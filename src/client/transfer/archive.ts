/**
 * Archives of directories as streams: received, and sent.
 * @module
 */
import { packFiles, unpackFiles } from '../../protocol/endpoints/files.ts';
import { type ArchiveFormat, type ArchiveUnpacked, statusTrailer } from '../../protocol/files/archive.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { callOf, parsersOf, readAnswer } from '../transport/call.ts';
import { onAbort } from '../../base/abort.ts';
import { failureOf, open, send } from '../transport/request.ts';
import type { SentStream, Transport } from '../transport/transport.ts';
import { piecesOf } from './content.ts';
import { flag } from './upload.ts';

export interface ArchiveOptions {
  /** Ends the stream. */
  readonly signal?: AbortSignal | undefined;
  /** Default `tar`. */
  readonly format?: ArchiveFormat;
  /** Only what matches one of these: `*.ts` by name, `src/**` by path. */
  readonly globs?: readonly string[];
  /** Called as bytes arrive. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Called at the end where files changed while they were read. Default: the stream fails with `file_changed`. */
  readonly onChanged?: (reason: string) => void;
}

export interface UnpackOptions {
  /** Ends the upload: nothing of it is there. */
  readonly signal?: AbortSignal | undefined;
  /** Make the missing directories above it. */
  readonly mkdirs?: boolean;
  /** Permissions exactly as in the archive, but for setuid, setgid and sticky. Default: what the umask leaves. */
  readonly keepModes?: boolean;
  /** `any`: also links that lead out of the directory. Default `inside`. */
  readonly links?: 'inside' | 'any';
  readonly maxEntries?: number;
  readonly maxBytes?: number;
  /** Called as bytes are sent. */
  readonly onProgress?: (doneBytes: number) => void;
}

/** Milliseconds that the server may take to accept a piece. */
const acceptMs = 120_000;
/** Milliseconds that it may take for the rest, once all was sent. */
const finishMs = 600_000;

/** @throws ProblemError as `Files.archive`. */
export async function download(
  transport: Transport, path: string, options: ArchiveOptions,
): Promise<ReadableStream<Uint8Array>> {
  const { signal, format, globs, onProgress, onChanged } = options;
  const request = callOf(packFiles, {
    query: { path, format, glob: globs }, headers: { Accept: 'application/octet-stream' }, signal,
  });
  const { response, scope } = await open(transport, request);
  const reader = response.body?.getReader();
  // The caller may take its time before it reads.
  scope.rest();
  let doneBytes = 0;
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        scope.touch();
        const { done, value } = await reader?.read() ?? { done: true };
        scope.rest();
        if (done === true || value === undefined) {
          reportChange(path, response.trailers?.get(statusTrailer), onChanged);
          scope.close();
          return controller.close();
        }
        doneBytes += value.length;
        onProgress?.(doneBytes);
        controller.enqueue(value);
      } catch (error) {
        const failure = failureOf(transport, request, scope, error);
        scope.close();
        throw failure;
      }
    },
    cancel: () => scope.close(),
  }, { highWaterMark: 0 });
}

function reportChange(
  path: string, status: string | null | undefined, onChanged: ((reason: string) => void) | undefined,
): void {
  // `fetch` tells no trailers.
  const reason = /^changed; (.*)/.exec(status ?? '')?.[1];
  if (reason === undefined) return;
  if (onChanged !== undefined) return onChanged(reason);
  throw new ProblemError('file_changed', `Cannot pack ${path} as it was: ${reason}`);
}

/** @throws ProblemError as `Files.unpack`. */
export async function uploadArchive(
  transport: Transport, path: string, content: SentStream, options: UnpackOptions,
): Promise<ArchiveUnpacked> {
  const { signal, mkdirs, keepModes, links, maxEntries, maxBytes, onProgress } = options;
  const stalled = new AbortController();
  const stop = onAbort(signal, () => stalled.abort(signal?.reason));
  let limit: ReturnType<typeof setTimeout> | undefined;
  const within = (limitMs: number): void => {
    limit = setTimeout(() => stalled.abort(new DOMException('The server takes no more', 'TimeoutError')), limitMs);
  };
  const sent = watched(piecesOf(content), {
    onPiece: (doneBytes) => {
      onProgress?.(doneBytes);
      within(Math.max(transport.requestTimeoutMs, acceptMs));
    },
    onWait: () => clearTimeout(limit),
    onEnd: () => within(finishMs),
  });
  try {
    return await send(transport, callOf(unpackFiles, {
      query: { path, mkdirs: flag(mkdirs), keepModes: flag(keepModes), links, maxEntries, maxBytes },
      body: 'getReader' in content ? streamOf(sent) : sent, holdMs: Infinity, signal: stalled.signal,
    }), (response) => readAnswer(transport, response, parsersOf(unpackFiles)));
  } finally {
    clearTimeout(limit);
    stop();
  }
}

/** The content, with calls for what happens to it. */
async function* watched(
  pieces: AsyncIterable<Uint8Array>,
  { onPiece, onWait, onEnd }: {
    readonly onPiece: (doneBytes: number) => void; readonly onWait: () => void; readonly onEnd: () => void;
  },
): AsyncGenerator<Uint8Array, void> {
  let doneBytes = 0;
  for await (const piece of pieces) {
    doneBytes += piece.length;
    onPiece(doneBytes);
    yield piece;
    onWait();
  }
  onEnd();
}

/** What `fetch` takes everywhere. */
function streamOf(pieces: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { done, value } = await pieces.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => { await pieces.return(undefined); },
  }, { highWaterMark: 0 });
}
