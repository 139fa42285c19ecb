/**
 * The parts of a server: what each domain adds to it. Parts are opened in order and closed in reverse.
 * @module
 */
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

export class Parts {
  readonly #parts: Part[] = [];
  readonly #closers: (() => Promise<void> | void)[] = [];

  add(part: Part): void {
    this.#parts.push(part);
  }

  /** Registers what is to be released at the end, the last one first: at once where something is opened. */
  onClose(closer: () => Promise<void> | void): void {
    this.#closers.push(closer);
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

  async close(): Promise<void> {
    for (const closer of this.#closers.splice(0).reverse()) await closer();
  }
}
