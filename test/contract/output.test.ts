/** GET /jobs/{id}/stdout and stderr: the bytes, all or some, once or as they come. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, open, run, show, submit } from '../support/client.ts';

test('GET /jobs/{id}/stdout and stderr', async (t) => {
  const server = await startTestServer(t);
  // 26 bytes, among them NUL and bytes that are no UTF-8.
  const content = Buffer.from('line 1\nline 2\n\0\xff\xfe\xfd\r\nline 3', 'latin1');
  const octal = [...content].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  const { jobId } = await run(server, { command: `printf '${octal}'; echo problem >&2` });
  const at = `/jobs/${jobId}/stdout`;

  await t.test('are the raw bytes', async () => {
    const answer = await ask(server, `GET ${at}`);
    assert.deepEqual([answer.status, answer.bytes], [200, content]);
    assert.equal(answer.headers['content-type'], 'application/octet-stream');
    assert.equal(answer.headers['content-length'], String(content.length));
    assert.equal(answer.headers['accept-ranges'], 'bytes');
    assert.equal((await ask(server, `GET /jobs/${jobId}/stderr`)).text, 'problem\n');
  });

  await t.test('are never taken for a page', async () => {
    assert.equal((await ask(server, `GET ${at}`)).headers['x-content-type-options'], 'nosniff');
  });

  const ranges: [string, number, number][] = [
    ['bytes=0-', 0, 26], ['bytes=0-0', 0, 1], ['bytes=3-9', 3, 10], ['bytes=20-', 20, 26], ['bytes=20-999999', 20, 26], ['bytes=-5', 21, 26],
    ['bytes=-999', 0, 26], ['bytes=25-25', 25, 26],
  ];
  for (const [range, from, to] of ranges) {
    await t.test(`Range ${range} is 206 with bytes ${from} to ${to}`, async () => {
      const answer = await ask(server, `GET ${at}`, { headers: { Range: range } });
      assert.deepEqual([answer.status, answer.bytes], [206, content.subarray(from, to)]);
      assert.equal(answer.headers['content-range'], `bytes ${from}-${to - 1}/26`);
      assert.equal(answer.headers['content-length'], String(to - from));
    });
  }

  for (const range of ['bytes=26-', 'bytes=26-30', 'bytes=999-', 'bytes=-0']) {
    await t.test(`Range ${range} is 416 and says how many bytes there are`, async () => {
      const answer = await ask(server, `GET ${at}`, { headers: { Range: range } });
      assert.deepEqual([answer.status, answer.problem.code, answer.headers['content-range']], [416, 'range_not_satisfiable', 'bytes */26']);
      assert.match(answer.problem.detail, /26 bytes/);
    });
  }

  for (const range of ['bytes=', 'bytes=-', 'bytes=9-3', 'bytes=a-b', 'lines=0-1', 'bytes=0-1,3-4', 'bytes 0-1']) {
    await t.test(`Range ${range} is passed over, as RFC 9110 §14.2 allows`, async () => {
      const answer = await ask(server, `GET ${at}`, { headers: { Range: range } });
      assert.deepEqual([answer.status, answer.bytes], [200, content]);
    });
  }

  const queries: [string, number, number][] = [
    ['offset=0', 0, 26], ['offset=5', 5, 26], ['offset=26', 26, 26], ['offset=999', 26, 26], ['limit=4', 0, 4], ['limit=0', 0, 0],
    ['limit=999', 0, 26], ['offset=5&limit=3', 5, 8], ['tailLines=1', 20, 26], ['tailLines=0', 26, 26], ['tailLines=2', 14, 26],
    ['tailLines=99', 0, 26], ['tailLines=2&limit=3', 14, 17], ['offset=9007199254740991', 26, 26],
  ];
  for (const [query, from, to] of queries) {
    await t.test(`?${query} is bytes ${from} to ${to}`, async () => {
      const answer = await ask(server, `GET ${at}?${query}`);
      assert.deepEqual([answer.status, answer.bytes, answer.headers['content-length']], [200, content.subarray(from, to), String(to - from)]);
    });
  }

  await t.test('HEAD has the length and no body', async () => {
    const answer = await ask(server, `HEAD ${at}`);
    assert.deepEqual([answer.status, answer.text, answer.headers['content-length']], [200, '', '26']);
  });

  await t.test('are empty where there was no output, and a range of nothing is 416', async () => {
    const { jobId: silent } = await run(server, { command: 'true' });
    const answer = await ask(server, `GET /jobs/${silent}/stdout`);
    assert.deepEqual([answer.status, answer.bytes.length], [200, 0]);
    assert.equal((await ask(server, `GET /jobs/${silent}/stdout`, { headers: { Range: 'bytes=0-' } })).status, 416);
  });

  await t.test('of an unknown job are 404', async () => {
    assert.equal((await ask(server, 'GET /jobs/0000000000000000/stderr')).problem.code, 'job_not_found');
  });

  await t.test('large output comes whole', async () => {
    const { jobId: large } = await run(server, { command: 'head -c 5000000 /dev/urandom | tee /dev/stderr | sha256sum >/dev/null; true' });
    const { bytes } = await ask(server, `GET /jobs/${large}/stderr`);
    assert.equal(bytes.length, 5_000_000);
    const half = await ask(server, `GET /jobs/${large}/stderr?offset=2500000&limit=100000`);
    assert.ok(half.bytes.equals(bytes.subarray(2_500_000, 2_600_000)));
  });

  await t.test('follow=1 gives what is there, then what comes, and ends with the job', async () => {
    const id = await submit(server, { command: 'echo one; read x; echo two; read x; printf three' });
    const live = await open(t, server, `GET /jobs/${id}/stdout?follow=1`);
    assert.equal(live.status, 200);
    await live.until(/^one\n$/);
    await ask(server, `POST /jobs/${id}/nudge`);
    await live.until(/^one\ntwo\n$/);
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal(await live.end(), 'one\ntwo\nthree');
  });

  await t.test('follow=1 of a silent job has its head at once', async () => {
    const id = await submit(server, { command: 'read x' });
    const live = await open(t, server, `GET /jobs/${id}/stderr?follow=1`);
    assert.equal(live.status, 200);
    await until(async () => (await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'] === true, { what: 'nudged' });
    assert.equal(await live.end(), '');
  });

  await t.test('follow=1 with offset, limit or tailLines begins and ends there', async () => {
    assert.equal((await ask(server, `GET ${at}?follow=1&offset=7&limit=6`)).text, 'line 2');
    assert.ok((await ask(server, `GET ${at}?follow=1&tailLines=1`)).bytes.equals(content.subarray(20)));
    const id = await submit(server, { command: 'seq 5; read x; echo 6' });
    await until(async () => (await show(server, id)).stdoutBytes === 10, { what: 'output' });
    const tail = await open(t, server, `GET /jobs/${id}/stdout?follow=1&tailLines=2`);
    const five = await open(t, server, `GET /jobs/${id}/stdout?follow=1&limit=5`);
    assert.equal(await five.end(), '1\n2\n3');
    await tail.until(/^4\n5\n$/);
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal(await tail.end(), '4\n5\n6\n');
  });

  await t.test('follow=1 from beyond what is there waits for that byte', async () => {
    const id = await submit(server, { command: 'printf 0123456789; read x; printf abcdefghij' });
    const live = await open(t, server, `GET /jobs/${id}/stdout?follow=1&offset=15`);
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.equal(await live.end(), 'fghij');
  });

  await t.test('follow=1 gives every byte of a job that writes faster than it is read', async () => {
    const id = await submit(server, { command: 'head -c 8000000 /dev/zero' });
    assert.equal((await ask(server, `GET /jobs/${id}/stdout?follow=1`)).bytes.length, 8_000_000);
  });

  await t.test('the job goes on when a follower leaves', async () => {
    const id = await submit(server, { command: 'echo one; read x; echo two' });
    const live = await open(t, server, `GET /jobs/${id}/stdout?follow=1`);
    await live.until(/one/);
    live.leave();
    assert.equal((await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'], true);
    assert.equal((await ask(server, `GET /jobs/${id}/stdout?follow=1`)).text, 'one\ntwo\n');
  });
});
