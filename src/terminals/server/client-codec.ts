/**
 * The messages between a client and the server on the WebSocket of a terminal. Pure.
 *
 * Output is text, never cut within a character, or bytes under `sidecar.v1`. Every other message of the server is text
 * that begins with NUL. So that no program can forge one, a text message of output never begins with NUL, which
 * terminals do not show anyway.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import { type ClientMessage, parseClientMessage, type ServerMessage } from '../../protocol/terminals.ts';

export class ClientCodec {
  readonly #isBinary: boolean;
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** @param options.isBinary The subprotocol is `sidecar.v1`: output, and input that is not JSON, are bytes. */
  constructor(options: { readonly isBinary: boolean }) {
    this.#isBinary = options.isBinary;
  }

  /** Parses a message of the client; returns an `error` to answer with if it is invalid. */
  read(
    message: string | Buffer,
  ): ClientMessage | { readonly type: 'bytes'; readonly bytes: Buffer } | Extract<ServerMessage, { type: 'error' }> {
    if (typeof message !== 'string') {
      return this.#isBinary
        ? { type: 'bytes', bytes: message }
        : { type: 'error', message: 'Cannot read message: expected text, received bytes' };
    }
    try {
      return parseClientMessage(message);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      return { type: 'error', message: error.message };
    }
  }

  /** Encodes output for sending; `undefined` while there is only a part of a character. */
  output(bytes: Buffer): string | Buffer | undefined {
    if (this.#isBinary) return bytes.length === 0 ? undefined : bytes;
    return printableText(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What remains of an incomplete character. */
  rest(): string | undefined {
    if (this.#isBinary) return undefined;
    const text = printableText(this.#decoder.decode());
    this.#decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return text;
  }

  control(message: ServerMessage): string {
    return `\0${JSON.stringify(message)}`;
  }
}

function printableText(text: string): string | undefined {
  const visible = text.startsWith('\0') ? text.replace(/^\0+/, '') : text;
  return visible === '' ? undefined : visible;
}
