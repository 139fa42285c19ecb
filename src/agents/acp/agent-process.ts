/**
 * The process of an agent: stdin and stdout carry the protocol, stderr is that of the job.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { markName } from '../../process/descendants.ts';
import { identify } from '../../process/identity.ts';
import { spawnErrorText } from '../../process/spawn-error.ts';
import { isGone, terminate } from '../../process/terminate.ts';
import { installCommandOf } from '../registry.ts';
import { AgentFailure } from './agent-failure.ts';

export interface AgentProcessOptions {
  readonly argv: readonly string[];
  readonly workdir: string;
  readonly env: NodeJS.ProcessEnv;
  /** The id of the job, which marks all processes of the agent, wherever they move. This process may carry it, too. */
  readonly mark: string;
  /** Milliseconds that the agent has to end after the end of its input. Default: 3000. */
  readonly leaveMs?: number;
  /** Milliseconds between SIGTERM and SIGKILL. Default: 2000. */
  readonly graceMs?: number;
}

export interface AgentExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface AgentProcess {
  readonly pid: number;
  readonly input: Readable;
  readonly output: Writable;
  readonly exited: Promise<AgentExit>;
  /**
   * Closes the agent's stdin, which ends most agents, then ends the agent and all processes that it started: SIGTERM to
   * its group and to processes that left it, SIGKILL to those that remain. Resolves once no process is left; with
   * `false` if one hangs in the kernel.
   */
  end(): Promise<boolean>;
}

const defaultLeaveMs = 3000;
const defaultGraceMs = 2000;
/** After the agent has exited, its stdout is read for as long as data arrives, checked at this interval. */
const drainPollMs = 100;
/**
 * After this many checks, or `quietPolls` checks without data, its stdout is closed: a process that the agent started
 * may hold it open forever.
 */
const maxDrainPolls = 50;
const quietPolls = 5;

/** @throws AgentFailure `not_started` */
export async function startAgent(options: AgentProcessOptions): Promise<AgentProcess> {
  const {
    argv: [file = '', ...args], workdir: cwd, mark,
    leaveMs = defaultLeaveMs, graceMs = defaultGraceMs,
  } = options;
  // It gets its own process group: a wrapper of npm in front of the agent would otherwise be the only one to get
  // signals.
  const at = { file, cwd };
  const child = spawnAgent(at, () => spawn(file, args, {
    cwd,
    env: { ...options.env, [markName]: mark },
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  }));
  const exited = new Promise<AgentExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await waitForSpawn(child, at);
  const { pid = 0, stdout: input, stdin: output } = child;
  const leader = await identify(pid) ?? { pid, startTime: 'ended' };
  // EPIPE: the agent has ended, which `exited` reports.
  output.on('error', () => undefined);
  void exited.then(() => drainAndClose(input));
  const end = async (): Promise<boolean> => {
    output.end();
    const controller = new AbortController();
    await Promise.race([exited, sleep(leaveMs, undefined, { signal: controller.signal }).catch(() => undefined)]);
    controller.abort();
    const family = { id: mark, leader };
    // One check is enough for most agents, which end by themselves and leave no process.
    const isEnded = await isGone(family) || await terminate(family, { signal: 'SIGTERM', graceMs });
    input.destroy();
    output.destroy();
    return isEnded;
  };
  let ending: Promise<boolean> | undefined;
  return { pid, input, output, exited, end: () => ending ??= end() };
}

/** Node throws some errors synchronously, for example E2BIG for arguments that are too long. @throws AgentFailure */
function spawnAgent<C>(at: SpawnTarget, start: () => C): C {
  try {
    return start();
  } catch (error) {
    throw notStarted(error as Error, at);
  }
}

/** @throws AgentFailure */
function waitForSpawn(child: ChildProcess, at: SpawnTarget): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(notStarted(error, at)));
  });
}

interface SpawnTarget {
  readonly file: string;
  readonly cwd: string;
}

function notStarted(cause: Error, at: SpawnTarget): AgentFailure {
  const why = spawnErrorText(cause, at);
  const install = why.endsWith('is not installed') ? installCommandOf(at.file) : undefined;
  return new AgentFailure(
    'not_started',
    `Cannot start the agent: ${install === undefined ? why : `${why}: ${install}`}`,
    { cause },
  );
}

/** Reads the remaining output, then closes the stream, which is the end of input for its reader. */
async function drainAndClose(input: Readable): Promise<void> {
  let [read, quiet] = [-1, 0];
  for (let polls = 0; polls < maxDrainPolls && quiet < quietPolls; polls += 1) {
    if (input.readableEnded || input.destroyed) return;
    const readNow = input instanceof Socket ? input.bytesRead : 0;
    quiet = readNow === read ? quiet + 1 : 0;
    read = readNow;
    await sleep(drainPollMs);
  }
  input.destroy();
}
