/**
 * The header Range (RFC 9110 §14).
 * @module
 */
import { ProblemError } from '../../protocol/problem.ts';

/** Both positions are inclusive. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * One range of bytes (§14.1.2); several ranges, another unit or a malformed header are ignored, as §14.2 allows.
 *
 * @throws ProblemError range_not_satisfiable.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const [from, to] = [match[1] ?? '', match[2] ?? ''];
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== '' && to !== '' && Number(to) < first) return undefined;
  if (first < size && first <= last) return { first, last };
  throw new ProblemError('range_not_satisfiable', `Cannot read ${header ?? ''}: there are ${size} bytes`,
    { headers: { 'Content-Range': `bytes */${size}` } });
}
