/**
 * Writes into FIFOs without ever waiting.
 * @module
 */
import { closeSync, writeSync } from 'node:fs';
import { openFifo, UntrustedFileError } from '../base/untrusted-file.ts';

/** How a write into a FIFO went; it never waits. */
export type FifoWrite = { readonly writtenBytes: number } | 'closed' | 'full';

/**
 * Writes what fits. `closed`: nobody has it open for reading, or something else stands there. `full`: not even one byte fits.
 * Up to 4096 bytes (PIPE_BUF, pipe(7)) go in whole or not at all.
 */
export function writeFifo(path: string, bytes: Uint8Array): FifoWrite {
  let fd: number;
  try {
    fd = openFifo(path, 'write');
  } catch (error) {
    // ENXIO: no reader (open(2)). ENOENT, ENOTDIR: the job has ended, or has removed it.
    const isGone = ['ENXIO', 'ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
    if (isGone || error instanceof UntrustedFileError) return 'closed';
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
