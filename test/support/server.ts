/**
 * Real servers: in this process, or the real program as a child. What they leave is gone after the test.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chownSync, cpSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync,
  realpathSync, rmSync, statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { createLog } from '../../src/base/log.ts';
import { Sidecar, isFinished } from '../../src/client/client.ts';
import { type Environment, type Flags, loadConfig } from '../../src/config/config.ts';
import type { Limits } from '../../src/http/server/limits.ts';
import { findProcesses } from '../../src/process/descendants.ts';
import { sendSignal } from '../../src/process/identity.ts';
import { parseSession, shellMark } from '../../src/shells/session-record.ts';
import { type Server, startServer } from '../../src/server/server.ts';
import { freePort } from './ports.ts';
import { until } from './wait.ts';

/** The key of every server of the tests. */
export const key = 'the-key-of-the-tests';

export const program: string = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const patient = { attempts: 1, firstDelayMs: 10, maxDelayMs: 10, maxRetryAfterMs: 0 };

export interface TestServerOptions {
  readonly flags?: Flags;
  /** Laid over an environment with little but a PATH and a temporary home. */
  readonly environment?: Environment;
  /** Default: a new one. One that is given stays. */
  readonly stateDir?: string;
  /** Of a spawned server, where the tests run as root. Default: ours. */
  readonly uid?: number;
}

export interface TestServer {
  readonly url: string;
  readonly key: string;
  readonly client: Sidecar;
  readonly stateDir: string;
  /** What it logged so far. */
  readonly logged: () => string;
}

export interface InProcessServer extends TestServer {
  readonly server: Server;
  /** Lets go of everything; running jobs go on. */
  readonly close: () => Promise<void>;
}

export interface SpawnedServer extends TestServer {
  readonly pid: number;
  /** Ends without a word: SIGKILL. */
  readonly kill9: () => Promise<void>;
  /** SIGTERM. @returns its exit code. */
  readonly stop: () => Promise<number | null>;
  /** Ends it if it runs, and starts another on the same state directory: `url` and `client` are those of the new one. */
  readonly restart: () => Promise<void>;
}

/** A test may have put a huge file in the place of a record. */
const maxRecordBytes = 8 * 2 ** 20;

/** A temporary folder that is gone after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sidecar-test-'));
  atEnd(t, () => until(() => isRemoved(folder), { what: `${folder} is gone` }));
  return folder;
}

const endings = new WeakMap<TestContext, (() => Promise<unknown> | void)[]>();

/** Runs `clean` after the test, before what was registered earlier: `t.after` alone would begin with the oldest. */
export function atEnd(t: TestContext, clean: () => Promise<unknown> | void): void {
  const known = endings.get(t);
  if (known) return void known.push(clean);
  const cleaners = [clean];
  endings.set(t, cleaners);
  t.after(async () => {
    const failures: unknown[] = [];
    for (const one of cleaners.reverse()) {
      try {
        await one();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'Cannot clean up after the test');
  });
}

/** Starts a server in this process. @param options.limits What differs from the defaults of the HTTP server. */
export async function startTestServer(
  t: TestContext, options: TestServerOptions & { readonly limits?: Partial<Limits> } = {},
): Promise<InProcessServer> {
  const folder = temporaryFolder(t);
  const stateDir = options.stateDir ?? join(folder, 'state');
  const port = String(await freePort());
  const config = loadConfig({ port, 'state-dir': stateDir, ...options.flags }, environmentOf(folder, options.environment));
  const fd = openSync(join(folder, 'log'), 'a');
  const log = createLog({ fd, format: 'json', level: config.logLevel });
  const server = await startServer(config, { version: '0.0.0-test', log, ...(options.limits ? { limits: options.limits } : {}) });
  const { current } = server.keys;
  const client = new Sidecar({ url: server.url, key: current, retry: patient });
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await server.close({ graceMs: 0 });
    // It stays open: what ends later than the server may still tell of it, and must not write to whoever has that number by then.
    await log.flush();
  };
  atEnd(t, async () => {
    if (isOpen) await cancelAll(client);
    await close();
    await endProcesses(stateDir);
  });
  return { url: server.url, key: current, client, stateDir, server, close, logged: () => readFileSync(join(folder, 'log'), 'utf8') };
}

/** Starts the real program, as `npm test` built it, as a child process. */
export async function spawnServer(t: TestContext, options: TestServerOptions = {}): Promise<SpawnedServer> {
  const folder = temporaryFolder(t);
  const stateDir = options.stateDir ?? join(folder, 'state');
  const start = (): Promise<Running> => launch({ ...options, folder, stateDir });
  const logged = (): string => readFileSync(join(folder, 'log'), 'utf8');
  let running = await start();
  atEnd(t, async () => {
    if (isAlive(running.child)) await cancelAll(running.client);
    const overdue = setTimeout(() => running.child.kill('SIGKILL'), 10_000);
    await end(running.child, 'SIGTERM');
    clearTimeout(overdue);
    await endProcesses(stateDir);
  });
  return {
    key, stateDir,
    get url() { return running.client.url; },
    get client() { return running.client; },
    get pid() { return running.child.pid ?? 0; },
    logged,
    kill9: async () => { await end(running.child, 'SIGKILL'); },
    stop: () => end(running.child, 'SIGTERM', logged),
    restart: async () => {
      await end(running.child, 'SIGTERM', logged);
      running = await start();
    },
  };
}

interface Running {
  readonly child: ChildProcess;
  readonly client: Sidecar;
}

async function launch(options: TestServerOptions & { readonly folder: string; readonly stateDir: string }): Promise<Running> {
  const { folder, stateDir, flags = {} } = options;
  const words = Object.entries({ 'port': String(await freePort()), 'state-dir': stateDir, ...flags })
    .flatMap(([name, value]) => [value].flat().map((one) => `--${name}=${String(one)}`));
  const fd = openSync(join(folder, 'log'), 'a');
  const env = environmentOf(folder, options.environment);
  const { uid } = options;
  if (uid !== undefined) for (const path of [folder, env['HOME'] ?? folder]) chownSync(path, uid, uid);
  const main = uid === undefined ? program : copyOfProgram(folder);
  const child = spawn(process.execPath, [main, 'serve', ...words], {
    env, stdio: ['ignore', 'ignore', fd], ...(uid === undefined ? {} : { uid, gid: uid, cwd: folder }),
  });
  closeSync(fd);
  try {
    const url = await until(() => {
      if (!isAlive(child)) throw new Error(`The server ended: ${readFileSync(join(folder, 'log'), 'utf8')}`);
      const owner = lockIn(stateDir);
      return owner?.pid === child.pid ? owner?.url : undefined;
    }, { what: 'the server listens' });
    return { child, client: new Sidecar({ url, key, retry: patient }) };
  } catch (error) {
    await end(child, 'SIGKILL');
    throw error;
  }
}

/** The build where another user can read it: the checkout may be in a folder that is closed to others. */
function copyOfProgram(folder: string): string {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const copy = join(folder, 'program');
  for (const name of ['package.json', 'dist']) cpSync(join(root, name), join(copy, name), { recursive: true });
  return join(copy, relative(root, program));
}

/** Of a server of whatever user; `undefined`: there is none, or it is torn. */
function lockIn(stateDir: string): { readonly pid?: number; readonly url?: string } | undefined {
  const path = join(stateDir, 'server.lock');
  try {
    // A test may have put a FIFO or a huge file there.
    const stats = statSync(path);
    if (!stats.isFile() || stats.size > 65_536) return undefined;
    return JSON.parse(readFileSync(path, 'utf8')) as { pid?: number; url?: string };
  } catch {
    return undefined;
  }
}

/** A server that was killed may leave somebody behind who still writes: then it is not gone yet. */
function isRemoved(folder: string): boolean {
  try {
    rmSync(folder, { recursive: true, force: true });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    return false;
  }
}

/** A home of its own: nothing of this user's configuration is read. */
export function environmentOf(folder: string, more: Environment = {}): { [name: string]: string } {
  const home = join(folder, 'home');
  mkdirSync(home, { recursive: true });
  const environment = {
    PATH: process.env['PATH'], HOME: home, XDG_CONFIG_HOME: join(home, '.config'), XDG_STATE_HOME: join(home, '.state'),
    SIDECAR_API_KEY: key, ...more,
  };
  return Object.fromEntries(Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** Those that wait first, so that none is started by the end of another. */
export async function cancelAll(client: Sidecar): Promise<void> {
  try {
    for (const status of ['pending', 'running'] as const) {
      for await (const { jobId } of client.jobs.all({ status, limit: 1000 })) await client.jobs.cancel(jobId, { signal: 'SIGKILL', graceSeconds: 0 });
    }
    for await (const job of client.jobs.all({ limit: 1000 })) {
      if (isFinished(job) && job.lingering.length > 0) await client.jobs.cancel(job.jobId, { signal: 'SIGKILL', graceSeconds: 0 });
    }
  } catch {
    // A test may have broken the server on purpose: the processes are ended all the same.
  }
}

/** Kills what is left of the jobs and shells in a state directory, whoever started them. */
export async function endProcesses(stateDir: string): Promise<void> {
  const shells = namesIn(join(stateDir, 'shells')).flatMap((name) => shellMarks(join(stateDir, 'shells', name)));
  const families = [...namesIn(join(stateDir, 'jobs')), ...namesIn(join(stateDir, 'terminals')), ...shells].map((id) => ({ id, leader: undefined }));
  await until(async () => {
    const left = [...[...(await findProcesses(families)).values()].flat().map(({ pid }) => pid), ...holdersOf(stateDir)];
    for (const pid of left) sendSignal(pid, 'SIGKILL');
    return left.length === 0;
  }, { what: 'no process of a job is left' });
}

function shellMarks(directory: string): readonly string[] {
  const path = join(directory, 'shell.json');
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== true || stats.size > maxRecordBytes) return [];
  const session = parseSession(JSON.parse(readFileSync(path, 'utf8')));
  return namesIn(directory).flatMap((name) => (name.startsWith('run-') ? [shellMark(directory, session, Number(name.slice('run-'.length)))] : []));
}

/** Those that keep the terminals of a state directory: each works in the directory of its own. */
export function holdersOf(stateDir: string): readonly number[] {
  const folder = realpathOf(join(stateDir, 'terminals'));
  return namesIn('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(`${folder}/`);
    } catch {
      // It ended meanwhile, or is not ours to see.
      return false;
    }
  });
}

function realpathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // No directory: nothing was started.
    return [];
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** @throws Error with its log where it does not end. */
async function end(child: ChildProcess, signal: NodeJS.Signals, logged = (): string => ''): Promise<number | null> {
  if (isAlive(child)) child.kill(signal);
  await until(() => !isAlive(child), { what: `the server ends by ${signal}` })
    .catch((error: Error) => { throw new Error(`${error.message}\n${logged()}`); });
  return child.exitCode;
}
