/** What the server says of itself: /health, /metrics, /openapi.json, /docs. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { delimiter, join } from 'node:path';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { ask, run } from '../support/client.ts';

/** Every route there is. */
const routes = [
  'GET /', 'GET /health', 'GET /metrics', 'GET /openapi.json', 'GET /docs', 'POST /exec', 'GET /jobs', 'GET /jobs/events', 'GET /jobs/{id}', 'DELETE /jobs/{id}',
  'GET /jobs/{id}/stdout', 'GET /jobs/{id}/stderr', 'GET /jobs/{id}/events', 'POST /jobs/{id}/nudge', 'POST /jobs/{id}/stdin',
  'POST /jobs/{id}/cancel', 'POST /jobs/{id}/signal', 'POST /jobs/{id}/resize', 'POST /jobs/{id}/rerun', 'GET /sessions', 'GET /sessions/{key}', 'DELETE /sessions/{key}',
  'GET /terminals', 'POST /terminals', 'GET /terminals/{id}', 'DELETE /terminals/{id}', 'GET /terminals/{id}/screen', 'GET /terminals/{id}/attach',
  'POST /terminals/{id}/input', 'POST /terminals/{id}/resize', 'GET /terminal', 'GET /update', 'POST /update', 'POST /tickets',
  'GET /files', 'PUT /files', 'DELETE /files', 'GET /files/text', 'GET /files/stat', 'GET /files/list', 'POST /files/mkdir', 'POST /files/move', 'POST /files/copy', 'POST /files/edit', 'POST /files/find', 'GET /files/watch', 'GET /files/archive', 'PUT /files/archive',
  'GET /permissions', 'GET /jobs/{id}/turns', 'GET /jobs/{id}/turns/{turn}',
  'GET /agents', 'POST /agents/{name}/install', 'PATCH /jobs/{id}', 'POST /jobs/{id}/prompt', 'POST /jobs/{id}/prompt/cancel', 'POST /jobs/{id}/permissions/{permissionId}', 'POST /jobs/{id}/elicitations/{elicitationId}',
];
const open = ['GET /', 'GET /health', 'GET /openapi.json', 'GET /docs'];

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security?: readonly unknown[];
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: object }[];
  readonly requestBody?: { readonly content: { readonly [type: string]: { readonly schema?: { readonly properties?: object } } } };
  readonly responses: { readonly [status: string]: { readonly description: string; readonly content?: object } };
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly security: readonly object[];
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } };
  readonly components: { readonly schemas: { readonly [name: string]: object }; readonly securitySchemes: object };
}

test('what the server says of itself', async (t) => {
  const server = await startTestServer(t);
  await run(server, { command: 'true' });
  const document = (await ask(server, 'GET /openapi.json', { key: null })).json<Document>();
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ line: `${method.toUpperCase()} ${path}`, path, operation })));

  await t.test('GET /health without the key says only that somebody is there', async () => {
    for (const key of [null, 'wrong']) {
      const answer = await ask(server, 'GET /health', { key });
      assert.deepEqual([answer.status, answer.json()], [200, { status: 'ok', authenticated: false }]);
    }
  });

  await t.test('GET /health with the key says what it is and does', async () => {
    const { uptimeSeconds, ...health } = (await ask(server, 'GET /health')).json();
    const shells = Object.fromEntries(['bash', 'zsh', 'sh', 'pwsh', 'powershell'].map((kind) => [kind, kind !== 'pwsh' && kind !== 'powershell' && isOnPath(kind)]));
    assert.deepEqual(health, {
      status: 'ok', authenticated: true, version: '0.0.0-test', hostname: hostname(), platform: process.platform, arch: process.arch,
      pid: process.pid, cwd: process.cwd(), jobs: 1, running: 0, queued: 0, capacity: health['capacity'], execution_modes: ['shell', 'argv', 'persistent_shell', 'acp'], acp_supported: true, default_shell: 'bash',
      persistent_shell_supported: true, persistent_shell_shells: shells, persistent_shell_default_shell: 'bash', persistent_shell_sessions: 0,
      persistent_shell_max_sessions: 32, persistent_shell_idle_timeout_seconds: 0,
      terminal_supported: true, terminal_sessions: 0, terminal_backend: 'script', terminal_port: null,
      wrapper: null, update: { available: null, inProgress: null, lastOutcome: null },
    });
    assert.ok(Number.isInteger(uptimeSeconds));
  });

  await t.test('GET /metrics is text for Prometheus: every sample has a type, every line is one', async () => {
    const answer = await ask(server, 'GET /metrics');
    assert.match(String(answer.headers['content-type']), /^text\/plain; version=0\.0\.4/);
    const types = new Set([...answer.text.matchAll(/^# TYPE (\S+) (?:gauge|counter|histogram)$/gm)].map(([, name]) => name));
    for (const line of answer.text.trimEnd().split('\n').filter((one) => !one.startsWith('#'))) {
      assert.match(line, /^[a-z_]+(\{([a-z]+="[^"\\]*",?)*\})? -?[\d.e+-]+$/);
      const name = /^[a-z_]+/.exec(line)?.[0] ?? '';
      assert.ok(types.has(name) || types.has(name.replace(/_(bucket|sum|count)$/, '')), name);
    }
    assert.match(answer.text, /^sidecar_jobs 1$/m);
    assert.match(answer.text, /^sidecar_jobs_running 0$/m);
    assert.match(answer.text, /_count\{method="POST",path="\/exec",status="200"\} 1$/m);
  });

  await t.test('the labels of the metrics are routes, whatever was asked for', async () => {
    for (const path of ['/jobs/0000000000000000', '/jobs/x%22y', '/no/such/thing', '/jobs/a/stdout']) await ask(server, `GET ${path}`);
    const { text } = await ask(server, 'GET /metrics');
    const paths = new Set([...text.matchAll(/path="([^"]*)"/g)].map(([, path]) => path));
    const known = new Set([...routes.map((line) => (line.split(' ')[1] ?? '').replaceAll('{id}', ':id')), 'unmatched']);
    assert.deepEqual([...paths].filter((path) => !known.has(path ?? '')), []);
  });

  await t.test('a histogram counts up and ends with all', async () => {
    const { text } = await ask(server, 'GET /metrics');
    const counts = [...text.matchAll(/_bucket\{method="POST",path="\/exec",status="200",le="([^"]+)"\} (\d+)/g)];
    const values = counts.map(([, , value]) => Number(value));
    assert.deepEqual(values, [...values].sort((a, b) => a - b));
    assert.deepEqual([counts.at(-1)?.[1], values.at(-1)], ['+Inf', 1]);
  });

  await t.test('GET /openapi.json has every route and no other', () => {
    assert.deepEqual(operations.map(({ line }) => line).sort(), [...routes].sort());
  });

  await t.test('GET /openapi.json is a document of OpenAPI 3.1', () => {
    assert.match(document.openapi, /^3\.1\.\d+$/);
    assert.deepEqual(document.info, { title: 'machine-sidecar', version: '0.0.0-test' });
    const ids = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    for (const { line, path, operation } of operations) {
      assert.ok(operation.summary.length > 0, line);
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(operation.parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name), names, line);
      const keys = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      assert.equal(new Set(keys).size, keys.length, line);
      for (const parameter of operation.parameters) {
        assert.ok(['path', 'query', 'header'].includes(parameter.in));
        const isNeeded = parameter.in === 'path' || (line.includes(' /files') && parameter.name === 'path');
        assert.equal(parameter.required, isNeeded, `${line} ${parameter.name}`);
        assert.equal(typeof parameter.schema, 'object');
      }
      assert.ok(Object.keys(operation.responses).length > 0);
      for (const [status, response] of Object.entries(operation.responses)) {
        assert.match(status, /^[1-5]\d\d$/);
        assert.ok(response.description.length > 0);
      }
      if (line.startsWith('GET')) assert.equal(operation.requestBody, undefined, line);
    }
  });

  await t.test('GET /openapi.json holds schemas in full: every reference leads somewhere', () => {
    const text = JSON.stringify(document);
    for (const [, reference = ''] of text.matchAll(/"\$ref":"([^"]+)"/g)) {
      const found = reference.slice(2).split('/').reduce<unknown>((at, name) => (at as { [name: string]: unknown } | undefined)?.[name], document);
      assert.equal(typeof found, 'object', reference);
    }
    assert.equal(text.includes('undefined'), false);
  });

  await t.test('GET /openapi.json knows every field of POST /exec', () => {
    const body = document.paths['/exec']?.['post']?.requestBody?.content['application/json']?.schema?.properties ?? {};
    const fields = ['mode', 'command', 'argv', 'workdir', 'env', 'timeout', 'killGrace', 'stdin', 'maxOutputBytes', 'name', 'labels', 'shell', 'agent', 'prompt', 'permissions', 'mcpServers'];
    for (const field of fields) assert.ok(field in body, field);
  });

  await t.test('what needs no key says so, and nothing else can be had without', async () => {
    assert.deepEqual(operations.filter(({ operation }) => operation.security?.length === 0).map(({ line }) => line).sort(), [...open].sort());
    for (const { line } of operations) {
      const answer = await ask(server, line.replaceAll(/\{\w+\}/g, '0000000000000000'), { key: null });
      assert.equal(answer.status, open.includes(line) ? 200 : 401, line);
    }
  });

  await t.test('GET /docs has every route, and nothing that is loaded or run', async () => {
    const answer = await ask(server, 'GET /docs', { key: null });
    assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
    assert.match(String(answer.headers['content-security-policy']), /default-src 'none'/);
    for (const line of routes) assert.ok(answer.text.includes(line.replaceAll(/\{(\w+)\}/g, ':$1')), line);
    assert.doesNotMatch(answer.text, /<script|src=|javascript:/i);
  });
});

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}
