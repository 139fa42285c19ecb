/**
 * Reaches the Unix socket of a holder, and no other that a job has put or linked there, whatever the length of its
 * path: a socket address holds 108 bytes (unix(7)), on macOS 104.
 * @module
 */
import {
  type BigIntStats, closeSync, constants, fstatSync, lstatSync, mkdtempSync, openSync, rmdirSync, symlinkSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UntrustedFileError } from '../base/files/untrusted-file.ts';

/** Name of a holder's socket in the directory of its terminal. */
export const socketName = 'socket';

const longestBytes = 100;
/**
 * O_PATH of Linux (open(2)), for which Node has no constant: refers to the file without opening it. Links are not
 * followed.
 */
const unopened = 0o10000000 | constants.O_NOFOLLOW;

/** @param id Id of the socket, see {@link socketId}. */
type Use<T> = (path: string, id: string) => T;

/**
 * Identifies a socket as long as it is bound: `DEVICE:INODE`. A link to the socket is not accepted.
 *
 * @throws UntrustedFileError where the file is not a socket.
 */
export function socketId(stats: BigIntStats): string {
  if (!stats.isSocket()) throw new UntrustedFileError(`${socketName} is not a socket`);
  return `${stats.dev}:${stats.ino}`;
}

/**
 * Calls `use` with a short enough path to the socket of a terminal, which is valid until `use` returns.
 *
 * @param expected Id of the socket; `undefined`: unknown, any socket without a second name is accepted.
 * @throws UntrustedFileError where another file has its name; the system's error.
 */
export function withSocket<T>(directory: string, expected: string | undefined, use: Use<T>): T {
  const path = join(directory, socketName);
  if (process.platform === 'linux') return throughDescriptor(path, expected, use);
  if (Buffer.byteLength(path) <= longestBytes) return use(path, check(path, expected));
  return throughLink(directory, expected, use);
}

/** proc(5): `/proc/self/fd/N` is the socket that was checked, even if another file has its name by now. */
function throughDescriptor<T>(path: string, expected: string | undefined, use: Use<T>): T {
  const fd = openSync(path, unopened);
  try {
    return use(`/proc/self/fd/${fd}`, checked(fstatSync(fd, { bigint: true }), expected));
  } finally {
    closeSync(fd);
  }
}

function throughLink<T>(directory: string, expected: string | undefined, use: Use<T>): T {
  const folder = mkdtempSync(join(tmpdir(), 'sc-'));
  const link = join(folder, 'd');
  try {
    symlinkSync(directory, link);
    const path = join(link, socketName);
    return use(path, check(path, expected));
  } finally {
    unlinkSync(link);
    rmdirSync(folder);
  }
}

function check(path: string, expected: string | undefined): string {
  return checked(lstatSync(path, { bigint: true }), expected);
}

function checked(stats: BigIntStats, expected: string | undefined): string {
  const id = socketId(stats);
  const isExpected = expected === undefined ? stats.nlink === 1n : id === expected;
  if (!isExpected) throw new UntrustedFileError(`${socketName} is not the one that the holder made`);
  return id;
}
