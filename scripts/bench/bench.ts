/**
 * The base of every measurement: a folder, programs in processes of their own, and the end of everything that it
 * started.
 * @module
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Measures one thing. */
export interface Measurement {
  /** Its name for `--only`. */
  readonly name: string;
  /** Its line in `--help`. */
  readonly summary: string;
  measure(bench: Bench): Promise<Row[]>;
}

/** A line of the table. */
export type Row =
  | {
      readonly kind: 'measured';
      readonly name: string;
      readonly unit: string;
      readonly value: number;
      readonly yardstick?: { readonly name: string; readonly value: number };
      /** Value divided by yardstick; the median of the runs, each of which measured both. */
      readonly ratio?: number;
      readonly target?: Target;
    }
  | { readonly kind: 'skipped'; readonly name: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly name: string; readonly reason: string };

/** The bound that the project promises to keep. */
export interface Target {
  readonly on: 'value' | 'ratio';
  readonly is: '<' | '<=' | '>=';
  readonly bound: number;
}

/** How the server is started and how often everything is measured. */
export interface BenchOptions {
  /** Program and arguments, up to and including `serve`. */
  readonly serverCommand: readonly string[];
  readonly runs: number;
  /** The folder of peers from npm. */
  readonly peerCache: string;
  /** Whether missing peers may be installed there, which downloads them. */
  readonly installsPeers: boolean;
  /** Jobs over which memory must not grow. */
  readonly growthJobs: number;
}

/**
 * One run of the bench. Files stay until `close()`, because deleting gigabytes slows the disk for many seconds.
 */
export class Bench {
  readonly options: BenchOptions;
  readonly serverCommand: readonly string[];
  readonly runs: number;
  /** The temporary folder of everything that the bench writes. */
  readonly folder: string = mkdtempSync(join(tmpdir(), 'sidecar-bench-'));
  #endings: (() => Promise<void>)[] = [];
  #ended: Promise<void> = Promise.resolve();
  #folders = 0;
  #isInterrupted = false;

  constructor(options: BenchOptions) {
    this.options = options;
    this.serverCommand = options.serverCommand;
    this.runs = options.runs;
  }

  /** Makes an empty folder. */
  newFolder(name: string): string {
    const folder = join(this.folder, `${++this.#folders}-${name}`);
    mkdirSync(folder, { mode: 0o700 });
    return folder;
  }

  /**
   * Calls `end` after the current measurement; the last one registered comes first.
   *
   * @throws If the bench was interrupted: `end` is then called at once, and nothing more is started.
   */
  atEnd(end: () => Promise<void>): void {
    this.#endings.push(end);
    if (!this.#isInterrupted) return;
    void this.endMeasurement();
    throw new Error('Interrupted');
  }

  /** Ends everything that was started, and everything that is started from now on. */
  interrupt(): Promise<void> {
    this.#isInterrupted = true;
    return this.endMeasurement();
  }

  /**
   * Ends everything that the measurement started. Two calls at the same time (Ctrl-C) both wait for all of it.
   */
  endMeasurement(): Promise<void> {
    this.#ended = this.#ended.then(async () => {
      for (let end = this.#endings.pop(); end !== undefined; end = this.#endings.pop()) await end();
    });
    return this.#ended;
  }

  /** Ends everything and removes the files. */
  async close(): Promise<void> {
    await this.endMeasurement();
    // The folder may hold a million files: rm is three times as fast as rmSync.
    await once(spawn('rm', ['-rf', this.folder], { stdio: 'inherit' }), 'exit');
  }

  /**
   * Starts one of the plain programs in a bare Node process. Its stdin is open until the bench ends.
   */
  startProgram(file: string, task: unknown): ChildProcessWithoutNullStreams {
    const path = fileURLToPath(new URL(file, import.meta.url));
    // The task holds keys, so it is not an argument, which all users of a machine can see.
    return this.#start(process.execPath, [path], { ...process.env, BENCH_TASK: JSON.stringify(task) });
  }

  /**
   * Runs one of the plain programs and returns what it printed.
   *
   * @throws What the program wrote to stderr, if it did not exit with code 0.
   */
  async runProgram<Result>(file: string, task: unknown): Promise<Result> {
    // The program is ours, and its source gives the type of its result.
    return JSON.parse(await printedBy(this.startProgram(file, task), file)) as Result;
  }

  /**
   * Runs a command, without stdin, and returns what it printed.
   *
   * @throws What it wrote to stderr, if it did not exit with code 0.
   */
  runCommand(command: string, args: readonly string[]): Promise<string> {
    const child = this.#start(command, args);
    child.stdin.end();
    return printedBy(child, command);
  }

  #start(command: string, args: readonly string[], env = process.env): ChildProcessWithoutNullStreams {
    const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.atEnd(() => endProcess(child));
    return child;
  }
}

async function printedBy(child: ChildProcessWithoutNullStreams, name: string): Promise<string> {
  const [printed, complaints, [exitCode]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    once(child, 'close'),
  ]);
  if (exitCode === 0) return printed;
  // For an uncaught error Node prints the source line before the message.
  const sentence = /^\w*Error: .*/m.exec(complaints)?.[0] ?? complaints.trim();
  throw new Error(sentence || `Cannot run ${name}: it ended with code ${exitCode}`);
}

/** Ends a process by `SIGTERM` and, if it still runs after `graceMs`, by `SIGKILL`. Default 10 s. */
export async function endProcess(child: ChildProcess, graceMs = 10_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const overdue = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await exited;
  clearTimeout(overdue);
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
