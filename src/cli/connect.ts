/**
 * Decides which server a command talks to, and with which key.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { defined } from '../base/defined.ts';
import { errorCode } from '../base/error-code.ts';
import { localAddress } from '../base/local-address.ts';
import { integer, object, optional, text } from '../base/parse.ts';
import { ProblemError, Sidecar, type SidecarOptions } from '../client/client.ts';
import type { Config } from '../config/config.ts';
import { isAlive } from '../process/identity.ts';
import type { ProxyRules } from '../proxy/rules.ts';
import { checkStateDirectory, StateDirectoryError } from '../process/state/state-directory.ts';
import { readRegularLater, UntrustedFileError } from '../base/files/untrusted-file.ts';
import { CommandError, UsageError, exitCodes } from './failure.ts';

/** The server of a state directory, as its `server.lock` describes it. */
export interface LocalServer {
  readonly pid: number;
  readonly startTime: string;
  /** Its address for clients on this machine. Absent while it starts. */
  readonly url?: string | undefined;
  readonly version?: string | undefined;
}

export interface Connection {
  readonly sidecar: Sidecar;
  readonly url: string;
  /** The server belongs to the local state directory: it sees the same files and directories as this process. */
  readonly isLocal: boolean;
}

/** Milliseconds to wait for a server that is being replaced. */
const replacementMs = 1500;
/** Limit in bytes for the lock and for the key file. */
const maxFileBytes = 65_536;

/**
 * Connects to the server that `--url` names, otherwise to the local one.
 *
 * @param options.reconnectMs Milliseconds that `wait` and `follow` look for a lost server. Default 60,000.
 * @throws CommandError with exit code 69 when there is no local server; when the key file cannot be read.
 * @throws UsageError when the given address or key is not valid.
 */
export async function connect(config: Config, options: { reconnectMs?: number } = {}): Promise<Connection> {
  const local = config.url === undefined ? await runningServer(config) : await readLockIfOurs(config.stateDir);
  const url = config.url ?? local?.url;
  if (url === undefined) throw noServerError(config);
  const isLocal = local?.url !== undefined && sameServer(localAddress(url), local.url);
  const key = await findKey(config, isLocal);
  // The local server may listen on an address that is not loopback: it is still reached without a proxy.
  const transport = isLocal || isReachedDirectly(config.proxies, url)
    ? await directTransport(url)
    : (await import('../proxy/through-proxy.ts')).throughProxy(config.proxies);
  const sidecar = createClient({ url, ...transport, retry: { attempts: 4 }, ...defined({ key }), ...options });
  return { sidecar, url: sidecar.url, isLocal };
}

function isReachedDirectly(rules: ProxyRules, url: string): boolean {
  try {
    return rules(new URL(url)) === undefined;
  } catch {
    // The first request says what is wrong with the proxy, and the client what is wrong with the address.
    return false;
  }
}

/** Leaves HTTPS to the global `fetch`, which says what is wrong with a certificate. */
async function directTransport(url: string): Promise<Pick<SidecarOptions, 'fetch'>> {
  return url.startsWith('http:') ? { fetch: (await import('./direct-fetch.ts')).directFetch } : {};
}

/** A refusal before any request is an error in what the user typed. */
function createClient(options: SidecarOptions): Sidecar {
  try {
    return new Sidecar(options);
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'invalid_request') throw new UsageError(error.message);
    throw error;
  }
}

/** {@link readLock} when the user names a server: a lock that other users may have written is ignored. */
async function readLockIfOurs(stateDir: string): Promise<LocalServer | undefined> {
  try {
    return await readLock(stateDir);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return undefined;
  }
}

/**
 * Reads which server holds the state directory. `undefined`: no server does, or the file is not a valid lock.
 *
 * @throws CommandError when other users may have written the lock: the key would be sent to their address.
 */
export async function readLock(stateDir: string): Promise<LocalServer | undefined> {
  assertOwnStateDirectory(stateDir);
  const content = await readOptional(join(stateDir, 'server.lock'));
  if (content === undefined) return undefined;
  try {
    const { pid, startTime, url, version } = parseLock(JSON.parse(content), 'server.lock');
    return { pid, startTime, url: url === undefined ? undefined : localAddress(url), version };
  } catch {
    // Half written, or by a version with another format: treated as no lock.
    return undefined;
  }
}

function assertOwnStateDirectory(stateDir: string): void {
  try {
    checkStateDirectory(stateDir);
  } catch (error) {
    if (error instanceof StateDirectoryError) throw new CommandError(error.message, { cause: error });
    // EACCES, ENOTDIR: treated as no lock.
  }
}

function parseLock(value: unknown, path: string): LocalServer {
  const known = {
    pid: integer({ min: 1, max: 2 ** 31 }), startTime: text(), url: optional(text()), version: optional(text()),
  };
  const source = typeof value === 'object' && value !== null ? value as { readonly [name: string]: unknown } : {};
  return object(known)(Object.fromEntries(Object.keys(known).map((name) => [name, source[name]])), path);
}

/** The server of the state directory, if it runs. Waits for one that is being replaced. */
async function runningServer(config: Config): Promise<LocalServer | undefined> {
  const endsAtMs = performance.now() + replacementMs;
  for (;;) {
    const lock = await readLock(config.stateDir);
    if (lock === undefined || lock.url !== undefined && await isAlive(lock)) return lock;
    // The key must not be sent to a process that took the port of a dead server.
    if (performance.now() > endsAtMs) return undefined;
    await delay(50);
  }
}

/** Sends the key of the local server to no other server. */
async function findKey(config: Config, isLocal: boolean): Promise<string | undefined> {
  if (config.keyFile !== undefined && isFromFlag(config, 'key-file')) return readKeyFile(config.keyFile);
  if (config.apiKey !== undefined) return config.apiKey;
  if (config.keyFile !== undefined) return readKeyFile(config.keyFile);
  if (!isLocal) return undefined;
  return firstLine(await readOptional(join(config.stateDir, 'api-key')));
}

/** Whether a flag gave the setting: a flag takes precedence over the environment. */
function isFromFlag(config: Config, name: string): boolean {
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
    // ENOENT, ENOTDIR: there is no file. EACCES, EPERM: the file belongs to another user.
    if (!['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(errorCode(error))) throw error;
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

function noServerError(config: Config): CommandError {
  return new CommandError(`No server is running here (looked in ${config.stateDir})`, {
    hint: 'Start one with "sidecar serve", or name one with --url or SIDECAR_URL',
    exitCode: exitCodes.unreachable,
  });
}
