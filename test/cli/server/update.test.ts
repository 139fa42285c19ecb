import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { updateError } from '../../../src/cli/server/update.ts';
import { ProblemError, type UpdateState } from '../../../src/client/client.ts';
import { healthUpdate } from '../../../src/protocol/health.ts';
import { type FakeUpdateServer, ended, onProbation, startStub, underWay } from '../../support/fake-update-server.ts';
import { startTestServer } from '../../support/server.ts';
import { type Setting, setUp } from '../../support/cli.ts';

type Run = (...args: string[]) => ReturnType<Setting['run']>;

/** `sidecar update` against a stub of a server. */
async function setUpStub(t: TestContext): Promise<{ stub: FakeUpdateServer; update: Run; run: Setting['run'] }> {
  const { run } = await setUp(t);
  const stub = await startStub(t);
  const env = { SIDECAR_URL: stub.url };
  return { stub, update: (...args) => run(['update', ...args], { env }), run: (args, options) => run(args, { ...options, env: { ...env, ...options?.env } }) };
}

const newer = { available: { version: '1.1.0', isNewer: true, checkedAt: 1 }, checkError: null };
const same = { available: { version: '1.0.0', isNewer: false, checkedAt: 1 }, checkError: null };

describe('sidecar update', () => {
  it('shows the steps and waits until the new version runs', async (t) => {
    const { stub, update } = await setUpStub(t);
    stub.upcoming.push({}, underWay('downloading'), underWay('verifying'), underWay('unpacking'), underWay('starting'), underWay('switching'), onProbation);
    const { stdout, stderr, exitCode } = await update();
    assert.equal(stderr, [
      'downloading 1.1.0', 'verifying 1.1.0', 'unpacking 1.1.0', 'starting 1.1.0 beside the running one',
      '1.1.0 is ready, the running one hands over',
    ].map((line) => `sidecar: ${line}\n`).join(''));
    assert.equal(stdout, 'updated from 1.0.0 to 1.1.0; it is on probation for 60 s, and taken back if it fails\n');
    assert.equal(exitCode, 0);
    assert.deepEqual(stub.begun, [{ version: undefined, ifIdle: undefined, allowDowngrade: undefined }]);
  });

  it('continues while the server is being replaced', async (t) => {
    const { stub, update } = await setUpStub(t);
    const replaced = new Promise<void>((resolve, reject) => {
      stub.upcoming.push({}, underWay('switching'), () => {
        stub.stop().then(() => new Promise((wake) => { setTimeout(wake, 300); })).then(() => stub.start()).then(resolve, reject);
      }, onProbation);
    });
    const { stdout, exitCode } = await update('--json');
    assert.deepEqual([(JSON.parse(stdout) as { current: string }).current, exitCode], ['1.1.0', 0]);
    await replaced;
  });

  it('sends what its flags say', async (t) => {
    const { stub, update } = await setUpStub(t);
    stub.answer = { status: 'updating', version: '0.9.0', message: 'Updating from 1.0.0 to 0.9.0' };
    const { stdout, exitCode } = await update('--version', '0.9.0', '--allow-downgrade', '--if-idle', '--no-wait');
    assert.deepEqual([stdout, exitCode], ['Updating from 1.0.0 to 0.9.0\n', 0]);
    assert.deepEqual(stub.begun, [{ version: '0.9.0', ifIdle: true, allowDowngrade: true }]);
    assert.deepEqual(JSON.parse((await update('--no-wait', '--json')).stdout), stub.answer);
  });

  it('has nothing to do where the version runs already', async (t) => {
    const { stub, update } = await setUpStub(t);
    stub.answer = { status: 'current', version: '1.0.0', message: '1.0.0 runs already' };
    const { stdout, stderr, exitCode } = await update();
    assert.deepEqual([stdout, stderr, exitCode], ['1.0.0 runs already\n', '', 0]);
    assert.equal((JSON.parse((await update('--json')).stdout) as { current: string }).current, '1.0.0');
  });

  for (const [status, message] of [
    ['failed', 'Cannot update to 1.1.0: its signature is wrong'], ['rolled_back', 'Took 1.1.0 back: its signature is wrong'],
  ] as const) {
    it(`exits with 1 and says why when the update was ${status}`, async (t) => {
      const { stub, update } = await setUpStub(t);
      stub.upcoming.push({}, underWay('verifying'), ended(status, 'its signature is wrong'));
      const { stdout, stderr, exitCode } = await update('--json');
      assert.equal(stderr, `sidecar: verifying 1.1.0\nsidecar: ${message}\n         1.0.0 runs\n`);
      assert.deepEqual([(JSON.parse(stdout) as { lastOutcome: { status: string } }).lastOutcome.status, exitCode], [status, 1]);
    });
  }

  it('updateError() gives the reason for every end of an update', () => {
    const state: UpdateState = {
      current: '0.9.0', previous: null, wrapper: true, source: 'x', available: null, checkError: null, progress: null, probation: null,
      lastOutcome: { status: 'rolled_back', from: '1.0.0', to: '0.9.0', reason: 'it crashed', at: 300 }, bad: [], automatic: null,
    };
    const order = { version: '1.1.0', since: 200 };
    const refused: UpdateState['lastOutcome'] = { status: 'failed', from: '1.0.0', to: '1.1.0', reason: 'Cannot install 1.1.0: it is another', at: 300 };
    for (const [given, message] of [
      [updateError(state, order), 'Cannot update to 1.1.0: 1.0.0, which was to carry it out, was itself taken back in the meantime (it crashed)'],
      [updateError(state, { ...order, since: 300 }), 'Cannot update to 1.1.0: no reason was noted; look at the log of the server'],
      [updateError({ ...state, lastOutcome: refused }, order), 'Cannot install 1.1.0: it is another'],
    ] as const) {
      assert.deepEqual([given.message, given.hint], [message, '0.9.0 runs']);
    }
  });

  it('exits with 1 and says why when it cannot begin', async (t) => {
    const { stub, update } = await setUpStub(t);
    stub.answer = new ProblemError('busy', 'Cannot update: 3 jobs are running', { extensions: { running_jobs: 3 } });
    const { stdout, stderr, exitCode } = await update('--if-idle');
    assert.deepEqual([stdout, exitCode], ['', 1]);
    assert.match(stderr, /^sidecar: Cannot update: 3 jobs are running\n/);
  });

  it('--check prints the running and the available version, and exits with 0 either way', async (t) => {
    const { stub, update } = await setUpStub(t);
    for (const [offered, line] of [
      [newer, '1.0.0 runs, 1.1.0 is available (from npm:machine-sidecar): sidecar update\n'],
      [same, '1.0.0 runs, and npm:machine-sidecar has the same\n'],
    ] as const) {
      stub.offered = offered;
      const { stdout, stderr, exitCode } = await update('--check');
      assert.deepEqual([stdout, stderr, exitCode], [line, '', 0]);
      assert.deepEqual((JSON.parse((await update('--check', '--json')).stdout) as typeof newer).available, offered.available);
    }
    assert.deepEqual(stub.begun, []);
  });

  it('does not offer a version that went wrong before, but says how to try it again', async (t) => {
    const { stub, update } = await setUpStub(t);
    stub.offered = newer;
    stub.now = { ...stub.now, bad: [{ version: '1.1.0', reason: 'it crashed', at: 1 }] };
    const { stdout, exitCode } = await update('--check');
    assert.equal(stdout, '1.0.0 runs, and npm:machine-sidecar has 1.1.0, which went wrong before (it crashed); to try it again: sidecar update --version 1.1.0\n');
    assert.equal(exitCode, 0);
    assert.equal(healthUpdate(stub.now).available, null);
    assert.equal(healthUpdate({ ...stub.now, bad: [] }).available, '1.1.0');
  });

  it('--check exits with 1 when the source cannot be asked', async (t) => {
    const { update } = await setUpStub(t);
    const { stdout, stderr, exitCode } = await update('--check');
    assert.deepEqual([stdout, stderr, exitCode], ['', 'sidecar: 1.0.0 runs; npm:machine-sidecar cannot be asked: the registry is down\n', 1]);
  });

  it('exits with 2 for flags that make no sense, 69 when no server answers, 77 without the key', async (t) => {
    const { stub, update, run } = await setUpStub(t);
    for (const [args, message] of [
      [['--allow-downgrade'], /--allow-downgrade needs a --version/],
      [['--check', '--version', '1.0.0'], /--check changes nothing: --version has no meaning/],
      [['now'], /Unexpected argument "now"/],
    ] as const) {
      const { exitCode, stderr } = await update(...args);
      assert.equal(exitCode, 2);
      assert.match(stderr, message);
    }
    assert.equal((await run(['update'], { env: { SIDECAR_KEY_FILE: '', SIDECAR_API_KEY: 'wrong' } })).exitCode, 77);
    await stub.stop();
    assert.equal((await update()).exitCode, 69);
    assert.deepEqual(stub.begun, []);
  });

  it('names the wrapper where a real server has none', async (t) => {
    const { run } = await setUp(t);
    const server = await startTestServer(t);
    const { exitCode, stderr } = await run(['update'], { env: { SIDECAR_URL: server.url, SIDECAR_KEY_FILE: '', SIDECAR_API_KEY: server.key } });
    assert.equal(exitCode, 1);
    assert.match(stderr, /^sidecar: .*no wrapper.*`sidecar serve --wrapper`\n$/);
  });
});
