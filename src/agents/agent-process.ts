/**
 * The process of an agent: its stdio is the conversation, its stderr that of the job.
 * @module
 */
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { markName } from '../process/descendants.ts';
import { identify } from '../process/identity.ts';
import { spawnErrorText } from '../process/spawn-error.ts';
import { isGone, terminate } from '../process/terminate.ts';
import { AgentFailure } from './agent-failure.ts';
import { installCommandOf } from './known.ts';

export interface AgentProcessOptions {
  readonly argv: readonly string[];
  readonly workdir: string;
  readonly env: NodeJS.ProcessEnv;
  /** Marks all its processes, wherever they go: the id of its job. This process itself may carry it, too. */
  readonly mark: string;
  /** Milliseconds for it to end once it reads the end of its input. Default: 3000. */
  readonly leaveMs?: number;
  /** Milliseconds for SIGTERM to be acted upon. Default: 2000. */
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
   * Closes its stdin, which ends most agents, then ends it and all that it has started: SIGTERM to its group and to whoever left that, SIGKILL to
   * those that stay. Resolves once nobody is left, `false` where somebody hangs in the kernel.
   */
  end(): Promise<boolean>;
}

const defaultLeaveMs = 3000;
const defaultGraceMs = 2000;
/** What an agent has said last is read for as long as something comes, looked at so often: */
const drainLookMs = 100;
/** Then, or once nothing came for a few looks, its stdout is let go: somebody that it has started may hold it open for ever. */
const maxDrainLooks = 50;
const quietLooks = 5;

/** @throws AgentFailure `not_started` */
export async function startAgent(options: AgentProcessOptions): Promise<AgentProcess> {
  const { argv: [file = '', ...args], workdir: cwd, mark, leaveMs = defaultLeaveMs, graceMs = defaultGraceMs } = options;
  // A group of its own: an agent may be behind a wrapper of npm, which alone would hear of a signal.
  const at = { file, cwd };
  const child = spawned(at, () => spawn(file, args, { cwd, env: { ...options.env, [markName]: mark }, stdio: ['pipe', 'pipe', 'inherit'], detached: true }));
  const exited = new Promise<AgentExit>((resolve) => { child.once('exit', (code, signal) => resolve({ code, signal })); });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(notStarted(error, at));
    });
  });
  const { pid = 0, stdout: input, stdin: output } = child;
  const leader = await identify(pid) ?? { pid, startTime: 'ended' };
  // EPIPE: it has ended, which its exit tells.
  output.on('error', () => undefined);
  void exited.then(() => letGo(input));
  const end = async (): Promise<boolean> => {
    output.end();
    const controller = new AbortController();
    await Promise.race([exited, sleep(leaveMs, undefined, { signal: controller.signal }).catch(() => undefined)]);
    controller.abort();
    const family = { id: mark, leader };
    // One look is enough for most, which go by themselves and leave nobody.
    const isEnded = await isGone(family) || await terminate(family, { signal: 'SIGTERM', graceMs });
    input.destroy();
    output.destroy();
    return isEnded;
  };
  let ending: Promise<boolean> | undefined;
  return { pid, input, output, exited, end: () => ending ??= end() };
}

/** Some errors Node throws at once, as that the arguments are too long (E2BIG). @throws AgentFailure */
function spawned<C>(at: SpawnedAt, start: () => C): C {
  try {
    return start();
  } catch (error) {
    throw notStarted(error as Error, at);
  }
}

interface SpawnedAt {
  readonly file: string;
  readonly cwd: string;
}

function notStarted(cause: Error, at: SpawnedAt): AgentFailure {
  const why = spawnErrorText(cause, at);
  const install = why.endsWith('is not installed') ? installCommandOf(at.file) : undefined;
  return new AgentFailure('not_started', `Cannot start the agent: ${install === undefined ? why : `${why}: ${install}`}`, { cause });
}

/** For whoever reads it that is the end. */
async function letGo(input: Readable): Promise<void> {
  let [read, quiet] = [-1, 0];
  for (let looks = 0; looks < maxDrainLooks && quiet < quietLooks; looks += 1) {
    if (input.readableEnded || input.destroyed) return;
    const readNow = input instanceof Socket ? input.bytesRead : 0;
    quiet = readNow === read ? quiet + 1 : 0;
    read = readNow;
    await sleep(drainLookMs);
  }
  input.destroy();
}
