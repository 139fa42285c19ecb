/**
 * Server-sent events (WHATWG HTML §9.2).
 * @module
 */
import type { EventSink, ServerSentEvent, Sink } from './reply.ts';

const comment = ':\n\n';

/** @throws TypeError when the name or the id would end its own line. */
export function formatEvent({ event, id, data }: ServerSentEvent): string {
  checkLine('event', event);
  if (id !== undefined) checkLine('id', id);
  // JSON contains no line ends.
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data ?? null)}\n\n`;
}

/**
 * Runs `write` with a sink for events, and sends a comment every `heartbeatMs`.
 *
 * @param isBehind Whether the client has not read the earlier data: then no comment is added.
 */
export async function writeEvents(
  write: (sink: EventSink) => Promise<void>, sink: Sink, heartbeatMs: number, isBehind: () => boolean,
): Promise<void> {
  const heartbeat = setInterval(() => {
    // It rejects once the client has left, which the writer learns from the signal.
    if (!isBehind()) sink.write(comment).catch(() => undefined);
  }, heartbeatMs);
  try {
    await write({ signal: sink.signal, send: (event) => sink.write(formatEvent(event)) });
  } finally {
    clearInterval(heartbeat);
  }
}

function checkLine(name: string, value: string): void {
  if (/[\r\n\0]/.test(value)) throw new TypeError(`Cannot send an event: its ${name} has more than one line`);
}
