/**
 * The error of an update that is the fault neither of the source nor of a signature.
 * @module
 */

/** The version cannot be installed. The message says the action, then the state. */
export class UpdateError extends Error {
  override readonly name = 'UpdateError';
  /** The version itself is at fault: a later attempt would fail too. */
  readonly isToBlame: boolean;

  constructor(message: string, options: { isToBlame: boolean; cause?: unknown }) {
    const { isToBlame, ...rest } = options;
    super(message, rest);
    this.isToBlame = isToBlame;
  }
}
