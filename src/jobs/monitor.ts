/**
 * Looks at running jobs now and then: output beyond its limit, output that nobody was told of, the end of adopted jobs,
 * states that could not be written. Rests while there is nothing to look at.
 * @module
 */
import type { Entry } from './entry.ts';
import type { Runner } from './runner.ts';
import type { Watches } from './watch.ts';

const tickMs = 100;
/** The longest that a job goes unseen. */
const slowestLookMs = 2000;
/** No job is assumed to write faster than this. */
const fastestBytesPerMs = 2_000_000;
const saveAgainMs = 1000;

export class Monitor {
  readonly #runner: Runner;
  readonly #watches: Watches;
  readonly #unsaved: () => Iterable<Entry>;
  readonly #nextLook = new WeakMap<Entry, number>();
  readonly #timer: NodeJS.Timeout;
  #nextSave = 0;

  constructor(options: { runner: Runner; watches: Watches; unsaved: () => Iterable<Entry> }) {
    this.#runner = options.runner;
    this.#watches = options.watches;
    this.#unsaved = options.unsaved;
    this.#timer = setInterval(() => this.#look(), tickMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    for (const entry of [...this.#runner.adopted]) this.#runner.lookAtAdopted(entry);
    for (const entry of this.#watches.entries) {
      if (this.#runner.measure(entry)) entry.changed();
    }
    for (const entry of this.#runner.running) {
      if ((this.#nextLook.get(entry) ?? 0) <= now) this.#lookAt(entry, now);
    }
    if (now < this.#nextSave) return;
    this.#nextSave = now + saveAgainMs;
    for (const entry of this.#unsaved()) this.#runner.saveAgain(entry);
  }

  #lookAt(entry: Entry, now: number): void {
    this.#runner.measure(entry);
    const leftBytes = entry.request.maxOutputBytes - entry.stdoutBytes - entry.stderrBytes;
    this.#nextLook.set(entry, now + Math.min(leftBytes / fastestBytesPerMs, slowestLookMs));
    if (leftBytes >= 0) return;
    this.#nextLook.set(entry, Number.POSITIVE_INFINITY);
    void this.#runner.end(entry, 'output_limit', { signal: 'SIGTERM', graceMs: entry.request.killGraceSeconds * 1000 });
  }
}
