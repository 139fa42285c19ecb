/**
 * Reads the body of a response in chunks.
 * @module
 */
import { SourceError } from '../errors.ts';
import { innermostMessage } from './request.ts';
import type { StallGuard } from './stall-timeout.ts';

/** Yields the chunks as they arrive; reads no more from the network than is consumed. */
export async function* chunks(
  response: Response, what: string, stallGuard: StallGuard,
): AsyncGenerator<Uint8Array, void> {
  if (response.body === null) return;
  const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
  const broken = (error: unknown): SourceError =>
    new SourceError(
      'truncated',
      `Cannot ${what}: the connection broke in the middle (${innermostMessage(error)}); try again later`,
      { cause: error },
    );
  for (;;) {
    const { done, value } = await stallGuard.step(what, reader.read(), broken);
    if (done) return;
    yield value;
  }
}
