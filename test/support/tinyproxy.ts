/**
 * A real tinyproxy with a configuration and a folder of its own, on a free port, ended by its pid.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startDaemon } from './daemon.ts';
import { freePort } from './ports.ts';
import { temporaryFolder } from './server.ts';

/** @returns its port. */
export async function startTinyproxy(t: TestContext): Promise<{ readonly port: number }> {
  const folder = temporaryFolder(t);
  const path = (name: string): string => join(folder, name);
  const port = await freePort();
  writeFileSync(path('conf'), `Port ${port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogLevel Warning\n`);
  const said = (): string => readFileSync(path('out'), 'utf8');
  await startDaemon(t, { argv: ['tinyproxy', '-d', '-c', path('conf')], folder, port, said });
  return { port };
}
