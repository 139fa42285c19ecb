/**
 * The version of this program.
 * @module
 */
import { readFileSync } from 'node:fs';

/** The version in package.json, which is two folders above this file, from source and built. */
export function ownVersion(): string {
  const { version } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  return version;
}
