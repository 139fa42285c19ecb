/**
 * What a client and the server say to each other on the WebSocket of a terminal. Pure.
 *
 * Output is text that is never cut within a character, or bytes under `sidecar.v1`; all else that the server says is a text message with a
 * NUL in front. So that no program can say such a thing in its place, text of output never begins with NUL: that shows nothing anyway.
 * @module
 */
import { ParseError } from '../base/parse.ts';
import { type ClientMessage, parseClientMessage, type ServerMessage } from '../protocol/terminals.ts';

export class Dialogue {
  readonly #isBinary: boolean;
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** @param options.isBinary The subprotocol is `sidecar.v1`: output, and input that is not JSON, are bytes. */
  constructor(options: { readonly isBinary: boolean }) {
    this.#isBinary = options.isBinary;
  }

  /** What a message of the client means; an `error` to answer with where it means nothing. */
  read(message: string | Buffer): ClientMessage | { readonly type: 'bytes'; readonly bytes: Buffer } | Extract<ServerMessage, { type: 'error' }> {
    if (typeof message !== 'string') {
      return this.#isBinary ? { type: 'bytes', bytes: message } : { type: 'error', message: 'Cannot read message: expected text, received bytes' };
    }
    try {
      return parseClientMessage(message);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      return { type: 'error', message: error.message };
    }
  }

  /** Output as it is sent; `undefined`: nothing yet, as there is only a part of a character. */
  output(bytes: Buffer): string | Buffer | undefined {
    if (this.#isBinary) return bytes.length === 0 ? undefined : bytes;
    return shown(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What is left of a character that never became whole. */
  rest(): string | undefined {
    if (this.#isBinary) return undefined;
    const text = shown(this.#decoder.decode());
    this.#decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return text;
  }

  control(message: ServerMessage): string {
    return `\0${JSON.stringify(message)}`;
  }
}

function shown(text: string): string | undefined {
  const visible = text.startsWith('\0') ? text.replace(/^\0+/, '') : text;
  return visible === '' ? undefined : visible;
}
