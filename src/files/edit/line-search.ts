/**
 * Finds lines in a file: by the one of them that is there least often, so that the work does not grow with the file for
 * each search.
 * @module
 */

/** How many lines all searches of a request may compare. */
export interface SearchWork {
  left: number;
}

export function searchWork(): SearchWork {
  return { left: 20_000_000 };
}

/** Lines that are nearly there too often. */
export class SearchLimitError extends Error {
  override readonly name = 'SearchLimitError';
}

/** Lines are numbered from 0. */
export class LineSearch {
  readonly #lines: readonly string[];
  readonly #work: SearchWork;
  readonly #places = new Map<string, number[]>();

  constructor(lines: readonly string[], work: SearchWork) {
    this.#lines = lines;
    this.#work = work;
    for (const [at, line] of lines.entries()) {
      const places = this.#places.get(line);
      if (places === undefined) this.#places.set(line, [at]);
      else places.push(at);
    }
  }

  /** Whether the lines are there. @throws SearchLimitError */
  isAt(wanted: readonly string[], start: number): boolean {
    if (start < 0 || start + wanted.length > this.#lines.length) return false;
    for (const [offset, line] of wanted.entries()) {
      this.#work.left -= 1;
      if (this.#lines[start + offset] !== line) return false;
    }
    if (this.#work.left < 0) throw new SearchLimitError();
    return true;
  }

  /** Where the lines are, the nearest to `expected` first. @param from Not before it. @throws SearchLimitError */
  *near(wanted: readonly string[], expected: number, from: number): Generator<number, void> {
    const [rarest, offset] = this.#rarest(wanted);
    let above = firstFrom(rarest, expected + offset);
    let below = above - 1;
    for (;;) {
      const [up, down] = [rarest[above], rarest[below]]
        .map((place) => (place === undefined ? undefined : place - offset));
      const isDownIn = down !== undefined && down >= from;
      if (up === undefined && !isDownIn) return;
      this.#work.left -= 1;
      if (this.#work.left < 0) throw new SearchLimitError();
      const isUp = up !== undefined && (!isDownIn || up - expected <= expected - down);
      const start = isUp ? up : down ?? 0;
      if (isUp) above += 1;
      else below -= 1;
      if (start >= from && this.isAt(wanted, start)) yield start;
    }
  }

  #rarest(wanted: readonly string[]): readonly [places: readonly number[], offset: number] {
    let best: readonly [readonly number[], number] | undefined;
    for (const [offset, line] of wanted.entries()) {
      const places = this.#places.get(line) ?? [];
      if (best === undefined || places.length < best[0].length) best = [places, offset];
    }
    return best ?? [[], 0];
  }
}

/** The index of the first one that is not below `least`. */
function firstFrom(sorted: readonly number[], least: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
