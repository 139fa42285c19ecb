/**
 * Reaches a Unix socket however long its path is: an address takes 108 bytes (unix(7)), on macOS 104.
 * @module
 */
import { closeSync, constants, mkdtempSync, openSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const longestBytes = 100;

/** Calls `use` with a path to `name` in `directory` that is short enough, good until `use` returns. */
export function withSocketPath<T>(directory: string, name: string, use: (path: string) => T): T {
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= longestBytes) return use(path);
  return process.platform === 'linux' ? throughDescriptor(directory, name, use) : throughLink(directory, name, use);
}

/** proc(5): `/proc/self/fd/N` is the directory itself. */
function throughDescriptor<T>(directory: string, name: string, use: (path: string) => T): T {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return use(`/proc/self/fd/${fd}/${name}`);
  } finally {
    closeSync(fd);
  }
}

function throughLink<T>(directory: string, name: string, use: (path: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'sc-'));
  const link = join(folder, 'd');
  try {
    symlinkSync(directory, link);
    return use(join(link, name));
  } finally {
    unlinkSync(link);
    rmdirSync(folder);
  }
}
