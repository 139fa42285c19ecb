/**
 * A little of the disk that is kept for the start of a server: on a full disk one could not even take its lock, and
 * through it nobody could make room.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { statfsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isDiskFull } from '../base/disk-full.ts';
import { createFile, statFile } from '../base/untrusted-file.ts';
import { Trash } from './trash.ts';

/** Enough for a start and for deleting jobs: both write a few files of a block each. */
const sizeBytes = 256 * 1024;
/** The disk has so much when it is made: it must not be what fills it. */
const minFreeBytes = 4 * sizeBytes;

/** Makes the reserve where it is missing and the disk has the room. @throws the system's error. */
export function keepReserve(stateDir: string): void {
  const path = reserveIn(stateDir);
  if (statFile(path)?.size === sizeBytes) return;
  const { bavail, bsize } = statfsSync(stateDir);
  if (bavail * bsize < minFreeBytes) return;
  const trash = new Trash(stateDir);
  if (statFile(path) !== undefined) void trash.clear(trash.put(path));
  // No zeros: a file system that compresses would keep next to nothing for them.
  createFile(path, randomBytes(sizeBytes));
}

/** Does what needs a little room; where there is none, once more with that of the reserve. */
export function withReserve<T>(stateDir: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    // What a job has put in its place is no reserve.
    if (!isDiskFull(error) || statFile(reserveIn(stateDir))?.isFile() !== true) throw error;
    unlinkSync(reserveIn(stateDir));
    return act();
  }
}

function reserveIn(stateDir: string): string {
  return join(stateDir, 'reserve');
}
