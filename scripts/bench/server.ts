/** Starts the built server and sends requests to it. @module */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { openSync, readFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../src/base/error-code.ts';
import { type Bench, endProcess } from './bench.ts';
import { processesMarked } from './processes.ts';

const KEY = randomBytes(24).toString('hex');
const MARK_NAME = 'MACHINE_SIDECAR_BENCH';
const START_LIMIT_MS = 20_000;

/** A running server. */
export interface Server {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly stateDir: string;
  /** A variable in the environment of every process that the server starts. */
  readonly mark: string;
  /** The headers of every request. */
  readonly headers: Record<string, string>;
  /** Sends a request. @returns the answer as parsed JSON. @throws If the status is not the expected one. */
  ask<Answer>(
    method: string,
    path: string,
    options?: { body?: unknown; status?: number },
  ): Promise<Answer>;
  /** Ends the server, with every process that it or a job of it started. */
  close(): Promise<void>;
}

/** Starts a server on a free port. It is closed after the measurement at the latest. */
export async function startServer(
  bench: Bench,
  options: { stateDir?: string; flags?: readonly string[] } = {},
): Promise<Server> {
  const stateDir = options.stateDir ?? bench.newFolder('state');
  const stderrFile = join(bench.folder, 'server.stderr');
  const { command, args, env } = serverInvocation(bench, {
    stateDir,
    port: 0,
    flags: options.flags ?? [],
  });
  const child = spawn(command, args, {
    env,
    stdio: ['ignore', 'ignore', openSync(stderrFile, 'a', 0o600)],
  });
  const close = async (): Promise<void> => {
    await endProcess(child);
    endJobsOf(stateDir);
  };
  bench.atEnd(close);

  const startedAt = performance.now();
  while (performance.now() - startedAt < START_LIMIT_MS) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    const server = await findServer(stateDir, close);
    if (server !== undefined) return server;
    await delay(20);
  }
  throw new Error(
    `Cannot start ${command} ${args.join(' ')}: ${readFileSync(stderrFile, 'utf8').slice(-2000)}`,
  );
}

/** The command, arguments and environment that start a server. */
export function serverInvocation(
  bench: Bench,
  options: { stateDir: string; port: number; flags: readonly string[] },
): { command: string; args: string[]; env: NodeJS.ProcessEnv } {
  const [command = '', ...args] = bench.serverCommand;
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('SIDECAR_'));
  return {
    command,
    args: [
      ...args,
      '--host',
      '127.0.0.1',
      '--port',
      String(options.port),
      '--state-dir',
      options.stateDir,
      ...options.flags,
    ],
    // A configuration file of this user must not change what is measured.
    env: {
      ...Object.fromEntries(inherited),
      SIDECAR_API_KEY: KEY,
      XDG_CONFIG_HOME: bench.folder,
      [MARK_NAME]: options.stateDir,
    },
  };
}

/** The key that `serverInvocation` gives a server. */
export const serverKey: string = KEY;

/** The server of a state directory, once it has announced its address and answers. */
async function findServer(
  stateDir: string,
  close: () => Promise<void>,
): Promise<Server | undefined> {
  let lock: { url: string; pid: number };
  try {
    lock = JSON.parse(readFileSync(join(stateDir, 'server.lock'), 'utf8'));
  } catch (error) {
    // The file does not exist yet, or is half written.
    if (error instanceof SyntaxError || errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (typeof lock.url !== 'string') return undefined;
  const { hostname: host, port } = new URL(lock.url);
  const agent = new Agent({ keepAlive: true });
  const server: Server = {
    host,
    port: Number(port),
    pid: lock.pid,
    stateDir,
    mark: markOf(stateDir),
    headers: { 'X-API-Key': KEY },
    ask: (method, path, { body, status = 200 } = {}) =>
      ask(agent, `${lock.url.replace(/\/$/, '')}${path}`, { method, body, status }),
    close: async () => {
      agent.destroy();
      await close();
    },
  };
  try {
    await server.ask('GET', '/health');
    return server;
  } catch (error) {
    if (errorCode(error) === 'ECONNREFUSED') return undefined;
    throw error;
  }
}

function ask<Answer>(
  agent: Agent,
  url: string,
  options: { method: string; body: unknown; status: number },
): Promise<Answer> {
  const { method, body, status } = options;
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = {
    'X-API-Key': KEY,
    ...(text && { 'Content-Type': 'application/json' }),
    'Content-Length': Buffer.byteLength(text),
  };
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { agent, method, headers }, async (response) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        const answer = Buffer.concat(chunks).toString();
        if (response.statusCode !== status) {
          const received = `received ${response.statusCode}: ${answer.slice(0, 400)}`;
          throw new Error(`${method} ${url}: expected status ${status}, ${received}`);
        }
        resolve(JSON.parse(answer) as Answer);
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
    request.end(text);
  });
}

/**
 * Ends the jobs of the state directory, which survive their server, and the server if it still runs.
 */
export function endJobsOf(stateDir: string): void {
  for (const pid of processesMarked(markOf(stateDir))) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // ESRCH: it has already ended.
      if (errorCode(error) !== 'ESRCH') throw error;
    }
  }
}

/** A variable in the environment of the server and of all processes that it starts. */
function markOf(stateDir: string): string {
  return `${MARK_NAME}=${stateDir}`;
}
