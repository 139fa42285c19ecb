/**
 * Checks the state directory: whether it can be written, its file system, and the key in it.
 * @module
 */
import { existsSync, lstatSync, statSync } from 'node:fs';
import { lstat, mkdtemp, rmdir, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { checkStateDirectory, StateDirectoryError } from '../../process/state/state-directory.ts';
import { size } from '../io/print.ts';
import { type Check, type Finding, codeOf, fail, ok, warn } from './check.ts';

const isWindows = process.platform === 'win32';

export const stateChecks: readonly Check[] = [
  { name: 'state directory', run: stateDirectory },
  { name: 'file system', run: fileSystem },
  { name: 'key', run: keyFile },
  { name: 'clock', run: clock },
];

/** Creates nothing that stays: where the directory is missing, the nearest existing directory above it is tried. */
async function stateDirectory({ stateDir }: Config): Promise<Finding> {
  const existing = nearestExisting(stateDir);
  const foreign = foreignIn(stateDir);
  if (foreign !== undefined) return fail(foreign, 'Make it yours alone, or name another place with --state-dir');
  const probe = await tryWrite(existing);
  const elsewhere = `Make ${existing} writable, or name another place with --state-dir`;
  if (probe !== undefined) return fail(`${existing} cannot be written: ${probe}`, elsewhere);
  if (existing !== stateDir) return ok(`${stateDir}, made at the first start`);
  const { mode } = statSync(stateDir);
  if (isWindows || (mode & 0o077) === 0) return ok(stateDir);
  return warn(`${stateDir} can be entered by others (mode ${octal(mode)})`, `chmod 700 ${stateDir}`);
}

/** Why other users could have put something there; `undefined`: they could not. */
function foreignIn(stateDir: string): string | undefined {
  try {
    checkStateDirectory(stateDir);
    return undefined;
  } catch (error) {
    if (error instanceof StateDirectoryError) return error.message;
    // EACCES, ENOTDIR: the attempt to write says more.
    return undefined;
  }
}

async function fileSystem({ stateDir }: Config): Promise<Finding> {
  const { type, bavail, bsize } = await statfs(nearestExisting(stateDir));
  const freeBytes = bavail * bsize;
  const kind = fileSystems[type];
  const text = `${kind ?? 'local'}, ${size(freeBytes)} free`;
  if (freeBytes < 64 * 2 ** 20) {
    return fail(`${text}: jobs cannot write their output`, 'Make room, or name another place with --state-dir');
  }
  if (kind === 'tmpfs') return warn(`${text}: all is lost at a reboot`, 'Name a place on a disk with --state-dir');
  if (kind !== undefined) {
    return warn(`${text}: FIFOs and watching may not work on it`, 'Name a place on a local disk with --state-dir');
  }
  return freeBytes < 2 ** 30 ? warn(text, 'Make room, or keep less: --keep-jobs, --keep-days, --keep-bytes') : ok(text);
}

async function keyFile({ stateDir, apiKey }: Config): Promise<Finding> {
  if (apiKey !== undefined) return ok('given by SIDECAR_API_KEY');
  const path = join(stateDir, 'api-key');
  try {
    const { mode, uid } = await lstat(path);
    if (lstatSync(path).isSymbolicLink()) return fail(`${path} is a link`, `Remove it; the server makes a new key`);
    if (isWindows) return ok(path);
    if ((mode & 0o077) !== 0) {
      return fail(
        `${path} can be read by others (mode ${octal(mode)})`, `chmod 600 ${path}; sidecar key rotate --grace 0`,
      );
    }
    if (uid !== process.getuid?.()) {
      return fail(`${path} belongs to another user (uid ${uid})`, 'Run this as the user of the server');
    }
    return ok(`${path}, mode ${octal(mode)}`);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') {
      return fail(`${path}: ${codeOf(error)}`, 'Run this as the user of the server');
    }
    return ok('none yet, made at the first start');
  }
}

/** A clock that is behind the making of this program is wrong, which makes times and retention wrong, too. */
function clock(): Finding {
  const madeAt = statSync(new URL('../../../package.json', import.meta.url)).mtimeMs;
  const now = new Date();
  if (now.getTime() > madeAt - 86_400_000) return ok(now.toISOString());
  return warn(`${now.toISOString()} is before this program was made`, 'Set the clock; timedatectl set-ntp true');
}

/** File systems on which not everything works: type, as statfs(2) reports it on Linux → name. */
const fileSystems: { readonly [type: number]: string } = {
  0x6969: 'NFS', 0xff534d42: 'CIFS', 0xfe534d42: 'SMB', 0x65735546: 'FUSE', 0x01021997: '9p', 0x01021994: 'tmpfs',
};

function nearestExisting(path: string): string {
  let current = path;
  while (!existsSync(current) && dirname(current) !== current) current = dirname(current);
  return current;
}

async function tryWrite(folder: string): Promise<string | undefined> {
  try {
    await rmdir(await mkdtemp(join(folder, '.sidecar-doctor-')));
    return undefined;
  } catch (error) {
    // EACCES, EROFS, ENOSPC, ENOTDIR: the code is the finding.
    return codeOf(error);
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}
