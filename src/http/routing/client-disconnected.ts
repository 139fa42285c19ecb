/**
 * The client has disconnected: not a failure, and no answer can be sent.
 * @module
 */
export class ClientDisconnected extends Error {
  override readonly name = 'ClientDisconnected';

  constructor() {
    super('The client disconnected before the answer was complete');
  }
}
