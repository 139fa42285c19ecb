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
