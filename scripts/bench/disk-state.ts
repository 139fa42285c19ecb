/**
 * What a server's disk has behind it. A new file system is the exception: ext4 does not take an
 * inode again that was deleted within the last 60 to 300 s (`recently_deleted()` in
 * fs/ext4/ialloc.c) but steps over each of them, in the group of the new file's directory. So files
 * come slowly where others were deleted lately: by the server, which keeps a limited number of
 * jobs, or by anybody else.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { runLoad, runTrue } from './load.ts';
import { type Server, startServer } from './server.ts';

/** A server has run `jobs` jobs, of which it keeps some, and others deleted files beside it. */
export interface DiskState {
  readonly name: string;
  readonly keptJobs: number;
  readonly jobs: number;
  readonly deletedFiles: number;
}

/** The first is the one that the others are held against. V8 has compiled what it will in each. */
export const DISK_STATES: readonly DiskState[] = [
  { name: 'fresh', keptJobs: 20_000, jobs: 1000, deletedFiles: 0 },
  { name: 'steady', keptJobs: 1000, jobs: 5000, deletedFiles: 0 },
  { name: 'after deletion', keptJobs: 20_000, jobs: 1000, deletedFiles: 100_000 },
];

/** Starts a server whose state directory is new, and brings its disk into the state. */
export async function startServerIn(bench: Bench, folder: string, state: DiskState): Promise<Server> {
  // The name decides where a file system puts the folder: what an earlier run deleted is elsewhere.
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
 * A folder whose subfolders ext4 puts far from each other (the flag T of chattr(1)), so that what
 * is deleted in one is not felt in the others. Other file systems refuse the flag, and need none.
 */
export function newSpreadFolder(bench: Bench): string {
  const folder = bench.newFolder('disk');
  spawnSync('chattr', ['+T', folder], { stdio: 'ignore' });
  return folder;
}
