/**
 * Brings the disk of a server into a state, because a new file system is the exception: ext4 does not reuse an inode
 * that was deleted within the last 60 to 300 s (`recently_deleted()` in fs/ext4/ialloc.c) but steps over each of them,
 * in the group of the new file's directory. So new files are slow where files were deleted lately: by the server, which
 * keeps a limited number of jobs, or by another process.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { runLoad, runTrue } from './load.ts';
import { type Server, startServer } from './server.ts';

/** A server has run `jobs` jobs, of which it keeps `keptJobs`, and another process deleted files beside it. */
export interface DiskState {
  readonly name: string;
  readonly keptJobs: number;
  readonly jobs: number;
  readonly deletedFiles: number;
}

/** The others are compared with the first. In each, enough jobs have run for V8 to have compiled the code. */
export const DISK_STATES: readonly DiskState[] = [
  { name: 'fresh', keptJobs: 20_000, jobs: 1000, deletedFiles: 0 },
  { name: 'steady', keptJobs: 1000, jobs: 5000, deletedFiles: 0 },
  { name: 'after deletion', keptJobs: 20_000, jobs: 1000, deletedFiles: 100_000 },
];

/** Starts a server with a new state directory, and brings its disk into the state. */
export async function startServerIn(bench: Bench, folder: string, state: DiskState): Promise<Server> {
  // A file system places a folder by its name: the random name avoids the place that an earlier run deleted from.
  const place = join(folder, `${state.name.replaceAll(' ', '-')}-${randomBytes(6).toString('hex')}`);
  const stateDir = join(place, 'state');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const server = await startServer(bench, { stateDir, flags: ['--keep-jobs', String(state.keptJobs)] });
  if (state.deletedFiles > 0) {
    await bench.runProgram('./programs/delete-files.mjs', { folder: place, count: state.deletedFiles });
  }
  const body = { ...runTrue.body, shell: 'sh' };
  await runLoad(bench, server, { ...runTrue, body, connections: 8, count: state.jobs });
  return server;
}

/**
 * Makes a folder whose subfolders ext4 places far from each other (the flag T of chattr(1)), so that deletions in one
 * do not slow the others. Other file systems refuse the flag, and do not need it.
 */
export function newSpreadFolder(bench: Bench): string {
  const folder = bench.newFolder('disk');
  spawnSync('chattr', ['+T', folder], { stdio: 'ignore' });
  return folder;
}
