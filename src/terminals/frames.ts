/**
 * The messages between server and holder: frames of four bytes of length, one byte of kind, and the payload. Pure.
 *
 * Both ends may be of different versions, as terminals outlive updates: unknown kinds are skipped, and fields are only
 * ever added.
 * @module
 */
import { fieldsOf, integer, number, oneOf, type Parser } from '../base/parse.ts';
import { type JsonBounds, parseWithin } from '../base/files/untrusted-json.ts';
import { type TerminalReason, terminalReasons } from '../protocol/terminals.ts';

/** Requests of the server. */
export type HolderCommand =
  /** Comes first and names the terminal that the following messages are for. Earlier servers do not send it. */
  | { readonly kind: 'to'; readonly terminalId: string }
  /**
   * Requests the output from the offset `after` (`null`: what is kept), then live. `isDeciding`: the client may type,
   * its size counts, and the program waits for it.
   */
  | {
    readonly kind: 'attach'; readonly after: number | null; readonly isDeciding: boolean; readonly isOwner: boolean;
    /**
     * Requests the state of the terminal before output that does not begin at the start; otherwise, and from earlier
     * servers, output alone.
     */
    readonly withState?: boolean;
  }
  /** Requests only state changes. */
  | { readonly kind: 'watch' }
  | { readonly kind: 'resize'; readonly cols: number; readonly rows: number }
  /** Answered with `done` once all earlier requests are done. */
  | { readonly kind: 'sync' }
  | { readonly kind: 'end'; readonly reason: TerminalReason; readonly graceMs: number };

/** Messages of the holder. */
export type HolderEvent =
  | {
    readonly kind: 'attached'; readonly offset: number; readonly end: number;
    readonly cols: number; readonly rows: number
  }
  | { readonly kind: 'skipped'; readonly bytes: number; readonly offset: number }
  | {
    readonly kind: 'state'; readonly cols: number; readonly rows: number;
    readonly attached: number; readonly lastActivityAt: number
  }
  | { readonly kind: 'done' }
  | { readonly kind: 'exit'; readonly exitCode: number; readonly reason: TerminalReason };

/** Raw bytes: input in one direction, output in the other. */
export interface Bytes {
  readonly kind: 'bytes';
  readonly bytes: Buffer;
}

export type Frame<T> = Bytes | T;

const headBytes = 5;
const kinds = { bytes: 1, json: 2 } as const;
/** Longer than any frame that either end sends. */
const longestFrame = 16 * 2 ** 20;
/** A message has at most seven fields. The bounds matter because a job can replace the holder's socket by its own. */
const messageBounds: JsonBounds = { maxBytes: 65_536, maxTokens: 1000 };

const offset = integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const side = integer({ min: 1, max: 65_535 });

const toldParsers = new Map<unknown, Parser<HolderEvent>>([
  ['attached', fieldsOf({ kind: oneOf('attached'), offset, end: offset, cols: side, rows: side })],
  ['skipped', fieldsOf({ kind: oneOf('skipped'), bytes: offset, offset })],
  ['state', fieldsOf({
    kind: oneOf('state'), cols: side, rows: side, attached: offset, lastActivityAt: number({ min: 0, max: 2 ** 40 }),
  })],
  ['done', fieldsOf({ kind: oneOf('done') })],
  ['exit', fieldsOf({
    kind: oneOf('exit'), exitCode: integer({ min: -1, max: 255 }), reason: oneOf(...terminalReasons),
  })],
]);

/**
 * Parses a message of a holder, or of a socket that a job has put in its place.
 *
 * @returns `undefined` for a message of a later version.
 * @throws ParseError.
 */
export function parseHolderEvent(value: unknown): HolderEvent | undefined {
  const kind = (value as { readonly kind?: unknown } | null)?.kind;
  return toldParsers.get(kind)?.(value, 'the message');
}

/** The head of a frame of bytes; the payload follows without being copied. */
export function bytesHead(length: number): Buffer {
  return head(kinds.bytes, length);
}

export function encode(message: HolderCommand | HolderEvent): Buffer {
  const payload = Buffer.from(JSON.stringify(message));
  return Buffer.concat([head(kinds.json, payload.length), payload]);
}

function head(kind: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(kind, 4);
  return bytes;
}

/** Reads frames from chunks. Bytes are passed on as they arrive, also before their frame is complete. */
export class FrameReader<T extends HolderCommand | HolderEvent> {
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes still to come of a frame of bytes or of unknown kind. */
  #bytesLeft = 0;
  #isPassedOver = false;
  readonly #parse: (message: unknown) => T | undefined;

  /** @param parse Checks a message; `undefined`: the message is skipped. Default: no check. */
  constructor(parse: (message: unknown) => T | undefined = (message) => message as T) {
    this.#parse = parse;
  }

  /** @throws Error where the chunk is not part of a stream of frames. */
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
      // Frames of bytes and of unknown kinds are not buffered.
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
