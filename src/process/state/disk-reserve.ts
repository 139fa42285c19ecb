/**
 * A small reserve of disk space for the start of a server: on a full disk it could not even take its lock, and no
 * client could use it to free space.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { statfsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isDiskFull } from '../../base/files/disk-full.ts';
import { createFile, statFile } from '../../base/files/untrusted-file.ts';
import { Trash } from './trash.ts';

/** Enough for a start and for deleting jobs: both write a few files of one block each. */
const sizeBytes = 256 * 1024;
/** Free space needed to make the reserve, which must not be what fills the disk. */
const minFreeBytes = 4 * sizeBytes;

/** Makes the reserve if it is missing and the disk has room. @throws the system's error. */
export function keepReserve(stateDir: string): void {
  const path = reserveIn(stateDir);
  if (statFile(path)?.size === sizeBytes) return;
  const { bavail, bsize } = statfsSync(stateDir);
  if (bavail * bsize < minFreeBytes) return;
  const trash = new Trash(stateDir);
  if (statFile(path) !== undefined) void trash.clear(trash.put(path));
    // Random bytes: a compressing file system would store zeros in almost no space.
  createFile(path, randomBytes(sizeBytes));
}

/** Runs `act`; if the disk is full, deletes the reserve and runs it once more. */
export function withReserve<T>(stateDir: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    // Anything else than a file was put there by a job: it is not the reserve.
    if (!isDiskFull(error) || statFile(reserveIn(stateDir))?.isFile() !== true) throw error;
    unlinkSync(reserveIn(stateDir));
    return act();
  }
}

function reserveIn(stateDir: string): string {
  return join(stateDir, 'reserve');
}
