/**
 * Checks that the state directory belongs to this user alone. Programs in it run as the user of the server, and it
 * tells a command where to send the key. So no other user may own or write it or its parents, as `StrictModes` demands
 * for `~/.ssh` (sshd_config(5)).
 * @module
 */
import { chmodSync, lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import type { Log } from '../../base/log.ts';
import { makeFolder } from '../../base/files/make-folder.ts';
import { hasOtherMembers, unmappedUid } from '../groups.ts';

/** Another user could have changed the state directory. The message says what is wrong, and what to do. */
export class StateDirectoryError extends Error {
  override readonly name = 'StateDirectoryError';
}

/** This user, and which owners and groups are trusted. */
export interface Self {
  readonly uid: number;
  /** Whether a group has members other than this user and root. */
  readonly isShared: (gid: number) => boolean;
  /**
   * Shown for all users that are not mapped into our user namespace (user_namespaces(7)); parents may be owned by it.
   */
  readonly unmappedUid?: number | undefined;
}

const groupWrite = 0o020;
const othersWrite = 0o002;
const sticky = 0o1000;

/** Makes the state directory if it is missing, and makes it private. @throws as {@link claimStateDirectory}. */
export function openStateDirectory(stateDir: string, log: Log): void {
  // Check the parents first: nothing may be made in a directory that others may write.
  const before = claimStateDirectory(stateDir);
  makeFolder(stateDir, { mode: 0o700 });
  const mode = claimStateDirectory(stateDir) ?? before;
  if (mode === undefined) return;
  log.warn('others could enter the state directory: it is for this user alone now', {
    stateDir,
    mode: mode.toString(8).padStart(4, '0'),
  });
}

/**
 * Checks a state directory before a server uses it; if it is missing, its parents. If it is ours and others may read or
 * write it, makes it private; then no file in it may belong to another user.
 *
 * @param self Default: this process. On Windows, which has no uids, nothing is checked.
 * @returns the earlier mode, if it was changed.
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
 * Checks a state directory before a command trusts its content. Changes nothing; a missing one has no content to trust.
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

/** Whether a file or folder belongs to us or root. `false`: it is missing, or another user's. */
export function isOwn(path: string, self: Self | undefined = ownSelf()): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  return self === undefined || isTrusted(stats.uid, self);
}

function ownSelf(): Self | undefined {
  const uid = process.geteuid?.();
  return uid === undefined
    ? undefined
    : { uid, isShared: (gid) => hasOtherMembers(gid, [uid, 0]), unmappedUid: unmappedUid() };
}

/** What a link leads to; `undefined`: nothing, or a loop. */
function targetOf(link: string): Stats | undefined {
  try {
    return statSync(link, { throwIfNoEntry: false });
  } catch (error) {
    if (errorCode(error) !== 'ELOOP') throw error;
    return undefined;
  }
}

/** Checks the parents both of the given path, whose links may be changed later, and of its current real path. */
function checkParents(path: string, self: Self): void {
  const existing = nearestExisting(path);
  const ways = new Set([...parentsOf(path), ...parentsOf(realpathSync(existing))]);
  if (existing !== path) ways.add(realpathSync(existing));
  for (const parent of ways) {
    const link = lstatSync(parent, { throwIfNoEntry: false });
    if (link === undefined) continue;
    const stats = statSync(parent);
    for (const { uid } of [link, stats]) if (uid !== self.unmappedUid) checkOwner(path, parent, { uid }, self);
    // In a sticky directory, such as /tmp, users can rename or remove only their own files (unlink(2)).
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
  while (statSync(current, { throwIfNoEntry: false }) === undefined && dirname(current) !== current)
    current = dirname(current);
  return current;
}

function checkOwner(stateDir: string, path: string, { uid }: Pick<Stats, 'uid'>, self: Self): void {
  if (isTrusted(uid, self)) return;
  const todo = path === stateDir
    ? 'choose another with --state-dir'
    : 'move it away or chown it, or choose another with --state-dir';
  throw new StateDirectoryError(
    `${cannotUse(stateDir)}: ${nameOf(stateDir, path)} belongs to user ${uid}, not to us (${self.uid}); ${todo}`,
  );
}

function checkMode(stateDir: string, path: string, stats: Stats, self: Self): void {
  if (!mayBeWritten(stats, self)) return;
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  throw new StateDirectoryError(
    `${cannotUse(stateDir)}: ${nameOf(stateDir, path)} may be written by others (mode ${mode}); `
      + `run "chmod go-w ${path}" if no other user has been there, or choose another with --state-dir`,
  );
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
