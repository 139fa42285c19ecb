/**
 * Counts wrong keys by the address that they came from.
 * @module
 */

interface Attempt {
  count: number;
  at: number;
  held: number;
}

const maxAddresses = 10_000;
/** After so long without another half of the count is forgiven. */
const halfLifeMs = 60_000;

export class Attempts {
  readonly #now: () => number;
  /** In order of their last attempt. */
  readonly #byAddress = new Map<string, Attempt>();
  heldAltogether = 0;

  constructor(options: { now: () => number }) {
    this.#now = options.now;
  }

  /** One more. @returns how many count by now, at least 1. */
  count(address: string): number {
    const name = networkOf(address);
    const now = this.#now();
    const before = this.#byAddress.get(name) ?? { count: 0, at: now, held: 0 };
    const halvings = Math.floor(Math.max(0, now - before.at) / halfLifeMs);
    const attempt = { count: Math.floor(before.count / 2 ** halvings) + 1, at: now, held: before.held };
    this.#byAddress.delete(name);
    this.#byAddress.set(name, attempt);
    this.#forget();
    return attempt.count;
  }

  held(address: string): number {
    return this.#byAddress.get(networkOf(address))?.held ?? 0;
  }

  /** @param change 1 where an answer begins to be held back, -1 where it no longer is. */
  hold(address: string, change: 1 | -1): void {
    this.heldAltogether += change;
    const attempt = this.#byAddress.get(networkOf(address));
    if (attempt) attempt.held = Math.max(0, attempt.held + change);
  }

  #forget(): void {
    const [oldest] = this.#byAddress.keys();
    if (this.#byAddress.size > maxAddresses && oldest !== undefined) this.#byAddress.delete(oldest);
  }
}

/** One client has a whole /64 of IPv6 to itself. */
function networkOf(address: string): string {
  if (address.startsWith('::ffff:')) return address.slice(7);
  if (!address.includes(':')) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0');
  return [...groups, ...zeros, ...rest].slice(0, 4).join(':');
}
