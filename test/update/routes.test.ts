/** The calls on updates, by a real HTTP server over updates that only pretend. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, describe, it } from 'node:test';
import { updateRoutes } from '../../src/update/routes.ts';
import { documentationRoutes } from '../../src/http/docs/docs.ts';
import { type ProblemCode, ProblemError, type ProblemOptions } from '../../src/protocol/problem.ts';
import type { UpdateRequest, UpdateState } from '../../src/protocol/updates.ts';
import type { UpdateService } from '../../src/update/update-service.ts';
import { type Answer, type Served, serve } from '../support/http-server.ts';

const quiet: UpdateState = {
  current: '1.0.0', previous: null, wrapper: true, source: 'npm:machine-sidecar', available: null, checkError: null, progress: null,
  probation: null, lastOutcome: null, bad: [], automatic: null,
};

class FakeUpdateService implements UpdateService {
  readonly begun: UpdateRequest[] = [];
  readonly checks: (AbortSignal | undefined)[] = [];
  problem: ProblemError | undefined;
  holdsChecks = false;
  #available: UpdateState['available'] = null;

  state(): UpdateState {
    return { ...quiet, available: this.#available };
  }

  async check(signal?: AbortSignal): Promise<void> {
    this.checks.push(signal);
    if (this.holdsChecks && signal) await once(signal, 'abort');
    this.#available = { version: '1.1.0', isNewer: true, checkedAt: 1 };
  }

  async begin(request: UpdateRequest): Promise<{ status: 'updating'; version: string; message: string }> {
    this.begun.push(request);
    if (this.problem) throw this.problem;
    return { status: 'updating', version: request.version ?? '1.1.0', message: 'on its way' };
  }
}

async function setUp(t: TestContext): Promise<{ updates: FakeUpdateService; served: Served; post: (body?: string) => Promise<Answer> }> {
  const updates = new FakeUpdateService();
  const routes = updateRoutes(updates);
  const served = await serve(t, { routes: [...routes, ...documentationRoutes({ title: 'test', version: '0', routes })] });
  const post = (body?: string): Promise<Answer> => served.ask('POST /update', body === undefined ? [] : ['Content-Type: application/json'], body);
  return { updates, served, post };
}

describe('POST /update', () => {
  it('begins an update; without a body everything is left to the server', async (t) => {
    const { updates, post } = await setUp(t);
    const defaults = { version: undefined, ifIdle: undefined, allowDowngrade: undefined };
    for (const body of [undefined, '{}', '{"version":""}']) {
      const { status, text } = await post(body);
      assert.deepEqual([status, JSON.parse(text)], [200, { status: 'updating', version: '1.1.0', message: 'on its way' }]);
    }
    await post('{"version":"0.9.0-rc.1+build","ifIdle":true,"allowDowngrade":true}');
    await post('{"allowDowngrade":false}');
    assert.deepEqual(updates.begun, [
      defaults, defaults, defaults, { version: '0.9.0-rc.1+build', ifIdle: true, allowDowngrade: true }, { ...defaults, allowDowngrade: false },
    ]);
  });

  const bad: readonly (readonly [what: string, body: string, status: number, detail: RegExp])[] = [
    ['no JSON', '{', 400, /JSON/],
    ['an array', '[]', 400, /^Cannot read body: expected an object, received an array$/],
    ['null', 'null', 400, /^Cannot read body: expected an object/],
    ['a version that is a number', '{"version":1}', 400, /^Cannot read body\.version: expected a version such as 1\.2\.3, received 1$/],
    ['a tag', '{"version":"latest"}', 400, /^Cannot read body\.version: expected a version such as 1\.2\.3, received "latest"$/],
    ['a range', '{"version":"^1.0.0"}', 400, /body\.version/],
    ['a path', '{"version":"1.0.0/../../etc"}', 400, /body\.version/],
    ['two lines', '{"version":"1.0.0\\n"}', 400, /body\.version/],
    ['a version without end', JSON.stringify({ version: `1.0.0-${'x'.repeat(200)}` }), 400, /body\.version: expected at most 128 characters, received 206/],
    ['a flag as text', '{"ifIdle":"yes"}', 400, /^Cannot read body\.ifIdle: expected true or false, received "yes"$/],
    ['a downgrade to nobody knows what', '{"allowDowngrade":true}', 400, /^Cannot read body\.allowDowngrade: expected it together with version/],
    ['an unknown field', '{"if_idle":true}', 400, /^Cannot read body\.if_idle: unknown field, did you mean "ifIdle"\?$/],
  ];
  it('answers bad input in words, and begins nothing', async (t) => {
    const { updates, served, post } = await setUp(t);
    for (const [what, body, status, detail] of bad) {
      const answer = await post(body);
      assert.deepEqual([answer.status, answer.problem.code], [status, 'invalid_request'], what);
      assert.match(answer.problem.detail, detail, what);
    }
    assert.equal((await served.ask('POST /update', ['Content-Type: text/plain'], 'x')).status, 415);
    assert.equal((await served.ask('POST /update?version=1.0.0')).status, 400);
    assert.equal((await served.ask('DELETE /update')).headers['allow'], 'GET, HEAD, POST, OPTIONS');
    assert.equal((await served.ask('POST /update', ['X-API-Key: wrong'])).status, 401);
    assert.deepEqual(updates.begun, []);
  });

  it('passes on why it cannot be done', async (t) => {
    const { updates, post } = await setUp(t);
    const problems: readonly (readonly [code: ProblemCode, status: number, options?: ProblemOptions])[] = [
      ['no_wrapper', 409], ['update_in_progress', 409], ['update_refused', 409], ['version_not_found', 404], ['update_source_failed', 502],
      ['busy', 409, { extensions: { running_jobs: 3 } }],
    ];
    for (const [code, status, options] of problems) {
      updates.problem = new ProblemError(code, `Cannot update: ${code}`, options);
      const answer = await post();
      assert.deepEqual([answer.status, answer.problem.code, answer.problem.error], [status, code, `Cannot update: ${code}`]);
      if (options) assert.equal((JSON.parse(answer.text) as { running_jobs: number }).running_jobs, 3);
    }
  });
});

describe('GET /update', () => {
  it('tells what is known, and asks the source only on request', async (t) => {
    const { updates, served } = await setUp(t);
    for (const query of ['', '?check=0', '?check=false']) assert.deepEqual(JSON.parse((await served.ask(`GET /update${query}`)).text), quiet);
    assert.equal(updates.checks.length, 0);
    const available = { version: '1.1.0', isNewer: true, checkedAt: 1 };
    for (const query of ['?check=1', '?check']) assert.deepEqual(JSON.parse((await served.ask(`GET /update${query}`)).text), { ...quiet, available });
    assert.equal(updates.checks.length, 2);
  });

  it('lets go of the source when the client leaves', async (t) => {
    const { updates, served } = await setUp(t);
    updates.holdsChecks = true;
    const wire = await served.open();
    wire.socket.write('GET /update?check=1 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: the-key-of-the-tests\r\n\r\n');
    while (updates.checks[0] === undefined) await new Promise((resolve) => { setTimeout(resolve, 5); });
    const left = once(updates.checks[0], 'abort');
    wire.socket.destroy();
    await left;
  });

  it('answers bad input in words, and asks nobody', async (t) => {
    const { updates, served } = await setUp(t);
    for (const [query, detail] of [
      ['check=maybe', /^Cannot read query\.check: expected 1 or 0, received "maybe"$/],
      ['check=1&check=1', /query\.check/],
      ['Check=1', /query\.Check: unknown/],
      ['version=1.0.0', /query\.version: unknown/],
    ] as const) {
      const { status, problem } = await served.ask(`GET /update?${query}`);
      assert.equal(status, 400, query);
      assert.match(problem.detail, detail);
    }
    assert.equal((await served.ask('GET /update', ['X-API-Key: wrong'])).status, 401);
    assert.equal(updates.checks.length, 0);
  });
});

it('the documentation of updates has every field of a state, and every problem', async (t) => {
  const { served } = await setUp(t);
  interface Operation { readonly responses: { readonly [status: string]: { readonly description: string; readonly content: { readonly [type: string]: { readonly schema: { readonly properties: object } } } } } }
  const { paths } = JSON.parse((await served.ask('GET /openapi.json')).text) as { paths: { [path: string]: { [method: string]: Operation } } };
  const { get, post } = paths['/update'] ?? {};
  assert.deepEqual(Object.keys(get?.responses['200']?.content['application/json']?.schema.properties ?? {}).sort(), Object.keys(quiet).sort());
  const told = JSON.stringify(post?.responses);
  for (const code of ['no_wrapper', 'update_in_progress', 'busy', 'version_not_found', 'update_refused', 'update_source_failed']) {
    assert.ok(told.includes(code), code);
  }
});
