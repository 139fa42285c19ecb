/**
 * Members of groups, and the users of this machine, as far as its files tell.
 * @module
 */
import { readFileSync } from 'node:fs';

/** Contents of `/etc/passwd` and `/etc/group`; a parameter for tests. */
export interface GroupFiles {
  readonly passwd: string;
  readonly group: string;
}

/**
 * Whether any other user than these is in a group. Many systems give each user a group of their own (login.defs(5),
 * USERGROUPS_ENAB), with a umask that lets it write.
 *
 * @returns `true` also where the files do not name the group: another source (nsswitch.conf(5)) may.
 */
export function hasOtherMembers(gid: number, uids: readonly number[], files: GroupFiles = readFiles()): boolean {
  // Members of root's group are trusted as root is; system users without a login are in it, too.
  if (gid === 0) return false;
  const users = files.passwd.split('\n').map((line) => line.split(':'));
  const [, , , members] = files.group.split('\n').map((line) => line.split(':'))
    .find((fields) => fields[2] === String(gid)) ?? [];
  if (members === undefined) return true;
  const isOther = ([, , uid]: readonly string[]): boolean => !uids.includes(Number(uid));
  const byName = members.split(',').map((name) => name.trim()).filter((name) => name !== '');
  const hasOther = byName.some((name) => {
    const user = users.find((fields) => fields[0] === name);
    return user === undefined || isOther(user);
  });
  return hasOther || users.some((fields) => fields[3] === String(gid) && isOther(fields));
}

/** The uid shown for users that are not mapped; `undefined`: every user is mapped, as outside of containers. */
export function unmappedUid(): number | undefined {
  const [, , count] = readQuietly('/proc/self/uid_map').trim().split(/\s+/);
  if (count === undefined || Number(count) >= 2 ** 32 - 1) return undefined;
  return Number.parseInt(readQuietly('/proc/sys/kernel/overflowuid'), 10) || undefined;
}

function readFiles(): GroupFiles {
  return { passwd: readQuietly('/etc/passwd'), group: readQuietly('/etc/group') };
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The file may be missing, as in a container without users.
    return '';
  }
}
