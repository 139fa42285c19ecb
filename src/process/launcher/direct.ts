/**
 * Starts jobs where there is no bash for launchers: Windows, and Unix machines without bash. Node itself waits for
 * them. If the server is killed, its jobs keep running, but their stdin ends and their exit codes are lost.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { errorCode } from '../../base/error-code.ts';
import {
  appendRegular, checkFolder, createAndOpen, openRegular, openToAppend, writeRegular,
} from '../../base/files/untrusted-file.ts';
import { markName } from '../descendants.ts';
import type { FifoWrite } from './fifo.ts';
import { isGroupAlive, readStatLine } from '../identity.ts';
import type { Launch } from './launch-script.ts';
import { spawnErrorText } from '../spawn-error.ts';
import type { Starter, StarterEvents } from './starter.ts';

/** Limit on input that waits for a job to read it: as much as a pipe holds on Linux. */
const stdinBytes = 65_536;

export class DirectStarter implements Starter {
  readonly #events: StarterEvents;
  readonly #env: { readonly [name: string]: string };
  readonly #children = new Map<string, ChildProcess>();

  constructor(events: StarterEvents, options: { env: { readonly [name: string]: string } }) {
    this.#events = events;
    this.#env = options.env;
  }

  start(launch: Launch): void {
    // The caller must know first that the job was started.
    setImmediate(() => {
      try {
        this.#start(launch);
      } catch (error) {
        this.#events.onFailed(launch.id, error as Error);
      }
    });
  }

  withdraw(): boolean {
    return false;
  }

  writeStdin(id: string, _directory: string, bytes: Uint8Array): FifoWrite {
    const stdin = this.#children.get(id)?.stdin;
    if (!stdin?.writable) return 'closed';
    const room = stdinBytes - stdin.writableLength;
    if (room <= 0) return 'full';
    const some = bytes.subarray(0, room);
    stdin.write(some);
    return { writtenBytes: some.length };
  }

  closeStdin(id: string): boolean {
    const stdin = this.#children.get(id)?.stdin;
    stdin?.end();
    return stdin !== undefined && stdin !== null;
  }

  releaseStdin(): void {
    // The child's stdin ended with the job.
  }

  close(): void {
    for (const child of this.#children.values()) child.unref();
  }

  #start(launch: Launch): void {
    const { id, directory, argv: [file = '', ...args], workdir } = launch;
    // O_EXCL: no job ever runs twice.
    const opened: number[] = [];
    const keep = (fd: number): number => {
      opened.push(fd);
      return fd;
    };
    try {
      const note = keep(createAndOpen(join(directory, 'process')));
      const files = ['stdout', 'stderr'].map((name) => keep(openToAppend(join(directory, name))));
      const stdin = openStdin(launch);
      if (typeof stdin === 'number') keep(stdin);
      const child = spawn(file, args, {
        cwd: workdir, env: { ...this.#env, ...launch.env, [markName]: id }, stdio: [stdin, ...files], windowsHide: true,
        detached: process.platform !== 'win32', windowsVerbatimArguments: /(^|[\\/])cmd(\.exe)?$/i.test(file),
      });
      this.#children.set(id, child);
      child.on('error', (error) => {
        if (child.pid === undefined) this.#failed(launch, error);
      });
      child.on('exit', (code, signal) =>
        this.#ended(launch, child, code ?? 128 + (signal ? constants.signals[signal] : 0)));
      // EPIPE: the job has ended or closed its stdin; the next write reports that.
      child.stdin?.on('error', () => undefined);
      if (child.pid !== undefined) writeSync(note, describeProcess(child.pid));
      this.#events.onStarted(id);
    } finally {
      for (const fd of opened) closeSync(fd);
    }
  }

  #failed({ id, directory, argv, workdir }: Launch, error: Error): void {
    this.#children.delete(id);
    const file = argv[0] ?? '';
    // posix_spawn(3) reports ENOENT also for a workdir that was deleted.
    const isMissing = errorCode(error) === 'ENOENT' && existsSync(workdir);
    const why = isMissing ? 'not found' : spawnErrorText(error, { file, cwd: workdir });
    try {
      checkFolder(directory);
      appendRegular(join(directory, 'stderr'), `sidecar: ${file}: ${why}\n`);
    } catch {
      // A full disk: the job's reason is enough.
    }
    this.#exit(id, directory, isMissing ? 127 : 126, 0);
  }

  #ended({ id, directory }: Launch, child: ChildProcess, code: number): void {
    if (!this.#children.delete(id)) return;
    // Exit codes on Windows have 32 bits, and the largest are those of crashes: they must not become 0.
    this.#exit(id, directory, code >>> 0, child.pid ?? 0);
  }

  #exit(id: string, directory: string, code: number, pid: number): void {
    try {
      checkFolder(directory);
      writeRegular(join(directory, 'exit'), `${code}\n`);
    } catch {
      // The listener of onExit writes it later.
    }
    this.#events.onExit(id, { code, pid, hasLeft: isGroupAlive(pid) });
  }
}

function openStdin({ stdin, directory }: Launch): number | 'ignore' | 'pipe' {
  if (stdin === 'file') return openRegular(join(directory, 'stdin')).fd;
  return stdin === 'null' ? 'ignore' : 'pipe';
}

/** The note that a launcher's job writes about itself. */
function describeProcess(pid: number): string {
  if (process.platform === 'win32') return `${pid} ${Date.now()}\n`;
  if (process.platform !== 'linux') return `${pid} -\n`;
  return readStatLine(pid);
}
