/**
 * What changes on the machine, across lost connections and restarts of the server.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import { watchFiles } from '../../protocol/endpoints/files.ts';
import { type WatchEvent, watchEvent } from '../../protocol/files/watch.ts';
import { receivedEvents, resuming, type ResumeOptions } from '../transport/event-stream.ts';
import { badAnswer } from '../transport/failure.ts';
import type { Transport } from '../transport/transport.ts';

export interface WatchFilesOptions extends ResumeOptions {
  /** Also what is in .git and node_modules. */
  readonly all?: boolean;
}

/** @throws ProblemError as `Files.watch`. */
export async function* watchPath(
  transport: Transport, path: string, options: WatchFilesOptions,
): AsyncGenerator<WatchEvent, void, undefined> {
  const query = { path, all: options.all === true ? true : undefined };
  let lastEventId: string | undefined;
  let isReady = false;
  const connect = async function* (): AsyncGenerator<WatchEvent, void, undefined> {
    for await (const { event, data, id } of receivedEvents(
      transport, { path: watchFiles.path, query, lastEventId }, options.signal,
    )) {
      const told = eventIn(event, data, transport.base);
      lastEventId = id ?? lastEventId;
      // Of each further connection, too, the server says that it is ready.
      if (told === undefined || (told.type === 'ready' && isReady)) continue;
      isReady ||= told.type === 'ready';
      yield told;
    }
  };
  yield* resuming(transport, options, connect, ({ type }) => type === 'gone');
}

/** `undefined`: an event of a type that this version does not know. */
function eventIn(name: string, data: string, from: string): WatchEvent | undefined {
  if (!['ready', 'created', 'changed', 'deleted', 'lost', 'gone'].includes(name)) return undefined;
  try {
    return watchEvent({ type: name, ...JSON.parse(data) as object }, 'event');
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof ParseError)) throw error;
    throw badAnswer(from, 'expected an event of files', error);
  }
}
