/**
 * Decompresses the body of an answer, as `fetch` does.
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { type Readable, pipeline } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

/**
 * Bytes are passed on as soon as they arrive: an answer may be a stream of events. A body with an unknown encoding is
 * left as it is (RFC 9110 section 8.4).
 */
export function decompress(answer: IncomingMessage): Readable {
  const decoder = decoderFor(answer.headers['content-encoding']?.trim().toLowerCase());
  if (decoder === undefined) return answer;
  // A failure of the answer destroys the decoder, whose reader then gets the error.
  return pipeline(answer, decoder, () => undefined);
}

type Decoder = ReturnType<typeof createGunzip | typeof createBrotliDecompress>;

function decoderFor(encoding: string | undefined): Decoder | undefined {
  const zlib = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
  switch (encoding) {
    case 'gzip':
    case 'x-gzip': return createGunzip(zlib);
    case 'deflate': return createInflate(zlib);
    case 'br': return createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH });
    default: return undefined;
  }
}
