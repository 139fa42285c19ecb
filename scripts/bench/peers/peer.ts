/**
 * Programs that run commands for clients. The server is one of them here, so that all are measured in the same way.
 * @module
 */
import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bench, endProcess } from '../bench.ts';
import { type Address, type Load, runLoad, runTrue } from '../load.ts';
import type { ProcessTree } from '../process-tree.ts';
import type { Server } from '../server.ts';

const START_LIMIT_MS = 10_000;

/** A program that runs `true` as a job. */
export interface Peer {
  readonly name: string;
  /** The processes whose CPU time counts for the jobs; the client is not one of them. */
  readonly tree: ProcessTree;
  /** Measures from a request to its acceptance, with a pause after each. Absent if the peer cannot do that. */
  submit?(load: JobLoad): Promise<JobTimes>;
  /** Measures from a request to its result. */
  run(load: JobLoad): Promise<JobTimes>;
}

/** A peer that cannot run here, and the reason, or how to get it. */
export interface MissingPeer {
  readonly name: string;
  readonly missing: string;
}

/** How many jobs run, and how many at the same time; the jobs of the warm-up are not measured. */
export interface JobLoad {
  readonly concurrency: number;
  readonly warmup: number;
  readonly count: number;
}

/** The time of the median job, the jobs a second, and the number of jobs including the warm-up. */
export interface JobTimes {
  readonly p50Ms: number;
  readonly perSecond: number;
  readonly jobs: number;
}

/** The server as a peer, with the given shell or its default shell. */
export function sidecar(bench: Bench, server: Server, { name, shell }: { name: string; shell?: string }): Peer {
  const body = { ...runTrue.body, ...(shell !== undefined && { shell }) };
  return httpPeer(bench, server, {
    name,
    tree: server,
    submit: { method: 'POST', paths: ['/exec'], body, status: 202 },
    run: { ...runTrue, body },
  });
}

/** A peer that takes requests by HTTP. */
export function httpPeer(
  bench: Bench,
  address: Address,
  peer: {
    readonly name: string;
    readonly tree: ProcessTree;
    readonly submit: Omit<Load, 'count'>;
    readonly run: Omit<Load, 'count'>;
  },
): Peer {
  const send = async (request: Omit<Load, 'count'>, { concurrency, ...counts }: JobLoad): Promise<JobTimes> => {
    const { p50Ms, seconds } = await runLoad(bench, address, { ...request, ...counts, connections: concurrency });
    return { p50Ms, perSecond: counts.count / seconds, jobs: counts.warmup + counts.count };
  };
  return {
    name: peer.name,
    tree: peer.tree,
    // The pause lets the job end before the next request.
    submit: (load) => send({ ...peer.submit, pauseMs: 5 }, load),
    run: (load) => send(peer.run, load),
  };
}

/**
 * Starts a program that listens on a port of the loopback address, and waits until it does.
 * The program is ended after the measurement.
 *
 * @param program.folder Its working directory and home; its log is in it.
 * @returns Its pid. @throws If it ends or does not listen within 10 s, with the end of its log.
 */
export async function startListener(
  bench: Bench,
  program: { command: string; args: readonly string[]; port: number; folder: string },
): Promise<number> {
  const { command, args, port, folder } = program;
  const logFile = join(folder, 'log');
  const log = openSync(logFile, 'a', 0o600);
  const env = { ...process.env, HOME: folder };
  const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', log, log] });
  child.on('error', () => undefined);
  bench.atEnd(() => endProcess(child));
  const startedAt = performance.now();
  while (performance.now() - startedAt < START_LIMIT_MS) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    if (child.pid !== undefined && (await accepts(port))) return child.pid;
    await delay(20);
  }
  throw new Error(`Cannot start ${command}: ${readFileSync(logFile, 'utf8').slice(-500)}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** The message of an error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
