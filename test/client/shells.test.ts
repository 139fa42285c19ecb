/** `sidecar.shells` against a real server. */
import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { ProblemError, Sidecar } from '../../src/client/client.ts';
import { rejectsWith } from '../support/errors.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { FakeServer, hangUp, key } from '../support/fake-server.ts';

const skip = process.platform === 'win32' ? 'needs FIFOs' : false;

async function setUp(t: TestContext): Promise<Sidecar> {
  return (await startTestServer(t)).client;
}

describe('Shells', { skip }, () => {
  it('run() finds what the run before left, and hands out output as it comes', async (t) => {
    const sidecar = await setUp(t);
    const workdir = temporaryFolder(t);
    assert.equal((await sidecar.shells.run('a/b', 'x=$GIVEN; f() { echo "f $x"; }', { workdir, env: { GIVEN: '5' } })).exitCode, 0);
    const pieces: string[] = [];
    const job = await sidecar.shells.run('a/b', 'f; pwd; return 4', {
      timeout: 60, onOutput: (stream, bytes) => void pieces.push(`${stream}: ${new TextDecoder().decode(bytes)}`),
    });
    assert.deepEqual([job.mode, job.sessionKey, job.timeout, job.exitCode, job.stdout], ['persistent_shell', 'a/b', 60, 4, `f 5\n${workdir}\n`]);
    assert.equal(pieces.join('').replaceAll('stdout: ', ''), job.stdout);
  });

  it('list(), get() and delete() tell of sessions and end them', async (t) => {
    const sidecar = await setUp(t);
    assert.deepEqual(await sidecar.shells.list(), []);
    await sidecar.shells.run('two', 'true', { shell: 'bash' });
    await sidecar.shells.run('one', 'true', { bootstrapCommand: 'x=1' });
    assert.deepEqual((await sidecar.shells.list()).map(({ sessionKey }) => sessionKey), ['one', 'two']);
    const one = await sidecar.shells.get('one');
    assert.deepEqual([one.status, one.bootstrapCommand, one.starts], ['idle', 'x=1', 1]);
    const { jobId } = await sidecar.exec({ mode: 'persistent_shell', sessionKey: 'one', command: 'sleep 1000' });
    await until(async () => (await sidecar.shells.get('one')).activeCommand, { what: 'its command runs' });
    await sidecar.shells.delete('one');
    assert.equal((await sidecar.jobs.wait(jobId)).reason, 'cancelled');
    await rejectsWith(sidecar.shells.get('one'), { type: ProblemError, code: 'session_not_found' });
    await rejectsWith(sidecar.shells.delete('one'), { type: ProblemError, code: 'session_not_found' });
    await rejectsWith(sidecar.shells.run('two', 'true', { shell: 'sh' }), { type: ProblemError, code: 'session_conflict' });
  });

  it('run() with requireShell takes no other shell, and jobs tell when one ends and another begins', async (t) => {
    const sidecar = await setUp(t);
    await rejectsWith(sidecar.shells.run('one', 'true', { requireShell: true }), { type: ProblemError, code: 'shell_gone' });
    assert.deepEqual((await sidecar.shells.run('one', 'true')).shellStarted, { reason: 'first', start: 1 });
    assert.deepEqual((await sidecar.shells.run('one', 'exit 2', { requireShell: true })).shellEnded, { reason: 'exit', exitCode: 2 });
    await rejectsWith(sidecar.shells.run('one', 'true', { requireShell: true }), { type: ProblemError, code: 'shell_gone' });
    assert.deepEqual((await sidecar.shells.run('one', 'true')).shellStarted, { reason: 'exit', start: 2, exitCode: 2 });
  });

  it('delete() is asked again when its answer is lost, and believes that it was done', async (t) => {
    const server = new FakeServer();
    await server.start();
    t.after(() => server.close());
    server.faults.push(hangUp, (_request, response) => {
      response.writeHead(404, { 'Content-Type': 'application/problem+json' }).end('{"code":"session_not_found","detail":"gone"}');
      return true;
    });
    const sidecar = new Sidecar({ url: server.url, key, retry: { firstDelayMs: 1 } });
    await sidecar.shells.delete('x y');
    assert.deepEqual(server.seen.map(({ line }) => line), ['DELETE /sessions/x%20y', 'DELETE /sessions/x%20y']);
  });

  it('says so when an answer is not one of ours', async (t) => {
    const server = new FakeServer();
    await server.start();
    t.after(() => server.close());
    const sidecar = new Sidecar({ url: server.url, key });
    for (const body of ['[]', '{"sessions":[{}]}', '{"sessions":5}', 'text']) {
      server.faults.push((_request, response) => (response.end(body), true));
      await rejectsWith(sidecar.shells.list(), { type: ProblemError, code: 'bad_answer' }, body);
    }
  });
});
