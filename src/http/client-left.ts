/**
 * The client is gone: not a failure, and nobody is there to be told.
 * @module
 */
export class ClientLeft extends Error {
  override readonly name = 'ClientLeft';

  constructor() {
    super('The client left before the answer was complete');
  }
}
