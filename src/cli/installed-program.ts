/**
 * Finds the version that an update has installed, if it is newer than this program: the command on the PATH is the one
 * that was installed by hand.
 * @module
 */
import { existsSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fieldsOf, nullable, text } from '../base/parse.ts';
import { readRegular } from '../base/files/untrusted-file.ts';
import { ownVersion } from '../process/own-version.ts';
import { checkStateDirectory, isOwn } from '../process/state/state-directory.ts';
import { compareVersions, isVersion } from '../update/versions/semver.ts';
import { Versions } from '../update/versions/version-store.ts';

const parseState = fieldsOf({ current: nullable(text()) });
const maxStateBytes = 2 ** 20;

export interface InstalledProgram {
  readonly version: string;
  /** Its module, which can be imported or run by Node. */
  readonly main: string;
}

/** @returns `undefined` when none is newer, when this program is it, or when others could have put it there. */
export function newerProgram(stateDir: string): InstalledProgram | undefined {
  const directory = Versions.directoryIn(stateDir);
  try {
    const current = currentVersionIn(directory);
    if (current === undefined || compareVersions(current, ownVersion()) <= 0 || isWithin(directory)) return undefined;
    const folder = new Versions({ directory, onWarning: () => undefined }).directoryOf(current);
    const main = join(folder, 'dist', 'cli', 'main.js');
    if (!existsSync(main)) return undefined;
    checkStateDirectory(stateDir);
    return [directory, folder, main].every((path) => isOwn(path)) ? { version: current, main } : undefined;
  } catch {
    // Others may write it, or it is unreadable: commands that talk to the server report it, others run here.
    return undefined;
  }
}

/** Does not read by `Versions`: a file that only a newer program can read must stay as it is. */
function currentVersionIn(directory: string): string | undefined {
  const content = readRegular(join(directory, 'update.json'), maxStateBytes).toString();
  const { current } = parseState(JSON.parse(content), 'update.json');
  return current !== null && isVersion(current) ? current : undefined;
}

/** Whether this program is an installed version itself: such a program hands over to no other one. */
function isWithin(directory: string): boolean {
  return realpathSync(fileURLToPath(new URL('../../', import.meta.url))).startsWith(`${realpathSync(directory)}${sep}`);
}
