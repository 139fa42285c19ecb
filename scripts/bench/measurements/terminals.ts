/**
 * Measures a terminal over its WebSocket against bare `script` on pipes: the time from a key to its echo, the speed of
 * much output, and the memory of one more terminal.
 *
 * Both sides run `cat` on a pseudo-terminal that echoes, and the clock is in this process. The memory is that of the
 * holder and of script(1): their private memory, and their resident memory, most of which all processes of Node share.
 * @module
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { shellWord } from '../../../src/base/text/shell-word.ts';
import { connectWebSocket } from '../../../src/websocket/client.ts';
import type { Bench, Row } from '../bench.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';

const KEYS = 500;
const WARMUP = 50;
const PAUSE_MS = 2;
const BYTES = 100_000_000;
const ECHO = 'stty raw; echo rea""dy; exec cat > /dev/null';
const FLOOD =
  `stty raw -echo; echo rea""dy; read -r start; head -c ${BYTES} /dev/zero | tr "\\000" "x"; exec sleep 1000`;
const IDLE_MS = 500;

/** A terminal to type into and to read from. */
interface Screen {
  type(text: string): void;
  onOutput: (bytes: number) => void;
  close(): void;
}

export const name = 'terminals';
export const summary = 'typing, output and screens of terminals';

export async function measure(bench: Bench): Promise<Row[]> {
  if (!existsSync('/usr/bin/script')) return [
    { kind: 'skipped', name: 'terminals', reason: 'script(1) is not installed' },
  ];
  const server = await startServer(bench);
  const ours = { p50: [] as number[], p99: [] as number[], rate: [] as number[] };
  const bare = { p50: [] as number[], p99: [] as number[], rate: [] as number[] };
  for (let run = 0; run < bench.runs; run++) {
    for (const [samples, open] of [
      [ours, (command: string) => overWebSocket(server, command)], [bare, overPipes],
    ] as const) {
      const { p50, p99 } = await echoOf(await open(ECHO));
      samples.p50.push(p50);
      samples.p99.push(p99);
      samples.rate.push(await rateOf(await open(FLOOD)));
    }
  }
  const against = (samples: number[]): { yardstick: { name: string; samples: number[] } } => (
    { yardstick: { name: 'bare script', samples } }
  );
  return [
    rowOf('terminal, key to echo, p50', 'ms', ours.p50, against(bare.p50)),
    rowOf('terminal, key to echo, p99', 'ms', ours.p99, against(bare.p99)),
    rowOf('terminal, output', 'MB/s', ours.rate, against(bare.rate)),
    ...(await memoryRows(server)),
  ];
}

async function echoOf(screen: Screen): Promise<{ p50: number; p99: number }> {
  const times: number[] = [];
  for (let key = 0; key < WARMUP + KEYS; key++) {
    const startedAt = performance.now();
    const seen = new Promise<void>((resolve) => { screen.onOutput = () => resolve(); });
    screen.type('k');
    await seen;
    if (key >= WARMUP) times.push(performance.now() - startedAt);
    await delay(PAUSE_MS);
  }
  screen.close();
  times.sort((a, b) => a - b);
  return { p50: times[Math.floor(KEYS / 2)] ?? NaN, p99: times[Math.floor(KEYS * 0.99)] ?? NaN };
}

async function rateOf(screen: Screen): Promise<number> {
  let bytes = 0;
  const startedAt = performance.now();
  const all = new Promise<void>((resolve) => {
    screen.onOutput = (length) => {
      bytes += length;
      if (bytes >= BYTES) resolve();
    };
  });
  screen.type('\n');
  await all;
  const seconds = (performance.now() - startedAt) / 1000;
  screen.close();
  return bytes / 1e6 / seconds;
}

async function overWebSocket(server: Server, command: string): Promise<Screen> {
  const { host, port, headers } = server;
  const socket = await connectWebSocket(
    `ws://${host}:${port}/terminal?command=${encodeURIComponent(`exec sh -c ${shellWord(command)}`)}`,
    { headers, protocols: ['sidecar.v1'] },
  );
  const screen: Screen = {
    type: (text) => void socket.send(Buffer.from(text)), onOutput: () => undefined, close: () => socket.close(),
  };
  const ready = new Promise<void>((resolve) => { screen.onOutput = () => resolve(); });
  let shown = '';
  socket.onMessage = (data) => {
    if (!shown.includes('ready')) shown += data.toString();
    if (shown.includes('ready')) screen.onOutput(data.length);
  };
  await ready;
  return screen;
}

async function overPipes(command: string): Promise<Screen> {
  const child: ChildProcessWithoutNullStreams = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...process.env, SHELL: '/bin/sh' },
  });
  const screen: Screen = {
    type: (text) => void child.stdin.write(text),
    onOutput: () => undefined,
    close: () => void child.kill('SIGKILL'),
  };
  const ready = new Promise<void>((resolve) => { screen.onOutput = () => resolve(); });
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => screen.onOutput(chunk.length));
  await ready;
  return screen;
}

async function memoryRows(server: Server): Promise<Row[]> {
  const { terminalId } = await server.ask<{ terminalId: string }>('POST', '/terminals', {
    body: { command: 'exec sleep 1000' }, status: 201,
  });
  await delay(IDLE_MS);
  const directory = join(server.stateDir, 'terminals', terminalId);
  const holder = readdirSync('/proc').find((pid) => /^\d+$/.test(pid) && cwdOf(pid) === directory) ?? 'self';
  const [script = 'self'] = readFileSync(`/proc/${holder}/task/${holder}/children`, 'utf8').split(' ');
  const memory = (kind: RegExp): number => [holder, script].reduce((sum, pid) => sum + mebibytes(pid, kind), 0);
  const rows = [
    rowOf('terminal, memory of its own', 'MiB', [memory(/^Private_(?:Clean|Dirty):\s+(\d+)/gm)]),
    rowOf('terminal, resident memory', 'MiB', [memory(/^Rss:\s+(\d+)/gm)]),
  ];
  await server.ask('DELETE', `/terminals/${terminalId}`);
  return rows;
}

function cwdOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}

function mebibytes(pid: string, kind: RegExp): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return [...text.matchAll(kind)].reduce((sum, [, kilobytes]) => sum + Number(kilobytes), 0) / 1024;
}
