/**
 * Selects what goes into an archive: the names below a directory that match a glob.
 * @module
 */
import { spawn } from 'node:child_process';
import { glob, inName } from '../../base/text/glob.ts';
import { ownEnvironment } from './tar.ts';

/**
 * Whether a path below a directory, such as `src/main.ts`, is selected. A glob without a slash matches a name anywhere,
 * another one the whole path; what is in a selected directory is selected, too.
 */
export function selector(globs: readonly string[]): (path: string) => boolean {
  const tests = globs.map((pattern) => {
    const matches = glob(pattern.replace(/^\/|\/$/g, ''), inName);
    return pattern.replace(/\/$/, '').includes('/')
      ? (path: string): boolean => matches(path)
      : (path: string): boolean => matches(path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((matches) => matches(path));
}

/** @param paths Each directory before what is in it. */
export function* selected(paths: Iterable<string>, globs: readonly string[]): Generator<string, void> {
  const isSelected = selector(globs);
  let within: string | undefined;
  for (const path of paths) {
    if (within !== undefined && path.startsWith(within)) {
      yield path;
    } else if (isSelected(path)) {
      within = `${path}/`;
      yield path;
    }
  }
}

/**
 * The names below a directory that is held open, as bytes in latin1, each directory before what is in it: as find(1)
 * has them, which follows no link.
 */
export async function namesBelow(cwd: string, signal: AbortSignal): Promise<readonly string[]> {
  const child = spawn('find', ['.', '-mindepth', '1', '-print0'], {
    cwd, env: ownEnvironment, stdio: ['ignore', 'pipe', 'ignore'], signal, killSignal: 'SIGKILL',
  });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  failed.catch(() => undefined);
  const read = async (): Promise<string[]> => {
    const pieces: Buffer[] = [];
    for await (const piece of child.stdout) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString('latin1').split('\0').slice(0, -1).map((name) => name.slice(2));
  };
  return await Promise.race([read(), failed]);
}
