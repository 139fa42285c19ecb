/** How the wrapper finds out whether a server is well. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { promisify } from 'node:util';
import { checkHealth } from '../../src/wrapper/health-check.ts';
import { builtModule } from '../support/built.ts';

const healthModule = builtModule('wrapper/health-check');

test('checkHealth() takes usual headers whatever NODE_OPTIONS say of their size', async (t) => {
  const server = createServer((_, response) => {
    response.setHeader('Server-WrapperTimings', 'a'.repeat(200));
    response.end('{"status":"ok"}');
  });
  t.after(() => { server.close(); });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`;
  assert.deepEqual(await checkHealth(url, 30_000), { type: 'healthy' });
  const program = `import { checkHealth } from '${healthModule}'; console.log(JSON.stringify(await checkHealth('${url}', 30_000)));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, NODE_OPTIONS: '--max-http-header-size=20' },
  });
  assert.deepEqual(JSON.parse(stdout), { type: 'healthy' });
});
