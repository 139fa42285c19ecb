import assert from 'node:assert/strict';
import { test } from 'node:test';
import { integer, object, optional, text, described, fromText } from '../../../src/base/parse.ts';
import { documentationRoutes } from '../../../src/http/docs/docs.ts';
import { json } from '../../../src/http/routing/reply.ts';
import type { Route } from '../../../src/http/routing/route.ts';
import { createRouter } from '../../../src/http/routing/router.ts';
import { serve, route } from '../../support/http-server.ts';

const documentation = { summary: 'Runs <it>', answers: { 200: { description: 'Done', body: object({}) } } };
const routes: Route[] = [
  route('GET', '/health', { access: 'public', documentation }, () => json(200, {})),
  route('POST', '/things/:id/run', {
    query: object({ wait: described('Seconds.', optional(fromText(integer({ min: 0, max: 60 })))) }),
    body: object({ command: described('What to run.', text({ min: 1 })) }),
    documentation: { ...documentation, headers: { Prefer: 'wait=N' }, problems: ['job_not_found'] },
  }, () => json(200, {})),
];

interface Operation {
  readonly operationId: string;
  readonly security?: unknown;
  readonly parameters: { name: string; in: string; required: boolean }[];
  readonly requestBody?: { content: { [type: string]: { schema: object } } };
  readonly responses: { [status: string]: { description: string } };
}

test('/openapi.json and /docs need no key, and describe every route, themselves too', async (t) => {
  const { ask } = await serve(t, { routes: [...routes, ...documentationRoutes({ title: 'A <title>', version: '1.2.3', routes })] });
  const answer = await ask('GET /openapi.json', ['X-API-Key: ']);
  assert.equal(answer.headers['content-type'], 'application/json');
  const document = JSON.parse(answer.text) as { openapi: string; paths: { [path: string]: { [method: string]: Operation } } };
  assert.equal(document.openapi, '3.1.0');
  assert.deepEqual(Object.keys(document.paths), ['/health', '/things/{id}/run', '/openapi.json', '/docs']);
  const run = document.paths['/things/{id}/run']?.['post'];
  assert.equal(run?.operationId, 'postThingsIdRun');
  assert.deepEqual(run.parameters.map(({ name, in: place, required }) => [name, place, required]),
    [['id', 'path', true], ['wait', 'query', false], ['Prefer', 'header', false]]);
  assert.ok(run.requestBody?.content['application/json']?.schema);
  assert.deepEqual(Object.keys(run.responses), ['200', '400', '401', '404', '413', '415', '429', '500']);
  assert.match(run.responses['404']?.description ?? '', /job_not_found/);
  assert.equal(run.security, undefined);
  assert.deepEqual(document.paths['/health']?.['get']?.security, []);
  const page = await ask('GET /docs', ['X-API-Key: ']);
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
  assert.match(page.headers['content-security-policy'] ?? '', /default-src 'none'/);
  assert.match(page.text, /A &lt;title&gt;[\s\S]*POST \/things\/:id\/run[\s\S]*Runs &lt;it&gt;[\s\S]*What to run\./);
  assert.doesNotMatch(page.text, /<script/);
});

test('the documents are bytes that all who read them share', async () => {
  // What went wrong: a thousand clients without the key that read nothing took 0.6 GB, as each had a copy of the text.
  const own = documentationRoutes({ title: 'A title', version: '1.2.3', routes });
  for (const { path, handle } of own as unknown as { path: string; handle: (request: object) => Promise<{ text: unknown }> }[]) {
    const [one, other] = await Promise.all([handle({ hasLeft: false }), handle({ hasLeft: false })]);
    assert.ok(Buffer.isBuffer(one.text), path);
    assert.equal(one.text, other.text, path);
  }
});

test('createRouter() refuses a table that says two things', () => {
  const twice = (first: string, second: string): Route[] => [first, second].map((path) => route('GET', path, { documentation }, () => json(200, {})));
  assert.throws(() => createRouter(twice('/a', '/a')), /GET \/a is in it twice/);
  assert.throws(() => createRouter(twice('/a/:id', '/a/:name')), /are the same/);
  assert.doesNotThrow(() => createRouter(twice('/a/:id', '/a/:name/b')));
});

test('match() prefers what is spelled out, and steps back where that leads nowhere', () => {
  const router = createRouter(['/a/:id', '/a/b/c', '/:x/:y/d', '/a/b'].map((path) => route('GET', path, { documentation }, () => json(200, {}))));
  const found = (path: string): unknown => {
    const match = router.match(path);
    return match && [match.resource.path, { ...match.params }];
  };
  assert.deepEqual(found('/a/b'), ['/a/b', {}]);
  assert.deepEqual(found('/a/x'), ['/a/:id', { id: 'x' }]);
  assert.deepEqual(found('/a/b/c'), ['/a/b/c', {}]);
  assert.deepEqual(found('/a/b/d'), ['/:x/:y/d', { x: 'a', y: 'b' }]);
  assert.deepEqual(found('/a/__proto__'), ['/a/:id', { id: '__proto__' }]);
  for (const path of ['/', '', '/a', '/a/', '/a/b/', '/a//c', '/a/./d', '/a/b/c/d', `/${'a/'.repeat(8000)}`]) assert.equal(found(path), undefined, path);
});
