/** A real squid with a configuration and a folder of its own, on a free port, ended by its pid. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { accepts, freePort } from './nginx.ts';
import { atEnd, temporaryFolder } from './server.ts';
import { until } from './wait.ts';

/** @param hosts Names that it takes for 127.0.0.1. @returns its port, and the lines of its access log so far. */
export async function startSquid(t: TestContext, hosts: readonly string[]): Promise<{ readonly port: number; readonly log: () => string }> {
  const folder = temporaryFolder(t);
  // squid gives up root for a user of its own.
  chmodSync(folder, 0o777);
  const port = await freePort();
  const path = (name: string): string => join(folder, name);
  writeFileSync(path('hosts'), hosts.map((name) => `127.0.0.1 ${name}\n`).join(''));
  writeFileSync(path('squid.conf'), [
    `http_port 127.0.0.1:${port}`, 'http_access allow all', 'cache deny all', `hosts_file ${path('hosts')}`, `pid_filename ${path('pid')}`,
    `access_log stdio:${path('access.log')}`, `cache_log ${path('cache.log')}`, `coredump_dir ${folder}`, 'shutdown_lifetime 0 seconds', 'pinger_enable off',
    'visible_hostname squid.test', '',
  ].join('\n'));
  const fd = openSync(path('out'), 'a');
  const child = spawn('squid', ['-N', '-f', path('squid.conf')], {
    stdio: ['ignore', fd, fd], env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin` },
  });
  closeSync(fd);
  const exited = once(child, 'exit');
  atEnd(t, async () => {
    child.kill('SIGTERM');
    await exited;
  });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`squid ended: ${readFileSync(path('out'), 'utf8')}`);
    return accepts(port);
  }, { what: 'squid listens' });
  return { port, log: () => readFileSync(path('access.log'), 'utf8') };
}
