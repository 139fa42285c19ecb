/**
 * The bytes of a tar archive as they arrive, with or without gzip: of limited size, and with the end that tells that
 * nothing is missing.
 * @module
 */
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { errorCode } from '../../base/error-code.ts';
import { ProblemError } from '../../protocol/problem.ts';

/** RFC 1952 §2.3.1. */
const gzipMagic = [0x1f, 0x8b] as const;
/** An archive ends with two blocks of zeros; some programs write one (POSIX, pax, "ustar Interchange Format"). */
const endBytes = 512;

/** @throws ProblemError invalid_request, payload_too_large; what `content` throws. */
export async function* tarBytes(
  content: AsyncIterable<Uint8Array>, maxBytes: number,
): AsyncGenerator<Uint8Array, void> {
  let total = 0;
  let zeros = 0;
  for await (const piece of plain(content)) {
    total += piece.length;
    if (total > maxBytes) {
      throw new ProblemError('payload_too_large', `Cannot unpack: it has more than ${maxBytes} bytes`);
    }
    const own = zerosAtEnd(piece);
    zeros = own === piece.length ? zeros + own : own;
    yield piece;
  }
  if (zeros < endBytes) {
    throw new ProblemError('invalid_request', 'Cannot unpack: it does not end as a tar archive does');
  }
}

/** No more than are needed to tell. */
function zerosAtEnd(piece: Uint8Array): number {
  const begin = Math.max(0, piece.length - endBytes);
  let at = piece.length;
  while (at > begin && piece[at - 1] === 0) at -= 1;
  return piece.length - at;
}

async function* plain(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const pieces = content[Symbol.asyncIterator]();
  const first = await beginning(pieces);
  const all = async function* (): AsyncGenerator<Uint8Array, void> {
    yield first;
    yield* { [Symbol.asyncIterator]: () => pieces };
  };
  if (!gzipMagic.every((byte, index) => first[index] === byte)) return yield* all();
  try {
    yield* pipeline(all(), createGunzip(), () => undefined) as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (!['Z_BUF_ERROR', 'Z_DATA_ERROR'].includes(errorCode(error))) throw error;
    const reason = errorCode(error) === 'Z_BUF_ERROR' ? 'its gzip data is cut off' : 'its gzip data is damaged';
    throw new ProblemError('invalid_request', `Cannot unpack: ${reason}`, { cause: error });
  }
}

/** At least as many bytes as tell the format, if there are as many. */
async function beginning(pieces: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let first: Uint8Array = new Uint8Array(0);
  while (first.length < gzipMagic.length) {
    const { done, value } = await pieces.next();
    if (done === true) break;
    first = first.length === 0 ? value : Buffer.concat([first, value]);
  }
  return first;
}
