/**
 * What every measurement works with: a folder, programs in processes of their own, and the
 * certainty that all of it ends.
 * @module
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Measures one thing and says what came out. */
export interface Measurement {
  /** As `--only` takes it. */
  readonly name: string;
  /** For `--help`: a line. */
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
      /** Value by yardstick; the median of the runs, each of which measured both. */
      readonly ratio?: number;
      readonly target?: Target;
    }
  | { readonly kind: 'skipped'; readonly name: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly name: string; readonly reason: string };

/** What the project promises. */
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
  /** Where peers from npm are. */
  readonly peerCache: string;
  /** Whether peers that are missing there may be installed, which downloads them. */
  readonly installsPeers: boolean;
  /** Jobs over which memory must not grow. */
  readonly growthJobs: number;
}

/**
 * One run of the bench. Files stay until `close()`, because deleting gigabytes slows the disk for
 * many seconds after.
 */
export class Bench {
  readonly options: BenchOptions;
  readonly serverCommand: readonly string[];
  readonly runs: number;
  /** Temporary; everything that the bench writes is in here. */
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
   * Has something ended after the measurement that is under way, last come first.
   *
   * @throws When the bench was interrupted: it is ended at once, and nothing more is started.
   */
  atEnd(end: () => Promise<void>): void {
    this.#endings.push(end);
    if (!this.#isInterrupted) return;
    void this.endMeasurement();
    throw new Error('Interrupted');
  }

  /** Ends what there is, and each thing that is started from now on. */
  interrupt(): Promise<void> {
    this.#isInterrupted = true;
    return this.endMeasurement();
  }

  /**
   * Ends whatever the measurement started. Called twice at a time (Ctrl-C), both wait for all of
   * it.
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
    // A million files may be in it: three times as fast as rmSync.
    await once(spawn('rm', ['-rf', this.folder], { stdio: 'inherit' }), 'exit');
  }

  /**
   * Starts one of the plain programs in a bare Node process. Its stdin is open until the bench
   * ends.
   */
  startProgram(file: string, task: unknown): ChildProcessWithoutNullStreams {
    const path = fileURLToPath(new URL(file, import.meta.url));
    // Not an argument: all users of a machine can see those, and there are keys in it.
    return this.#start(process.execPath, [path], { ...process.env, BENCH_TASK: JSON.stringify(task) });
  }

  /**
   * Runs one of the plain programs and returns what it printed.
   *
   * @throws What the program wrote to stderr, if it did not exit with code 0.
   */
  async runProgram<Result>(file: string, task: unknown): Promise<Result> {
    // Our own program, started by us, with a result of the type that stands in its source.
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
  // Of an uncaught error Node prints the source line first.
  const sentence = /^\w*Error: .*/m.exec(complaints)?.[0] ?? complaints.trim();
  throw new Error(sentence || `Cannot run ${name}: it ended with code ${exitCode}`);
}

/** Ends a process by `SIGTERM` and, if it is still there after `graceMs`, by `SIGKILL`. */
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
