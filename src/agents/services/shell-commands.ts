/**
 * Runs the commands of an agent in a persistent shell. The shell belongs to the server: this module only requests the
 * commands in the agent's state, and then reads the files in the directories of their jobs.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../../base/abort.ts';
import { defined } from '../../base/defined.ts';
import { quote, shellWord } from '../../base/text/shell-word.ts';
import { displayText, truncate } from '../../base/text/truncate.ts';
import { checkFolder, type OpenedFile, openRegular, readRegular } from '../../base/files/untrusted-file.ts';
import { startOfCharacter } from '../../base/text/utf8.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { parseExit } from '../../process/launcher/process-note.ts';
import type { ShellCommandRequest } from '../runner-config.ts';
import {
  type CommandOutput, type CommandRequest, type CommandsHost, type ExitStatus, defaultLimitBytes, directoryOutside,
  maxLimitBytes, terminalNotFound, tooManyCommands,
} from './commands.ts';
import type { Sandbox } from './sandbox.ts';

export interface ShellCommandsOptions {
  readonly sandbox: Sandbox;
  /** Called when the requests have changed. */
  readonly onChange: () => void;
  /** Limit of commands that were not released. Default: 64. */
  readonly maxCommands?: number;
}

interface Command {
  request: ShellCommandRequest;
  readonly limitBytes: number;
  /** The directory of the command's job; `null` if it cannot become a job; `undefined` until that is known. */
  directory: string | null | undefined;
  error: string;
  exitStatus: ExitStatus | undefined;
  readonly ended: Promise<ExitStatus>;
  readonly settle: (status: ExitStatus) => void;
}

const pollMs = 50;
/** Limit of the scripts of all commands together, because the state holds them. */
const maxScriptCharacters = 2 * 2 ** 20;
const maxExitBytes = 64;
/** XBD 3.216, Name. Any other text would become part of the script. */
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** For the server to end a command. */
const endMs = 15_000;
/** The shell's own status for a command that it cannot run (POSIX, Shell Command Language 2.8.2). */
const notRun: ExitStatus = { exitCode: 126, signal: null };

export class ShellCommands implements CommandsHost {
  readonly #options: ShellCommandsOptions;
  readonly #commands = new Map<string, Command>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ShellCommandsOptions) {
    this.#options = options;
  }

  /** The commands that the server has to run, or to end. */
  get requests(): readonly ShellCommandRequest[] {
    return [...this.#commands.values()].map(({ request }) => request);
  }

  async create(
    { command, args = [], env = {}, cwd, outputByteLimit = defaultLimitBytes }: CommandRequest,
  ): Promise<string> {
    const { sandbox, maxCommands = 64 } = this.#options;
    const directory = await sandbox.realPathOf(cwd ?? '.');
    if (directory === undefined) throw directoryOutside(cwd ?? '.');
    const unfit = Object.keys(env).find((name) => !variableName.test(name));
    if (unfit !== undefined) {
      throw new RpcError(
        rpcCodes.invalidParams,
        `Cannot run ${command}: a shell has no variables of the name ${displayText(unfit)}`,
      );
    }
    const commandId = randomUUID();
    // A cwd that is the workdir counts as none: the shell stays where it is.
    const isElsewhere = cwd !== undefined && directory !== await sandbox.realPathOf('.');
    // There is no await from here on: many commands may be requested at once.
    if (this.#commands.size >= maxCommands) throw tooManyCommands(command, maxCommands);
    const line = args.length === 0 ? command : [command, ...args].map(shellWord).join(' ');
    const script = scriptOf({ line, env, directory: isElsewhere ? directory : undefined });
    const scripts = [script, ...this.requests.map((request) => request.script)];
    if (scripts.reduce((sum, { length }) => sum + length, 0) > maxScriptCharacters) {
      const why = `the commands that there are have more than ${maxScriptCharacters} characters`;
      throw new RpcError(rpcCodes.internalError, `Cannot run ${truncate(command, 200)}: ${why}`);
    }
    let settle: (status: ExitStatus) => void = () => undefined;
    const ended = new Promise<ExitStatus>((resolve) => { settle = resolve; });
    this.#commands.set(commandId, {
      request: { wishId: commandId, script, isEnded: false },
      limitBytes: Math.min(outputByteLimit, maxLimitBytes),
      directory: undefined,
      error: '',
      exitStatus: undefined,
      ended,
      settle,
    });
    this.#timer ??= setInterval(() => this.#poll(), pollMs);
    this.#options.onChange();
    return commandId;
  }

  /** The server has started the command as a job, or cannot. */
  started(commandId: string, directory: string | null, error = ''): void {
    const command = this.#commands.get(commandId);
    if (!command) return;
    command.directory = directory;
    command.error = error;
    if (directory === null) this.#end(command, notRun);
  }

  /** The command's job has ended: the server reports how, in case the job's own files do not. */
  ended(commandId: string, directory: string, exitCode: number): void {
    const command = this.#commands.get(commandId);
    if (!command) return;
    // A server that ended may not have reported the start.
    command.directory ??= directory;
    this.#end(command, { exitCode: Math.max(0, exitCode), signal: null });
  }

  output(id: string): CommandOutput {
    const { directory, error, limitBytes, exitStatus } = this.#get(id);
    const streams = typeof directory === 'string'
      ? ['stdout', 'stderr'].map((name) => readTail(join(directory, name), limitBytes))
      : [{ bytes: Buffer.from(error), isCut: false }];
    const bytes = Buffer.concat(streams.map((stream) => stream.bytes));
    const start = Math.max(0, bytes.length - limitBytes);
    const whole = bytes.subarray(start === 0 ? 0 : startOfCharacter(bytes, start));
    const truncated = whole.length < bytes.length || streams.some(({ isCut }) => isCut);
    return { output: whole.toString(), truncated, ...defined({ exitStatus }) };
  }

  async waitForExit(id: string, signal?: AbortSignal): Promise<ExitStatus> {
    return await unlessAborted(this.#get(id).ended, signal);
  }

  async kill(id: string): Promise<void> {
    await this.#kill(this.#get(id));
  }

  async release(id: string): Promise<void> {
    await this.#kill(this.#get(id));
    this.#remove([id]);
  }

  /** Forgets all commands; the server, which watches the job, ends those that are left. */
  async close(): Promise<void> {
    this.#remove([...this.#commands.keys()]);
  }

  async #kill(command: Command): Promise<void> {
    if (command.exitStatus !== undefined) return;
    command.request = { ...command.request, isEnded: true };
    this.#options.onChange();
    const controller = new AbortController();
    await Promise.race([command.ended, sleep(endMs, undefined, { signal: controller.signal }).catch(() => undefined)]);
    controller.abort();
  }

  #remove(ids: readonly string[]): void {
    for (const id of ids) this.#commands.delete(id);
    if (this.#commands.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.#options.onChange();
  }

  #poll(): void {
    for (const command of this.#commands.values()) {
      if (command.exitStatus !== undefined || typeof command.directory !== 'string') continue;
      const exitCode = exitCodeIn(command.directory);
      if (exitCode !== undefined) this.#end(command, { exitCode, signal: null });
    }
  }

  #end(command: Command, status: ExitStatus): void {
    command.exitStatus ??= status;
    command.settle(command.exitStatus);
  }

  #get(id: string): Command {
    const command = this.#commands.get(id);
    if (!command) throw terminalNotFound(id);
    return command;
  }
}

/** Merges both streams, as a terminal shows them; errors of the shell about the script go to the shell's own stderr. */
function scriptOf(
  { line, env, directory }: {
    readonly line: string; readonly env: { readonly [name: string]: string }; readonly directory: string | undefined
  },
): string {
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}\n`).join('');
  const goes = directory === undefined ? '' : `cd -- ${quote(directory)} && `;
  return `${exports}${goes}{ ${line}\n} 2>&1`;
}

function readTail(path: string, maxBytes: number): { readonly bytes: Buffer; readonly isCut: boolean } {
  let opened: OpenedFile;
  try {
    checkFolder(dirname(path));
    opened = openRegular(path);
  } catch {
    // The command has not begun, or has replaced the file.
    return { bytes: Buffer.alloc(0), isCut: false };
  }
  const { fd, stats: { size } } = opened;
  try {
    const start = Math.max(0, size - maxBytes);
    const bytes = Buffer.allocUnsafe(size - start);
    return { bytes: bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, start)), isCut: start > 0 };
  } finally {
    closeSync(fd);
  }
}

function exitCodeIn(directory: string): number | undefined {
  try {
    checkFolder(directory);
    return parseExit(readRegular(join(directory, 'exit'), maxExitBytes).toString('latin1'));
  } catch {
    return undefined;
  }
}
