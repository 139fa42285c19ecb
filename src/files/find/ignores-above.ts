/**
 * What the ignore files above a directory say, as far up as the server may look.
 * @module
 */
import { lstat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Roots } from '../../base/files/roots.ts';
import { readAt } from '../../base/files/untrusted-file.ts';
import { openFile } from '../read.ts';
import { ignoreFiles, type IgnoreTexts } from './ignore.ts';
import { maxIgnoreBytes } from './walk.ts';

/** The directories above it that are looked at. */
const maxLevels = 64;

/** The parts of a path, as Latin-1. */
export function partsOf(path: string): readonly string[] {
  return path.split(/[/\\]/).filter((part) => part !== '').map((part) => Buffer.from(part).toString('latin1'));
}

/** @param directory Its real path. @returns the topmost first. */
export async function ignoresAbove(roots: Roots, directory: string): Promise<readonly IgnoreTexts[]> {
  const above: IgnoreTexts[] = [];
  for (let path = directory; path !== dirname(path) && above.length < maxLevels;) {
    path = dirname(path);
    if (!roots.contains(path)) break;
    const at = path;
    const texts = await Promise.all(ignoreFiles.map((name) => textOf(roots, join(at, name))));
    above.unshift({ depth: partsOf(path).length, texts, hasGit: await isThere(roots, join(path, '.git')) });
  }
  return above;
}

async function textOf(roots: Roots, path: string): Promise<string | undefined> {
  try {
    return await roots.at(path, async (place) => {
      const file = await openFile(place);
      try {
        const { size } = await file.stat();
        return (await readAt(file, 0, Math.min(size, maxIgnoreBytes))).toString('latin1');
      } finally {
        await file.close();
      }
    }, { isFollowed: false });
  } catch {
    // There is none, or it may not be read.
    return undefined;
  }
}

async function isThere(roots: Roots, path: string): Promise<boolean> {
  try {
    await roots.at(path, (place) => lstat(place.path), { isFollowed: false });
    return true;
  } catch {
    return false;
  }
}
