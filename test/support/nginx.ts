/** A real nginx in front of a server: a configuration and a folder of its own, on a free port, ended by its pid. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd, temporaryFolder } from './server.ts';
import { until } from './wait.ts';

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
  const log = join(folder, 'log');
  const fd = openSync(log, 'a');
  const child = spawn('nginx', ['-p', `${folder}/`, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], {
    stdio: ['ignore', fd, fd], env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin` },
  });
  closeSync(fd);
  const exited = once(child, 'exit');
  atEnd(t, async () => {
    child.kill('SIGTERM');
    await exited;
  });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${readFileSync(log, 'utf8')}`);
    return accepts(port);
  }, { what: 'nginx listens' });
  return `http://127.0.0.1:${port}`;
}

/** One that nothing listened on a moment ago: nginx cannot say which it took. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
