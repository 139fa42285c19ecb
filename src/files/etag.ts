/**
 * The entity tag of a file (RFC 9110 §8.8.3), always a strong one: of a small file from its content, of a larger one
 * from its inode, size and times. The system sets the time of change (ctime), and no program can set it back.
 * @module
 */
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { readAt } from '../base/files/untrusted-file.ts';

/** Files up to this size are read whole. */
export const smallBytes = 2 ** 20;

type Stamp = Pick<BigIntStats, 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>;

export function tagOfContent(bytes: Uint8Array): string {
  return `"${createHash('sha256').update(bytes).digest('base64url')}"`;
}

export function tagOfStats({ ino, size, mtimeNs, ctimeNs }: Stamp): string {
  return `"${[ino, size, mtimeNs, ctimeNs].map((part) => part.toString(36)).join('-')}"`;
}

/** @param stats Of the open file. */
export async function tagOf(file: FileHandle, stats: Stamp): Promise<string> {
  const content = await readSmall(file, stats);
  return content === undefined ? tagOfStats(stats) : tagOfContent(content);
}

/**
 * The content of a small file. `undefined`: it is not small. Files of /proc have more than their size says (proc(5)),
 * so the content counts.
 */
export async function readSmall(file: FileHandle, { size }: Pick<Stamp, 'size'>): Promise<Buffer | undefined> {
  if (size > smallBytes) return undefined;
  const atOnce = size === 0n ? 65_536 : Number(size) + 1;
  const pieces: Buffer[] = [];
  for (let length = 0; length <= smallBytes;) {
    const piece = await readAt(file, length, atOnce);
    pieces.push(piece);
    length += piece.length;
    if (piece.length < atOnce && length <= smallBytes) return pieces.length === 1 ? piece : Buffer.concat(pieces);
  }
  return undefined;
}
