import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { ProblemError, Sidecar, type SidecarOptions, type UpdateProgress } from '../../src/client/client.ts';
import { rejectsWith } from '../support/errors.ts';
import { answer as answerWith, hangUp, FakeServer, key as standInKey } from '../support/fake-server.ts';
import { type FakeUpdateServer, ended, key, onProbation, startStub, underWay } from '../support/fake-update-server.ts';

const quick = { firstDelayMs: 1, maxDelayMs: 20 };

async function setUp(t: TestContext, options: Partial<SidecarOptions> = {}): Promise<{ stub: FakeUpdateServer; sidecar: Sidecar }> {
  const stub = await startStub(t);
  return { stub, sidecar: new Sidecar({ url: stub.url, key, retry: quick, ...options }) };
}

describe('Updates', () => {
  it('get() tells the state, and has the source asked only on request', async (t) => {
    const { stub, sidecar } = await setUp(t);
    assert.equal((await sidecar.updates.get()).current, '1.0.0');
    assert.equal(stub.checks, 0);
    assert.equal((await sidecar.updates.get({ check: true })).checkError, 'the registry is down');
    assert.equal(stub.checks, 1);
  });

  it('begin() asks for what it is told to', async (t) => {
    const { stub, sidecar } = await setUp(t);
    assert.deepEqual(await sidecar.updates.begin(), { status: 'updating', version: '1.1.0', message: 'on its way' });
    await sidecar.updates.begin({ version: '0.9.0', ifIdle: true, allowDowngrade: true });
    const nothing = { version: undefined, ifIdle: undefined, allowDowngrade: undefined };
    assert.deepEqual(stub.begun, [nothing, { version: '0.9.0', ifIdle: true, allowDowngrade: true }]);
  });

  it('begin() passes on why it cannot be done', async (t) => {
    const { stub, sidecar } = await setUp(t);
    stub.answer = new ProblemError('busy', 'Cannot update: 3 jobs run', { extensions: { running_jobs: 3 } });
    const error = await rejectsWith(sidecar.updates.begin({ ifIdle: true }), { type: ProblemError, code: 'busy' });
    assert.equal(error.extensions['running_jobs'], 3);
  });

  it('begin() is repeated under the same key when its answer is lost', async (t) => {
    const server = new FakeServer();
    await server.start();
    t.after(() => server.close());
    server.faults.push(hangUp);
    const sidecar = new Sidecar({ url: server.url, key: standInKey, retry: quick });
    server.faults.push(answerWith(200, { 'Content-Type': 'application/json' }, '{"status":"updating","version":"1.1.0","message":"on its way"}'));
    assert.equal((await sidecar.updates.begin()).version, '1.1.0');
    const keys = server.seen.map(({ headers }) => headers['idempotency-key']);
    assert.deepEqual([keys.length, new Set(keys).size, typeof keys[0]], [2, 1, 'string']);
    server.faults.push(answerWith(200, { 'Content-Type': 'application/json' }, '{"status":"ok"}'));
    await rejectsWith(sidecar.updates.begin(), { type: ProblemError, code: 'bad_answer' });
  });

  it('wait() tells each step once, and resolves when the new version runs', async (t) => {
    const { stub, sidecar } = await setUp(t);
    stub.upcoming.push(
      underWay('downloading'), underWay('downloading'), underWay('verifying'), underWay('starting'), underWay('switching'), onProbation);
    const steps: UpdateProgress[] = [];
    const state = await sidecar.updates.wait('1.1.0', { onProgress: (progress) => steps.push(progress) });
    assert.deepEqual(steps.map(({ step }) => step), ['downloading', 'verifying', 'starting', 'switching']);
    assert.deepEqual([state.current, state.probation?.endsAt], ['1.1.0', 260]);
  });

  it('wait() looks for the server while it is replaced', async (t) => {
    const { stub, sidecar } = await setUp(t, { retry: { ...quick, attempts: 1 } });
    const replaced = new Promise<void>((resolve, reject) => {
      stub.upcoming.push(underWay('switching'), () => {
        stub.stop().then(() => new Promise((wake) => { setTimeout(wake, 300); })).then(() => stub.start()).then(resolve, reject);
      }, onProbation);
    });
    assert.equal((await sidecar.updates.wait('1.1.0')).current, '1.1.0');
    await replaced;
  });

  it('wait() gives up a server that stays away', async (t) => {
    const { stub, sidecar } = await setUp(t, { retry: { ...quick, attempts: 1 }, reconnectMs: 100 });
    await stub.stop();
    await rejectsWith(sidecar.updates.wait('1.1.0'), { type: ProblemError, code: 'unreachable' });
  });

  for (const status of ['failed', 'rolled_back'] as const) {
    it(`wait() resolves with the reason of an update that was ${status}`, async (t) => {
      const { stub, sidecar } = await setUp(t);
      stub.now = { ...stub.now, ...ended(status, 'an earlier one'), lastOutcome: { status, from: '1.1.0', to: '1.1.0', reason: 'an earlier one', at: 50 } };
      // For a moment it is neither under way nor written down how it ended.
      stub.upcoming.push(underWay('starting'), { progress: null }, { progress: null }, ended(status, 'it crashed'));
      const { current, lastOutcome } = await sidecar.updates.wait('1.1.0', { since: 50 });
      assert.deepEqual([current, lastOutcome?.reason], ['1.0.0', 'it crashed']);
    });
  }

  it('wait() waits for a proof, if that is asked for', async (t) => {
    const { stub, sidecar } = await setUp(t);
    stub.upcoming.push(onProbation, onProbation, ended('rolled_back', 'it crashed after 5 s'));
    assert.equal((await sidecar.updates.wait('1.1.0', { untilProven: true })).lastOutcome?.reason, 'it crashed after 5 s');
    stub.upcoming.push(onProbation, ended('updated', 'it has proven itself'));
    assert.equal((await sidecar.updates.wait('1.1.0', { untilProven: true, since: 301 })).current, '1.1.0');
  });

  it('wait() ends with its signal, and hands out what there is at its time limit', async (t) => {
    const { stub, sidecar } = await setUp(t);
    stub.upcoming.push(underWay('downloading'));
    assert.equal((await sidecar.updates.wait('1.1.0', { timeoutMs: 50 })).progress?.step, 'downloading');
    const reason = new Error('enough');
    const controller = new AbortController();
    stub.upcoming.push(underWay('verifying'));
    const waiting = sidecar.updates.wait('1.1.0', { signal: controller.signal, onProgress: () => controller.abort(reason) });
    await assert.rejects(waiting, (error) => error === reason);
  });
});
