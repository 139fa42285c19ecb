/**
 * Looks for a pattern in one file, piece by piece: no more of it is held than a piece and the longest line. Runs in a
 * thread that may wait.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { readSync } from 'node:fs';
import { TextDecoder } from 'node:util';
import { type FoundLine, maxLineBytes, type TextRange } from './found.ts';

/** As ripgrep reads it: NUL in a piece makes a file binary, from that piece on. */
const pieceBytes = 2 ** 16;
const newline = 0x0a;
const utf8Mark = Buffer.from([0xef, 0xbb, 0xbf]);
/** A byte that is no UTF-8. With the flag u it is none of a pair. */
const escaped = /([\udc80-\udcff])/u;
/** Two UTF-16 units that are one character. */
const pair = /^[\ud800-\udbff][\udc00-\udfff]$/;
const piece = Buffer.alloc(pieceBytes);

export interface ScanOptions {
  /** Global, see `Pattern`. */
  readonly expression: RegExp;
  /** Lines of context. */
  readonly before: number;
  readonly after: number;
  /** Returns whether more is wanted. */
  readonly onLine: (line: FoundLine) => boolean;
}

/** @param descriptor Open for reading. @returns how many lines were too long. @throws the system's error. */
export function scanFile(descriptor: number, options: ScanOptions): number {
  const scan = new Scan(options);
  let rest: Buffer = Buffer.alloc(0);
  for (const bytes of piecesOf(descriptor)) {
    if (bytes.includes(0)) return scan.longLines;
    const all = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    const end = all.lastIndexOf(newline) + 1;
    if (!scan.take(all.subarray(0, end))) return scan.longLines;
    rest = scan.restOf(Buffer.from(all.subarray(end)));
  }
  scan.take(rest);
  return scan.longLines;
}

/** As UTF-8, without a byte order mark. */
function* piecesOf(descriptor: number): Generator<Buffer, void> {
  let decoder: TextDecoder | undefined;
  for (let isFirst = true; ; isFirst = false) {
    const length = readSync(descriptor, piece, 0, pieceBytes, null);
    if (length === 0) break;
    const bytes = piece.subarray(0, length);
    if (isFirst && bytes.length > 1) decoder = decoderOf(bytes);
    if (decoder !== undefined) yield Buffer.from(decoder.decode(bytes, { stream: true }));
    else yield isFirst && bytes.subarray(0, 3).equals(utf8Mark) ? bytes.subarray(3) : bytes;
  }
  const rest = decoder?.decode() ?? '';
  if (rest !== '') yield Buffer.from(rest);
}

function decoderOf(bytes: Buffer): TextDecoder | undefined {
  const mark = bytes.readUInt16BE(0);
  if (mark === 0xfffe) return new TextDecoder('utf-16le');
  return mark === 0xfeff ? new TextDecoder('utf-16be') : undefined;
}

interface Match {
  readonly begin: number;
  readonly end: number;
  readonly ranges: readonly TextRange[];
}

class Scan {
  longLines = 0;
  readonly #options: ScanOptions;
  /** Of the line that comes next. */
  #number = 1;
  /** The last lines that were not shown, for context. */
  #recent: FoundLine[] = [];
  #afterLeft = 0;
  #isInLongLine = false;

  constructor(options: ScanOptions) {
    this.#options = options;
  }

  /** Keeps what may be the begin of a line, unless that is too long already. */
  restOf(bytes: Buffer): Buffer {
    if (bytes.length <= maxLineBytes && !this.#isInLongLine) return bytes;
    if (!this.#isInLongLine) this.longLines += 1;
    this.#isInLongLine = true;
    return Buffer.alloc(0);
  }

  /** @param bytes Whole lines. @returns whether more is wanted. */
  take(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    if (this.#isInLongLine) {
      this.#isInLongLine = false;
      this.#number += 1;
      return this.take(bytes.subarray(bytes.indexOf(newline) + 1 || bytes.length));
    }
    const isText = isUtf8(bytes);
    const text = isText ? bytes.toString() : decodeEscaped(bytes);
    const { before, after } = this.#options;
    return before + after === 0 ? this.#matchesOnly(text, isText) : this.#withContext(text, isText);
  }

  #matchesOnly(text: string, isText: boolean): boolean {
    let counted = 0;
    for (const match of this.#matchesIn(text)) {
      this.#number += newlinesIn(text, counted, match.begin);
      counted = match.begin;
      if (!this.#show(lineOf(text, match, this.#number, isText))) return false;
    }
    this.#number += newlinesIn(text, counted, text.length);
    return true;
  }

  #withContext(text: string, isText: boolean): boolean {
    const matches = this.#matchesIn(text);
    let next = matches.next();
    for (let begin = 0; begin < text.length; this.#number += 1) {
      const found = text.indexOf('\n', begin);
      const end = found < 0 ? text.length : found;
      const match = next.done !== true && next.value.begin === begin ? next.value : undefined;
      if (!this.#line(lineOf(text, match ?? { begin, end, ranges: undefined }, this.#number, isText))) return false;
      if (match !== undefined) next = matches.next();
      begin = end + 1;
    }
    return true;
  }

  /** A line in its order, for context. */
  #line(line: FoundLine): boolean {
    const { before, after } = this.#options;
    if (line.ranges !== undefined) {
      for (const one of this.#recent.splice(0)) if (!this.#show(one)) return false;
      this.#afterLeft = after;
      return this.#show(line);
    }
    if (this.#afterLeft > 0) {
      this.#afterLeft -= 1;
      return this.#show(line);
    }
    this.#recent.push(line);
    if (this.#recent.length > before) this.#recent.shift();
    return true;
  }

  #show(line: FoundLine): boolean {
    if (line.text.length <= maxLineBytes) return this.#options.onLine(line);
    this.longLines += 1;
    return true;
  }

  /** The lines that match, in order. */
  *#matchesIn(text: string): Generator<Match, void> {
    const { expression } = this.#options;
    // Behind the last line feed is no line.
    const isEnd = (at: number): boolean => at === text.length && text.endsWith('\n');
    expression.lastIndex = 0;
    for (let found = execWhole(expression, text); found !== null && !isEnd(found.index);) {
      const begin = found.index === 0 ? 0 : text.lastIndexOf('\n', found.index - 1) + 1;
      const feed = text.indexOf('\n', found.index);
      const end = feed < 0 ? text.length : feed;
      const ranges: TextRange[] = [];
      while (found !== null && found.index <= end) {
        ranges.push([found.index - begin, found.index + found[0].length - begin]);
        if (found[0] === '') expression.lastIndex += (text.codePointAt(found.index) ?? 0) > 0xffff ? 2 : 1;
        if (expression.lastIndex > text.length) found = null;
        else found = execWhole(expression, text);
      }
      yield { begin, end, ranges };
    }
  }
}

/** The next match, but for empty ones within a pair of surrogates, which V8 finds by lookaround. */
function execWhole(expression: RegExp, text: string): RegExpExecArray | null {
  for (;;) {
    const found = expression.exec(text);
    if (found === null || !pair.test(text.slice(found.index - 1, found.index + 1))) return found;
    expression.lastIndex = found.index + 1;
  }
}

function newlinesIn(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf('\n', from); at >= 0 && at < to; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

function lineOf(
  text: string, { begin, end, ranges }: Omit<Match, 'ranges'> & { readonly ranges: Match['ranges'] | undefined },
  number: number, isText: boolean,
): FoundLine {
  const line = text.slice(begin, end).replace(/\r$/, '');
  const kept = ranges?.map(([from, to]) => [Math.min(from, line.length), Math.min(to, line.length)] as const);
  if (isText || !escaped.test(line)) return { number, text: line, ranges: kept };
  const bytesBefore = (at: number): number => encodeEscaped(line.slice(0, at)).length;
  return {
    number, text: encodeEscaped(line).toString('latin1'),
    ranges: kept?.map(([from, to]) => [bytesBefore(from), bytesBefore(to)] as const),
  };
}

/** Each byte that is no UTF-8 becomes a lone surrogate, which no class of a pattern contains. */
function decodeEscaped(bytes: Buffer): string {
  const parts: string[] = [];
  let plain = 0;
  for (let at = 0; at < bytes.length;) {
    const length = characterBytes(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    parts.push(bytes.toString('utf8', plain, at), String.fromCharCode(0xdc00 + (bytes[at] ?? 0)));
    at += 1;
    plain = at;
  }
  parts.push(bytes.toString('utf8', plain));
  return parts.join('');
}

/** The length of the character that begins there (RFC 3629 §4); 0: none does. */
function characterBytes(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const end = at + length;
  return end <= bytes.length && isUtf8(bytes.subarray(at, end)) ? length : 0;
}

function encodeEscaped(text: string): Buffer {
  const parts = text.split(escaped).map((part, index) =>
    (index % 2 === 0 ? Buffer.from(part) : Buffer.from([part.charCodeAt(0) - 0xdc00])));
  return Buffer.concat(parts);
}
