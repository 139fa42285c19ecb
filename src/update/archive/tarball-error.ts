/**
 * The error of a tarball that cannot be unpacked.
 * @module
 */
import { escapeControl } from '../../base/escape.ts';

/** Largest part of a name that is shown: a tarball may hold names of any length. */
const maxShown = 300;

/**
 * The tarball is damaged, or holds something that is not unpacked. The message names the entry and the reason, and is
 * fit for a terminal.
 */
export class TarballError extends Error {
  override readonly name = 'TarballError';
  /** Name of the entry as in the tarball; absent where the error is about the whole tarball. */
  readonly entry: string | undefined;

  /** @param reason Continues `Cannot unpack …: `. */
  constructor(reason: string, options: { entry?: string | undefined; cause?: unknown } = {}) {
    const { entry, ...rest } = options;
    super(escapeControl(`Cannot unpack ${entry === undefined ? 'the tarball' : quote(entry)}: ${reason}`), rest);
    this.entry = entry;
  }
}

function quote(name: string): string {
  return `"${name.length > maxShown ? `${name.slice(0, maxShown)}…` : name}"`;
}
