/**
 * Writes into FIFOs without ever waiting.
 * @module
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';

/** How a write into a FIFO went; it never waits. */
export type FifoWrite = { readonly writtenBytes: number } | 'closed' | 'full';

/**
 * Writes what fits. `closed`: nobody has it open for reading. `full`: not even one byte fits.
 * Up to 4096 bytes (PIPE_BUF, pipe(7)) go in whole or not at all.
 */
export function writeFifo(path: string, bytes: Uint8Array): FifoWrite {
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    // ENXIO: no reader (open(2)). ENOENT: the job has ended.
    if (['ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return 'closed';
    throw error;
  }
  try {
    return { writtenBytes: writeSync(fd, bytes) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN') return 'full';
    if (code === 'EPIPE') return 'closed';
    throw error;
  } finally {
    closeSync(fd);
  }
}
