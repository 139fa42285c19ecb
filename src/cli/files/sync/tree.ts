/**
 * Trees of files as `sync` compares them: that of this machine, and that of a server.
 * @module
 */
import { createHash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { FileInfo, Sidecar } from '../../../client/client.ts';
import { errorCode } from '../../../base/error-code.ts';
import { guard } from '../../../base/files/untrusted-file.ts';

export interface TreeEntry {
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly sizeBytes: number;
  /** Without setuid, setgid and sticky, which no copy keeps. */
  readonly mode: number;
  readonly modifiedMs: number;
  /** Of a link. */
  readonly target?: string | undefined;
}

/** By the path below its directory: `src/main.ts`. A directory comes before what is in it. */
export type Tree = ReadonlyMap<string, TreeEntry>;

export interface Scan {
  readonly tree: Tree;
  /** What is left out: no file, directory or link, or its name is not UTF-8. */
  readonly skipped: readonly string[];
  /** What is excluded. */
  readonly excluded: readonly string[];
}

const permissionBits = 0o777;
/** As deep as `GET /files/list` goes. */
const depth = 100;
/** Names of what is being written beside its place, here and on the machine. */
const temporary = /(^|\/)\.sidecar-[\w-]{22,43}\.(new|part)$/;

/** Whether a path is no part of the tree. */
export type Exclude = (path: string) => boolean;

/** @throws the system's error for the directory itself; what vanishes below it is left out. */
export function scanHere(directory: string, exclude: Exclude): Scan {
  const tree = new Map<string, TreeEntry>();
  const skipped: string[] = [];
  const excluded: string[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(join(directory, below), { encoding: 'buffer' })) {
      const path = below === '' ? name.toString() : `${below}/${name.toString()}`;
      if (!isUtf8(name)) skipped.push(path);
      else if (temporary.test(path) || exclude(path)) excluded.push(path);
      else add(path);
    }
  };
  const add = (path: string): void => {
    try {
      const entry = entryAt(join(directory, path));
      if (entry.type === 'other') {
        skipped.push(path);
        return;
      }
      tree.set(path, entry);
      if (entry.type === 'directory') walk(path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      tree.delete(path);
    }
  };
  walk('');
  return { tree, skipped, excluded };
}

function entryAt(path: string): TreeEntry {
  const stats = lstatSync(path);
  const { size: sizeBytes, mtimeMs } = stats;
  const entry = { sizeBytes, mode: stats.mode & permissionBits, modifiedMs: Math.floor(mtimeMs) };
  if (stats.isSymbolicLink()) return { type: 'symlink', ...entry, target: readlinkSync(path) };
  if (stats.isDirectory()) return { type: 'directory', ...entry };
  return { type: stats.isFile() ? 'file' : 'other', ...entry };
}

/** @param root The real path of the directory. */
export async function scanMachine(
  sidecar: Sidecar, root: string, exclude: Exclude, signal?: AbortSignal,
): Promise<Scan> {
  const tree = new Map<string, TreeEntry>();
  const skipped: string[] = [];
  const excluded: string[] = [];
  for await (const info of sidecar.files.all(root, { depth, limit: 10_000, ...(signal && { signal }) })) {
    const path = pathBelow(root, info);
    // What is in a directory whose name is not UTF-8 has such a path, too.
    if (info.nameBase64 !== undefined || path.includes('\ufffd')) skipped.push(path);
    else if (temporary.test(path) || isExcluded(path, exclude)) excluded.push(path);
    else tree.set(path, machineEntry(info));
  }
  return { tree, skipped, excluded };
}

function machineEntry({ type, sizeBytes, mode, modifiedAt, target }: FileInfo): TreeEntry {
  return {
    type, sizeBytes, mode: Number.parseInt(mode, 8) & permissionBits, modifiedMs: Math.round(modifiedAt * 1000), target,
  };
}

function pathBelow(root: string, { path }: FileInfo): string {
  return path.slice(root === '/' ? 1 : root.length + 1);
}

/** Whether a path, or a directory that it is in, is excluded. */
function isExcluded(path: string, exclude: Exclude): boolean {
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    if (exclude(path.slice(0, end))) return true;
  }
  return exclude(path);
}

/** The SHA-256 of files of this machine; one that cannot be read has none: it is sent, and tar says what is wrong. */
export function hashesHere(directory: string, paths: readonly string[]): ReadonlyMap<string, string> {
  const hashes = new Map<string, string>();
  for (const path of paths) {
    try {
      hashes.set(path, hashOf(join(directory, path)));
    } catch (error) {
      if (errorCode(error) === '') throw error;
    }
  }
  return hashes;
}

const piece = Buffer.alloc(2 ** 20);

function hashOf(path: string): string {
  const hash = createHash('sha256');
  const file = openSync(path, constants.O_RDONLY | guard);
  try {
    for (let length = readSync(file, piece); length > 0; length = readSync(file, piece)) {
      hash.update(piece.subarray(0, length));
    }
    return hash.digest('hex');
  } finally {
    closeSync(file);
  }
}

/** The SHA-256 of files of the machine: of each directory that has one of them, all files are hashed. */
export async function hashesOfMachine(
  sidecar: Sidecar, root: string, paths: readonly string[], signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const hashes = new Map<string, string>();
  const wanted = new Set(paths);
  const directories = new Set(paths.map((path) => path.slice(0, Math.max(0, path.lastIndexOf('/')))));
  for (const directory of directories) {
    const at = directory === '' ? root : `${root === '/' ? '' : root}/${directory}`;
    for await (const info of sidecar.files.all(at, { hashes: true, limit: 10_000, ...(signal && { signal }) })) {
      const path = pathBelow(root, info);
      if (info.sha256 !== undefined && wanted.has(path)) hashes.set(path, info.sha256);
    }
  }
  return hashes;
}
