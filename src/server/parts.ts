/**
 * The parts of a server: what each domain adds to it. Parts are opened in order and closed in reverse.
 * @module
 */
import type { Log } from '../base/log.ts';
import { settlesWithin } from '../base/settles-within.ts';
import type { Route } from '../http/routing/route.ts';
import type { Gauge } from '../metrics/metrics.ts';
import type { Health } from '../protocol/health.ts';

export interface Part {
  readonly routes?: readonly Route[];
  /** Its fields of `GET /health` with the key. */
  readonly health?: () => Partial<Health>;
  readonly gauges?: readonly Gauge[];
  /** The server hands over: answers that wait are to be sent. */
  readonly endWaits?: () => void;
  /** The server stops: nothing more is to be started. Called before the connections are closed. */
  readonly beginClose?: () => void;
}

interface Closer {
  readonly name: string;
  readonly close: () => Promise<void> | void;
}

/** Each part bounds its own waits below this: a part that takes longer has a fault. */
const defaultCloseMs = 15_000;

export class Parts {
  readonly #parts: Part[] = [];
  readonly #closers: Closer[] = [];
  readonly #log: Log;
  readonly #closeMs: number;

  /** @param options.closeMs How long a part may take to close, in milliseconds. Default: 15,000. */
  constructor(log: Log, { closeMs = defaultCloseMs }: { readonly closeMs?: number } = {}) {
    this.#log = log;
    this.#closeMs = closeMs;
  }

  add(part: Part): void {
    this.#parts.push(part);
  }

  /**
   * Registers what is to be released at the end, the last one first: at once where something is opened.
   *
   * @param name For the log, where it fails or takes too long.
   */
  onClose(name: string, close: Closer['close']): void {
    this.#closers.push({ name, close });
  }

  get routes(): Route[] {
    return this.#parts.flatMap(({ routes = [] }) => routes);
  }

  get gauges(): Gauge[] {
    return this.#parts.flatMap(({ gauges = [] }) => gauges);
  }

  health(): Partial<Health> {
    return Object.assign({}, ...this.#parts.map(({ health }) => health?.() ?? {})) as Partial<Health>;
  }

  endWaits(): void {
    for (const { endWaits } of this.#parts) endWaits?.();
  }

  beginClose(): void {
    for (const { beginClose } of this.#parts) beginClose?.();
  }

  /** Closes all parts. One that fails, or takes too long, is logged: the others are closed all the same. */
  async close(): Promise<void> {
    for (const closer of this.#closers.splice(0).reverse()) await this.#close(closer);
  }

  async #close({ name, close }: Closer): Promise<void> {
    const limitMs = this.#closeMs;
    try {
      const isClosed = await settlesWithin(Promise.resolve(close()), limitMs);
      if (!isClosed) this.#log.error('cannot close a part in time', { part: name, limitMs });
    } catch (error) {
      this.#log.error('cannot close a part', { part: name, error });
    }
  }
}
