/**
 * The key: from the environment, or from a file in the state directory that only its owner can read.
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { Log } from '../../base/log.ts';
import { fileMark, keyPath, keyPattern, previousPath, readPrivate, withKeyLock, writePrivate } from './key-files.ts';
import { type Secret, compareWith, secretOf } from './secret.ts';

export interface Keys {
  /** The newest key. */
  readonly current: string;
  /** The source of the key. `made`: this call made the file. */
  readonly origin: 'environment' | 'file' | 'made';
  /** Whether it is a valid key: the newest, or an older one within its grace period. Takes constant time. */
  accepts(presented: string): boolean;
}

/** A key that was replaced and is still valid. `expiresAt` is in milliseconds since 1970. */
interface PreviousKey {
  readonly key: string;
  readonly expiresAt: number;
}

const lookEveryMs = 1_000;
const maxPrevious = 16;

/**
 * Finds the key: `environmentKey`, else the file `api-key` in the state directory, else a new one that is stored there.
 * Afterwards the file is checked for changes when keys are used, at most once a second, and before a key is refused.
 *
 * @param options.environmentKey Empty counts as absent.
 * @param options.isWeakAllowed Whether the key may have fewer than 16 characters. Default false.
 * @throws Error that says what to do: the file is a link, is not ours, can be read by others, or holds no key.
 */
export async function openKeys(options: {
  stateDir: string; environmentKey?: string | undefined; isWeakAllowed?: boolean; log?: Log; now?: () => number;
}): Promise<Keys> {
  const { stateDir, environmentKey = '', isWeakAllowed = false, log, now = Date.now } = options;
  if (environmentKey !== '') return environmentKeys(environmentKey, isWeakAllowed);
  const before = readKey(stateDir);
  if (before === undefined) {
    // Another process may have made it by now.
    await withKeyLock(stateDir, () => readKey(stateDir) ?? writePrivate(keyPath(stateDir), `${makeKey()}\n`));
  }
  return new FileKeys({ stateDir, now, log, origin: before === undefined ? 'made' : 'file' });
}

/**
 * Replaces the key in the state directory. A running server notices it within a second and accepts the old key for
 * another `graceMs`. Earlier keys keep their own expiry.
 *
 * @throws Error that says what to do, as {@link openKeys}.
 */
export async function rotateKey(options: { stateDir: string; graceMs: number; now?: () => number }): Promise<{
  readonly key: string;
  /** When the old key expires, in milliseconds since 1970; absent where there was no key or the grace period is 0. */
  readonly previousUntil?: number;
}> {
  const { stateDir, graceMs, now = Date.now } = options;
  return withKeyLock(stateDir, () => {
    const old = readKey(stateDir);
    const key = makeKey();
    const expiresAt = now() + graceMs;
    const kept = readPrevious(stateDir).filter((entry) => entry.expiresAt > now() && entry.key !== old);
    const isKept = old !== undefined && graceMs > 0;
    const previous = isKept ? [...kept, { key: old, expiresAt }] : kept;
    // In this order: a process that reads in between finds the old key twice, never not at all.
    writePrivate(previousPath(stateDir), `${JSON.stringify({ keys: previous.slice(-maxPrevious) })}\n`);
    writePrivate(keyPath(stateDir), `${key}\n`);
    return { key, ...(isKept ? { previousUntil: expiresAt } : {}) };
  });
}

function environmentKeys(key: string, isWeakAllowed: boolean): Keys {
  if (!/^[\x21-\x7e]{1,1024}$/.test(key)) {
    throw new Error(
      'Cannot use the key in the environment: expected at most 1024 visible ASCII characters without spaces',
    );
  }
  if (!isWeakAllowed && !keyPattern.test(key)) {
    throw new Error('Cannot use the key in the environment: it has fewer than 16 characters and can be guessed; '
      + 'make one with "openssl rand -base64 32", or leave it out, and the server makes its own '
      + '(--allow-weak-key takes it all the same)');
  }
  const secret = secretOf(key);
  return { current: key, origin: 'environment', accepts: (presented) => compareWith(presented)(secret) };
}

class FileKeys implements Keys {
  readonly origin: 'file' | 'made';
  readonly #stateDir: string;
  readonly #now: () => number;
  readonly #log: Log | undefined;
  #current = '';
  #known: readonly { readonly secret: Secret; readonly expiresAt: number }[] = [];
  #mark = '';
  #lookedAt = 0;

  constructor(options: { stateDir: string; now: () => number; log: Log | undefined; origin: 'file' | 'made' }) {
    this.#stateDir = options.stateDir;
    this.#now = options.now;
    this.#log = options.log;
    this.origin = options.origin;
    this.#mark = this.#marks();
    this.#read();
  }

  get current(): string {
    this.#look();
    return this.#current;
  }

  accepts(presented: string): boolean {
    if (this.#now() - this.#lookedAt >= lookEveryMs) this.#look();
    if (this.#matches(presented)) return true;
    this.#look();
    return this.#matches(presented);
  }

  /** Compares with every key, even after a match. */
  #matches(presented: string): boolean {
    const now = this.#now();
    const isEqual = compareWith(presented);
    let isRight = false;
    for (const { secret, expiresAt } of this.#known) {
      if (isEqual(secret) && now < expiresAt) isRight = true;
    }
    return isRight;
  }

  /** Reads the files again if they changed. If one cannot be read, the earlier keys stay valid. */
  #look(): void {
    this.#lookedAt = this.#now();
    try {
      const mark = this.#marks();
      if (mark === this.#mark) return;
      this.#mark = mark;
      this.#read();
      this.#log?.info('the key was changed');
    } catch (error) {
      this.#log?.warn('the key cannot be read again, the one of before still holds', { error });
    }
  }

  #read(): void {
    const current = readKey(this.#stateDir);
    if (current === undefined) {
      throw new Error(`Cannot find ${keyPath(this.#stateDir)}: it was removed; "sidecar key rotate" makes a new one`);
    }
    const previous = readPrevious(this.#stateDir);
    this.#current = current;
    this.#known = [{ key: current, expiresAt: Infinity }, ...previous]
      .map(({ key, expiresAt }) => ({ secret: secretOf(key), expiresAt }));
  }

  #marks(): string {
    return `${fileMark(keyPath(this.#stateDir))} ${fileMark(previousPath(this.#stateDir))}`;
  }
}

function makeKey(): string {
  return randomBytes(32).toString('base64url');
}

function readKey(stateDir: string): string | undefined {
  const path = keyPath(stateDir);
  const key = readPrivate(path)?.replace(/\r?\n$/, '');
  if (key === undefined || keyPattern.test(key)) return key;
  throw new Error(
    `Cannot use ${path}: expected one line of 16 to 1024 visible characters; remove it, and a new key is made`,
  );
}

/** The earlier keys; empty where the file does not exist. @throws Error where it is damaged. */
function readPrevious(stateDir: string): PreviousKey[] {
  const path = previousPath(stateDir);
  const text = readPrivate(path);
  if (text === undefined) return [];
  try {
    const { keys } = JSON.parse(text) as { keys: PreviousKey[] };
    return keys.filter(({ key, expiresAt }) => keyPattern.test(key) && typeof expiresAt === 'number');
  } catch (error) {
    throw new Error(`Cannot use ${path}: it is damaged; remove it, and only the newest key holds`, { cause: error });
  }
}
