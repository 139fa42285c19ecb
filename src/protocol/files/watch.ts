/**
 * Watching files: the query, and the events of the stream.
 * @module
 */
import {
  boolean, described, flag, object, optional, type Parsed, type Parser, parser, text,
} from '../../base/parse.ts';
import { count, maybe, seconds, shape, string, word } from '../answer.ts';
import { anyPath, type FileType, fileTypes } from '../files.ts';

export const watchQuery = object({
  path: anyPath,
  all: described('Also what is in .git and node_modules.', optional(flag)),
  after: described('Continue after this event id; the header Last-Event-ID says the same.',
    optional(text({ max: 64 }))),
});
export type WatchQuery = Parsed<typeof watchQuery>;

export const watchChangeTypes: readonly ['created', 'changed', 'deleted'] = ['created', 'changed', 'deleted'];
export type WatchChangeType = (typeof watchChangeTypes)[number];

/** From here on all changes are told: what is listed after it misses none. */
export interface WatchReady {
  readonly type: 'ready';
  /** The real path of what is watched: paths continue it. */
  readonly path: string;
  readonly directories: number;
  /** The system has no more watchers for some of them: they are looked at every 2 s. */
  readonly isPolled: boolean;
}

export interface WatchChange {
  readonly type: WatchChangeType;
  /** From the directory on that is watched; of a file that is watched by itself: its name. */
  readonly path: string;
  /** The bytes of a path that is not UTF-8: `path` has U+FFFD in their place. */
  readonly pathBase64?: string;
  readonly fileType: FileType;
  /** When it was noticed, in seconds since 1970. */
  readonly at: number;
}

/** Events have been lost: list again. */
export interface WatchLost {
  readonly type: 'lost';
  readonly reason: string;
}

/** The directory that was watched has been deleted. Nothing follows. */
export interface WatchGone {
  readonly type: 'gone';
}

export type WatchEvent = WatchReady | WatchChange | WatchLost | WatchGone;

interface AnyEvent {
  readonly type: WatchEvent['type'];
  readonly path?: string;
  readonly pathBase64?: string;
  readonly fileType?: FileType;
  readonly at?: number;
  readonly directories?: number;
  readonly isPolled?: boolean;
  readonly reason?: string;
}

const anyEvent = shape<AnyEvent>({
  type: word('ready', ...watchChangeTypes, 'lost', 'gone'),
  path: maybe(string), pathBase64: maybe(string), fileType: maybe(word(...fileTypes)), at: maybe(seconds),
  directories: maybe(count), isPolled: maybe(boolean), reason: maybe(string),
});

/** The data of an event. */
export const watchEvent: Parser<WatchEvent> = parser(anyEvent.schema, (value, path) =>
  anyEvent(value, path) as WatchEvent);
