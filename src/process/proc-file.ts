/**
 * Reads files of `/proc`.
 * @module
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** Buffer large enough for nearly all of these files. */
const shared = Buffer.allocUnsafeSlow(16_384);

/**
 * Reads a file of `/proc`, as Latin-1. These files have no length, so that Node's `readFileSync` takes 64 KiB of new
 * memory for each: a look through two hundred processes left a server 20 MB larger.
 *
 * @throws the system's error, such as ENOENT, ESRCH, EACCES.
 */
export function readProcFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    let bytes = shared;
    let length = 0;
    for (let read = -1; read !== 0; length += read) {
      if (length === bytes.length) bytes = Buffer.concat([bytes], 2 * length);
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    return bytes.toString('latin1', 0, length);
  } finally {
    closeSync(file);
  }
}

/** {@link readProcFile} in the thread pool. @param kept Memory to read into. @throws as that does. */
export async function readProcFileLater(path: string, kept: Buffer): Promise<string> {
  const file = await open(path, 'r');
  try {
    let bytes = kept;
    let length = 0;
    for (let read = -1; read !== 0; length += read) {
      if (length === bytes.length) bytes = Buffer.concat([bytes], 2 * length);
      read = (await file.read(bytes, length, bytes.length - length, null)).bytesRead;
    }
    return bytes.toString('latin1', 0, length);
  } finally {
    await file.close();
  }
}
