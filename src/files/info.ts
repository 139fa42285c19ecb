/**
 * What a file is, in the words of the API.
 * @module
 */
import type { BigIntStats } from 'node:fs';
import { basename } from 'node:path';
import type { FileInfo, FileType } from '../protocol/files.ts';
import { ProblemError } from '../protocol/problem.ts';

/** What of the result of stat(2) is used: numbers or bigints. */
type Stats = Pick<BigIntStats, 'isFile' | 'isDirectory' | 'isSymbolicLink'> & {
  readonly size: number | bigint; readonly mode: number | bigint; readonly mtimeMs: number | bigint;
};

export function typeOf(stats: Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): FileType {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

export function infoOf(path: string, stats: Stats, more: Pick<FileInfo, 'target' | 'etag'> = {}): FileInfo {
  return {
    name: basename(path) || path,
    path,
    type: typeOf(stats),
    sizeBytes: Number(stats.size),
    mode: octal(stats.mode),
    modifiedAt: Number(stats.mtimeMs) / 1000,
    ...more,
  };
}

export function octal(mode: number | bigint): string {
  return (Number(mode) & 0o7777).toString(8).padStart(4, '0');
}

const kinds: { readonly [T in Exclude<FileType, 'file'>]: string } = {
  directory: 'a directory', symlink: 'a link', other: 'a FIFO, a socket or a device',
};

/** @throws ProblemError not_a_file for all but a regular file. */
export function mustBeFile(action: string, path: string, stats: Stats): void {
  const type = typeOf(stats);
  if (type === 'file') return;
  throw new ProblemError(
    'not_a_file', `Cannot ${action} ${path}: it is ${kinds[type]}`, { extensions: { fileType: type } },
  );
}
