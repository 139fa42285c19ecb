/**
 * What server and holder say to each other: frames of four bytes of length, one of kind, and the payload. Pure.
 *
 * Both ends may be of different versions, as terminals outlive updates: kinds that are not known are passed over, and fields are only ever added.
 * @module
 */
import { fieldsOf, integer, number, oneOf, type Parser } from '../base/parse.ts';
import { type JsonBounds, parseWithin } from '../base/untrusted-json.ts';
import { type TerminalReason, terminalReasons } from '../protocol/terminals.ts';

/** The server's: what it wants of the holder. */
export type Asked =
  /** Comes first, and says which terminal all that follows is for. Servers of before do not send it. */
  | { readonly kind: 'to'; readonly terminalId: string }
  /** The output from the offset `after` on (default: what is kept), then as it comes. `isDeciding`: it types, has a say in the size, and may hold the program back. */
  | {
    readonly kind: 'attach'; readonly after: number | null; readonly isDeciding: boolean; readonly isOwner: boolean;
    /** The state of the terminal comes before output that begins in the middle; without it, and from servers of before, only output. */
    readonly withState?: boolean;
  }
  /** To be told of changes alone. */
  | { readonly kind: 'watch' }
  | { readonly kind: 'resize'; readonly cols: number; readonly rows: number }
  /** Answered with `done` once all that was asked before has been. */
  | { readonly kind: 'sync' }
  | { readonly kind: 'end'; readonly reason: TerminalReason; readonly graceMs: number };

/** The holder's. */
export type Told =
  | { readonly kind: 'attached'; readonly offset: number; readonly end: number; readonly cols: number; readonly rows: number }
  | { readonly kind: 'skipped'; readonly bytes: number; readonly offset: number }
  | { readonly kind: 'state'; readonly cols: number; readonly rows: number; readonly attached: number; readonly lastActivityAt: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'exit'; readonly exitCode: number; readonly reason: TerminalReason };

/** Bytes as they are, one way or the other: what is typed, what is shown. */
export interface Bytes {
  readonly kind: 'bytes';
  readonly bytes: Buffer;
}

export type Frame<T> = Bytes | T;

const headBytes = 5;
const kinds = { bytes: 1, json: 2 } as const;
/** No frame that either of them sends is longer. */
const longestFrame = 16 * 2 ** 20;
/** A message has at most seven fields. A job can put a socket of its own in the place of the holder's. */
const messageBounds: JsonBounds = { maxBytes: 65_536, maxTokens: 1000 };

const offset = integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const side = integer({ min: 1, max: 65_535 });

const toldParsers = new Map<unknown, Parser<Told>>([
  ['attached', fieldsOf({ kind: oneOf('attached'), offset, end: offset, cols: side, rows: side })],
  ['skipped', fieldsOf({ kind: oneOf('skipped'), bytes: offset, offset })],
  ['state', fieldsOf({
    kind: oneOf('state'), cols: side, rows: side, attached: offset, lastActivityAt: number({ min: 0, max: 2 ** 40 }),
  })],
  ['done', fieldsOf({ kind: oneOf('done') })],
  ['exit', fieldsOf({ kind: oneOf('exit'), exitCode: integer({ min: -1, max: 255 }), reason: oneOf(...terminalReasons) })],
]);

/** A message of a holder, or of a socket that a job has put in its place. @returns `undefined`: a later version says it. @throws ParseError. */
export function parseTold(value: unknown): Told | undefined {
  const kind = (value as { readonly kind?: unknown } | null)?.kind;
  return toldParsers.get(kind)?.(value, 'the message');
}

/** The head of a frame of bytes: what it is about follows without being copied. */
export function bytesHead(length: number): Buffer {
  return head(kinds.bytes, length);
}

export function encode(message: Asked | Told): Buffer {
  const payload = Buffer.from(JSON.stringify(message));
  return Buffer.concat([head(kinds.json, payload.length), payload]);
}

function head(kind: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(kind, 4);
  return bytes;
}

/** Reads frames out of chunks as they come. Bytes are told as they arrive, also before their frame is whole. */
export class FrameReader<T extends Asked | Told> {
  #rest: Buffer = Buffer.alloc(0);
  /** What is still to come of a frame of bytes, or of one whose kind is not known. */
  #bytesLeft = 0;
  #isPassedOver = false;
  readonly #parse: (message: unknown) => T | undefined;

  /** @param parse Checks a message; `undefined`: it is passed over. Default: nothing is checked. */
  constructor(parse: (message: unknown) => T | undefined = (message) => message as T) {
    this.#parse = parse;
  }

  /** @throws Error where it is no stream of frames. */
  read(chunk: Buffer): Frame<T>[] {
    const frames: Frame<T>[] = [];
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (this.#bytesLeft > 0) {
        if (bytes.length === 0) break;
        const part = bytes.subarray(0, this.#bytesLeft);
        this.#bytesLeft -= part.length;
        if (!this.#isPassedOver) frames.push({ kind: 'bytes', bytes: part });
        bytes = bytes.subarray(part.length);
        continue;
      }
      if (bytes.length < headBytes) break;
      const length = bytes.readUInt32BE(0);
      const kind = bytes.readUInt8(4);
      const longest = kind === kinds.json ? messageBounds.maxBytes : longestFrame;
      if (length > longest) throw new Error(`Cannot read a frame of ${length} bytes`);
      // Neither is gathered until it is whole.
      if (kind !== kinds.json) {
        this.#isPassedOver = kind !== kinds.bytes;
        this.#bytesLeft = length;
        bytes = bytes.subarray(headBytes);
        continue;
      }
      if (bytes.length < headBytes + length) break;
      const message = this.#parse(parseWithin(bytes.subarray(headBytes, headBytes + length), messageBounds, 'a frame'));
      if (message !== undefined) frames.push(message);
      bytes = bytes.subarray(headBytes + length);
    }
    this.#rest = bytes;
    return frames;
  }
}
