/** Variables by which Node would take the program for a part of another one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Terminal } from '../../src/protocol/terminals.ts';
import { ask, run } from '../support/client.ts';
import { key, program, spawnServer, temporaryFolder } from '../support/server.ts';

const environment = { NODE_UNIQUE_ID: '1' };

test('a server and its terminals listen where NODE_UNIQUE_ID says that they are workers', { timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t, { environment });
  assert.equal((await run(server, { command: 'echo ran' })).stdout, 'ran\n');
  const terminal = await ask(server, 'POST /terminals', { body: { command: 'sleep 600' } });
  assert.equal(terminal.status, 201, terminal.text);
  await ask(server, `DELETE /terminals/${terminal.json<Terminal>().terminalId}`);
});

test('a wrapper says that NODE_UNIQUE_ID is in its way', { timeout: 60_000 }, (t) => {
  const folder = temporaryFolder(t);
  const args = [program, 'serve', '--wrapper', '--port', '0', '--state-dir', join(folder, 'state')];
  const { status, stderr } = spawnSync(process.execPath, args, { env: { ...process.env, ...environment, HOME: folder, SIDECAR_API_KEY: key }, encoding: 'utf8' });
  assert.deepEqual([status, stderr.includes('env -u NODE_UNIQUE_ID sidecar serve --wrapper')], [1, true], stderr);
});

test('doctor looks at the machine whatever BASH_ENV and TMPDIR say', { skip: process.platform === 'win32' }, (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'leave'), 'exit 3\n');
  const disturbing = { BASH_ENV: join(folder, 'leave'), TMPDIR: join(folder, 'none') };
  const env = { ...process.env, HOME: folder, SIDECAR_PORT: '0', SIDECAR_STATE_DIR: join(folder, 'state'), ...disturbing };
  const { stdout } = spawnSync(process.execPath, [program, 'doctor', '--json'], { env, encoding: 'utf8' });
  const rows = new Map((JSON.parse(stdout) as { name: string; state: string }[]).map(({ name, state }) => [name, state]));
  assert.deepEqual([rows.get('bash'), rows.get('mkfifo')], ['ok', 'ok'], stdout);
});
