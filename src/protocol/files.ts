/**
 * Files of the machine: requests and answers.
 * @module
 */
import {
  array, boolean, described, flag, fromText, integer, object, optional, optionalText, type Parsed, ParseError,
  type Parser, parser, text,
} from '../base/parse.ts';
import { count, list, maybe, only, orNull, seconds, shape, string, word } from './answer.ts';

/** PATH_MAX of limits.h. */
const path = text({ min: 1, max: 4096 });
export const filePath: Parser<string> = path;
const relative = 'Absolute, or relative to the working directory of the server.';
export const anyPath: Parser<string> = described(`${relative} Links are followed.`, path);
const ownPath = described(`${relative} A link itself is meant.`, path);
const mode = described(
  'The permissions in octal, such as 0644. Default: those of the file that is replaced, else what the umask leaves.',
  optionalText(text({ pattern: /^[0-7]{3,4}$/, expected: 'permissions in octal, such as 0644' })),
);
const mkdirs = 'Make the missing directories above it.';

export const fileTypes: readonly ['file', 'directory', 'symlink', 'other'] = ['file', 'directory', 'symlink', 'other'];
/** `other`: a FIFO, a socket or a device. */
export type FileType = (typeof fileTypes)[number];

/** A file, or what else has a path. */
export interface FileInfo {
  readonly name: string;
  /** The path without links above its last part. */
  readonly path: string;
  readonly type: FileType;
  readonly sizeBytes: number;
  /** The permissions in octal: `0644`. */
  readonly mode: string;
  readonly modifiedAt: number;
  /** Where a link leads, as it is written in it. Of links only. */
  readonly target?: string;
  /** Names the content: another content has another tag. Only in the answer about one file. */
  readonly etag?: string;
  /** The bytes of the name, where these are not UTF-8: `name` has U+FFFD in their place. */
  readonly nameBase64?: string;
  /** The SHA-256 of the content, in hexadecimal. Of a file that may be read, in a list with `hashes`. */
  readonly sha256?: string;
  /** The server may not look into this directory. */
  readonly unreadable?: true;
}

export const fileInfo = shape<FileInfo>({
  name: string,
  path: described('Without links above its last part', string),
  type: described('other: a FIFO, a socket or a device', word(...fileTypes)),
  sizeBytes: count,
  mode: described('In octal, such as 0644', string),
  modifiedAt: seconds,
  target: maybe(described('Of a link: where it leads, as it is written in it', string)),
  etag: maybe(described('Names the content. Only in the answer about one file', string)),
  nameBase64: maybe(described('The bytes of a name that is not UTF-8', string)),
  sha256: maybe(described('Of the content, in hexadecimal, in a list with `hashes`', string)),
  unreadable: maybe(described('The server may not look into this directory', only(true))),
}, { name: 'a file', relies: ['path', 'type'] });

export interface FileList {
  readonly path: string;
  /** By name, each directory before what is in it. */
  readonly entries: readonly FileInfo[];
  /** For `after` of the next page; `null`: this was the last one. */
  readonly next: string | null;
}

export const fileList = shape<FileList>({
  path: string,
  entries: described('By name, each directory before what is in it', list(fileInfo)),
  next: described('For `after` of the next page; null: this was the last one', orNull(string)),
}, { name: 'a list of files', relies: ['entries'] });

export const textEncodings: readonly ['utf-8', 'utf-16le', 'utf-16be', 'latin1'] =
  ['utf-8', 'utf-16le', 'utf-16be', 'latin1'];
/** `latin1`: it is not Unicode, and shown as if it were Latin-1. */
export type TextEncoding = (typeof textEncodings)[number];

export interface TextLine {
  /** From 1. */
  readonly number: number;
  /** Without its end. */
  readonly text: string;
  /** Only the first 2,000 characters are shown. */
  readonly isCut?: true;
}

/** Lines of a text file. */
export interface FileText {
  readonly path: string;
  readonly etag: string;
  readonly sizeBytes: number;
  readonly encoding: TextEncoding;
  /** Of the whole file. */
  readonly lineCount: number;
  readonly lines: readonly TextLine[];
  /** There are lines behind the last one of these. */
  readonly truncated: boolean;
}

export const fileText = shape<FileText>({
  path: string, etag: string, sizeBytes: count,
  encoding: described('latin1: it is not Unicode, and shown as if it were Latin-1', word(...textEncodings)),
  lineCount: described('Of the whole file', count),
  lines: list(shape<TextLine>({
    number: described('From 1', count), text: described('Without its end', string),
    isCut: maybe(described('Only the first 2,000 characters are shown', only(true))),
  })),
  truncated: described('There are lines behind the last one of these', boolean),
}, { name: 'a text file', relies: ['lines', 'etag'] });

/** A file that was written. */
export interface FileWritten {
  readonly path: string;
  readonly sizeBytes: number;
  readonly etag: string;
  /** There was no file before. */
  readonly created: boolean;
}

export const fileWritten = shape<FileWritten>({
  path: described('Without links', string), sizeBytes: count, etag: string,
  created: described('There was no file before', boolean),
}, { name: 'a written file', relies: ['etag'] });

/** A file that was edited, or would be. */
export interface FileEdited {
  readonly path: string;
  /** Of the file as it is now. */
  readonly etag: string;
  readonly sizeBytes: number;
  /** A unified diff; empty: nothing changes. */
  readonly diff: string;
  /** In how many places something was replaced. */
  readonly replacements: number;
  /** `false`: it was asked for as `dryRun`, or nothing changes. */
  readonly written: boolean;
  /** The edits whose old text is there only with other blanks. */
  readonly edits?: readonly EditNote[];
}

export interface EditNote {
  /** From 1. */
  readonly edit: number;
  readonly matched: 'whitespace';
  /** Where it was found, from 1. */
  readonly line: number;
}

export const fileEdited = shape<FileEdited>({
  path: string, etag: described('Of the file as it is now', string), sizeBytes: count,
  diff: described('A unified diff; empty: nothing changes', string),
  replacements: described('In how many places something was replaced', count),
  written: described('false: asked for as dryRun, or nothing changes', boolean),
  edits: maybe(described('Those whose old text is there only with other blanks', list(shape<EditNote>({
    edit: described('From 1', count), matched: only('whitespace'), line: described('From 1', count),
  })))),
}, { name: 'an edited file', relies: ['diff', 'etag'] });

/** A part of an upload has arrived. */
export interface UploadProgress {
  readonly path: string;
  /** How many bytes are there: the next part begins with that one. */
  readonly uploadOffset: number;
}

export const uploadProgress = shape<UploadProgress>({
  path: string, uploadOffset: described('How many bytes are there', count),
}, { name: 'the progress of an upload', relies: ['uploadOffset'] });

export interface FileDeleted {
  readonly deleted: true;
  readonly path: string;
}

export const fileDeleted = shape<FileDeleted>({ deleted: only(true), path: string });

export const readQuery = object({
  path: anyPath,
  tailBytes: described('Only so many bytes of the end, as a range.',
    optional(fromText(integer({ min: 1, max: Number.MAX_SAFE_INTEGER })))),
});
export type ReadQuery = Parsed<typeof readQuery>;

const maxLine = 1_000_000_000;

export const textQuery = object({
  path: anyPath,
  line: described('The first line, from 1; negative: so many lines from the end. Default 1.',
    optional(fromText(integer({ min: -maxLine, max: maxLine })))),
  limit: described('The most lines. Default 2000.', optional(fromText(integer({ min: 1, max: 100_000 })))),
});

export const writeQuery = object({
  path: anyPath,
  mode,
  mkdirs: described(mkdirs, optional(flag)),
  append: described('Add the body to the end of the file.', optional(flag)),
});
export type WriteQuery = Parsed<typeof writeQuery>;

export const statQuery = object({
  path: ownPath,
  follow: described('Describe what a link leads to.', optional(flag)),
});

export const listQuery = object({
  path: anyPath,
  depth: described('1: what is in the directory; 2: also what is in those in it … Default 1.',
    optional(fromText(integer({ min: 1, max: 100 })))),
  limit: described('The most entries of a page. Default 1000.', optional(fromText(integer({ min: 1, max: 10_000 })))),
  hashes: described('The SHA-256 of each file. Pages may then be shorter.', optional(flag)),
  after: described('`next` of the page before.', optional(text({ min: 1, max: 16_384, pattern: /^[\w-]+$/ }))),
});
export type ListQuery = Parsed<typeof listQuery>;

export const deleteQuery = object({
  path: ownPath,
  recursive: described('Delete a directory with all that is in it.', optional(flag)),
});

export const mkdirRequest = object({
  path: anyPath,
  mode,
  mkdirs: described(`${mkdirs} One that is there already is no failure.`, optional(boolean)),
});
export type MkdirRequest = Parsed<typeof mkdirRequest>;

export const moveRequest = object({
  from: ownPath,
  to: described('The new path itself, not the directory to put it into.', path),
  overwrite: described('Replace a file, or an empty directory, that is there.', optional(boolean)),
  mkdirs: described(mkdirs, optional(boolean)),
});
const lineNumber = integer({ min: 0, max: maxLine });
const editFields = object({
  old: described('Text that is there once; \\n stands for the line ending of the file.', optional(text({ min: 1 }))),
  all: described('With `old`: replace it everywhere.', optional(boolean)),
  startLine: described('Instead of `old`: the first line to replace, as the file was read.', optional(lineNumber)),
  endLine: described('The last line to replace; one less than startLine: put `new` before it.', optional(lineNumber)),
  new: described('What comes in its place.', text()),
});

/** Exact text, or lines by their numbers in the file as it was read. */
export type FileEdit =
  | { readonly old: string; readonly new: string; readonly all?: boolean | undefined }
  | { readonly startLine: number; readonly endLine: number; readonly new: string };

const fileEdit: Parser<FileEdit> = parser(editFields.schema, (value, at) => {
  const { old, all, startLine, endLine, new: text } = editFields(value, at);
  const hasLines = startLine !== undefined && endLine !== undefined;
  if (old !== undefined && startLine === undefined && endLine === undefined) return { old, new: text, all };
  if (old !== undefined || all !== undefined || !hasLines || startLine === 0) {
    throw new ParseError(at, 'expected either old, or startLine (from 1) and endLine');
  }
  return { startLine, endLine, new: text };
});

export const editList = described('All are checked before one is made; they must not overlap.',
  array(fileEdit, { min: 1, max: 1000 }));

export const editRequest = object({
  path: anyPath,
  edits: editList,
  etag: described('Of the file as it was read: if it has changed, 412 with the lines that are there now.',
    optional(text({ min: 1, max: 1000 }))),
  dryRun: described('Answer the diff, and write nothing.', optional(boolean)),
});
export type EditRequest = Parsed<typeof editRequest>;

export type MoveRequest = Parsed<typeof moveRequest>;
