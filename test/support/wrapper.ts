/**
 * A real wrapper with real servers, and releases to update them to.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Sidecar } from '../../src/client/client.ts';
import type { Flags } from '../../src/config/config.ts';
import { isAliveNow } from '../../src/process/identity.ts';
import { type LockOwner, readOwner } from '../../src/process/state/lock.ts';
import type { WrapperTimings } from '../../src/wrapper/restart-decision.ts';
import { ownPrograms } from './built.ts';
import { archive, entry } from './tarball.ts';
import { freePort } from './ports.ts';
import { atEnd, cancelAll, endProcesses, environmentOf, key, program, temporaryFolder, type TestServerOptions } from './server.ts';
import { until } from './wait.ts';

export interface WrappedServer {
  readonly stateDir: string;
  /** Of the server that there is now, or was a moment ago. */
  readonly url: string;
  readonly client: Sidecar;
  readonly wrapper: ChildProcess;
  /** The server that there is now; `undefined` where there is none. */
  readonly server: () => LockOwner | undefined;
  /** What wrapper and servers logged so far. */
  readonly logged: () => string;
  /** SIGTERM to the wrapper. @returns its exit code. */
  readonly stop: () => Promise<number | null>;
  /** Starts another wrapper on the same state directory; the one before has ended. */
  readonly startAgain: () => Promise<void>;
}

export interface WrapperOptions extends TestServerOptions {
  /** Other patience than the real program's. */
  readonly timing?: Partial<WrapperTimings>;
  /** As on a platform where two processes cannot have one listening socket. */
  readonly isSocketShared?: boolean;
  /** Somebody is killed at a certain moment of an update, see the fixture; those started again live. */
  readonly kill?: { readonly who: 'wrapper' | 'old' | 'new'; readonly at: string };
}

const fixture = fileURLToPath(new URL('../fixtures/wrapper.mjs', import.meta.url));
const patient = { attempts: 1, firstDelayMs: 10, maxDelayMs: 10, maxRetryAfterMs: 0 };

export async function spawnWrapper(t: TestContext, options: WrapperOptions = {}): Promise<WrappedServer> {
  const folder = temporaryFolder(t);
  const stateDir = options.stateDir ?? join(folder, 'state');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const server = (): LockOwner | undefined => {
    const owner = readOwner(join(stateDir, 'server.lock'));
    return owner !== undefined && isAliveNow(owner) ? owner : undefined;
  };
  const start = async (more: WrapperOptions): Promise<ChildProcess> => {
    const flags = { port: String(await freePort()), ...more.flags };
    const child = launch({ ...more, flags, folder, stateDir });
    const logged = (): string => readFileSync(join(folder, 'log'), 'utf8');
    try {
      await until(() => {
        if (child.exitCode !== null) throw new Error(`The wrapper ended: ${logged()}`);
        const owner = server();
        return owner?.wrapperPid === child.pid && owner?.url !== undefined;
      }, { what: 'the wrapper has a server' });
      return child;
    } catch (error) {
      child.kill('SIGKILL');
      await endServers(stateDir);
      throw error;
    }
  };
  // Between two servers there is a moment without: the socket is handed on, the address stays.
  let known = '';
  const url = (): string => (known = server()?.url ?? known);
  let wrapper = await start(options);
  const stop = async (): Promise<number | null> => {
    if (wrapper.exitCode !== null || wrapper.signalCode !== null) return wrapper.exitCode;
    const exited = once(wrapper, 'exit');
    wrapper.kill('SIGTERM');
    const overdue = setTimeout(() => wrapper.kill('SIGKILL'), 60_000);
    await exited;
    clearTimeout(overdue);
    return wrapper.exitCode;
  };
  atEnd(t, async () => {
    if (server() !== undefined) await cancelAll(clientOf(url()));
    await stop();
    await endServers(stateDir);
    await endProcesses(stateDir);
  });
  return {
    stateDir, server, stop,
    get wrapper() { return wrapper; },
    get url() { return url(); },
    get client() { return clientOf(url()); },
    logged: () => readFileSync(join(folder, 'log'), 'utf8'),
    startAgain: async () => {
      const { kill: _, ...peaceful } = options;
      wrapper = await start(peaceful);
    },
  };
}

function clientOf(url: string): Sidecar {
  return new Sidecar({ url, key, retry: patient });
}

function launch(options: WrapperOptions & { readonly folder: string; readonly stateDir: string }): ChildProcess {
  const { folder, stateDir, flags = {}, timing, kill, isSocketShared } = options;
  const given: Flags = { 'state-dir': stateDir, ...flags };
  const words = Object.entries(given)
    .flatMap(([name, value]) => (value === true ? [`--${name}`] : [value].flat().map((one) => `--${name}=${String(one)}`)));
  const isReal = timing === undefined && kill === undefined && isSocketShared === undefined;
  const args = isReal ? [program, 'serve', '--wrapper', ...words] : [fixture, JSON.stringify({ timing, kill, isSocketShared }), 'serve', ...words];
  const fd = openSync(join(folder, 'log'), 'a');
  const env = { ...environmentOf(folder, options.environment), [mark]: stateDir };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', fd, fd] });
  closeSync(fd);
  return child;
}

/** Stands in the environment of all that a wrapper started. */
const mark = 'SIDECAR_TEST_WRAPPER';

/** The processes of the wrapper and its servers, whether or not it still knows of them; without jobs and launchers. */
export function serversOf(stateDir: string): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return words.includes('serve') && words.includes(`--state-dir=${stateDir}\0`);
    } catch {
      // It ended meanwhile.
      return false;
    }
  });
}

async function endServers(stateDir: string): Promise<void> {
  await until(() => {
    const left = serversOf(stateDir);
    for (const pid of left) process.kill(pid, 'SIGKILL');
    return left.length === 0;
  }, { what: 'no server is left' });
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What a release may change: the content of files, below the package. */
export type Edits = { readonly [path: string]: string | ((content: string) => string) };

/** The package as it is built here, as a release of that version. */
export function release(version: string, edits: Edits = {}): Buffer {
  const files = [...packageFiles()].map(([name, content]) => {
    const edit = edits[name];
    const edited = typeof edit === 'function' ? edit(content) : edit ?? content;
    return entry(`package/${name}`, { content: name === 'package.json' ? edited.replace(/"version": "[^"]*"/, `"version": "${version}"`) : edited });
  });
  // Quickly rather than small: it is made for one update.
  return gzipSync(archive(...files), { level: 1 });
}

let found: ReadonlyMap<string, string> | undefined;

/** What a package holds, by path: the command, and each other program with the modules that it loads. */
export function packageFiles(): ReadonlyMap<string, string> {
  if (found !== undefined) return found;
  const files = new Map<string, string>();
  const add = (name: string): string => {
    files.set(name, readFileSync(join(root, name), 'utf8'));
    return files.get(name) ?? '';
  };
  const addModule = (name: string): void => {
    if (files.has(name)) return;
    for (const [, path = ''] of add(name).matchAll(/(?:from |import\(|import )["'](\.[^"']+)["']/g)) addModule(join(dirname(name), path));
  };
  for (const name of ['package.json', 'dist/cli/main.js']) add(name);
  for (const name of readdirSync(join(root, 'dist')).filter((one) => one.endsWith('.cjs'))) add(join('dist', name));
  for (const name of ownPrograms()) addModule(name);
  found = files;
  return files;
}
