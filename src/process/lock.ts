/**
 * One server per state directory: a file that names its owner by pid and start time, so that one left by a crash is no obstacle.
 * @module
 */
import { linkSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { replaceFile } from '../base/atomic-file.ts';
import { setAside } from '../base/make-folder.ts';
import { createFile, readRegular } from '../base/untrusted-file.ts';
import { fieldsOf, integer, optional, type Parser, text } from '../base/parse.ts';
import { withReserve } from './disk-reserve.ts';
import { type Identity, identify, isAlive, isAliveNow } from './identity.ts';

/** What the file holds. */
export interface LockOwner extends Identity {
  readonly version: string | undefined;
  /** Where it can be reached; absent until it listens. */
  readonly url: string | undefined;
  /** The process that supervises it; absent where there is none. */
  readonly wrapperPid: number | undefined;
}

export const lockOwner: Parser<LockOwner> = fieldsOf({
  pid: integer({ min: 1, max: 2 ** 31 - 1 }),
  startTime: text(),
  version: optional(text()),
  url: optional(text()),
  wrapperPid: optional(integer({ min: 1, max: 2 ** 31 - 1 })),
});

/** Somebody else holds the lock. */
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
  /** Says where the owner can be reached. */
  announce(url: string): void;
  /** Puts the file back where somebody removed it. */
  renew(): void;
  release(): void;
}

const attempts = 200;
const maxLockBytes = 65_536;
const retryMs = 5;

/** @throws LockHeldError where its owner is alive. */
export async function acquireLock(path: string, version: string, { wrapperPid }: { wrapperPid?: number | undefined } = {}): Promise<Lock> {
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

/** Who holds the lock, alive or not; `undefined` where nobody does or the file is none of ours. */
export function readOwner(path: string): LockOwner | undefined {
  try {
    return lockOwner(JSON.parse(readRegular(path, maxLockBytes).toString()), path);
  } catch {
    return undefined;
  }
}

/** The file appears with its content: link(2) fails where there is one. */
function tryTake(path: string, owner: LockOwner): boolean {
  const beside = `${path}.${owner.pid}`;
  withReserve(dirname(path), () => {
    // Left by an earlier process of that pid.
    clear(beside);
    createFile(beside, JSON.stringify(owner));
  });
  try {
    linkSync(beside, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(beside, { force: true });
  }
}

/**
 * Takes away a lock whose owner is gone. Of many that would do so one at a time may, and looks again first: what was a stale lock a moment
 * ago may be somebody's by now.
 */
function discard(path: string, stale: LockOwner | undefined, me: LockOwner): void {
  const right = `${path}.${stale === undefined ? 'unreadable' : `${stale.pid}-${stale.startTime.replaceAll(/\W/g, '')}`}.stale`;
  if (!tryTake(right, me)) {
    const other = readOwner(right);
    // It ended in the middle.
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

/** A directory may hold anything: it is set aside. */
function clear(path: string): void {
  setAside(path, (stats) => stats.isDirectory());
  rmSync(path, { force: true });
}
