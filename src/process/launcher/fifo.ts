/**
 * Writes to FIFOs, drains them, and finds which processes have them open, without ever waiting.
 * @module
 */
import { closeSync, fstatSync, readdirSync, readSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import { checkFolder, isUnreadable, openFifo } from '../../base/files/untrusted-file.ts';

/** The result of a write to a FIFO. */
export type FifoWrite = { readonly writtenBytes: number } | 'closed' | 'full';

/**
 * Writes what fits. `closed`: no process has the FIFO open for reading, or something else stands in its place or in
 * that of its directory. `full`: not even one byte fits. Up to 4096 bytes (PIPE_BUF, pipe(7)) are written in whole or
 * not at all.
 */
export function writeFifo(path: string, bytes: Uint8Array): FifoWrite {
  let fd: number;
  try {
    checkFolder(dirname(path));
    fd = openFifo(path, 'write');
  } catch (error) {
    // ENXIO: no reader (open(2)).
    if (errorCode(error) === 'ENXIO' || isUnreadable(error)) return 'closed';
    throw error;
  }
  try {
    return { writtenBytes: writeSync(fd, bytes) };
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EAGAIN') return 'full';
    if (code === 'EPIPE') return 'closed';
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** More than a FIFO holds by default (pipe(7)). */
const longestRest = 2 ** 20;

/** Discards what was written and not read, and returns its length in bytes; 0 where the FIFO is gone. */
export function drainFifo(path: string): number {
  let fd: number;
  try {
    checkFolder(dirname(path));
    fd = openFifo(path, 'both');
  } catch {
    return 0;
  }
  try {
    return readSync(fd, Buffer.allocUnsafe(longestRest));
  } catch {
    // EAGAIN: nothing is left.
    return 0;
  } finally {
    closeSync(fd);
  }
}

/**
 * Whether a process has the file open that is open here as `fd`. `undefined`: the system does not tell; only Linux
 * does, and only for processes of the same user (proc(5), /proc/pid/fd).
 */
export function hasOpen(pid: number, fd: number): boolean | undefined {
  const own = fstatSync(fd);
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((number) => {
      const stats = statSync(`${folder}/${number}`, { throwIfNoEntry: false });
      return stats?.ino === own.ino && stats.dev === own.dev;
    });
  } catch {
    return undefined;
  }
}
