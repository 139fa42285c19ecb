/** GET /jobs: order, filters, pages. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { ask, type Reached, run, submit } from '../support/client.ts';

test('GET /jobs', async (t) => {
  const server = await startTestServer(t, { flags: { 'max-running': '1' } });
  assert.deepEqual((await ask(server, 'GET /jobs')).json(), [], 'an empty list at first');
  const ids: string[] = [];
  for (let index = 0; index < 25; index += 1) {
    const labels = { parity: index % 2 === 0 ? 'even' : 'odd', 'a/b é': `x:${index % 5}`, ...(index < 3 ? { low: '' } : {}) };
    const { jobId } = await run(server, { command: `echo ${index}; exit ${index % 5 === 4 ? 1 : 0}`, name: `job ${index % 4}`, labels });
    ids.unshift(jobId);
  }

  await t.test('is an array, newest first, 20, without the output', async () => {
    const jobs = (await ask(server, 'GET /jobs')).json<Job[]>();
    assert.deepEqual(jobs.map(({ jobId }) => jobId), ids.slice(0, 20));
    const [newest] = jobs;
    for (const field of ['stdout', 'stderr', 'stdoutTruncated', 'stderrTruncated']) assert.equal(field in (newest ?? {}), false, field);
    assert.deepEqual([newest?.stdoutBytes, newest?.exitCode, newest?.name], [3, 1, 'job 0']);
  });

  await t.test('has the output with output=1', async () => {
    for (const output of ['1', 'true', '']) {
      const [job] = (await ask(server, `GET /jobs?output=${output}&limit=1`)).json<Job[]>();
      assert.deepEqual([job?.stdout, job?.stderr, job?.stdoutTruncated], ['24\n', '', false]);
    }
    const [job] = (await ask(server, 'GET /jobs?output=0&limit=1')).json<Job[]>();
    assert.equal('stdout' in (job ?? {}), false);
  });

  await t.test('has as many as limit says', async () => {
    assert.equal((await ask(server, 'GET /jobs?limit=1')).json<Job[]>().length, 1);
    assert.equal((await ask(server, 'GET /jobs?limit=1000')).json<Job[]>().length, 25);
  });

  await t.test('has a Link to the next page while there is one, and the pages have every job once', async () => {
    for (const query of ['limit=7', 'limit=5&label=parity:even', 'limit=1&label=a/b+%C3%A9:x:3&name=job+3']) {
      const all = await listed(server, `/jobs?${query.replace(/limit=\d+/, 'limit=1000')}`);
      assert.deepEqual(await listed(server, `/jobs?${query}`), all, query);
      assert.ok(all.length > 1);
    }
  });

  await t.test('has no Link where a page ends with the last job', async () => {
    assert.equal((await ask(server, 'GET /jobs?limit=25')).headers.link, undefined);
    assert.match(String((await ask(server, 'GET /jobs?limit=24')).headers.link), /^<\/jobs\?.*>; rel="next"$/);
  });

  await t.test('the next page begins where this one ended, though new jobs came meanwhile', async () => {
    const first = await ask(server, 'GET /jobs?limit=3');
    const { jobId } = await run(server, { command: 'true' });
    ids.unshift(jobId);
    const [, next = ''] = /<(.*)>/.exec(String(first.headers.link)) ?? [];
    assert.deepEqual((await ask(server, `GET ${next}`)).json<Job[]>().map((job) => job.jobId), ids.slice(4, 7));
  });

  await t.test('filters by label, all of those given, and a value may hold a colon', async () => {
    const count = async (query: string): Promise<number> => (await ask(server, `GET /jobs?limit=1000&${query}`)).json<Job[]>().length;
    assert.equal(await count('label=parity:even'), 13);
    assert.equal(await count('label=parity:odd&label=a%2Fb%20%C3%A9:x:3'), 3);
    assert.equal(await count('label=low:'), 3);
    assert.equal(await count('label=parity:eve'), 0);
    assert.equal(await count('label=toString:x'), 0);
    assert.equal(await count('label=parity:even&label=parity:odd'), 0);
  });

  await t.test('filters by name and by status', async () => {
    const count = async (query: string): Promise<number> => (await ask(server, `GET /jobs?limit=1000&${query}`)).json<Job[]>().length;
    assert.equal(await count('name=job%200'), 7);
    assert.equal(await count('name=job'), 0);
    assert.equal(await count('name='), 26);
    assert.equal(await count('status=failed'), 5);
    assert.equal(await count('status=completed&label=parity:even'), 10);
    const running = await submit(server, { command: 'read x' });
    const pending = await submit(server, { command: 'read x' });
    assert.deepEqual(await listed(server, '/jobs?status=running'), [running]);
    assert.deepEqual(await listed(server, '/jobs?status=pending'), [pending]);
    assert.equal(await count('status=timeout'), 0);
    assert.equal(await count('reason=exit'), 26);
    await ask(server, `POST /jobs/${running}/cancel`);
    assert.deepEqual(await listed(server, '/jobs?reason=cancelled&limit=1'), [running]);
    assert.equal((await ask(server, 'GET /jobs?reason=odd')).status, 400);
  });

  await t.test('before has only older jobs, also before an id that is none or no longer one', async () => {
    assert.deepEqual(await listed(server, `/jobs?before=${ids[20] ?? ''}`), ids.slice(21));
    assert.deepEqual(await listed(server, '/jobs?before=0000000000000000'), []);
    await ask(server, `DELETE /jobs/${ids[22] ?? ''}`);
    assert.deepEqual(await listed(server, `/jobs?before=${ids[22] ?? ''}`), ids.slice(23));
  });
});

test('GET /jobs of long commands is written in pieces, and has each of them', async (t) => {
  const server = await startTestServer(t);
  const commands = Array.from({ length: 12 }, (_, index) => `: ${String(index).repeat(100_000)}`).map((one) => one.slice(0, 100_000));
  for (const command of commands) await run(server, { command });
  for (const query of ['', '?output=1']) {
    const { headers, json } = await ask(server, `GET /jobs${query}`);
    assert.deepEqual([headers['transfer-encoding'], headers['content-type']], ['chunked', 'application/json'], query);
    assert.deepEqual(json<Job[]>().map(({ command }) => command).reverse(), commands);
  }
});

/** All ids, page after page. */
async function listed(server: Reached, path: string): Promise<string[]> {
  const ids: string[] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    const answer = await ask(server, `GET ${next}`);
    ids.push(...answer.json<Job[]>().map(({ jobId }) => jobId));
    next = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link))?.[1];
  }
  return ids;
}
