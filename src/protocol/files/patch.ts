/**
 * Patches over several files: request and answer.
 * @module
 */
import {
  boolean, described, object, optional, ParseError, type Parsed, type Parser, parser, record, text,
} from '../../base/parse.ts';
import { count, either, integer, list, maybe, only, shape, string, word } from '../answer.ts';
import { editList, editRequest, type EditRequest, fileEdited, type FileEdited, filePath } from '../files.ts';

const fields = {
  patch: described('Instead of path and edits: a unified diff, as git or `diff -u` writes it, or *** Begin Patch …',
    optional(text({ min: 1 }))),
  etags: described('With `patch`: the ETags of files as they were read, by their names in it: if one has changed, 412.',
    optional(record(text({ min: 1, max: 4096 }), text({ min: 1, max: 1000 }), { max: 1000 }))),
  dryRun: described('Answer the diff, and write nothing.', optional(boolean)),
};

const both = object({
  ...fields,
  path: described('The file; with `patch`: the directory that its names are relative to, by default the working '
    + 'directory of the server. Relative to that, or absolute. Links are followed.', optional(filePath)),
  edits: optional(editList),
  etag: described('With `edits`: of the file as it was read.', optional(text({ min: 1, max: 1000 }))),
});

export type PatchRequest = { readonly patch: string } & Partial<Pick<Parsed<typeof both>, 'path' | 'etags' | 'dryRun'>>;

/** Edits of one file, or a patch. */
export const editBody: Parser<EditRequest | PatchRequest> = parser(both.schema, (value, at) => {
  const { patch, edits, etag, ...rest } = both(value, at);
  if (patch === undefined) return editRequest(value, at);
  if (edits !== undefined) throw new ParseError(`${at}.edits`, 'there is a patch; send one of the two');
  if (etag !== undefined) throw new ParseError(`${at}.etag`, 'a patch has etags, by the names of its files');
  return { patch, ...rest };
});

export const patchActions: readonly ['created', 'edited', 'deleted', 'moved'] =
  ['created', 'edited', 'deleted', 'moved'];
export type PatchAction = (typeof patchActions)[number];

/** A hunk that is not just where its header says, with just its lines. */
export interface HunkNote {
  /** From 1. */
  readonly hunk: number;
  /** Where it was found, from 1. */
  readonly line: number;
  readonly offsetLines?: number;
  /** Its lines are there only with other blanks. */
  readonly matched?: 'whitespace';
}

export interface PatchedFile {
  readonly path: string;
  readonly action: PatchAction;
  /** Of a file that was moved, or made from another: the path of that. */
  readonly from?: string;
  /** A unified diff; empty where the content stays, or is no text. */
  readonly diff: string;
  /** Of the file as it is now. */
  readonly etag?: string;
  readonly sizeBytes?: number;
  /** Those that are not just where their headers say, with just their lines. */
  readonly hunks?: readonly HunkNote[];
}

export interface FilesPatched {
  readonly files: readonly PatchedFile[];
  /** `false`: it was asked for as `dryRun`, or nothing changes. */
  readonly written: boolean;
}

export const filesPatched = shape<FilesPatched>({
  files: list(shape<PatchedFile>({
    path: string,
    action: word(...patchActions),
    from: maybe(described('Of a file that was moved, or made from another: the path of that', string)),
    diff: described('A unified diff; empty where the content stays, or is no text', string),
    etag: maybe(described('Of the file as it is now', string)),
    sizeBytes: maybe(count),
    hunks: maybe(described('Those that are not just where their headers say, with just their lines',
      list(shape<HunkNote>({
        hunk: described('From 1', count), line: described('Where it was found, from 1', count),
        offsetLines: maybe(integer),
        matched: maybe(described('Its lines are there only with other blanks', only('whitespace'))),
      })))),
  })),
  written: described('false: asked for as dryRun, or nothing changes', boolean),
}, { name: 'a patch', relies: ['files'] });

export const editAnswer: Parser<FileEdited | FilesPatched> = either<FileEdited, FilesPatched>(fileEdited, filesPatched);
