/**
 * Text files in lines, for models: with their numbers, and no more than a context takes.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Roots } from '../base/files/roots.ts';
import { readAt } from '../base/files/untrusted-file.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { FileText, TextEncoding, TextLine } from '../protocol/files.ts';
import { readSmall, smallBytes, tagOfContent, tagOfStats } from './etag.ts';
import { explained } from './failure.ts';
import { contentType } from './magic.ts';
import { openFile } from './read.ts';

/** Longer files are read by their bytes. */
export const maxTextBytes = 16 * 2 ** 20;
/** A line that is longer is cut. */
export const maxLineCharacters = 2000;
/** Of all lines of an answer together. */
const maxAnswerCharacters = 1_000_000;
/** As many bytes are looked at before others have their turn. */
const turnBytes = 2 ** 18;
const newline = 0x0a;

export interface TextRange {
  /** From 1; negative: so many from the end. */
  readonly line: number;
  readonly limit: number;
}

/** @throws ProblemError not_text, payload_too_large, file_not_found, path_not_allowed, not_a_file, file_unusable. */
export async function readText(roots: Roots, path: string, range: TextRange): Promise<FileText> {
  return explained('read', path, () => roots.at(path, async (place) => {
    const file = await openFile(place);
    try {
      const stats = await file.stat({ bigint: true });
      if (stats.size > maxTextBytes) throw tooLong(path);
      // Files of /proc have more than their size says (proc(5)).
      const bytes = await readSmall(file, stats) ?? await readAt(file, 0, Number(stats.size));
      const etag = stats.size > smallBytes ? tagOfStats(stats) : tagOfContent(bytes);
      return { path: place.realPath, etag, sizeBytes: bytes.length, ...await linesOf(bytes, path, range) };
    } finally {
      await file.close();
    }
  }));
}

async function linesOf(
  bytes: Buffer, path: string, { line, limit }: TextRange,
): Promise<Omit<FileText, 'path' | 'etag' | 'sizeBytes'>> {
  const encoding = encodingOf(bytes);
  if (encoding === undefined) throw notText(path, bytes);
  const plain = encoding.startsWith('utf-16') ? Buffer.from(new TextDecoder(encoding).decode(bytes)) : bytes;
  const { found: ends } = await behindNewlines(plain, Number.POSITIVE_INFINITY);
  // A last line without an end counts as well.
  const lineCount = ends + (plain.length === 0 || plain.at(-1) === newline ? 0 : 1);
  const first = line < 0 ? Math.max(1, lineCount + line + 1) : Math.max(1, line);
  const end = Math.min(lineCount, first + limit - 1);
  const lines: TextLine[] = [];
  let { position } = await behindNewlines(plain, first - 1);
  for (let number = first, characters = 0; number <= end && characters < maxAnswerCharacters; number += 1) {
    const next = plain.indexOf(newline, position) + 1 || plain.length;
    const one = lineOf(plain.subarray(position, next), number, encoding);
    position = next;
    characters += one.text.length;
    lines.push(one);
  }
  const last = lines.at(-1)?.number ?? first - 1;
  return { encoding, lineCount, lines, truncated: last < lineCount };
}

/** Passes over so many newlines, or as many as there are. @returns how many, and where the last one ends. */
async function behindNewlines(
  bytes: Buffer, most: number,
): Promise<{ readonly found: number; readonly position: number }> {
  let [found, position] = [0, 0];
  for (let begin = 0; begin < bytes.length && found < most; begin += turnBytes) {
    const end = Math.min(bytes.length, begin + turnBytes);
    for (let at = begin; at < end && found < most; at += 1) {
      if (bytes[at] !== newline) continue;
      found += 1;
      position = at + 1;
    }
    await nextTurn();
  }
  return { found, position };
}

function lineOf(bytes: Buffer, number: number, encoding: TextEncoding): TextLine {
  const decoder = encoding === 'latin1' ? 'latin1' : 'utf8';
  // A character has at most four bytes.
  const begin = bytes.subarray(0, 4 * maxLineCharacters + 8).toString(decoder);
  const ended = begin.replace(/\r?\n$/, '');
  const text = number === 1 ? ended.replace(/^\ufeff/, '') : ended;
  const isWhole = bytes.length <= 4 * maxLineCharacters + 8 && text.length <= maxLineCharacters;
  if (isWhole) return { number, text };
  // Not within a pair of surrogates.
  const end = /[\ud800-\udbff]/.test(text[maxLineCharacters - 1] ?? '') ? maxLineCharacters - 1 : maxLineCharacters;
  return { number, text: text.slice(0, end), isCut: true };
}

/** `undefined`: it is no text. A file in another 8-bit encoding is shown as Latin-1. */
function encodingOf(bytes: Buffer): TextEncoding | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  if (bytes.includes(0)) return undefined;
  if (isUtf8(bytes)) return 'utf-8';
  return contentType(bytes) === undefined ? 'latin1' : undefined;
}

function tooLong(path: string): ProblemError {
  return new ProblemError('payload_too_large',
    `Cannot read ${path} as text: it is longer than ${maxTextBytes} bytes; read a range of it with GET /files`);
}

function notText(path: string, bytes: Buffer): ProblemError {
  const type = contentType(bytes) ?? 'application/octet-stream';
  return new ProblemError('not_text', `Cannot read ${path} as text: it is ${type}; GET /files sends its bytes`, {
    extensions: { contentType: type },
  });
}
