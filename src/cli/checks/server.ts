/**
 * Checks whether the server runs and answers, and whether it could run.
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Config } from '../../config/config.ts';
import { isAlive } from '../../process/identity.ts';
import { connect, readLock } from '../connect.ts';
import { explain } from '../failure.ts';
import type { HealthOfCapacity } from '../../protocol/health.ts';
import { ownVersion } from '../../process/own-version.ts';
import { type Check, type Finding, codeOf, fail, ok, warn } from './check.ts';

export const serverChecks: readonly Check[] = [
  { name: 'server', run: server },
  { name: 'port', run: port },
];

async function server(config: Config): Promise<Finding> {
  if (config.url === undefined && !await isRunning(config)) return warn('none is running here', 'sidecar serve');
  try {
    const { sidecar, url } = await connect(config);
    const health = await sidecar.health();
    if (!health.authenticated) {
      return fail(`${url} answers, but the key is not its key`, 'Give its key with --key-file or SIDECAR_API_KEY');
    }
    const text = `version ${health.version} at ${url}, ${health.running} of ${health.jobs} jobs running${
      openFilesOf(health.capacity)
    }`;
    const { reason } = (health.capacity as Partial<HealthOfCapacity> | undefined) ?? {};
    if (typeof reason === 'string') {
      return warn(`${text}; ${reason}`, 'ulimit -n 65536 before the server starts, or LimitNOFILE= in its unit');
    }
    return health.version === ownVersion()
      ? ok(text)
      : warn(`${text}; this program is ${ownVersion()}`, 'Update the older one');
  } catch (error) {
    const { lines: [message = '', hint = ''] } = explain(error);
    return fail(message, hint === '' ? 'See its log' : hint);
  }
}

/** A server of an earlier version does not report open files. */
function openFilesOf(capacity: Partial<HealthOfCapacity> | undefined): string {
  const { openFiles, openFilesHard, openFilesUsed } = capacity ?? {};
  return typeof openFiles !== 'number'
    ? ''
    : `, ${openFilesUsed ?? '?'} of ${openFiles} files open (hard limit ${openFilesHard})`;
}

async function port(config: Config): Promise<Finding> {
  const { host, port: number } = config;
  if (config.url !== undefined) return ok('not looked at, as --url names a server');
  if (await isRunning(config)) return ok('in use by our server');
  const failure = await tryListen(host, number);
  if (failure === undefined) return ok(`${host}:${number} is free`);
  if (failure === 'EADDRINUSE') {
    return fail(`${host}:${number} is taken by another program`, 'Choose another with --port or SIDECAR_PORT');
  }
  return fail(`cannot listen at ${host}:${number}: ${failure}`, 'Choose another with --host, --port');
}

async function isRunning({ stateDir }: Config): Promise<boolean> {
  const lock = await readLock(stateDir);
  return lock !== undefined && isAlive(lock);
}

async function tryListen(host: string, number: number): Promise<string | undefined> {
  const probe = createServer();
  try {
    probe.listen({ port: number, host, exclusive: true });
    await once(probe, 'listening');
    return undefined;
  } catch (error) {
    return codeOf(error);
  } finally {
    probe.close();
  }
}
