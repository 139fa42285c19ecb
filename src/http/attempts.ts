/**
 * Counts wrong keys by their source, and says for how long no further key of a source is looked at.
 * @module
 */
import { createHmac, randomBytes } from 'node:crypto';

interface Attempt {
  count: number;
  at: number;
  blockedUntil: number;
  /** Answers held back. */
  held: number;
  /** Digests of the wrong keys that came last. */
  readonly guesses: string[];
}

const maxSources = 10_000;
/** After this time half of the count is forgiven. */
const halfLifeMs = 600_000;
/** Wrong keys that cost no more than a late answer. */
const freeGuesses = 5;
const firstBlockMs = 1_000;
/**
 * The longest penalty. A client that shares its source with one that guesses waits no longer than this for a chance; with keys of 16
 * characters and more, a guess a minute is none.
 */
const longestBlockMs = 60_000;
const rememberedGuesses = 8;

export class Attempts {
  readonly #now: () => number;
  readonly #salt = randomBytes(16);
  /** In order of their last attempt. */
  readonly #bySource = new Map<string, Attempt>();
  heldAltogether = 0;

  /** @param options.now Milliseconds. */
  constructor(options: { now: () => number }) {
    this.#now = options.now;
  }

  /** Milliseconds until the next key of this source is looked at; 0: at once. What is refused meanwhile makes it no longer. */
  blockedMs(source: string): number {
    return Math.max(0, (this.#bySource.get(source)?.blockedUntil ?? 0) - this.#now());
  }

  /**
   * One more wrong key. The same one again counts once: a client that was left with an old key guesses nothing, and must not shut out
   * others behind its address.
   *
   * @returns how many count by now, at least 1.
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

  /** @param change 1 where an answer begins to be held back, -1 where it no longer is. */
  hold(source: string, change: 1 | -1): void {
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
