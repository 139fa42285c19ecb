/** Updates over HTTP, where there is no wrapper to carry them out. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { UpdateState } from '../../src/protocol/updates.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { ask } from '../support/client.ts';

test('updates without a wrapper', async (t) => {
  const source = `${temporaryFolder(t)}/none.tgz`;
  const server = await startTestServer(t, { flags: { 'update-source': source } });
  const initial: UpdateState = {
    current: '0.0.0-test', previous: null, wrapper: false, source, available: null, checkError: null, progress: null, probation: null,
    lastOutcome: null, bad: [], automatic: null,
  };

  await t.test('GET /update tells what runs', async () => {
    const answer = await ask(server, 'GET /update');
    assert.deepEqual([answer.status, answer.json()], [200, initial]);
  });

  await t.test('GET /update?check=1 tells why the source could not be asked', async () => {
    const { checkError, ...state } = (await ask(server, 'GET /update?check=1')).json<UpdateState>();
    assert.match(checkError ?? '', /none\.tgz/);
    assert.deepEqual({ ...state, checkError: null }, initial);
  });

  await t.test('POST /update is refused, and says what to start', async () => {
    for (const body of [undefined, {}, { version: '1.2.3', ifIdle: true, allowDowngrade: true }]) {
      const { status, problem } = await ask(server, 'POST /update', body === undefined ? {} : { body });
      assert.deepEqual([status, problem.code], [409, 'no_wrapper']);
      assert.match(problem.detail, /sidecar serve --wrapper/);
    }
    assert.equal((await ask(server, 'GET /update')).json<UpdateState>().lastOutcome, null);
  });

  await t.test('both need the key', async () => {
    for (const line of ['GET /update', 'POST /update']) assert.equal((await ask(server, line, { key: null })).status, 401);
  });
});
