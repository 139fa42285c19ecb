/**
 * The client has disconnected: not a failure, and no answer can be sent.
 * @module
 */
export class ClientLeft extends Error {
  override readonly name = 'ClientLeft';

  constructor() {
    super('The client left before the answer was complete');
  }
}
