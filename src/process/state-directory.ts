/**
 * Whether the state directory is ours alone. What stands in it runs as the user of the server, and tells a command where to send the key; so
 * nobody else may own or write it, nor what it lies in, as `StrictModes` has it for `~/.ssh` (sshd_config(5)).
 * @module
 */
import { chmodSync, lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Log } from '../base/log.ts';
import { makeFolder } from '../base/make-folder.ts';
import { hasOtherMembers, unmappedUid } from './groups.ts';

/** Others could have put something there. Its message says what, and what to do. */
export class StateDirectoryError extends Error {
  override readonly name = 'StateDirectoryError';
}

/** Whom a file may belong to, and who we are. */
export interface Self {
  readonly uid: number;
  /** Whether a group holds anybody but us and root. */
  readonly isShared: (gid: number) => boolean;
  /** Shown for all that are not mapped into our user namespace (user_namespaces(7)): the directories above may be root's. */
  readonly unmappedUid?: number | undefined;
}

const groupWrite = 0o020;
const othersWrite = 0o002;
const sticky = 0o1000;

/** Makes the state directory where it is missing, and sees that it is ours alone. @throws as {@link claimStateDirectory}. */
export function openStateDirectory(stateDir: string, log: Log): void {
  // Nothing is made in what others may write.
  const before = claimStateDirectory(stateDir);
  makeFolder(stateDir, { mode: 0o700 });
  const mode = claimStateDirectory(stateDir) ?? before;
  if (mode === undefined) return;
  log.warn('others could enter the state directory: it is for this user alone now', { stateDir, mode: mode.toString(8).padStart(4, '0') });
}

/**
 * Checks a state directory before a server uses it; where it is missing, the directories that it will lie in. One that is ours, and that others
 * may read or write, becomes ours alone; then nothing in it may be another user's.
 *
 * @param self Default: this process. Windows has no such owners: there nothing is checked.
 * @returns the mode that it had, where that was changed.
 * @throws StateDirectoryError; the system's error.
 */
export function claimStateDirectory(stateDir: string, self: Self | undefined = ownSelf()): number | undefined {
  if (self === undefined) return undefined;
  const path = resolve(stateDir);
  checkParents(path, self);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isDirectory()) return undefined;
  checkOwner(path, path, stats, self);
  const mode = stats.mode & 0o777;
  const isOpen = (mode & 0o077) !== 0 && stats.uid === self.uid;
  if (isOpen) chmodSync(path, 0o700);
  else checkMode(path, path, stats, self);
  for (const name of readdirSync(path)) {
    const entry = join(path, name);
    const found = lstatSync(entry, { throwIfNoEntry: false });
    if (found !== undefined) checkOwner(path, entry, found, self);
    const target = found?.isSymbolicLink() === true ? targetOf(entry) : undefined;
    if (target !== undefined) checkOwner(path, entry, target, self);
  }
  return isOpen ? mode : undefined;
}

/**
 * Checks a state directory before a command believes what is in it. Changes nothing; one that is missing holds nothing to believe.
 *
 * @throws StateDirectoryError; the system's error.
 */
export function checkStateDirectory(stateDir: string, self: Self | undefined = ownSelf()): void {
  if (self === undefined) return;
  const path = resolve(stateDir);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  checkParents(path, self);
  checkOwner(path, path, stats, self);
  checkMode(path, path, stats, self);
}

/** Whether a file or folder is ours or root's. `false`: it is missing, or another user's. */
export function isOwn(path: string, self: Self | undefined = ownSelf()): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  return self === undefined || isTrusted(stats.uid, self);
}

function ownSelf(): Self | undefined {
  const uid = process.geteuid?.();
  return uid === undefined ? undefined : { uid, isShared: (gid) => hasOtherMembers(gid, [uid, 0]), unmappedUid: unmappedUid() };
}

/** What a link leads to; `undefined`: nothing, or back to itself. */
function targetOf(link: string): Stats | undefined {
  try {
    return statSync(link, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error;
    return undefined;
  }
}

/** Both the way that was given, whose links could be set anew, and the one where they lead now. */
function checkParents(path: string, self: Self): void {
  const existing = nearestExisting(path);
  const ways = new Set([...parentsOf(path), ...parentsOf(realpathSync(existing))]);
  if (existing !== path) ways.add(realpathSync(existing));
  for (const parent of ways) {
    const link = lstatSync(parent, { throwIfNoEntry: false });
    if (link === undefined) continue;
    const stats = statSync(parent);
    for (const { uid } of [link, stats]) if (uid !== self.unmappedUid) checkOwner(path, parent, { uid }, self);
    // In a sticky directory nobody renames or removes what is not theirs (unlink(2)): /tmp is such a one.
    if ((stats.mode & sticky) === 0) checkMode(path, parent, stats, self);
  }
  const own = lstatSync(path, { throwIfNoEntry: false });
  if (own !== undefined) checkOwner(path, path, own, self);
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    parents.push(parent);
    if (parent === dirname(parent)) return parents;
  }
}

function nearestExisting(path: string): string {
  let current = path;
  while (statSync(current, { throwIfNoEntry: false }) === undefined && dirname(current) !== current) current = dirname(current);
  return current;
}

function checkOwner(stateDir: string, path: string, { uid }: Pick<Stats, 'uid'>, self: Self): void {
  if (isTrusted(uid, self)) return;
  const todo = path === stateDir ? 'choose another with --state-dir' : 'move it away or chown it, or choose another with --state-dir';
  throw new StateDirectoryError(`${cannotUse(stateDir)}: ${nameOf(stateDir, path)} belongs to user ${uid}, not to us (${self.uid}); ${todo}`);
}

function checkMode(stateDir: string, path: string, stats: Stats, self: Self): void {
  if (!mayBeWritten(stats, self)) return;
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  throw new StateDirectoryError(`${cannotUse(stateDir)}: ${nameOf(stateDir, path)} may be written by others (mode ${mode}); `
    + `run "chmod go-w ${path}" if nobody else has been there, or choose another with --state-dir`);
}

function isTrusted(uid: number, self: Self): boolean {
  return uid === self.uid || uid === 0;
}

function mayBeWritten({ mode, gid }: Stats, self: Self): boolean {
  return (mode & othersWrite) !== 0 || ((mode & groupWrite) !== 0 && self.isShared(gid));
}

function cannotUse(stateDir: string): string {
  return `Cannot use the state directory ${stateDir}`;
}

function nameOf(stateDir: string, path: string): string {
  return path === stateDir ? 'it' : path;
}
