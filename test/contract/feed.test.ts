/** GET /jobs/events: one stream about many jobs. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { inPhase, telling } from '../support/agent.ts';
import { ask, eventsIn, finished, type Live, open, run, type SentEvent, submit } from '../support/client.ts';

test('GET /jobs/events', async (t) => {
  const server = await startTestServer(t, { limits: { heartbeatMs: 20 } });
  const labelled = (label: string, command: string): object => ({ command, labels: { batch: label } });
  const nudge = (id: string): Promise<unknown> =>
    until(async () => (await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'] === true, { what: 'nudged' });

  await t.test('tells of unfinished jobs, then that it is ready, then of each change of a status', async (t) => {
    await run(server, labelled('a', 'true'));
    const first = await submit(server, labelled('a', 'read x; exit 3'));
    await submit(server, labelled('other', 'read x'));
    const live = await open(t, server, 'GET /jobs/events?label=batch:a');
    assert.deepEqual([live.status, live.headers['content-type']], [200, 'text/event-stream']);
    await live.until(/event: ready/);
    const second = await submit(server, labelled('a', 'read x'));
    await live.until(new RegExp(`"jobId":"${second}"`));
    await nudge(first);
    await nudge(second);
    await live.until((text) => statusesIn(text).filter((line) => /completed|failed/.test(line)).length === 2);
    const lines = statusesIn(live.text());
    assert.deepEqual(lines.slice(0, 3), [`${first} running`, 'ready', `${second} running`]);
    assert.deepEqual(lines.slice(3).sort(), [`${first} failed`, `${second} completed`].sort());
    const { data } = eventsIn(live.text()).find(({ data: { job } }) => (job as Job | undefined)?.status === 'failed') ?? assert.fail('no failure');
    const job = data['job'] as Job;
    assert.deepEqual([job.exitCode, job.labels, 'stdout' in job], [3, { batch: 'a' }, false]);
  });

  await t.test('resumes behind an id: what changed since comes once, as it is now', async (t) => {
    const [one, two] = [await submit(server, labelled('r', 'read x')), await submit(server, labelled('r', 'read x'))];
    const live = await open(t, server, 'GET /jobs/events?label=batch:r');
    await live.until(/event: ready/);
    const { id } = eventsIn(live.text()).at(-1) ?? assert.fail('no event');
    live.leave();
    await nudge(one);
    await finished(server, one);
    const three = (await run(server, labelled('r', 'true'))).jobId;
    for (const headers of [{ 'Last-Event-ID': id }, {}]) {
      const query = 'Last-Event-ID' in headers ? '' : `&after=${id}`;
      const resumed = await open(t, server, `GET /jobs/events?label=batch:r${query}`, { headers });
      await resumed.until(/event: ready/);
      assert.deepEqual(statusesIn(resumed.text()), [`${one} completed`, `${three} completed`, 'ready']);
    }
    await ask(server, `POST /jobs/${two}/cancel`);
  });

  await t.test('resumes at any of its ids: no final state is lost', async (t) => {
    const ids = [];
    for (let index = 0; index < 6; index += 1) ids.push(await submit(server, labelled('each', 'read x')));
    const live = await open(t, server, 'GET /jobs/events?label=batch:each&until=finished');
    for (const id of ids) await nudge(id);
    const events = eventsIn(await live.end());
    assert.equal(events.at(-1)?.event, 'end');
    for (const [index, { id }] of events.entries()) {
      const resumed = await open(t, server, `GET /jobs/events?label=batch:each&until=finished&after=${id}`);
      const known = new Map([...events.slice(0, index + 1), ...eventsIn(await resumed.end())].map(statusIn));
      assert.deepEqual(ids.map((one) => known.get(one)), ids.map(() => 'completed'), id);
    }
  });

  await t.test('after a restart of the server it tells of all jobs that fit', async (t) => {
    const done = await run(server, labelled('epoch', 'true'));
    const live = await open(t, server, 'GET /jobs/events?label=batch:epoch&after=0abc-17');
    await live.until(/event: ready/);
    assert.deepEqual(statusesIn(live.text()), [`${done.jobId} completed`, 'ready']);
  });

  await t.test('until=finished ends once all that fit have finished, at once where none has to', async (t) => {
    const ids = [await submit(server, labelled('u', 'read x')), await submit(server, labelled('u', 'read x'))];
    const live = await open(t, server, 'GET /jobs/events?label=batch:u&until=finished');
    await live.until(/event: ready/);
    for (const id of ids) await nudge(id);
    const lines = statusesIn(await live.end());
    assert.equal(lines.at(-1), 'end');
    assert.deepEqual(lines.filter((line) => line.endsWith('completed')).sort(), ids.map((id) => `${id} completed`).sort());
    assert.deepEqual(statusesIn(await whole(open(t, server, 'GET /jobs/events?label=batch:u&until=finished'))), ['ready', 'end']);
  });

  await t.test('job names jobs: of those also the finished are told, and one that there never was is 404', async (t) => {
    const [a, b] = [await run(server, { command: 'true' }), await run(server, { command: 'false' })];
    const text = await whole(open(t, server, `GET /jobs/events?job=${a.jobId}&job=${b.jobId}&until=finished`));
    assert.deepEqual(statusesIn(text), [`${a.jobId} completed`, `${b.jobId} failed`, 'ready', 'end']);
    assert.equal((await ask(server, `GET /jobs/events?job=${a.jobId}&job=0000000000000000`)).problem.code, 'job_not_found');
    const tooMany = Array.from({ length: 201 }, () => `job=${a.jobId}`).join('&');
    assert.match((await ask(server, `GET /jobs/events?${tooMany}`)).problem.detail, /query\.job/);
  });

  await t.test('tells of a job that is deleted, also when it was while nobody followed', async (t) => {
    const { jobId } = await run(server, labelled('d', 'true'));
    const live = await open(t, server, 'GET /jobs/events?label=batch:d');
    await live.until(/event: ready/);
    const { id } = eventsIn(live.text()).at(-1) ?? assert.fail('no event');
    await ask(server, `DELETE /jobs/${jobId}`);
    await live.until(/event: deleted/);
    assert.deepEqual(eventsIn(live.text()).at(-1)?.data, { jobId });
    const text = await whole(open(t, server, `GET /jobs/events?job=${jobId}&until=finished&after=${id}`));
    assert.deepEqual(eventsIn(text).map(({ event, data }) => `${event} ${JSON.stringify(data)}`), [`deleted {"jobId":"${jobId}"}`, 'ready {}', 'end {}']);
  });

  await t.test('of an agent tells also that it asks for permission, and that it waits', async (t) => {
    const live = await open(t, server, 'GET /jobs/events?label=batch:agent');
    await live.until(/event: ready/);
    const id = await submit(server, telling('hello', { keepAlive: 600, labels: { batch: 'agent' } }));
    await inPhase(server, id, 'waiting', 1);
    await live.until((text) => eventsIn(text).some(({ data }) => (data['job'] as Job | undefined)?.agentPhase === 'waiting'));
    await ask(server, `POST /jobs/${id}/cancel`);
    await live.until((text) => statusesIn(text).at(-1) === `${id} failed`);
  });

  await t.test('an id that is none of this stream is refused', async () => {
    for (const after of ['x', '1-2-3', '-1', 'a-']) {
      assert.match((await ask(server, `GET /jobs/events?after=${after}`)).problem.detail, /query\.after: expected the id of an event/, after);
    }
    const headers = { 'Last-Event-ID': 'x y' };
    assert.match((await ask(server, 'GET /jobs/events', { headers })).problem.detail, /the header Last-Event-ID/);
  });

  await t.test('ends when the server closes', async (t) => {
    const other = await startTestServer(t);
    const live = await open(t, other, 'GET /jobs/events');
    await live.until(/event: ready/);
    await other.close();
    await live.end();
  });
});

async function whole(opening: Promise<Live>): Promise<string> {
  return (await opening).end();
}

function statusIn({ event, data }: SentEvent): [string, string] {
  const job = data['job'] as Job | undefined;
  return job === undefined ? [event, ''] : [job.jobId, job.status];
}

/** The name of each event; of a status, which job has it. A status that repeats the one before it is left out. */
function statusesIn(text: string): string[] {
  const lines = eventsIn(text).map((event) => statusIn(event).join(' ').trim());
  return lines.filter((line, index) => line !== lines[index - 1]);
}
