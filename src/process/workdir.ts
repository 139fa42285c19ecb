/**
 * The working directory of started programs: the one in the request, or the one in which the server was started.
 * @module
 */
import { statfsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isDirectory } from '../base/files/is-directory.ts';
import { ParseError } from '../base/parse.ts';
import { ProblemError } from '../protocol/problem.ts';
import { homeDirectory } from './environment/user.ts';
import type { Variables } from './environment/secrets.ts';

/**
 * Replaces a directory that was deleted before this program began: no directory has this name, so programs fall back.
 */
const goneDirectory = '/(deleted)';

/** ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, ZFS (statfs(2), f_type). */
const localFileSystems: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0xf2f52010, 0x2fc12fc1,
]);

/** Node remembers its directory at the start, which may have been deleted meanwhile. */
const startDirectory = currentDirectory();
const isStartLocal = isOnLocalDisk(startDirectory);

export interface Workdir {
  readonly workdir: string;
  /** Says that a fallback is used, and why. */
  readonly warning?: string;
}

/** The directory in which this program was started; it may have been deleted meanwhile. */
export function ownDirectory(): string {
  return startDirectory;
}

/**
 * The directory for a request. `~` and `~/…` are in the home directory; a relative path starts where the server was
 * started. Without `given`, the directory of the server; if that has been deleted, the home directory, with a warning.
 *
 * @throws ParseError where it is not a directory; ProblemError unavailable where no fallback exists.
 */
export async function workdirFor(given: string | undefined, inherited: Variables): Promise<Workdir> {
  const home = homeDirectory(inherited);
  if (given !== undefined) {
    const workdir = expanded(given, home);
    if (await findsDirectory(workdir)) return { workdir };
    throw new ParseError(
      'body.workdir', `expected an existing directory, received ${JSON.stringify(given.slice(0, 200))}`,
    );
  }
  const isThere = isStartLocal ? isDirectory(startDirectory) : await findsDirectory(startDirectory);
  if (isThere) return { workdir: startDirectory };
  const gone = `the directory in which the server was started is not there any more: ${startDirectory}`;
  if (await findsDirectory(home)) return { workdir: home, warning: `${gone}; it runs in the home directory, ${home}` };
  throw new ProblemError(
    'unavailable', `Cannot start anything without a workdir: ${gone}, and neither is the home directory, ${home}`,
  );
}

/** @param path From a request. @param base What it is relative to. Default: where this program was started. */
export function expanded(path: string, home: string, base: string = startDirectory): string {
  if (path === '~') return home;
  return /^~[/\\]/.test(path) && (path[1] === '/' || process.platform === 'win32')
    ? join(home, path.slice(2))
    : resolve(base, path);
}

async function findsDirectory(path: string): Promise<boolean> {
  return await stat(path).then((found) => found.isDirectory(), () => false);
}

function currentDirectory(): string {
  try {
    const directory = process.cwd();
    return isDirectory(directory) ? directory : goneDirectory;
  } catch {
    return goneDirectory;
  }
}

/** Whether a synchronous check takes 2 µs and never waits for a network; in the thread pool it takes 25. */
function isOnLocalDisk(path: string): boolean {
  try {
    return localFileSystems.has(statfsSync(path).type);
  } catch {
    return false;
  }
}
