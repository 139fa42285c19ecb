/**
 * Runs a program on a pseudo-terminal: by script(1), which every Unix has, or by node-pty where the user installed it.
 * @module
 */
import { execFile, spawn } from 'node:child_process';
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { carriedArgv, needsCarrier } from '../../process/launcher/carry.ts';
import { toolEnvironment, withoutNodeOptions } from '../../process/environment/shell-variables.ts';
import { findProgram } from '../../process/find-program.ts';
import { isPidAlive } from '../../process/identity.ts';
import { resizeArgv, scriptCommand } from '../../process/pty.ts';
import type { TerminalBackend, TerminalSize } from '../../protocol/terminals.ts';

export interface PtyOptions {
  readonly argv: readonly string[];
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  readonly size: TerminalSize;
}

export interface PtyEvents {
  readonly onOutput: (bytes: Buffer) => void;
  /** There is room for more input again. */
  readonly onDrain: () => void;
  /** The program has ended, and `onOutput` has had all output. @param code 128+n for signal n. */
  readonly onExit: (code: number) => void;
}

export interface Pty {
  readonly backend: TerminalBackend;
  /** Pid of the program, which leads its session. */
  readonly pid: number;
  /** Sends input. `false`: the caller should wait for `onDrain`. */
  write(bytes: Buffer): boolean;
  /** Resolves once the program has this size, or a later one. */
  resize(size: TerminalSize): Promise<void>;
  /** Stops reading output: the program waits once the buffers in between are full. */
  pause(): void;
  resume(): void;
}

const noteFd = 3;
const endCheckMs = 20;
const longestComplaint = 2048;

/** The used part of the node-pty API, of either package. */
interface NodePty {
  spawn(file: string, args: readonly string[], options: {
    name: string; cols: number; rows: number; cwd: string; env: { readonly [name: string]: string }; encoding: null;
  }): {
    readonly pid: number;
    /** Not documented. */
    readonly ptsName?: string;
    onData(listener: (bytes: Buffer | string) => void): unknown;
    onExit(listener: (ended: { exitCode: number; signal?: number }) => void): unknown;
    write(bytes: Buffer | string): void;
    resize(cols: number, rows: number): void;
    pause(): void;
    resume(): void;
  };
}

/**
 * @param modulePath Path of the node-pty package.
 * @throws Error where it cannot be loaded or cannot open a terminal.
 */
export function openNodePty(backend: TerminalBackend, modulePath: string, options: PtyOptions, events: PtyEvents): Pty {
  const { spawn: open } = createRequire(import.meta.url)(modulePath) as NodePty;
  const { argv: [file = '', ...args], workdir: cwd, env, size } = options;
  const pty = open(file, args, { name: env['TERM'] ?? 'xterm-256color', ...size, cwd, env, encoding: null });
  const held = holdTerminal(pty.ptsName);
  pty.onData((bytes) => events.onOutput(Buffer.from(bytes as string)));
  let endCheck: NodeJS.Timeout | undefined;
  const resume = (): void => {
    clearInterval(endCheck);
    pty.resume();
  };
  pty.onExit(({ exitCode, signal }) => {
    clearInterval(endCheck);
    if (held !== undefined) closeSync(held);
    events.onExit(signal ? 128 + signal : exitCode);
  });
  return {
    backend, pid: pty.pid,
    write: (bytes) => (pty.write(bytes), true),
    resize: async ({ cols, rows }) => pty.resize(cols, rows),
    pause: () => {
      // node-pty reads for only 200 ms after its program has ended; that is enough, as no more output can come.
      if (!isPidAlive(pty.pid)) return;
      pty.pause();
      clearInterval(endCheck);
      endCheck = setInterval(() => { if (!isPidAlive(pty.pid)) resume(); }, endCheckMs);
    },
    resume,
  };
}

/**
 * Keeps the terminal open, so that all output can be read: node-pty reads for 200 ms after the end, but once no process
 * has the terminal open, Linux may answer EIO before the last bytes (microsoft/node-pty#85).
 */
function holdTerminal(path: string | undefined): number | undefined {
  try {
    return path === undefined ? undefined : openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

/**
 * @param folder For a temporary file.
 * @throws Error where the terminal cannot be opened, with the message of script(1).
 */
export async function openScriptPty(folder: string, options: PtyOptions, events: PtyEvents): Promise<Pty> {
  const { workdir: cwd, size } = options;
  // The shells in between drop variables whose names are not valid in a shell.
  const isCarried = needsCarrier(options.env);
  const inner = isCarried ? carriedArgv(options.argv, options.env, folder) : options.argv;
  // The program that adds them is Node, which must not obey what is meant for the user's program.
  const outer = isCarried ? withoutNodeOptions(options.env) : options.env;
  const { argv: [file = '', ...args], env } = scriptCommand(inner, size, { noteFd, shell: options.env['SHELL'] });
  const input = await openInput(folder, options.env);
  const child = spawn(pathOf(file, options.env), args, {
    cwd,
    env: { ...outer, ...env },
    stdio: [input.fd, 'pipe', 'pipe', 'pipe'],
  });
  closeSync(input.fd);
  const { stdin } = input;
  const [, stdout, stderr, noted] = child.stdio as unknown as [null, Socket, Socket, Socket];
  let complaint = '';
  stderr.setEncoding('utf8').on('data', (text: string) => { complaint = (complaint + text).slice(-longestComplaint); });
  // The program has ended; `close` reports that.
  for (const stream of [stdin, stdout, stderr, noted]) stream.on('error', () => undefined);
  stdin.on('drain', events.onDrain);
  stdout.on('data', events.onOutput);
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 137)));
  }).finally(() => stdin.destroy());
  const note = await Promise.race([firstLine(noted), ended.then(() => undefined)]);
  noted.destroy();
  if (note === undefined) throw new Error(complaint.trim() || 'script(1) ended at once');
  const [pid = '', tty = ''] = note.split(' ');
  void ended.then(events.onExit);
  return {
    backend: 'script', pid: Number(pid),
    write: (bytes) => !stdin.writable || stdin.write(bytes),
    resize: createResizer(tty, options.env),
    pause: () => { stdout.pause(); },
    resume: () => { stdout.resume(); },
  };
}

/** Path of a program that the server needs, which the PATH of the terminal may lack. */
function pathOf(program: string, env: PtyOptions['env']): string {
  return findProgram(program, `${env['PATH'] ?? ''}:${toolEnvironment({}).PATH ?? ''}`) ?? program;
}

/** Runs one stty(1) at a time; the last size wins. */
function createResizer(tty: string, env: { readonly [name: string]: string }): (size: TerminalSize) => Promise<void> {
  let wanted: TerminalSize | undefined;
  let working: Promise<void> | undefined;
  const work = async (): Promise<void> => {
    while (wanted !== undefined) {
      const [file = '', ...args] = resizeArgv(tty, wanted);
      wanted = undefined;
      await new Promise<void>((resolve) => {
        const child = spawn(file, args, { env: toolEnvironment(env), stdio: 'ignore' });
        // Without stty the size stays.
        child.once('error', () => resolve());
        child.once('exit', () => resolve());
      });
    }
    working = undefined;
  };
  return (size) => {
    wanted = size;
    working ??= work();
    return working;
  };
}

/**
 * Opens stdin of script(1) as a FIFO. Node's pipes are socket pairs, which BSD's script(1) rejects as not being
 * terminals.
 */
async function openInput(
  folder: string,
  env: { readonly [name: string]: string },
): Promise<{ readonly fd: number; readonly stdin: Socket }> {
  const path = join(folder, 'input');
  await promisify(execFile)('mkfifo', ['-m', '600', path], { env: toolEnvironment(env) });
  try {
    // Opened for reading and writing, so that the open does not wait; the program gets it for reading only.
    const stdin = new Socket({
      fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK),
      readable: false,
      writable: true,
    });
    return { fd: openSync(path, constants.O_RDONLY), stdin };
  } finally {
    unlinkSync(path);
  }
}

function firstLine(stream: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    stream.once('close', () => resolve(undefined));
  });
}
