/**
 * Which server a command talks to, and with which key.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { localAddress } from '../base/local-address.ts';
import { integer, object, optional, text } from '../base/parse.ts';
import { ProblemError, Sidecar, type SidecarOptions } from '../client/client.ts';
import type { Config } from '../config.ts';
import { isAlive } from '../process/identity.ts';
import { checkStateDirectory, StateDirectoryError } from '../process/state-directory.ts';
import { readRegularLater, UntrustedFileError } from '../base/untrusted-file.ts';
import { CommandError, UsageError, exitCodes } from './failure.ts';

/** The server of a state directory, as its `server.lock` names it. */
export interface LocalServer {
  readonly pid: number;
  readonly startTime: string;
  /** Where it is reached from here. Absent while it starts. */
  readonly url?: string | undefined;
  readonly version?: string | undefined;
}

export interface Connection {
  readonly sidecar: Sidecar;
  readonly url: string;
  /** Found through the state directory: its files are ours, and its working directories too. */
  readonly isLocal: boolean;
}

/** How long a server that is being replaced is waited for, in milliseconds. */
const replacementMs = 1500;
/** Of the lock and the key. */
const maxFileBytes = 65_536;

/**
 * The server that was asked for with `--url`, else the local one.
 *
 * @param options.reconnectMs How long `wait` and `follow` look for a server that went away. Default 60,000.
 * @throws CommandError with exit code 69 when there is no local server; when the key file cannot be read.
 * @throws UsageError when the address or the key that was asked for is none.
 */
export async function connect(config: Config, options: { reconnectMs?: number } = {}): Promise<Connection> {
  const local = config.url === undefined ? await runningServer(config) : await readLockIfOurs(config.stateDir);
  const url = config.url ?? local?.url;
  if (url === undefined) throw noServer(config);
  const isLocal = local?.url !== undefined && sameServer(localAddress(url), local.url);
  const key = await findKey(config, isLocal);
  // The local server may listen on an address that is no loopback: it is reached directly all the same.
  const way = isLocal ? await directWay(url) : (await import('../proxy/through-proxy.ts')).throughProxy(config.proxies);
  const sidecar = open({ url, ...way, retry: { attempts: 4 }, ...(key === undefined ? {} : { key }), ...options });
  return { sidecar, url: sidecar.url, isLocal };
}

/** TLS is left to the global `fetch`, which tells what is wrong with a certificate. */
async function directWay(url: string): Promise<Pick<SidecarOptions, 'fetch'>> {
  return url.startsWith('http:') ? { fetch: (await import('./direct-fetch.ts')).directFetch } : {};
}

/** What it refuses before it asks anybody is what was typed. */
function open(options: SidecarOptions): Sidecar {
  try {
    return new Sidecar(options);
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'invalid_request') throw new UsageError(error.message);
    throw error;
  }
}

/** {@link readLock} for one who names the server: what others may have written is not believed. */
async function readLockIfOurs(stateDir: string): Promise<LocalServer | undefined> {
  try {
    return await readLock(stateDir);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return undefined;
  }
}

/**
 * Who holds the state directory; `undefined`: nobody, or the file cannot be read as one of ours.
 *
 * @throws CommandError where others may have written it: the key would go where they say.
 */
export async function readLock(stateDir: string): Promise<LocalServer | undefined> {
  mustBeOurs(stateDir);
  const content = await readOptional(join(stateDir, 'server.lock'));
  if (content === undefined) return undefined;
  try {
    const { pid, startTime, url, version } = parseLock(JSON.parse(content), 'server.lock');
    return { pid, startTime, url: url === undefined ? undefined : localAddress(url), version };
  } catch {
    // Half written, or of a version that writes something else: as good as none.
    return undefined;
  }
}

function mustBeOurs(stateDir: string): void {
  try {
    checkStateDirectory(stateDir);
  } catch (error) {
    if (error instanceof StateDirectoryError) throw new CommandError(error.message, { cause: error });
    // EACCES, ENOTDIR: as good as none.
  }
}

function parseLock(value: unknown, path: string): LocalServer {
  const known = { pid: integer({ min: 1, max: 2 ** 31 }), startTime: text(), url: optional(text()), version: optional(text()) };
  const source = typeof value === 'object' && value !== null ? value as { readonly [name: string]: unknown } : {};
  return object(known)(Object.fromEntries(Object.keys(known).map((name) => [name, source[name]])), path);
}

/** The server of the state directory if it runs; one that is just being replaced is waited for. */
async function runningServer(config: Config): Promise<LocalServer | undefined> {
  const endsAtMs = performance.now() + replacementMs;
  for (;;) {
    const lock = await readLock(config.stateDir);
    if (lock === undefined || lock.url !== undefined && await isAlive(lock)) return lock;
    // The key must not go to whoever took the port of a server that is gone.
    if (performance.now() > endsAtMs) return undefined;
    await delay(50);
  }
}

/** The key of the local server is sent to no other one. */
async function findKey(config: Config, isLocal: boolean): Promise<string | undefined> {
  if (config.keyFile !== undefined && isAsked(config, 'key-file')) return readKeyFile(config.keyFile);
  if (config.apiKey !== undefined) return config.apiKey;
  if (config.keyFile !== undefined) return readKeyFile(config.keyFile);
  if (!isLocal) return undefined;
  return firstLine(await readOptional(join(config.stateDir, 'api-key')));
}

/** A flag is nearer than the environment. */
function isAsked(config: Config, name: string): boolean {
  return config.settings().some((setting) => setting.name === name && setting.source === 'flag');
}

async function readKeyFile(path: string): Promise<string> {
  try {
    const key = firstLine(await readFile(path, 'utf8'));
    if (key !== undefined) return key;
  } catch (error) {
    throw new CommandError(`Cannot read the key file: ${(error as Error).message}`, { cause: error });
  }
  throw new CommandError(`Cannot use the key file ${path}: it is empty`);
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return (await readRegularLater(path, maxFileBytes)).toString();
  } catch (error) {
    if (error instanceof UntrustedFileError) return undefined;
    // ENOENT, ENOTDIR: there is none. EACCES: it belongs to somebody else, so it is not for us.
    if (!['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return undefined;
  }
}

/** A key file holds the key and a newline. */
function firstLine(content: string | undefined): string | undefined {
  return content?.split('\n', 1)[0]?.trim() || undefined;
}

function sameServer(left: string, right: string): boolean {
  return URL.canParse(left) && URL.canParse(right) && new URL(left).origin === new URL(right).origin;
}

function noServer(config: Config): CommandError {
  return new CommandError(`No server is running here (looked in ${config.stateDir})`, {
    hint: 'Start one with "sidecar serve", or name one with --url or SIDECAR_URL',
    exitCode: exitCodes.unreachable,
  });
}
