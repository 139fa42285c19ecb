/**
 * Measures an update under a light load: from the request to the first answer of the new version, and its effect on
 * clients. Four clients request `/health`, each request on its own connection. The longest time without any answer, and
 * the longest wait of a request, are compared with those of the same clients in the same time right after, without an
 * update. The release is the built package with another version number, in a tarball on this machine, so that no
 * network is measured. The time from the request until the new version has passed its probation counts.
 * @module
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Bench, Row } from '../bench.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';

const CLIENTS = 4;
const PAUSE_MS = 10;
const PROBATION_SECONDS = 1;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const RELEASE = join(ROOT, 'scripts/release.ts');

/** The longest gap between answers and the longest wait, in a part of the time. */
interface Noticed {
  readonly gapMs: number;
  readonly waitMs: number;
}

interface Update {
  readonly updateMs: number;
  readonly during: Noticed;
  readonly after: Noticed;
}

export const name = 'update';
export const summary = 'how long an update takes, and what clients notice of it';

export async function measure(bench: Bench): Promise<Row[]> {
  const folder = bench.newFolder('releases');
  const source = join(folder, 'release.tgz');
  const { host, port, headers } = await startServer(bench, {
    flags: ['--wrapper', '--update-source', source, '--update-probation', `${PROBATION_SECONDS}`],
  });
  const updates: Update[] = [];
  for (let run = 0; run < bench.runs; run++) {
    const version = `1000.0.${run}`;
    renameSync(await makeRelease(folder, version), source);
    const task = { host, port, headers, version, clients: CLIENTS, pauseMs: PAUSE_MS };
    updates.push(await bench.runProgram<Update>('./programs/update.mjs', task));
  }
  return [
    rowOf(
      'update, order to first answer of the new version',
      'ms',
      updates.map(({ updateMs }) => updateMs),
    ),
    compared('  longest gap between answers meanwhile', updates, ({ gapMs }) => gapMs),
    compared('  longest wait for an answer meanwhile', updates, ({ waitMs }) => waitMs),
  ];
}

function compared(row: string, updates: readonly Update[], pick: (of: Noticed) => number): Row {
  return rowOf(
    row,
    'ms',
    updates.map(({ during }) => pick(during)),
    { yardstick: { name: 'no update', samples: updates.map(({ after }) => pick(after)) } },
  );
}

/** Makes a release of the built package with that version. @returns The path of the tarball. */
async function makeRelease(folder: string, version: string): Promise<string> {
  const from = join(folder, version);
  mkdirSync(from);
  cpSync(join(ROOT, 'dist'), join(from, 'dist'), { recursive: true });
  const { scripts: _, ...manifest } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  writeFileSync(join(from, 'package.json'), JSON.stringify({ ...manifest, version }));
  const args = ['--import', 'tsx', RELEASE, '--from', from, '--out', folder];
  await promisify(execFile)(process.execPath, args, { cwd: ROOT });
  return join(folder, `${manifest.name}-${version}.tgz`);
}
