/**
 * What an update finds out for itself: neither the source nor a signature is at fault.
 * @module
 */

/** The version cannot be installed. The message says the action, then the state. */
export class UpdateError extends Error {
  override readonly name = 'UpdateError';
  /** The version itself is at fault: it will be no better another time. */
  readonly isToBlame: boolean;

  constructor(message: string, options: { isToBlame: boolean; cause?: unknown }) {
    const { isToBlame, ...rest } = options;
    super(message, rest);
    this.isToBlame = isToBlame;
  }
}
