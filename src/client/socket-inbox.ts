/**
 * What came over a WebSocket and waits to be read.
 * @module
 */

export interface SocketCall {
  /** Below the base address, segments encoded. */
  readonly path: string;
  readonly query: { readonly [name: string]: string | number | boolean | undefined };
  readonly protocol: string;
  readonly signal: AbortSignal;
}

/** How it ended: RFC 6455 §7.1.5. */
export interface SocketEnd {
  readonly code: number;
  readonly reason: string;
  /** The other side said that it closes, after all that it had to say. */
  readonly isClean: boolean;
}

export interface Socket {
  /** Yields each message, and returns how it ended. */
  readonly messages: AsyncGenerator<string | Uint8Array, SocketEnd, undefined>;
  send(data: string | Uint8Array): void;
  close(): void;
  /** Ends it now. */
  terminate(): void;
}

export class SocketInbox {
  readonly #flow: { readonly pause: () => void; readonly resume: () => void };
  #waiting: (string | Uint8Array)[] = [];
  #end: SocketEnd | undefined;
  #wake: () => void = () => undefined;

  /** @param flow Has the other side wait, where that is possible. */
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
