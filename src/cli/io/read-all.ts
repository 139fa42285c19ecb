/**
 * Reads what arrives as text until its end: stdin, or a file.
 * @module
 */
import type { Readable } from 'node:stream';

export async function readAll(stream: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}
