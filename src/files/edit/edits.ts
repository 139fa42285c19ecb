/**
 * Edits of a text, all checked against it before any is applied. The text is bytes, each a character of a string
 * (Latin-1): what no edit names stays as it is, down to line endings and a missing last newline.
 * @module
 */
import { commonIndent, core, isSameShape, reindented } from './blanks.ts';
import { LineSearch, SearchLimitError, searchWork } from './line-search.ts';
import { type LineEnd, lineEndOf, type Lines, linesOf } from './lines.ts';

/** `text` in place of `old`, which must be there once, or of all that there are. */
export interface ReplaceEdit {
  readonly old: string;
  readonly text: string;
  readonly all?: boolean | undefined;
}

/** `text` in place of these lines, both inclusive, by their numbers in the file as it was read. */
export interface LinesEdit {
  readonly startLine: number;
  /** One less than `startLine`: the text comes in before that line. */
  readonly endLine: number;
  readonly text: string;
}

export type Edit = ReplaceEdit | LinesEdit;

/** A part of the text and what comes in its place. Positions are bytes; `end` is exclusive. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** The index of the edit, where its old text is there only with other blanks. */
  readonly looseEdit?: number;
}

/** An edit, or a hunk of a patch, that does not fit. */
export class EditError extends Error {
  override readonly name = 'EditError';
  /** Of the edit, or of the hunk. */
  readonly index: number;
  /** Where the file comes closest to what was looked for, from 1. */
  readonly nearestLine: number | undefined;

  constructor(index: number, message: string, nearestLine?: number) {
    super(message);
    this.index = index;
    this.nearestLine = nearestLine;
  }
}

/** How many places are named in a message. */
const mostNamed = 10;

/** The text that is edited, with what all edits ask of it. */
interface Text {
  readonly content: string;
  readonly lines: Lines;
  readonly lineEnd: LineEnd;
  /** Its lines without the blanks around them. Made when it is first needed. */
  readonly cores: () => LineSearch;
}

/** The splices of all edits, in order. @throws EditError where one does not fit, or two overlap. */
export function splicesOf(content: string, edits: readonly Edit[]): readonly Splice[] {
  const lines = linesOf(content);
  let cores: LineSearch | undefined;
  const file: Text = {
    content, lines, lineEnd: lineEndOf(content),
    cores: () => cores ??= new LineSearch(content.split('\n', lines.count).map(core), searchWork()),
  };
  const placed = edits.flatMap((edit, index) => {
    const found = 'old' in edit ? placesOf(file, edit, index) : [rangeOf(file, edit, index)];
    return found.map((splice) => ({ ...splice, index }));
  }).sort((a, b) => a.start - b.start || a.end - b.end || a.index - b.index);
  for (const [at, { start, index }] of placed.entries()) {
    const before = placed[at - 1];
    if (before === undefined || start >= before.end) continue;
    throw new EditError(index, `it overlaps with edit ${before.index + 1} in line ${lines.numberAt(start)}`);
  }
  return placed.map(({ index: _, ...splice }) => splice);
}

export function applySplices(content: string, splices: readonly Splice[]): string {
  const pieces: string[] = [];
  let position = 0;
  for (const { start, end, text } of splices) {
    pieces.push(content.slice(position, start), text);
    position = end;
  }
  return pieces.join('') + content.slice(position);
}

function placesOf(file: Text, edit: ReplaceEdit, index: number): Splice[] {
  const { content, lines, lineEnd } = file;
  if (edit.old.trim() === '') throw new EditError(index, 'its old text is blank, and would be found everywhere');
  // Models write \n, whatever the file has.
  const asInFile = (text: string): string => withLineEnd(text, lineEnd);
  const exact = findAll(content, edit.old);
  const [old, text] = exact.length > 0 ? [edit.old, edit.text] : [asInFile(edit.old), asInFile(edit.text)];
  const starts = exact.length > 0 ? exact : findAll(content, old);
  if (starts.length === 0) return [loosePlace(file, edit, index)];
  if (starts.length > 1 && edit.all !== true) {
    const named = starts.slice(0, mostNamed).map((start) => lines.numberAt(start)).join(', ');
    const more = starts.length > mostNamed ? ', …' : '';
    throw new EditError(
      index, `its old text is there ${starts.length} times, in the lines ${named}${more}: give more of it, or say all`,
    );
  }
  return starts.map((start) => ({ start, end: start + old.length, text }));
}

/**
 * The one place with these lines, but for blanks at their ends and an indentation that all have in common, which the
 * new lines get as well. @throws EditError where there is none, or more than one.
 */
function loosePlace(file: Text, edit: ReplaceEdit, index: number): Splice {
  const { content, lines, lineEnd } = file;
  const wanted = edit.old.split('\n');
  // With its last line's end.
  const isWhole = wanted.length > 1 && wanted.at(-1) === '';
  if (isWhole) wanted.pop();
  const rangeAt = (first: number): readonly string[] =>
    Array.from(wanted, (_, offset) => lines.textOf(first + offset + 1));
  const starts: number[] = [];
  try {
    for (const start of file.cores().near(wanted.map(core), 0, 0)) {
      if (isSameShape(wanted, rangeAt(start))) starts.push(start);
      if (starts.length > mostNamed) break;
    }
  } catch (error) {
    if (!(error instanceof SearchLimitError)) throw error;
    throw new EditError(index, 'its old text is nearly there too often: give more of it');
  }
  const [first] = starts;
  if (first === undefined) throw notFound(lines, withLineEnd(edit.old, lineEnd), index);
  if (starts.length > 1) {
    const named = starts.map((start) => start + 1).join(', ');
    throw new EditError(index, `its old text is not there; with other blanks it is, in the lines ${named}`, first + 1);
  }
  const last = first + wanted.length;
  const start = lines.startOf(first + 1);
  const end = isWhole ? lines.startOf(last + 1) : lines.startOf(last) + lines.textOf(last).length;
  const [from, to] = [commonIndent(wanted), commonIndent(rangeAt(first))];
  const text = edit.text.split('\n').map((line) => reindented(line, from, to)).join('\n');
  // The last line of a file may have no end: then it gets none.
  const isOpen = isWhole && !content.endsWith('\n') && end === content.length;
  return { start, end, text: withLineEnd(isOpen ? text.replace(/\r?\n$/, '') : text, lineEnd), looseEdit: index };
}

function withLineEnd(text: string, lineEnd: LineEnd): string {
  return lineEnd === '\r\n' ? text.replaceAll(/\r?\n/g, '\r\n') : text;
}

function findAll(content: string, wanted: string): number[] {
  const starts: number[] = [];
  for (let at = content.indexOf(wanted); at >= 0; at = content.indexOf(wanted, at + wanted.length)) starts.push(at);
  return starts;
}

function rangeOf({ content, lines, lineEnd }: Text, { startLine, endLine, text }: LinesEdit, index: number): Splice {
  if (endLine > lines.count || startLine > lines.count + 1 || endLine < startLine - 1) {
    throw new EditError(index, `there are no lines ${startLine} to ${endLine}: the file has ${lines.count}`);
  }
  const [start, end] = [lines.startOf(startLine), lines.startOf(endLine + 1)];
  const own = withLineEnd(text, lineEnd);
  const isAtEnd = end === content.length;
  // A line of the file follows, or had an end of its own: then the last line of the text has one, too.
  const needsEnd = own !== '' && !own.endsWith('\n') && (!isAtEnd || (content.endsWith('\n') && start < end));
  const isBehindOpenLine = start === content.length && content !== '' && !content.endsWith('\n') && own !== '';
  return { start, end, text: `${isBehindOpenLine ? lineEnd : ''}${own}${needsEnd ? lineEnd : ''}` };
}

function notFound(lines: Lines, old: string, index: number): EditError {
  const nearest = lines.nearest(old);
  const where = nearest === undefined ? '' : `; the nearest place is line ${nearest}`;
  return new EditError(index, `its old text is not there${where}`, nearest);
}
