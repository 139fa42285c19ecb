/**
 * The commands that an agent runs through its client: `terminal/*` of the Agent Client Protocol. Despite the name they
 * have no terminal: stdin is empty, stdout and stderr are merged.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../../base/error-code.ts';
import { unlessAborted } from '../../base/abort.ts';
import { defined } from '../../base/defined.ts';
import { RingBuffer } from '../../base/ring-buffer.ts';
import { truncate } from '../../base/text/truncate.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { type Identity, identify } from '../../process/identity.ts';
import { shellArgv } from '../../process/shell-argv.ts';
import { spawnErrorText } from '../../process/spawn-error.ts';
import { terminate } from '../../process/terminate.ts';
import { acpCodes } from '../acp/v1.ts';
import type { Sandbox } from './sandbox.ts';

export interface AgentCommandsOptions {
  readonly sandbox: Sandbox;
  readonly env: NodeJS.ProcessEnv;
  /** The path of the shell that runs lines. Default: /bin/sh. */
  readonly shell?: string;
  /** Limit of commands that were not released. Default: 64. */
  readonly maxCommands?: number;
}

export interface CommandRequest {
  /** A program or, without any `args`, a line for a shell: some agents send a line with an empty list. */
  readonly command: string;
  readonly args?: readonly string[] | undefined;
  readonly env?: { readonly [name: string]: string };
  readonly cwd?: string | undefined;
  /** Bytes kept of the output, from its end. Default: 1 MiB; at most 16 MiB. */
  readonly outputByteLimit?: number | undefined;
}

export interface ExitStatus {
  readonly exitCode: number | null;
  /** The name of the signal that ended the command. */
  readonly signal: string | null;
}

export interface CommandOutput {
  readonly output: string;
  /** Whether earlier output was dropped. */
  readonly truncated: boolean;
  /** Present once the command has ended. */
  readonly exitStatus?: ExitStatus;
}

interface Command {
  readonly id: string;
  readonly child: ChildProcess;
  /** The leader of its process group. */
  readonly leader: Identity | undefined;
  readonly ring: RingBuffer;
  readonly limitBytes: number;
  readonly ended: Promise<ExitStatus>;
  exitStatus: ExitStatus | undefined;
}

export const defaultLimitBytes: number = 2 ** 20;
export const maxLimitBytes: number = 16 * 2 ** 20;
const defaultMaxCommands = 64;
/** Milliseconds between SIGTERM and SIGKILL. */
const graceMs = 1000;
/**
 * Milliseconds for which output is read after a command has ended: a process that it started may keep running and hold
 * the output open.
 */
const drainMs = 250;
/** Characters of a command shown in the error that it cannot be run. */
const maxShownCharacters = 200;

/** The operations of a host that runs commands. */
export type CommandsHost = Pick<AgentCommands, 'create' | 'output' | 'waitForExit' | 'kill' | 'release' | 'close'>;

export class AgentCommands {
  readonly #options: AgentCommandsOptions;
  readonly #commands = new Map<string, Command>();
  /** Commands that are starting and are not in `#commands` yet: an agent may request many at once. */
  #starting = 0;
  #isClosed = false;

  constructor(options: AgentCommandsOptions) {
    this.#options = options;
  }

  /**
   * Starts a command without waiting for its end.
   * @returns its id.
   * @throws RpcError -32602 outside of the sandbox, -32603 if it cannot be started.
   */
  async create(request: CommandRequest): Promise<string> {
    const { maxCommands = defaultMaxCommands } = this.#options;
    if (this.#commands.size + this.#starting >= maxCommands) {
      throw tooManyCommands(request.command, maxCommands);
    }
    this.#starting += 1;
    try {
      return await this.#start(request);
    } finally {
      this.#starting -= 1;
    }
  }

  async #start(
    { command, args, env = {}, cwd = '.', outputByteLimit = defaultLimitBytes }: CommandRequest,
  ): Promise<string> {
    const workdir = await this.#options.sandbox.realPathOf(cwd);
    if (workdir === undefined) throw directoryOutside(cwd);
    const line = shellArgv(this.#options.shell ?? '/bin/sh', command);
    const [file = '', ...words] = args === undefined || args.length === 0 ? line : [command, ...args];
    const request: SpawnRequest = { command, file, cwd: workdir };
    const child = spawnCommand(request, words, { ...this.#options.env, ...env });
    const limitBytes = Math.min(outputByteLimit, maxLimitBytes);
    const ring = new RingBuffer(Math.max(1, limitBytes));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => ring.append(chunk)).on('error', () => undefined);
    }
    await waitForSpawn(child, request);
    const id = randomUUID();
    const ended = waitForExitStatus(child);
    const entry: Command = {
      id, child, leader: await identify(child.pid ?? 0), ring, limitBytes, ended, exitStatus: undefined,
    };
    void ended.then((exitStatus) => { entry.exitStatus = exitStatus; });
    this.#commands.set(id, entry);
    if (!this.#isClosed) return id;
    await endCommand(entry);
    throw new RpcError(rpcCodes.internalError, `Cannot run ${command}: the agent is being ended`);
  }

  /**
   * All output kept so far; reading does not consume it.
   * @throws RpcError -32002 for an unknown id, as the methods below.
   */
  output(id: string): CommandOutput {
    const { ring, limitBytes, exitStatus } = this.#get(id);
    const start = limitBytes === 0 ? ring.end : ring.characterStart;
    return {
      output: ring.read(start, limitBytes).toString(),
      truncated: start > 0,
      ...defined({ exitStatus }),
    };
  }

  async waitForExit(id: string, signal?: AbortSignal): Promise<ExitStatus> {
    return await unlessAborted(this.#get(id).ended, signal);
  }

  /** Ends the command and its whole process group: SIGTERM, then SIGKILL. Its output can still be read. */
  async kill(id: string): Promise<void> {
    await endCommand(this.#get(id));
  }

  /** Ends the command as {@link kill} does, and forgets it. */
  async release(id: string): Promise<void> {
    const command = this.#get(id);
    this.#commands.delete(id);
    await endCommand(command);
  }

  /** Ends all commands. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#commands.values()];
    this.#commands.clear();
    await Promise.all(all.map((command) => endCommand(command)));
  }

  #get(id: string): Command {
    const command = this.#commands.get(id);
    if (!command) throw terminalNotFound(id);
    return command;
  }
}

export function terminalNotFound(id: string): RpcError {
  return new RpcError(acpCodes.resourceNotFound, `Cannot find terminal ${id}: there is none, or it was released`);
}

export function directoryOutside(directory: string): RpcError {
  const why = 'it is outside of the directories of the job';
  return new RpcError(rpcCodes.invalidParams, `Cannot run a command in ${directory}: ${why}`);
}

export function tooManyCommands(command: string, maxCommands: number): RpcError {
  const why = `there are ${maxCommands} commands already; release one`;
  return new RpcError(rpcCodes.internalError, `Cannot run ${command}: ${why}`);
}

/** The requested command, the program that is started for it, and its directory. */
interface SpawnRequest {
  readonly command: string;
  readonly file: string;
  readonly cwd: string;
}

/** Node throws some errors synchronously, for example E2BIG for a command that is too long. @throws RpcError */
function spawnCommand(request: SpawnRequest, words: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  try {
    return spawn(request.file, words, { cwd: request.cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  } catch (error) {
    throw cannotRun(request, error as Error);
  }
}

/** An error that says what is missing, in words and with the system's code. */
function cannotRun({ command, file, cwd }: SpawnRequest, error: Error): RpcError {
  const why = spawnErrorText(error, { file, cwd });
  const reason = truncate(why === error.message ? why : `${why} (${errorCode(error)})`, 2 * maxShownCharacters);
  const what = `Cannot run ${truncate(command, maxShownCharacters)}: ${reason}`;
  return new RpcError(rpcCodes.internalError, what, { cause: error });
}

/** @throws RpcError */
function waitForSpawn(child: ChildProcess, request: SpawnRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(cannotRun(request, error)));
  });
}

/** The exit status, once the output was read or {@link drainMs} have passed. */
async function waitForExitStatus(child: ChildProcess): Promise<ExitStatus> {
  const closed = new Promise<void>((resolve) => { child.once('close', () => resolve()); });
  const exitStatus = await new Promise<ExitStatus>((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
  });
  const controller = new AbortController();
  await Promise.race([closed, sleep(drainMs, undefined, { signal: controller.signal }).catch(() => undefined)]);
  controller.abort();
  return exitStatus;
}

/** Ends the whole process group, also what is left of it after the command itself has ended. */
async function endCommand({ id, child, leader }: Command): Promise<void> {
  await terminate({ id, leader }, { signal: 'SIGTERM', graceMs });
  child.stdout?.destroy();
  child.stderr?.destroy();
}
