/**
 * Hashes of files, for clients that compare a tree with their own.
 * @module
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { errorCode } from '../base/error-code.ts';
import { guard, readAt } from '../base/files/untrusted-file.ts';

/** A piece takes well under a millisecond of the event loop. */
const pieceBytes = 2 ** 18;

/**
 * The SHA-256 of a regular file, in hexadecimal.
 *
 * @param path A path that is not followed. @returns `undefined`: it has vanished, is no regular file any more, or may
 *   not be read.
 */
export async function sha256Of(path: string | Buffer): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | guard);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return undefined;
      const hash = createHash('sha256');
      // No more than there was: it may grow as fast as it is read.
      for (let at = 0; at < stats.size;) {
        const piece = await readAt(file, at, Math.min(pieceBytes, stats.size - at));
        if (piece.length === 0) break;
        hash.update(piece);
        at += piece.length;
      }
      return hash.digest('hex');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'EACCES', 'ENXIO'].includes(errorCode(error))) return undefined;
    throw error;
  }
}
