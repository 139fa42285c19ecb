/**
 * What is wrong with a patch.
 * @module
 */

/** The patch cannot be read, or asks for what is not done. The message says the state. */
export class PatchError extends Error {
  override readonly name = 'PatchError';
  /** As the patch names it. */
  readonly file: string | undefined;

  constructor(message: string, file?: string) {
    super(message);
    this.file = file;
  }
}

/** A hunk that does not fit. */
export class HunkError extends Error {
  override readonly name = 'HunkError';
  /** The hunk's index. */
  readonly index: number;
  /** Where the file comes closest to what was looked for, from 1. */
  readonly nearestLine: number | undefined;

  constructor(index: number, message: string, nearestLine?: number) {
    super(message);
    this.index = index;
    this.nearestLine = nearestLine;
  }
}
