/**
 * A real squid with a configuration and a folder of its own, on a free port, ended by its pid.
 *
 * @module
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { searchPath, startDaemon } from './daemon.ts';
import { freePort } from './ports.ts';
import { temporaryFolder } from './server.ts';

/** For the option `skip` of a test. @returns the reason; `false` where squid is installed. */
export function squidIsMissing(): string | false {
  const isThere = searchPath.split(':').some((folder) => folder !== '' && existsSync(join(folder, 'squid')));
  return isThere ? false : 'squid is not installed (apt-get install squid)';
}

/** @param hosts Names that it takes for 127.0.0.1. @returns its port, and the lines of its access log so far. */
export async function startSquid(
  t: TestContext, hosts: readonly string[],
): Promise<{ readonly port: number; readonly log: () => string }> {
  const folder = temporaryFolder(t);
  const path = (name: string): string => join(folder, name);
  const port = await freePort();
  writeFileSync(path('hosts'), hosts.map((name) => `127.0.0.1 ${name}\n`).join(''));
  // Started by root it becomes a user of its own, who may not enter the folders above this one:
  // every path is relative to where it starts, so that it never has to.
  chmodSync(folder, 0o777);
  chmodSync(path('hosts'), 0o644);
  writeFileSync(path('squid.conf'), [
    `http_port 127.0.0.1:${port}`, 'http_access allow all', 'cache deny all', 'hosts_file hosts',
    'access_log stdio:access.log', 'cache_log cache.log', 'pid_filename none', 'shutdown_lifetime 0 seconds',
    'pinger_enable off', 'dns_timeout 2 seconds', 'visible_hostname squid.test', '',
  ].join('\n'));
  const said = (): string => ['out', 'cache.log'].map(path).filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8')).join('');
  await startDaemon(t, { argv: ['squid', '-N', '-f', 'squid.conf'], folder, port, said });
  return { port, log: () => readFileSync(path('access.log'), 'utf8') };
}
