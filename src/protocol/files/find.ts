/**
 * Finding files by name and by content: the request, and the lines of its answer.
 * @module
 */
import {
  array, boolean, described, integer, object, oneOf, optional, type Parsed, type Parser, parser, text,
} from '../../base/parse.ts';
import { count, list, maybe, only, shape, string, word } from '../answer.ts';
import { type FileType, fileTypes } from '../files.ts';

const globText = text({ min: 1, max: 512 });
const globList = array(globText, { min: 1, max: 64 });
const globs: Parser<readonly string[]> = parser({ anyOf: [globText.schema, globList.schema] }, (value, path) =>
  (Array.isArray(value) ? globList(value, path) : [globText(value, path)]));

/** Lines of context. */
const lines = integer({ min: 0, max: 100 });

export const findRequest = object({
  path: described('Absolute, or relative to the working directory of the server. Links are followed. A directory with '
    + 'all that is below it, or one file.', text({ min: 1, max: 4096 })),
  glob: described('Only what has such a name: one glob, or a list of which one must match. Without a slash it is the '
    + 'name at any depth, with one the path from `path` on; `*` and `?` stop at a slash, `**` does not; `[a-z]`, '
    + '`{a,b}`. With `!` in front: not what matches, nor what is in it.', optional(globs)),
  type: described('By name: only what is of this type. Content is looked for in files alone.',
    optional(oneOf('file', 'directory', 'symlink'))),
  text: described('Lines that contain this text.', optional(text({ min: 1, max: 4096 }))),
  regex: described('Lines in which this matches: a regular expression of JavaScript with the flag u, without '
    + 'lookaround and backreferences.', optional(text({ min: 1, max: 4096 }))),
  caseSensitive: described('Whether case counts, in `text`, `regex` and `glob`. Default true.', optional(boolean)),
  ignored: described('Also what .gitignore, .ignore and .rgignore leave out, and what is in .git, .hg, .svn and .jj. '
    + 'Default false.', optional(boolean)),
  hidden: described('Also what has a name that begins with a dot, and what is in it. Default true.', optional(boolean)),
  before: described('Lines of context before a match. Default: `context`.', optional(lines)),
  after: described('Lines of context behind a match. Default: `context`.', optional(lines)),
  context: described('Lines of context on both sides. Default 0.', optional(lines)),
  limit: described('The most matches. Default 1000.', optional(integer({ min: 1, max: 100_000 }))),
  lineCharacters: described('The most characters of a line that are shown. Default 500.',
    optional(integer({ min: 20, max: 10_000 }))),
  timeLimitMs: described('How long it may take. Default 20,000.', optional(integer({ min: 1, max: 120_000 }))),
});
type WholeRequest = Parsed<typeof findRequest>;
/** All but the path may be left out. */
export type FindRequest = Pick<WholeRequest, 'path'> & Partial<Omit<WholeRequest, 'glob'>> & {
  readonly glob?: string | readonly string[] | undefined;
};

/** `rg`: ripgrep. `own`: the search of the server itself. */
export type FindEngine = 'rg' | 'own';

interface Named {
  /** From the directory on that is searched. */
  readonly path: string;
  /** The bytes of a path that is not UTF-8: `path` has U+FFFD in their place. */
  readonly pathBase64?: string;
}

interface Line extends Named {
  /** From 1. */
  readonly line: number;
  /** Without its end. */
  readonly text: string;
  /** The line is longer than `text`. */
  readonly isCut?: true;
  /** How many characters of the line are left out before `text`. */
  readonly textOffset?: number;
}

/** The first line of an answer. */
export interface FindBegin {
  readonly type: 'begin';
  /** The directory that is searched, without links: paths continue it. */
  readonly path: string;
}

/** A line that matches. */
export interface FindMatch extends Line {
  readonly type: 'match';
  /** Where the first match begins in the line, in characters (UTF-16 units), from 1. */
  readonly column: number;
  /** What matches in `text`: begin and end in UTF-16 units. */
  readonly ranges: readonly (readonly [begin: number, end: number])[];
}

/** A line beside one that matches. */
export interface FindContext extends Line {
  readonly type: 'context';
}

/** What was found by its name alone. */
export interface FindFile extends Named {
  readonly type: 'file';
  readonly fileType: FileType;
}

/** The last line of an answer. */
export interface FindEnd {
  readonly type: 'end';
  /** Lines that match; by name alone: what was found. */
  readonly matches: number;
  /** With at least one match. */
  readonly files: number;
  /** There may be more: `stoppedBy` says why it ended. */
  readonly truncated: boolean;
  readonly stoppedBy?: 'limit' | 'time';
  /** Files and directories that could not be read, or vanished meanwhile. */
  readonly unreadable: number;
  /** Lines above 1 MiB, which are left out: as many as were noticed. */
  readonly longLines: number;
  readonly engine: FindEngine;
  readonly elapsedMs: number;
}

/** What is found. */
export type FindResult = FindMatch | FindContext | FindFile;
export type FindRecord = FindBegin | FindResult | FindEnd;

const named = {
  path: described('From the directory on that is searched', string),
  pathBase64: maybe(described('The bytes of a path that is not UTF-8', string)),
};
const line = {
  ...named,
  line: maybe(described('Of match and context: its number, from 1', count)),
  text: maybe(described('Without its end', string)),
  isCut: maybe(described('The line is longer than the text', only(true))),
  textOffset: maybe(described('Characters of the line that are left out before the text', count)),
};

/** All that a line of an answer may have. */
interface AnyRecord extends Omit<Partial<Line>, 'isCut'>, Partial<Omit<FindEnd, 'type'>> {
  readonly type: FindRecord['type'];
  readonly path?: string;
  readonly isCut?: true;
  readonly column?: number;
  readonly ranges?: readonly (readonly number[])[];
  readonly fileType?: FileType;
}

const anyRecord = shape<AnyRecord>({
  ...line,
  type: described('begin is the first line, end the last one', word('begin', 'match', 'context', 'file', 'end')),
  path: maybe(described('From the directory on that is searched; of begin: that directory', string)),
  column: maybe(described('Of match: where the first one begins in the line, from 1', count)),
  ranges: maybe(described('Of match: what matches in the text, begin and end in UTF-16 units', list(list(count)))),
  fileType: maybe(described('Of file', word(...fileTypes))),
  matches: maybe(described('Of end: lines that match; by name alone: what was found', count)),
  files: maybe(described('Of end: files with a match', count)),
  truncated: maybe(described('Of end: there may be more', boolean)),
  stoppedBy: maybe(described('Of end: why there may be more', word('limit', 'time'))),
  unreadable: maybe(described('Of end: what could not be read, or vanished meanwhile', count)),
  longLines: maybe(described('Of end: lines above 1 MiB that were noticed; they are left out', count)),
  engine: maybe(described('Of end. rg: ripgrep; own: the search of the server itself', word('rg', 'own'))),
  elapsedMs: maybe(described('Of end', count)),
}, { name: 'a line of what was found', relies: ['type'] });

/** A line of the answer. */
export const findRecord: Parser<FindRecord> = parser(anyRecord.schema, (value, path) =>
  anyRecord(value, path) as FindRecord);
