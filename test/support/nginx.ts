/**
 * A real nginx in front of a server: a configuration and a folder of its own, on a free port, ended by its pid.
 *
 * @module
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startDaemon } from './daemon.ts';
import { freePort } from './ports.ts';
import { temporaryFolder } from './server.ts';

/** @param options.http Further lines of the block `http`. @returns the address of nginx. */
export async function startNginx(t: TestContext, upstream: string, options: { readonly http?: string } = {}): Promise<string> {
  const folder = temporaryFolder(t);
  for (const name of ['tmp', 'logs']) mkdirSync(join(folder, name));
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path tmp/${kind};`).join(' ');
  writeFileSync(join(folder, 'nginx.conf'), `
    daemon off; master_process off; pid nginx.pid; error_log stderr;
    events { worker_connections 64; }
    http {
      access_log off; ${temporary} ${options.http ?? ''}
      server { listen 127.0.0.1:${port}; location / { proxy_pass ${upstream}; } }
    }`);
  const argv = ['nginx', '-p', `${folder}/`, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'] as const;
  await startDaemon(t, { argv: [...argv], folder, port, said: () => readFileSync(join(folder, 'out'), 'utf8') });
  return `http://127.0.0.1:${port}`;
}
