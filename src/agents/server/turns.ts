/**
 * Reads the turns of an agent from the file of its runner, and their texts from its stdout.
 * @module
 */
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { countOf, fieldsOf, isFields, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import { checkFolder, isExhaustion, openRegularLater, readAt } from '../../base/files/untrusted-file.ts';
import { type JsonBounds, lineWithin } from '../../base/files/untrusted-json.ts';
import { type AgentTurn, maxShownTurns, maxTurnTextCharacters } from '../../protocol/agents/job-details.ts';
import type { TurnsQuery } from '../../protocol/agents/calls.ts';
import { turnsFile } from '../runner-config.ts';
import type { TurnRecord } from '../turn-log.ts';

/** How a turn ended whose runner could not record it: taken from the end of the job. */
export type TurnEnd = Pick<AgentTurn, 'finishedAt' | 'stopReason'>;

/** Bytes read at a time. */
const pieceBytes = 262_144;
/**
 * The file is read from its end in windows of growing size, up to the largest, which holds more than the turns of a
 * page.
 */
const firstWindowBytes = 65_536;
const maxWindowBytes = 4 * 2 ** 20;
/** Lines that are examined for a page: a turn has two, or three if text comes after its end. */
const maxLines = 2000;
/**
 * Limits of a line: 4096 characters of text and 2000 of a reason, each of at most six bytes as JSON, and a few numbers.
 */
const lineBounds: JsonBounds = { maxBytes: 65_536, maxTokens: 200 };
/** A text of this many bytes has at least the characters that are shown. */
const shownTextBytes = 4 * maxTurnTextCharacters;

/** The last turns, in their order, with the beginnings of their texts. @param end How the job ended, if it has. */
export async function shownTurns(
  directory: string, end: TurnEnd | null, query: Partial<TurnsQuery> = {},
): Promise<readonly AgentTurn[]> {
  const { before, limit = maxShownTurns } = query;
  const records = before === undefined ? lastTurns(directory, limit) : turnsBetween(directory, before - limit, before);
  return await Promise.all((await records).map(async (record) => shown(await withText(directory, record), end)));
}

/** A turn, and a reader for its whole text if the turn holds only the beginning. */
export interface WholeTurn {
  readonly turn: AgentTurn;
  /** `undefined` if the turn holds the whole text. */
  readonly text: TurnText | undefined;
}

/** @returns `undefined` if there is no such turn. */
export async function wholeTurn(
  directory: string, number: number, end: TurnEnd | null,
): Promise<WholeTurn | undefined> {
  const [record] = await turnsBetween(directory, number, number + 1);
  if (!record) return undefined;
  const turn = shown(await withText(directory, record), end);
  return { turn, text: turn.isTextCut ? new TurnText(directory, record, turn.text) : undefined };
}

/** The whole text of a turn, a piece at a time. */
export class TurnText {
  readonly #directory: string;
  readonly #record: TurnRecord;
  readonly #beginning: string;

  /** @param beginning The text to give if stdout does not hold the whole text any more. */
  constructor(directory: string, record: TurnRecord, beginning: string) {
    this.#directory = directory;
    this.#record = record;
    this.#beginning = beginning;
  }

  /** @returns whether the text is cut, because something has truncated or replaced stdout. */
  async write(write: (piece: string) => Promise<void>): Promise<boolean> {
    const { textOffset, textBytes, finishedAt } = this.#record;
    const decoder = new StringDecoder('utf8');
    const end = finishedAt === null ? Infinity : (textOffset ?? 0) + textBytes;
    for (let offset = textOffset ?? end; offset < end;) {
      const bytes = await readStdout(this.#directory, offset, Math.min(pieceBytes, end - offset));
      const piece = decoder.write(bytes);
      if (offset === textOffset && !piece.startsWith(this.#beginning)) break;
      // For a turn that runs, or was cut off with its runner, this is all there is.
      if (bytes.length === 0) return finishedAt !== null;
      await write(piece);
      offset += bytes.length;
      if (offset === end) return false;
    }
    await write(this.#beginning);
    return true;
  }
}

/** Adds the text of a turn that runs: it is only in stdout. */
async function withText(directory: string, record: TurnRecord): Promise<TurnRecord> {
  const { textOffset, finishedAt } = record;
  if (finishedAt !== null || textOffset === null) return record;
  const bytes = await readStdout(directory, textOffset, shownTextBytes + 1);
  const text = truncate(new StringDecoder('utf8').write(bytes), maxTurnTextCharacters);
  return { ...record, text, isTextCut: bytes.length > Buffer.byteLength(text) + 3 };
}

/** The end of the job says how a turn ended that was cut off with its runner. */
function shown({ textOffset: _, textBytes: __, ...turn }: TurnRecord, end: TurnEnd | null): AgentTurn {
  return turn.finishedAt === null && end !== null ? { ...turn, ...end } : turn;
}

async function lastTurns(directory: string, limit: number): Promise<readonly TurnRecord[]> {
  return await withFile(join(directory, turnsFile), async (file) => {
    const { size } = await file.stat();
    for (let windowBytes = firstWindowBytes; ; windowBytes *= 4) {
      const start = Math.max(0, size - windowBytes);
      const text = (await readAt(file, start, size - start)).toString();
      const { turns, isAll } = turnsAtEnd(start === 0 ? text : text.slice(text.indexOf('\n') + 1), limit);
      if (isAll || start === 0 || windowBytes >= maxWindowBytes) return turns;
    }
  }) ?? [];
}

/** The last turns of the text, in their order. `isAll`: whether they reach the limit, or other lines fill the file. */
function turnsAtEnd(text: string, limit: number): { readonly turns: readonly TurnRecord[]; readonly isAll: boolean } {
  const turns = new Map<number, TurnRecord>();
  let lines = 0;
  for (let end = text.length; end > 0 && turns.size < limit && lines < maxLines; lines += 1) {
    const start = text.lastIndexOf('\n', end - 1) + 1;
    // The last record of a turn is valid.
    for (const turn of turnOf(text.slice(start, end))) if (!turns.has(turn.turn)) turns.set(turn.turn, turn);
    end = start - 1;
  }
  return { turns: [...turns.values()].toReversed(), isAll: turns.size >= limit || lines >= maxLines };
}

/** @param first The number of the first turn. @param behind The number after the last one. */
async function turnsBetween(directory: string, first: number, behind: number): Promise<readonly TurnRecord[]> {
  const turns = new Map<number, TurnRecord>();
  await withFile(join(directory, turnsFile), async (file) => {
    let rest = '';
    const decoder = new StringDecoder('utf8');
    for (let offset = 0; ;) {
      const bytes = await readAt(file, offset, pieceBytes);
      offset += bytes.length;
      const lines = (rest + decoder.write(bytes)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const number = Number(/^\{"turn":(\d{1,15}),/.exec(line)?.[1] ?? 0);
        if (number >= behind) return;
        if (number >= first) for (const turn of turnOf(line)) turns.set(number, turn);
      }
      // No valid line is this long: a runner did not write it.
      if (bytes.length === 0 || rest.length > lineBounds.maxBytes) return;
    }
  });
  return [...turns.values()];
}

/** The turn in a line, in a list; an empty list if a full disk tore the line, or it is not one that a runner writes. */
function turnOf(line: string): readonly TurnRecord[] {
  const fields = fieldsOf(line.startsWith('{"turn":') ? lineWithin(line, lineBounds) : undefined);
  const turn = countOf(fields['turn']);
  const { startedAt, finishedAt, usage } = fields;
  if (turn === undefined || turn === 0 || typeof startedAt !== 'number') return [];
  return [{
    turn, text: textOf(fields['text']) ?? '', isTextCut: fields['isTextCut'] === true,
    stopReason: textOf(fields['stopReason']) ?? null, usage: isFields(usage) ? usage : null,
    denied: countOf(fields['denied']) ?? 0,
    startedAt, finishedAt: typeof finishedAt === 'number' ? finishedAt : null,
    textOffset: countOf(fields['textOffset']) ?? null, textBytes: countOf(fields['textBytes']) ?? 0,
  }];
}

/**
 * Returns no bytes if there is nothing to read. The file is open only for this piece, so that an answer to a slow
 * client holds no file.
 */
async function readStdout(directory: string, offset: number, length: number): Promise<Buffer> {
  return await withFile(join(directory, 'stdout'), (file) => readAt(file, offset, length)) ?? Buffer.alloc(0);
}

/** Returns `undefined` if the file cannot be opened, because nothing has happened yet, or something has replaced it. */
async function withFile<T>(path: string, read: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  let file;
  try {
    checkFolder(dirname(path));
    file = await openRegularLater(path);
  } catch (error) {
    if (isExhaustion(error)) throw error;
    return undefined;
  }
  try {
    return await read(file);
  } finally {
    await file.close();
  }
}
