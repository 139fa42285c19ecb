/**
 * Where the key lives: the environment, or a file in the state directory that only its owner can read.
 * @module
 */
import type { Log } from '../base/log.ts';

export interface Keys {
  /** The newest key. */
  readonly current: string;
  /** Where it came from. `made`: this call made the file. */
  readonly origin: 'environment' | 'file' | 'made';
  /** Whether it is a key that holds now: the newest, or an older one within its grace. Takes the same time whatever it is. */
  accepts(presented: string): boolean;
}

/**
 * Finds the key: `environmentKey`, else the file `api-key` in the state directory, else a new one kept there.
 * Afterwards the file is looked at when keys are used, at most once a second, and before a key is refused.
 *
 * @throws Error that says what to do: the file is a link, is not ours, can be read by others, or holds no key.
 */
export async function openKeys(options: {
  stateDir: string; environmentKey?: string | undefined; log?: Log; now?: () => number;
}): Promise<Keys> {
  throw new Error(`not written yet: ${options.stateDir}`);
}

/**
 * Replaces the key in the state directory. A running server notices within a second and accepts the old one for `graceMs` more.
 *
 * @throws Error that says what to do, as {@link openKeys}.
 */
export async function rotateKey(options: { stateDir: string; graceMs: number; now?: () => number }): Promise<{
  readonly key: string;
  /** Until when the old key holds, in milliseconds since 1970; absent where there was none or the grace is 0. */
  readonly previousUntil?: number;
}> {
  throw new Error(`not written yet: ${options.stateDir}`);
}
