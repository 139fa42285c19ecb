/**
 * Counts wrong keys per source, and determines how long keys of a source are refused unchecked.
 * @module
 */
import { createHmac, randomBytes } from 'node:crypto';

interface Attempt {
  count: number;
  at: number;
  blockedUntil: number;
  /** How many answers are being delayed. */
  held: number;
  /** Digests of the latest wrong keys. */
  readonly guesses: string[];
}

const maxSources = 10_000;
/** Time after which the count is halved. */
const halfLifeMs = 600_000;
/** Number of wrong keys without a block: their answers are only delayed. */
const freeGuesses = 5;
const firstBlockMs = 1_000;
/**
 * The longest block. A client that shares its source with one that guesses waits no longer than this; with keys of 16
 * characters and more, one guess a minute has no chance.
 */
const longestBlockMs = 60_000;
const rememberedGuesses = 8;

export class FailedAttempts {
  readonly #now: () => number;
  readonly #salt = randomBytes(16);
  /** Ordered by the last attempt. */
  readonly #bySource = new Map<string, Attempt>();
  heldAltogether = 0;

  /** @param options.now Milliseconds. */
  constructor(options: { now: () => number }) {
    this.#now = options.now;
  }

  /**
   * Milliseconds until a key of this source is checked again; 0: at once. Attempts during the block do not extend it.
   */
  blockedMs(source: string): number {
    return Math.max(0, (this.#bySource.get(source)?.blockedUntil ?? 0) - this.#now());
  }

  /**
   * Counts a wrong key. The same key counts once: a client with an outdated key does not guess, and must not block
   * other clients behind its address.
   *
   * @returns the current count, at least 1.
   */
  count(source: string, guess: string): number {
    const now = this.#now();
    const before = this.#bySource.get(source) ?? { count: 0, at: now, blockedUntil: 0, held: 0, guesses: [] };
    const digest = createHmac('sha256', this.#salt).update(guess).digest('base64url');
    if (before.guesses.includes(digest)) return Math.max(1, before.count);
    const halvings = Math.floor(Math.max(0, now - before.at) / halfLifeMs);
    const count = Math.floor(before.count / 2 ** halvings) + 1;
    const guesses = [...before.guesses, digest].slice(-rememberedGuesses);
    this.#bySource.delete(source);
    this.#bySource.set(source, { count, at: now, blockedUntil: now + blockMsOf(count), held: before.held, guesses });
    this.#forget();
    return count;
  }

  held(source: string): number {
    return this.#bySource.get(source)?.held ?? 0;
  }

  /** @param change 1 where an answer starts to be delayed, -1 where the delay ends. */
  countPending(source: string, change: 1 | -1): void {
    this.heldAltogether += change;
    const attempt = this.#bySource.get(source);
    if (attempt) attempt.held = Math.max(0, attempt.held + change);
  }

  #forget(): void {
    const [oldest] = this.#bySource.keys();
    if (this.#bySource.size > maxSources && oldest !== undefined) this.#bySource.delete(oldest);
  }
}

function blockMsOf(count: number): number {
  if (count <= freeGuesses) return 0;
  return Math.min(longestBlockMs, firstBlockMs * 2 ** Math.min(count - freeGuesses - 1, 20));
}
