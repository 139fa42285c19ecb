/**
 * One server per state directory: the lock file names its owner by pid and start time, so that a lock left by a crash
 * does not block.
 * @module
 */
import { linkSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { errorCode } from '../../base/error-code.ts';
import { setAside } from '../../base/files/make-folder.ts';
import { createFile, readRegular } from '../../base/files/untrusted-file.ts';
import { fieldsOf, integer, optional, type Parser, text } from '../../base/parse.ts';
import { withReserve } from './disk-reserve.ts';
import { type Identity, identify, isAlive, isAliveNow } from '../identity.ts';

/** The content of the lock file. */
export interface LockOwner extends Identity {
  readonly version: string | undefined;
  /** The owner's address; absent until it listens. */
  readonly url: string | undefined;
  /** The process that supervises the owner; absent where it is not supervised. */
  readonly wrapperPid: number | undefined;
}

export const lockOwner: Parser<LockOwner> = fieldsOf({
  pid: integer({ min: 1, max: 2 ** 31 - 1 }),
  startTime: text(),
  version: optional(text()),
  url: optional(text()),
  wrapperPid: optional(integer({ min: 1, max: 2 ** 31 - 1 })),
});

/** Another process holds the lock. */
export class LockHeldError extends Error {
  override readonly name = 'LockHeldError';
  readonly owner: LockOwner;

  constructor(path: string, owner: LockOwner) {
    const where = owner.url === undefined ? '' : ` at ${owner.url}`;
    const who = basename(path) === 'wrapper.lock' ? 'wrapper' : 'server';
    super(`Cannot use ${path}: it is held by the ${who} with pid ${owner.pid}${where}`);
    this.owner = owner;
  }
}

export interface Lock {
  /** Writes the owner's address to the lock file. */
  announce(url: string): void;
  /** Writes the lock file again if it was removed. */
  renew(): void;
  release(): void;
}

const attempts = 200;
const maxLockBytes = 65_536;
const retryMs = 5;

/** @throws LockHeldError where the owner is alive. */
export async function acquireLock(
  path: string, version: string, { wrapperPid }: { wrapperPid?: number | undefined } = {},
): Promise<Lock> {
  const me = await identify(process.pid);
  if (!me) throw new Error('Cannot find out who this process is: is /proc mounted, or ps installed?');
  let owner: LockOwner = { ...me, version, url: undefined, wrapperPid };
  for (let attempt = 0; !tryTake(path, owner); attempt += 1) {
    const holder = readOwner(path);
    if (holder !== undefined && await isAlive(holder)) throw new LockHeldError(path, holder);
    if (attempt === attempts) throw new Error(`Cannot use ${path}: others keep taking it`);
    discard(path, holder, owner);
    await sleep(retryMs);
  }
  return {
    announce(url) {
      owner = { ...owner, url };
      replaceFile(path, JSON.stringify(owner));
    },
    renew() {
      if (readOwner(path) === undefined) replaceFile(path, JSON.stringify(owner));
    },
    release() {
      const holder = readOwner(path);
      if (holder?.pid === owner.pid && holder.startTime === owner.startTime) rmSync(path, { force: true });
    },
  };
}

/** The owner in the lock file, alive or not; `undefined` where there is no lock file or it cannot be parsed. */
export function readOwner(path: string): LockOwner | undefined {
  try {
    return lockOwner(JSON.parse(readRegular(path, maxLockBytes).toString()), path);
  } catch {
    return undefined;
  }
}

/** Creates the file together with its content: link(2) fails where the path exists. */
function tryTake(path: string, owner: LockOwner): boolean {
  const beside = `${path}.${owner.pid}`;
  withReserve(dirname(path), () => {
    // An earlier process with the same pid may have left it.
    clear(beside);
    createFile(beside, JSON.stringify(owner));
  });
  try {
    linkSync(beside, path);
    return true;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(beside, { force: true });
  }
}

/**
 * Removes a lock whose owner is gone. Of several processes that try, one at a time may, and it reads the lock again
 * first: a stale lock may have been replaced by a new one meanwhile.
 */
function discard(path: string, stale: LockOwner | undefined, me: LockOwner): void {
  const right = `${path}.${
    stale === undefined ? 'unreadable' : `${stale.pid}-${stale.startTime.replaceAll(/\W/g, '')}`
  }.stale`;
  if (!tryTake(right, me)) {
    const other = readOwner(right);
    // The other process ended before it removed its file.
    if (other === undefined || !isAliveNow(other)) clear(right);
    return;
  }
  try {
    const now = readOwner(path);
    if (now?.pid === stale?.pid && now?.startTime === stale?.startTime) clear(path);
  } finally {
    rmSync(right, { force: true });
  }
}

/** Sets a directory aside, as it may hold anything; removes a file. */
function clear(path: string): void {
  setAside(path, (stats) => stats.isDirectory());
  rmSync(path, { force: true });
}
