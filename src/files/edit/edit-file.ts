/**
 * Edits a text file: all edits are checked against it before one byte changes.
 * @module
 */
import type { Roots } from '../../base/files/roots.ts';
import { readAt } from '../../base/files/untrusted-file.ts';
import type { EditNote, EditRequest, FileEdited } from '../../protocol/files.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { tagOf } from '../etag.ts';
import { explained } from '../failure.ts';
import { openFile } from '../read.ts';
import type { Writer } from '../write.ts';
import { asBytes, asText } from './bytes.ts';
import { unifiedDiff } from './diff.ts';
import { applySplices, type Edit, EditError, type Splice, splicesOf } from './edits.ts';
import { linesOf, mostShownLines, shownLines } from './lines.ts';

/** Longer files are not edited: one edit would hold up all other requests. */
export const maxEditBytes = 4 * 2 ** 20;
/** Lines that are shown around a place. */
const around = 3;
/** Of so many edits the place in a changed file is shown: each is looked for in all of it. */
const mostPlaces = 20;

/** As many edits of one file may come at once. */
const mostTries = 100;

export interface EditContext {
  readonly roots: Roots;
  readonly writer: Pick<Writer, 'write'>;
}

interface Original {
  readonly path: string;
  readonly etag: string;
  /** The bytes, each a character. */
  readonly content: string;
}

/**
 * @throws ProblemError edit_failed, file_changed with the lines that are there now, not_text, payload_too_large; as
 *   `Writer.write`.
 */
export async function editFile(context: EditContext, request: EditRequest): Promise<FileEdited> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryEdit(context, request);
    } catch (error) {
      // Another edit came in between: without a tag the client means the file as it is.
      const isBetween = error instanceof ProblemError && error.code === 'file_changed' && request.etag === undefined;
      if (!isBetween || tries === mostTries) throw error;
    }
  }
}

async function tryEdit({ roots, writer }: EditContext, request: EditRequest): Promise<FileEdited> {
  const file = await original(roots, request.path);
  const { path, etag, content } = file;
  const edits = request.edits.map(inBytes);
  if (request.etag !== undefined && request.etag !== etag) throw changed(file, edits);
  const splices = placed(file, edits);
  const edited = Buffer.from(applySplices(content, splices), 'latin1');
  const diff = asText(unifiedDiff(asBytes(path), content, splices));
  const notes = notesOf(content, splices);
  const answer = { path, diff, replacements: splices.length, ...(notes.length > 0 ? { edits: notes } : {}) };
  if (request.dryRun === true || diff === '') return { ...answer, etag, sizeBytes: edited.length, written: false };
  const written = await writer.write(path, { content: only(edited), mustMatch: [etag] });
  if (!written.isComplete) throw new Error('the whole file was written, and only a part of it arrived');
  return { ...answer, etag: written.etag, sizeBytes: written.sizeBytes, written: true };
}

/** The edits that were found only with other blanks. */
function notesOf(content: string, splices: readonly Splice[]): readonly EditNote[] {
  const loose = splices.filter(({ looseEdit }) => looseEdit !== undefined);
  if (loose.length === 0) return [];
  const lines = linesOf(content);
  return loose.map(({ looseEdit = 0, start }) => (
    { edit: looseEdit + 1, matched: 'whitespace', line: lines.numberAt(start) }
  ));
}

async function original(roots: Roots, path: string): Promise<Original> {
  return explained('edit', path, () => roots.at(path, async (place) => {
    const file = await openFile(place);
    try {
      const stats = await file.stat({ bigint: true });
      if (stats.size > maxEditBytes) {
        throw new ProblemError('payload_too_large', `Cannot edit ${path}: it is longer than ${maxEditBytes} bytes`);
      }
      const bytes = await readAt(file, 0, Number(stats.size));
      // UTF-16 has one behind each letter of English.
      if (bytes.includes(0)) throw new ProblemError('not_text', `Cannot edit ${path}: it holds NUL, and is no text`);
      return { path: place.realPath, etag: await tagOf(file, stats), content: bytes.toString('latin1') };
    } finally {
      await file.close();
    }
  }));
}

function placed(file: Original, edits: readonly Edit[]): readonly Splice[] {
  try {
    return splicesOf(file.content, edits);
  } catch (error) {
    if (!(error instanceof EditError)) throw error;
    const { index, message, nearestLine } = error;
    throw new ProblemError('edit_failed', `Cannot edit ${file.path}: edit ${index + 1}: ${message}`, {
      cause: error,
      extensions: {
        edit: index + 1, etag: file.etag,
        ...(nearestLine === undefined
          ? {}
          : { lines: shownLines(linesOf(file.content), nearestLine - around, nearestLine + around) }),
      },
    });
  }
}

/** Shows what is in the place of each edit now. */
function changed({ path, etag, content }: Original, edits: readonly Edit[]): ProblemError {
  const lines = linesOf(content);
  const places = edits.slice(0, mostPlaces).flatMap((edit) => {
    if ('startLine' in edit) return [[edit.startLine, Math.max(edit.startLine, edit.endLine)] as const];
    const nearest = lines.nearest(edit.old);
    return nearest === undefined ? [] : [[nearest, nearest + edit.old.split('\n').length - 1] as const];
  });
  const numbers = places.flatMap(([first, last]) => shownLines(lines, first - around, last + around));
  const once = [...new Map(numbers.map((line) => [line.number, line])).values()].sort((a, b) => a.number - b.number);
  return new ProblemError('file_changed', `Cannot edit ${path}: it has changed, its ETag is ${etag}`, {
    headers: { ETag: etag }, extensions: { etag, lines: once.slice(0, mostShownLines) },
  });
}

function inBytes(edit: EditRequest['edits'][number]): Edit {
  const text = asBytes(edit.new);
  return 'old' in edit ? { old: asBytes(edit.old), text, all: edit.all } : { ...edit, text };
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer, void> {
  yield bytes;
}
