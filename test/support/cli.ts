/**
 * Runs the program `sidecar`, as `npm test` built it, against a fake server or a real one, in an empty home.
 *
 * @module
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FakeServer, key } from './fake-server.ts';
import { atEnd, environmentOf, program, temporaryFolder } from './server.ts';
import { within } from './wait.ts';

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

export interface Program {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  /** Resolves once what was printed fits. */
  printed(pattern: RegExp, stream?: 'stdout' | 'stderr'): Promise<void>;
}

export interface StartOptions {
  readonly env?: { readonly [name: string]: string };
  readonly cwd?: string;
  /** How a shell starts it: `exec "$@" >/dev/full`. Default: it is started by itself. */
  readonly by?: string;
}

export interface Setting {
  readonly server: FakeServer;
  readonly folder: string;
  readonly environment: { readonly [name: string]: string };
  /** Done after the test, before everything goes. */
  readonly endings: (() => Promise<void>)[];
  start(args: readonly string[], options?: StartOptions): Program;
  /** Starts it and gives it `stdin`; default none. */
  run(args: readonly string[], options?: StartOptions & { stdin?: string | Buffer }): Promise<Ended>;
}

/** A stand-in that runs, named in the environment; a temporary home. All is gone after the test. */
export async function setUp(t: TestContext): Promise<Setting> {
  const server = new FakeServer();
  await server.start();
  const folder = await mkdtemp(join(tmpdir(), 'sidecar-cli-'));
  const programs: Program[] = [];
  const endings: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const end of endings) await end();
    for (const { child } of programs) child.kill('SIGKILL');
    await Promise.all(programs.map(({ ended }) => ended));
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  await writeFile(join(folder, 'key'), `${key}\n`);
  const environment = {
    PATH: process.env['PATH'] ?? '', HOME: folder, SIDECAR_URL: server.url, SIDECAR_KEY_FILE: join(folder, 'key'),
    SIDECAR_STATE_DIR: join(folder, 'state'),
  };
  const start: Setting['start'] = (args, options = {}) => {
    const program = launch(args, { env: { ...environment, ...options.env }, cwd: options.cwd ?? folder, by: options.by });
    programs.push(program);
    return program;
  };
  return {
    server, folder, environment, endings, start,
    run: (args, options = {}) => {
      const program = start(args, options);
      program.child.stdin.on('error', () => undefined);
      program.child.stdin.end(options.stdin);
      return program.ended;
    },
  };
}

/** The program against a real server; its folder is its home and where it runs. */
export function programOf(
  t: TestContext, server: { readonly url: string; readonly key: string },
): (args: readonly string[], options?: Pick<StartOptions, 'env'> & { stdin?: string | Buffer }) => Promise<Ended> {
  const start = starterOf(t, server);
  return (args, options = {}) => {
    const { child, ended } = start(args, options);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin);
    return ended;
  };
}

/** The same, while it runs. */
export function starterOf(
  t: TestContext, server: { readonly url: string; readonly key: string },
): (args: readonly string[], options?: Pick<StartOptions, 'env'>) => Program {
  const folder = temporaryFolder(t);
  const env = { ...environmentOf(folder), SIDECAR_URL: server.url, SIDECAR_API_KEY: server.key, SIDECAR_STATE_DIR: join(folder, 'state') };
  return (args, options = {}) => {
    const program = launch(args, { env: { ...env, ...options.env }, cwd: folder });
    atEnd(t, async () => {
      program.child.kill('SIGKILL');
      await program.ended;
    });
    return program;
  };
}

function launch(args: readonly string[], { by, ...options }: { env: { [name: string]: string }; cwd: string; by?: string | undefined }): Program {
  const words = [process.execPath, program, ...args];
  const [file = '', ...rest] = by === undefined ? words : ['/bin/sh', '-c', by, 'sh', ...words];
  const child = spawn(file, rest, options);
  const pieces: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (bytes: Buffer) => pieces[stream].push(bytes));
  const text = (stream: 'stdout' | 'stderr'): string => Buffer.concat(pieces[stream]).toString();
  const closed = once(child, 'close').then(([exitCode, signal]): Ended => ({
    exitCode: exitCode as number | null, signal: signal as NodeJS.Signals | null,
    stdout: text('stdout'), stderr: text('stderr'), bytes: Buffer.concat(pieces.stdout),
  }));
  const ended = within(
    closed, () => `${args.join(' ')} ends; it printed ${JSON.stringify(`${text('stdout')}${text('stderr')}`.slice(-2000))}`,
  );
  return {
    child, ended,
    printed: async (pattern, stream = 'stdout') => {
      while (!pattern.test(text(stream))) {
        const ending = await Promise.race([once(child[stream], 'data').then(() => false), ended.then(() => true)]);
        if (ending && !pattern.test(text(stream))) throw new Error(`It ended without ${pattern}: ${text('stdout')}${text('stderr')}`);
      }
    },
  };
}
