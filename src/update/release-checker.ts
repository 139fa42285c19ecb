/**
 * Asks the update source for releases, and remembers the answer.
 * @module
 */
import type { UpdateState } from '../protocol/updates.ts';
import { classifyFailure } from './classify-failure.ts';
import type { Release, Source } from './sources/source.ts';
import { compareVersions } from './versions/semver.ts';

export interface ReleaseCheckerOptions {
  readonly source: Source;
  /** The version that runs. */
  readonly current: string;
  /** Unix seconds. */
  readonly now: () => number;
  /** Aborts every look-up. */
  readonly signal: AbortSignal;
}

export class ReleaseChecker {
  readonly #options: ReleaseCheckerOptions;
  #asking: Promise<Release | undefined> | undefined;
  #available: UpdateState['available'] = null;
  #checkError: string | null = null;

  constructor(options: ReleaseCheckerOptions) {
    this.#options = options;
  }

  get available(): UpdateState['available'] {
    return this.#available;
  }

  /** Why the last look-up failed; `null` if it did not. */
  get checkError(): string | null {
    return this.#checkError;
  }

  /**
   * Resolves with the release that the source names, or with `undefined` if the look-up fails. Concurrent calls share
   * one look-up.
   */
  ask(): Promise<Release | undefined> {
    this.#asking ??= this.find(undefined, this.#options.signal)
      // The reason is kept in `checkError`.
      .catch(() => undefined)
      .finally(() => { this.#asking = undefined; });
    return this.#asking;
  }

  /** @throws What {@link Source.find} throws, or the signal's reason. */
  async find(version: string | undefined, signal: AbortSignal): Promise<Release> {
    try {
      signal.throwIfAborted();
      const release = await this.#options.source.find({ version }, { signal });
      signal.throwIfAborted();
      if (version === undefined) this.#found(release);
      return release;
    } catch (error) {
      signal.throwIfAborted();
      if (version === undefined) this.#checkError = classifyFailure(error).reason;
      throw error;
    }
  }

  #found({ version }: Release): void {
    const { current, now } = this.#options;
    this.#checkError = null;
    this.#available = { version, isNewer: compareVersions(version, current) > 0, checkedAt: now() };
  }
}
