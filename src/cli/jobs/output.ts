/**
 * Reads the output of a job in pieces, however long it is.
 * @module
 */
import type { JobId, Sidecar, StreamName } from '../../client/client.ts';

/** Bytes per request. */
const chunkBytes = 4 * 2 ** 20;
/** Bytes at the end that are searched first for the last lines. */
const firstWindowBytes = 64 * 1024;
const newline = 0x0a;

/** Yields the bytes from `start` to before `end`. */
export async function* readOutput(
  sidecar: Sidecar, id: JobId, stream: StreamName, options: { start: number; end: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = options.start;
  while (offset < options.end) {
    const piece = await sidecar.jobs.output(id, stream, { offset, limit: Math.min(chunkBytes, options.end - offset) });
    if (piece.length === 0) return;
    yield piece;
    offset += piece.length;
  }
}

/** The offset of the last `lines` lines before `end`; a last line without its newline counts as well. */
export async function tailStart(
  sidecar: Sidecar, id: JobId, stream: StreamName, options: { end: number; lines: number },
): Promise<number> {
  const { end, lines } = options;
  if (lines === 0 || end === 0) return end;
  let wanted = lines;
  let windowEnd = end;
  let windowBytes = firstWindowBytes;
  while (windowEnd > 0) {
    const start = Math.max(0, windowEnd - windowBytes);
    const window = await sidecar.jobs.output(id, stream, { offset: start, limit: windowEnd - start });
    // The newline at the very end closes the last line and does not start another.
    let index = windowEnd === end ? window.length - 2 : window.length - 1;
    for (; index >= 0; index -= 1) {
      if (window[index] === newline && (wanted -= 1) === 0) return start + index + 1;
    }
    windowEnd = start;
    windowBytes = Math.min(windowBytes * 4, chunkBytes);
  }
  return 0;
}
