/**
 * What is wrong with a tarball.
 * @module
 */
import { escapeControl } from '../base/escape.ts';

/** How much of a name is shown: a tarball may hold names of any length. */
const maxShown = 300;

/** The tarball is damaged, or holds what is not unpacked. The message names the entry and the reason, and is fit for a terminal. */
export class TarballError extends Error {
  override readonly name = 'TarballError';
  /** The name as the tarball has it; absent where it is about the tarball as a whole. */
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
