/** Behind a reverse proxy that was told nothing but where the server is. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { JobId } from '../../src/client/client.ts';
import { startNginx } from '../support/nginx.ts';
import { type InProcessServer, startTestServer } from '../support/server.ts';
import { ask, run } from '../support/client.ts';

/** Reads until the text is there; what came so far where the answer ends before. */
async function readUntil(response: Response, pattern: RegExp): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  const { body } = response;
  assert.ok(body);
  for await (const chunk of body) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (pattern.test(text)) break;
  }
  return text;
}

async function startWaiting(server: InProcessServer): Promise<JobId> {
  const { jobId } = await server.client.exec({ command: 'echo first; read line; echo "second $line"' });
  return jobId;
}

for (const [name, http] of [
  ['nothing but proxy_pass', ''],
  ['gzip for every type', 'gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; gzip_http_version 1.0;'],
] as const) {
  test(`through nginx with ${name} output arrives while the job runs`, async (t) => {
    const server = await startTestServer(t);
    const base = await startNginx(t, server.url, { http });
    const headers = { Authorization: `Bearer ${server.key}`, 'Accept-Encoding': 'gzip' };
    for (const path of ['stdout?follow=1', 'events']) {
      const id = await startWaiting(server);
      const signal = AbortSignal.timeout(20_000);
      const response = await fetch(`${base}/jobs/${id}/${path}`, { headers, signal });
      assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform');
      // The job waits for its input: what comes now comes while it runs.
      assert.match(await readUntil(response, /first/), /first/, path);
      await server.client.jobs.nudge(id, 'line\n');
      const rest = await fetch(`${base}/jobs/${id}/${path}`, { headers, signal });
      assert.match(await readUntil(rest, /second line/), /second line/);
      await server.client.jobs.wait(id);
    }
    const body = JSON.stringify({ command: 'echo done' });
    const post = { method: 'POST', body, headers: { ...headers, 'Content-Type': 'application/json' } };
    assert.match(await (await fetch(`${base}/exec?wait=20`, post)).text(), /"stdout":"done\\n"/);
  });
}

test('every answer that arrives over time tells proxies to pass it on as it comes; no other does', async (t) => {
  const server = await startTestServer(t);
  const { jobId } = await run(server, { command: 'echo hi' });
  const live = ['no-cache, no-transform', 'no'];
  for (const line of [`GET /jobs/${jobId}/events`, `GET /jobs/${jobId}/stdout?follow=1`, `GET /jobs/${jobId}/stderr?follow=1`, `GET /jobs/${jobId}?wait=1`]) {
    const { headers } = await ask(server, line);
    assert.deepEqual([headers['cache-control'], headers['x-accel-buffering']], live, line);
  }
  for (const [line, more] of [['POST /exec?wait=5', {}], ['POST /exec', { Prefer: 'wait=5' }]] as const) {
    const { headers, status } = await ask(server, line, { body: { command: 'true' }, headers: more });
    assert.deepEqual([status, headers['cache-control'], headers['x-accel-buffering']], [200, ...live], line);
  }
  for (const line of ['GET /jobs', `GET /jobs/${jobId}`, `GET /jobs/${jobId}/stdout`, 'GET /docs', 'GET /health', 'GET /nothing']) {
    const { headers } = await ask(server, line);
    assert.deepEqual([headers['cache-control'], headers['x-accel-buffering']], ['no-store', undefined], line);
  }
});
