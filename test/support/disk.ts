/**
 * A file system so small that it is soon full.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd, temporaryFolder } from './server.ts';

/** `false`, or why none can be mounted here. */
export const mountless: string | false = whyNot();

function whyNot(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root, to mount a small file system';
  try {
    execFileSync('unshare', ['-m', 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs to be allowed to mount';
  }
}

/** @param size As mount(8) has it: `8m`. @returns where it is; for its owner only. */
export function smallDisk(t: TestContext, size: string): string {
  const folder = join(temporaryFolder(t), 'disk');
  mkdirSync(folder);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'sidecar-test', folder]);
  atEnd(t, () => { execFileSync('umount', ['-l', folder]); });
  return folder;
}
