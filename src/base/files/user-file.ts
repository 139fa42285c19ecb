/**
 * Reads files that a program finds by itself at a place of the user's or the machine's, such as a configuration. They
 * may be links, belong to anyone, and be `/dev/null`; nothing there makes the read wait or last without an end.
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { UntrustedFileError } from './untrusted-file.ts';

/** More than any such file holds. */
const maxBytes = 2 ** 20;

// Windows has neither flag. O_NONBLOCK: opening a FIFO does not wait (open(2)).
const flags = constants.O_RDONLY
  | ((constants.O_NONBLOCK as number | undefined) ?? 0) | ((constants.O_NOCTTY as number | undefined) ?? 0);

/** @throws UntrustedFileError where it is a FIFO, or longer than 1 MiB; the system's error. */
export function readUserFile(path: string): Buffer {
  const fd = openSync(path, flags);
  try {
    if (fstatSync(fd).isFIFO()) throw new UntrustedFileError(`${path} is a FIFO, not a file`);
    const bytes = Buffer.allocUnsafe(maxBytes + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length < bytes.length; length += count) {
      count = readSync(fd, bytes, length, bytes.length - length, null);
    }
    if (length > maxBytes) throw new UntrustedFileError(`${path} is longer than ${maxBytes} bytes`);
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
