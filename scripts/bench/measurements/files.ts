/**
 * Measures directories on their way to the machine and from it: `sidecar cp -r`, `sidecar sync`, and an archive by
 * curl, beside `tar | ssh`, `scp -r` and `rsync -a` to an sshd of our own. Each command opens its own connection, as
 * ours does; `tar | ssh` over one that is open already is shown, too. One directory has a file of 1 GiB, the other
 * 20,000 small files. A row's yardstick is the best of the others in that run; its name has the median of each.
 *
 * The files are in memory (/dev/shm) where there is room: a disk would write for many seconds what was copied before.
 * Each copy is new, and removed before the next.
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Bench, endProcess, type Row } from '../bench.ts';
import { type Server, serverKey, startServer } from '../server.ts';
import { median, rowOf } from '../statistics.ts';
import { formatNumber } from '../table.ts';
import { findProgram, startSsh } from '../yardsticks/ssh.ts';

export const name = 'files';
export const summary = 'directories to the machine and back, beside tar | ssh, scp and rsync';

const MEMORY = '/dev/shm';
const LARGE_BYTES = 2 ** 30;
const NEEDED_BYTES = 4 * LARGE_BYTES;
const SMALL_FILES = 20_000;
const FILES_A_FOLDER = 100;
/** At least so much of the rate of the best of the others. */
const BOUND = 0.9;

type Direction = 'to the machine' | 'from it' | 'the same again';

/** A way to copy a directory: a command of a shell, with $FROM and $TO. */
interface Way {
  readonly name: string;
  readonly isOurs: boolean;
  /** It starts with an advantage that a command does not have by itself: it is shown, and is not the best. */
  readonly isAhead?: boolean;
  readonly script: string;
}

interface Tree {
  readonly name: string;
  readonly folder: string;
  /** What is copied, in this unit. */
  readonly amount: number;
  readonly unit: 'MB/s' | '/s';
}

type Ways = { readonly [D in Direction]: readonly Way[] };
type Variables = { readonly [name: string]: string };

export async function measure(bench: Bench): Promise<Row[]> {
  const ssh = await startSsh(bench);
  if (!ssh.isThere) return [{ kind: 'skipped', name, reason: ssh.reason }];
  const folder = workFolder(bench);
  const server = await startServer(bench);
  const variables = variablesOf(bench, server, folder, ssh.command);
  const ways = waysOf();
  const rows: Row[] = [];
  for (const make of [makeLarge, makeSmall]) {
    const tree = make(folder);
    for (const direction of Object.keys(ways) as Direction[]) {
      rows.push(...await rowsOf(bench, tree, direction, ways[direction], { ...variables, FROM: tree.folder }));
    }
    rmSync(tree.folder, { recursive: true });
  }
  return rows;
}

function workFolder(bench: Bench): string {
  const { bavail, bsize } = statfsSync(MEMORY);
  if (bavail * bsize < NEEDED_BYTES) return bench.newFolder('files');
  const folder = mkdtempSync(join(MEMORY, 'sidecar-bench-'));
  bench.atEnd(async () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function variablesOf(bench: Bench, { host, port }: Server, folder: string, ssh: readonly string[]): Variables {
  const keyFile = join(folder, 'key');
  const headers = join(folder, 'headers');
  writeFileSync(keyFile, serverKey, { mode: 0o600 });
  writeFileSync(headers, `X-API-Key: ${serverKey}\n`, { mode: 0o600 });
  const [program = '', config = ''] = [ssh[0], ssh[2]];
  const ownConnection = '-o ProxyCommand=none -o ControlPath=none';
  return {
    URL: `http://${host}:${port}`, HEADERS: headers, TO: join(folder, 'copy'),
    SIDECAR: bench.serverCommand.slice(0, -1).join(' '),
    SIDECAR_URL: `http://${host}:${port}`, SIDECAR_KEY_FILE: keyFile,
    OPEN: `${program} -F ${config}`, SSH: `${program} -F ${config} ${ownConnection}`,
    OWN: ownConnection, CONFIG: config, RSYNC: findProgram('rsync') ?? '',
  };
}

function waysOf(): Ways {
  const ours = (way: string, script: string): Way => ({ name: way, isOurs: true, script });
  const other = (way: string, script: string): Way => ({ name: way, isOurs: false, script });
  const ahead = (way: string, script: string): Way => ({ ...other(way, script), isAhead: true });
  const rsync = findProgram('rsync') !== undefined;
  const curl = findProgram('curl') !== undefined;
  const curls = 'curl -sS -f -H @"$HEADERS"';
  const syncs = 'exec $SIDECAR sync "$FROM" ":$TO"';
  const rsyncs = '"$RSYNC" -a --rsync-path="$RSYNC" -e "$SSH" "$FROM/" "bench:$TO"';
  return {
    'to the machine': [
      ours('cp -r', 'exec $SIDECAR cp -r "$FROM" ":$TO"'),
      ours('sync', syncs),
      ...curl ? [ours('archive', `tar -c -C "$FROM" . | ${curls} -T - "$URL/files/archive?path=$TO"`)] : [],
      other('tar | ssh', 'tar -c -C "$FROM" . | $SSH bench "mkdir $TO && tar -x -C $TO"'),
      ahead('tar | ssh, open', 'tar -c -C "$FROM" . | $OPEN bench "mkdir $TO && tar -x -C $TO"'),
      other('scp', 'exec scp -q -r -F "$CONFIG" $OWN "$FROM" "bench:$TO"'),
      ...rsync ? [other('rsync', rsyncs)] : [],
    ],
    'from it': [
      ours('cp -r', 'exec $SIDECAR cp -r ":$FROM" "$TO"'),
      ...curl ? [ours('archive', `mkdir "$TO" && ${curls} "$URL/files/archive?path=$FROM" | tar -x -C "$TO"`)] : [],
      other('ssh | tar', 'mkdir "$TO" && $SSH bench "tar -c -C $FROM ." | tar -x -C "$TO"'),
      ahead('ssh | tar, open', 'mkdir "$TO" && $OPEN bench "tar -c -C $FROM ." | tar -x -C "$TO"'),
      other('scp', 'exec scp -q -r -F "$CONFIG" $OWN "bench:$FROM" "$TO"'),
      ...rsync ? [other('rsync', '"$RSYNC" -a --rsync-path="$RSYNC" -e "$SSH" "bench:$FROM/" "$TO"')] : [],
    ],
    'the same again': rsync ? [ours('sync', syncs), other('rsync', rsyncs)] : [],
  };
}

function makeLarge(folder: string): Tree {
  const from = join(folder, 'large');
  mkdirSync(from);
  const block = randomBytes(2 ** 24);
  for (let at = 0; at < LARGE_BYTES; at += block.length) writeFileSync(join(from, 'file'), block, { flag: 'a' });
  return { name: '1 GiB', folder: from, amount: LARGE_BYTES / 1e6, unit: 'MB/s' };
}

function makeSmall(folder: string): Tree {
  const from = join(folder, 'small');
  for (let at = 0; at < SMALL_FILES; at += 1) {
    const inner = join(from, `d${Math.floor(at / FILES_A_FOLDER)}`);
    if (at % FILES_A_FOLDER === 0) mkdirSync(inner, { recursive: true });
    writeFileSync(join(inner, `f${at}`), randomBytes(200 + (at * 7) % 3000));
  }
  return { name: '20,000 small files', folder: from, amount: SMALL_FILES, unit: '/s' };
}

async function rowsOf(
  bench: Bench, tree: Tree, direction: Direction, ways: readonly Way[], variables: Variables,
): Promise<Row[]> {
  const rates = new Map<Way, number[]>(ways.map((way) => [way, []]));
  for (let run = 0; run < bench.runs; run += 1) {
    for (const way of ways) {
      const seconds = await timed(bench, way, direction, variables);
      rates.get(way)?.push(tree.amount / seconds);
    }
  }
  const others = ways.filter(({ isOurs }) => !isOurs);
  const best = Array.from({ length: bench.runs }, (_, run) =>
    Math.max(...others.filter(({ isAhead }) => isAhead !== true).map((way) => rates.get(way)?.[run] ?? 0)));
  const list = others.map((way) => `${way.name} ${formatNumber(median(rates.get(way) ?? []))}`).join(', ');
  return ways.filter(({ isOurs }) => isOurs).map((way) => rowOf(
    `${tree.name} ${direction}, ${way.name}`, tree.unit, rates.get(way) ?? [],
    {
      yardstick: { name: `best of ${list}`, samples: best },
      // How long it takes to find that nothing changed is shown, not promised.
      ...(direction !== 'the same again' && { target: { on: 'ratio' as const, is: '>=' as const, bound: BOUND } }),
    },
  ));
}

/** @returns the seconds that it took. */
async function timed(bench: Bench, way: Way, direction: Direction, variables: Variables): Promise<number> {
  if (direction === 'the same again') await run(bench, way, variables);
  const beganMs = performance.now();
  await run(bench, way, variables);
  const seconds = (performance.now() - beganMs) / 1000;
  rmSync(variables['TO'] ?? '', { recursive: true });
  return seconds;
}

async function run(bench: Bench, { name: way, script }: Way, variables: Variables): Promise<void> {
  const child = spawn('bash', ['-c', `set -o pipefail; ${script}`], {
    env: { ...process.env, ...variables }, stdio: ['ignore', 'ignore', 'pipe'],
  });
  bench.atEnd(() => endProcess(child));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said += text; });
  const [exitCode] = await once(child, 'close') as [number | null];
  if (exitCode !== 0) throw new Error(`Cannot copy by ${way}: ${said.trim()}`);
}
