/** A real tinyproxy with a configuration and a folder of its own, on a free port, ended by its pid. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { accepts, freePort } from './nginx.ts';
import { atEnd, temporaryFolder } from './server.ts';
import { until } from './wait.ts';

/** @returns its port. */
export async function startTinyproxy(t: TestContext): Promise<{ readonly port: number }> {
  const folder = temporaryFolder(t);
  const path = (name: string): string => join(folder, name);
  const port = await freePort();
  writeFileSync(path('conf'), `Port ${port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogLevel Warning\n`);
  const fd = openSync(path('out'), 'a');
  const child = spawn('tinyproxy', ['-d', '-c', path('conf')], { cwd: folder, stdio: ['ignore', fd, fd] });
  closeSync(fd);
  const exited = once(child, 'exit');
  atEnd(t, async () => {
    child.kill('SIGTERM');
    await exited;
  });
  await until(async () => {
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    if (hasEnded) throw new Error(`tinyproxy ended: ${readFileSync(path('out'), 'utf8')}`);
    return accepts(port);
  }, { what: 'tinyproxy listens' });
  return { port };
}
