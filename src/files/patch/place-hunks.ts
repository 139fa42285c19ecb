/**
 * Finds the place of each hunk in a file: where its header says, else the nearest place with its lines, in the order of
 * the hunks. Only lines that a hunk removes or adds are changed, down to how they end.
 * @module
 */
import { commonIndent, core, isSameShape, reindented } from '../edit/blanks.ts';
import { EditError, type Splice } from '../edit/edits.ts';
import { LineSearch, SearchLimitError, type SearchWork } from '../edit/line-search.ts';
import { type LineEnd, lineEndOf, linesOf } from '../edit/lines.ts';
import type { Hunk, HunkLine } from './file-patch.ts';

export interface PlacedHunk {
  /** From 1. */
  readonly hunk: number;
  /** Where it is, from 1. */
  readonly line: number;
  /** How far that is from where its header says; 0 also where that says nothing. */
  readonly offsetLines: number;
  /** Its lines are there only with other blanks. */
  readonly isLoose: boolean;
}

export interface Placement {
  readonly splices: readonly Splice[];
  readonly hunks: readonly PlacedHunk[];
}

/** @throws EditError */
export function placeHunks(content: string, hunks: readonly Hunk[], work: SearchWork): Placement {
  const placer = new Placer(content, work);
  const placed = hunks.map((hunk, index) => {
    try {
      return placer.place(hunk, index);
    } catch (error) {
      if (!(error instanceof SearchLimitError)) throw error;
      throw new EditError(index, 'its lines are nearly there too often: give more of what is around them');
    }
  });
  return { splices: placer.splices, hunks: placed };
}

/** How a line of the file and one of a hunk are compared. */
interface Pass {
  readonly keyOf: (line: string) => string;
  readonly isLoose: boolean;
}

const exact: Pass = { keyOf: (line) => line, isLoose: false };
/** Models write \n, whatever the file has. */
const anyEnd: Pass = { keyOf: (line) => line.replace(/\r$/, ''), isLoose: false };
const anyBlanks: Pass = { keyOf: core, isLoose: true };

/** Where a hunk is looked for. */
interface Range {
  readonly from: number;
  /** By its header. */
  readonly expected: number | undefined;
  /** The first place from `from` on is meant: it is behind the lines that the hunk names. */
  readonly isFirst: boolean;
}

/** How many places are named in a message. */
const mostNamed = 10;

class Placer {
  readonly splices: Splice[] = [];
  readonly #content: string;
  /** Of the file, without newlines. */
  readonly #lines: readonly string[];
  readonly #starts: readonly number[];
  readonly #lineEnd: LineEnd;
  /** The last line has no newline. */
  readonly #isOpen: boolean;
  readonly #hasPairs: boolean;
  readonly #work: SearchWork;
  readonly #searches = new Map<Pass, LineSearch>();
  /** The first line, from 0, that is behind all hunks so far. */
  #from = 0;
  /** By how many lines the last hunk is not where its header says. */
  #shift = 0;

  constructor(content: string, work: SearchWork) {
    this.#content = content;
    this.#isOpen = content !== '' && !content.endsWith('\n');
    this.#hasPairs = content.includes('\r');
    const lines = content.split('\n');
    if (!this.#isOpen) lines.pop();
    this.#lines = lines;
    let start = 0;
    this.#starts = lines.map((line) => (start += line.length + 1) - line.length - 1);
    this.#lineEnd = lineEndOf(content);
    this.#work = work;
  }

  place(hunk: Hunk, index: number): PlacedHunk {
    const old = hunk.lines.filter(({ mark }) => mark !== '+');
    const from = this.#behindAnchors(hunk, index);
    const expected = hunk.line === undefined ? undefined : hunk.line - 1 + this.#shift;
    const isFirst = hunk.anchors.length > 0;
    const [start, pass] = old.length === 0
      ? [this.#emptyPlace(hunk, index, { from, expected, isFirst }), exact] as const
      : this.#find(hunk, index, old, { from, expected, isFirst });
    this.#splice(hunk, start, pass);
    const offsetLines = hunk.line === undefined ? 0 : start - (hunk.line - 1);
    if (hunk.line !== undefined) this.#shift = offsetLines;
    this.#from = start + old.length;
    return { hunk: index + 1, line: start + 1, offsetLines, isLoose: pass.isLoose };
  }

  /** Where the search begins: at the last of the lines that the hunk names. */
  #behindAnchors({ anchors }: Hunk, index: number): number {
    let from = this.#from;
    for (const [nth, anchor] of anchors.entries()) {
      if (nth > 0) from += 1;
      const [found] = this.#search(anyBlanks).near([core(anchor)], from, from);
      if (found === undefined) {
        const where = this.#from === 0 ? '' : ` behind line ${this.#from}`;
        throw new EditError(index, `the line of its @@ is not there${where}`, linesOf(this.#content).nearest(anchor));
      }
      from = found;
    }
    return from;
  }

  /** Of a hunk that only adds, with nothing around it. */
  #emptyPlace({ isAtEnd }: Hunk, index: number, { from, expected, isFirst }: Range): number {
    const count = this.#lines.length;
    if (isFirst && isAtEnd !== true) return Math.min(from + 1, count);
    const start = isAtEnd === true ? count : expected ?? count;
    if (start < from || start > count) {
      throw new EditError(index, `line ${start + 1} is ${start > count ? 'behind the end' : 'before the last hunk'}`);
    }
    return start;
  }

  #find(
    hunk: Hunk, index: number, old: readonly HunkLine[], range: Range,
  ): readonly [start: number, pass: Pass] {
    const isBlank = old.every(({ text }) => core(text) === '');
    const hasPairs = this.#hasPairs || old.some(({ text }) => text.endsWith('\r'));
    const passes = [exact, ...(hasPairs ? [anyEnd] : []), ...(isBlank ? [] : [anyBlanks])];
    for (const pass of passes) {
      const starts = this.#placesOf(hunk, old, pass, range);
      if (starts.length === 1) return [starts[0] ?? 0, pass];
      if (starts.length > 1) throw ambiguous(index, starts);
    }
    const wanted = old.map(({ text }) => text).join('\n');
    const nearest = linesOf(this.#content).nearest(wanted);
    const behind = range.from > 0 ? ` behind line ${range.from}` : '';
    const end = hunk.isAtEnd === true ? ' at the end of the file' : behind;
    const where = nearest === undefined ? '' : `; the nearest place is line ${nearest}`;
    throw new EditError(index, `its lines are not there${end}${where}`, nearest);
  }

  /** One place, or as many as are equally good. */
  #placesOf(hunk: Hunk, old: readonly HunkLine[], pass: Pass, { from, expected, isFirst }: Range): number[] {
    const texts = old.map(({ text }) => text);
    const keys = texts.map(pass.keyOf);
    const count = this.#lines.length;
    const isOpen = !pass.isLoose && old.at(-1)?.isOpen === true;
    const fits = (start: number): boolean => {
      const end = start + old.length;
      if (hunk.isAtEnd === true && end !== count) return false;
      if (isOpen && !(end === count && this.#isOpen)) return false;
      return !pass.isLoose || isSameShape(texts, this.#lines.slice(start, end));
    };
    const atEnd = count - old.length;
    if (hunk.isAtEnd === true || isOpen) {
      return atEnd >= from && this.#search(pass).isAt(keys, atEnd) && fits(atEnd) ? [atEnd] : [];
    }
    const found: number[] = [];
    for (const start of this.#search(pass).near(keys, expected ?? from, from)) {
      if (!fits(start)) continue;
      if (isFirst) return [start];
      const [best] = found;
      // Farther away than the first one: that is meant.
      if (!pass.isLoose && expected !== undefined) {
        if (start === expected) return [start];
        if (best !== undefined && Math.abs(start - expected) > Math.abs(best - expected)) break;
      }
      found.push(start);
      if (found.length > mostNamed) break;
    }
    return found.sort((a, b) => a - b);
  }

  #search(pass: Pass): LineSearch {
    let search = this.#searches.get(pass);
    if (search === undefined) {
      search = new LineSearch(pass === exact ? this.#lines : this.#lines.map(pass.keyOf), this.#work);
      this.#searches.set(pass, search);
    }
    return search;
  }

  #splice(hunk: Hunk, start: number, pass: Pass): void {
    const write = this.#writer(hunk, start, pass);
    let at = start;
    let begin = at;
    let added: HunkLine[] = [];
    const flush = (): void => {
      if (at > begin || added.length > 0) this.#change(hunk, begin, at, added, write);
      added = [];
    };
    for (const line of hunk.lines) {
      if (line.mark === ' ') {
        flush();
        begin = at + 1;
      }
      if (line.mark === '+') added.push(line);
      else at += 1;
    }
    flush();
  }

  #change(hunk: Hunk, first: number, end: number, added: readonly HunkLine[], write: LineWriter): void {
    const count = this.#lines.length;
    const [start, stop] = [this.#startOf(first), this.#startOf(end)];
    let text = added.map((line) => write.textOf(line)).join('');
    if (end === count && text !== '') {
      const saysOpen = hunk.lines.some(({ mark, isOpen }) => mark !== '+' && isOpen === true);
      const staysOpen = added.at(-1)?.isOpen === true || (this.#isOpen && !saysOpen);
      if (staysOpen) text = text.replace(/\r?\n$/, '');
      if (this.#isOpen && first === count) text = write.lineEnd + text;
    }
    this.splices.push({ start, end: stop, text });
  }

  #writer(hunk: Hunk, start: number, pass: Pass): LineWriter {
    const old = hunk.lines.filter(({ mark }) => mark !== '+').map(({ text }) => text);
    const found = this.#lines.slice(start, start + old.length);
    const hasPairs = hunk.lines.some(({ text }) => text.endsWith('\r'));
    const isClosed = found.length > 1 || (found.length === 1 && !(this.#isOpen && start === this.#lines.length - 1));
    const isVerbatim = pass === exact && (hasPairs || isClosed);
    const lineEnd = this.#lineEnd;
    if (isVerbatim) return { lineEnd, textOf: ({ text }) => `${text}\n` };
    const [from, to] = pass.isLoose ? [commonIndent(old), commonIndent(found)] : ['', ''];
    return { lineEnd, textOf: ({ text }) => reindented(text.replace(/\r$/, ''), from, to) + lineEnd };
  }

  #startOf(line: number): number {
    return this.#starts[line] ?? this.#content.length;
  }
}

/** How the lines that a hunk adds are written. */
interface LineWriter {
  readonly lineEnd: LineEnd;
  readonly textOf: (line: HunkLine) => string;
}

function ambiguous(index: number, starts: readonly number[]): EditError {
  const named = starts.slice(0, mostNamed).map((start) => start + 1).join(', ');
  const more = starts.length > mostNamed ? ', …' : '';
  const message = `its lines are there more than once, at the lines ${named}${more}: give more of what is around them`;
  return new EditError(index, message);
}
