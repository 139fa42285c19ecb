/**
 * Messages that came over a WebSocket and wait to be read.
 * @module
 */

export interface SocketCall {
  /** The path below the base address, segments encoded. */
  readonly path: string;
  readonly query: { readonly [name: string]: string | number | boolean | undefined };
  readonly protocol: string;
  readonly signal: AbortSignal;
}

/** How the connection ended: RFC 6455 §7.1.5. */
export interface SocketEnd {
  readonly code: number;
  readonly reason: string;
  /** The other side announced the close, after all that it had to send. */
  readonly isClean: boolean;
}

export interface Socket {
  /** Yields each message, and returns how the connection ended. */
  readonly messages: AsyncGenerator<string | Uint8Array, SocketEnd, undefined>;
  send(data: string | Uint8Array): void;
  close(): void;
  /** Ends the connection at once. */
  terminate(): void;
}

export class SocketInbox {
  readonly #flow: { readonly pause: () => void; readonly resume: () => void };
  #waiting: (string | Uint8Array)[] = [];
  #end: SocketEnd | undefined;
  #wake: () => void = () => undefined;

  /** @param flow Makes the other side wait, where that is possible. */
  constructor(flow: { readonly pause: () => void; readonly resume: () => void }) {
    this.#flow = flow;
  }

  push(message: string | Uint8Array): void {
    this.#waiting.push(message);
    this.#flow.pause();
    this.#wake();
  }

  end(end: SocketEnd): void {
    this.#end ??= end;
    this.#wake();
  }

  async *messages(): AsyncGenerator<string | Uint8Array, SocketEnd, undefined> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        yield message;
        continue;
      }
      if (this.#end) return this.#end;
      const woken = new Promise<void>((resolve) => { this.#wake = resolve; });
      this.#flow.resume();
      await woken;
    }
  }
}
