/** GET /jobs/{id}/events: every byte once, from any position, and the end. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, eventsIn, open, type Reached, run, type SentEvent, show, submit } from '../support/client.ts';

test('GET /jobs/{id}/events', async (t) => {
  const server = await startTestServer(t, { limits: { heartbeatMs: 20 } });

  await t.test('of a finished job gives its output, its status and its end', async () => {
    const { jobId } = await run(server, { command: 'echo hi; exit 3' });
    const answer = await ask(server, `GET /jobs/${jobId}/events`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'text/event-stream');
    assert.equal(answer.headers['cache-control'], 'no-cache, no-transform');
    const events = eventsIn(answer.text);
    assert.deepEqual(events.map(({ event, id }) => [event, id]), [['output', '3-0'], ['status', '3-0'], ['end', '3-0']]);
    assert.deepEqual(events[0]?.data, { stream: 'stdout', offset: 0, text: 'hi\n' });
    for (const { data } of events.slice(1)) {
      const job = data['job'] as { [name: string]: unknown };
      assert.deepEqual([job['jobId'], job['status'], job['exitCode'], job['stdoutBytes'], 'stdout' in job], [jobId, 'failed', 3, 3, false]);
    }
  });

  await t.test('of a running job gives the status, then output as it comes, then the end', async () => {
    const id = await submit(server, { command: 'read x; echo one; read x; echo two >&2; read x; echo three' });
    const live = await open(t, server, `GET /jobs/${id}/events`);
    await live.until(/event: status\n.*"status":"running".*\n\n/);
    for (const word of ['one', 'two', 'three']) {
      await until(async () => (await ask(server, `POST /jobs/${id}/nudge`)).json()['nudged'] === true, { what: 'nudged' });
      await live.until(new RegExp(`"text":"${word}\\\\n"`));
    }
    const events = eventsIn(await live.end());
    assert.deepEqual(events.map(({ event, id: at }) => `${event} ${at}`), [
      'status 0-0', 'output 4-0', 'output 4-4', 'output 10-4', 'status 10-4', 'end 10-4',
    ]);
  });

  await t.test('tells when a job that waited for its turn begins', async (t) => {
    const narrow = await startTestServer(t, { flags: { 'max-running': '1' } });
    const first = await submit(narrow, { command: 'read x' });
    const live = await open(t, narrow, `GET /jobs/${await submit(narrow, { command: 'echo x' })}/events`);
    await live.until(/"status":"pending"/);
    await ask(narrow, `POST /jobs/${first}/cancel`);
    const statuses = eventsIn(await live.end()).filter(({ event }) => event === 'status').map(({ data }) => (data['job'] as { status: string }).status);
    assert.deepEqual([statuses[0], statuses.at(-1)], ['pending', 'completed']);
  });

  await t.test('resumes at any byte of both streams: nothing lost, nothing doubled', async () => {
    const out = Buffer.from('aé漢😀\n\0\xff\xc3b\n', 'latin1');
    const err = Buffer.from('1é2\n');
    const octal = (bytes: Buffer): string => [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
    const { jobId } = await run(server, { command: `printf '${octal(out)}'; printf '${octal(err)}' >&2` });
    for (let from = 0; from <= out.length; from += 1) {
      for (let fromErr = 0; fromErr <= err.length; fromErr += 1) {
        const events = await eventsOf(server, jobId, `?after=${from}-${fromErr}`);
        assert.deepEqual(bytesOf(events, 'stdout', from), out.subarray(from), `${from}-${fromErr}`);
        assert.deepEqual(bytesOf(events, 'stderr', fromErr), err.subarray(fromErr), `${from}-${fromErr}`);
        assert.equal(events.at(-1)?.event, 'end');
      }
    }
  });

  await t.test('resumes behind every event that it sent', async () => {
    const { jobId } = await run(server, { command: 'head -c 200000 /dev/zero | tr "\\0" x; seq 20000 >&2' });
    const whole = await eventsOf(server, jobId);
    const sizes = { stdout: bytesOf(whole, 'stdout', 0), stderr: bytesOf(whole, 'stderr', 0) };
    assert.deepEqual([sizes.stdout.length, sizes.stderr.length], [200_000, 108_894]);
    assert.ok(whole.length > 5);
    for (const { id } of whole) {
      const [out = 0, err = 0] = id.split('-').map(Number);
      const rest = await eventsOf(server, jobId, `?after=${id}`);
      assert.ok(bytesOf(rest, 'stdout', out).equals(sizes.stdout.subarray(out)), id);
      assert.ok(bytesOf(rest, 'stderr', err).equals(sizes.stderr.subarray(err)), id);
    }
  });

  await t.test('resumes by Last-Event-ID too; ?after stands above it; empty counts as absent', async () => {
    const { jobId } = await run(server, { command: 'printf 0123456789' });
    const text = async (query: string, header: string): Promise<unknown> =>
      eventsIn((await ask(server, `GET /jobs/${jobId}/events${query}`, { headers: { 'Last-Event-ID': header } })).text)[0]?.data['text'];
    assert.equal(await text('', '4-0'), '456789');
    assert.equal(await text('?after=7-0', '4-0'), '789');
    assert.equal(await text('?after=', ''), '0123456789');
  });

  await t.test('a follower that comes back again and again has every byte once', async () => {
    const id = await submit(server, { command: 'for i in 1 2 3 4 5 6 7 8; do printf "$i é\\n"; read x; done' });
    let position = '0-0';
    let text = '';
    for (let round = 1; round <= 8; round += 1) {
      const live = await open(t, server, `GET /jobs/${id}/events?after=${position}`);
      await live.until(new RegExp(`"text":"${round} é\\\\n"`));
      live.leave();
      for (const event of eventsIn(live.text()).filter(({ event: name }) => name === 'output')) {
        text += String(event.data['text']);
        position = event.id;
      }
      await ask(server, `POST /jobs/${id}/nudge`);
    }
    assert.equal(text, [1, 2, 3, 4, 5, 6, 7, 8].map((round) => `${round} é\n`).join(''));
  });

  await t.test('what is no UTF-8 comes as base64', async () => {
    const { jobId } = await run(server, { command: 'printf "a\\377b"; printf "\\300\\200" >&2' });
    const events = await eventsOf(server, jobId);
    assert.deepEqual(events[0]?.data, { stream: 'stdout', offset: 0, base64: Buffer.from('a\xffb', 'latin1').toString('base64') });
    assert.deepEqual(events[1]?.data, { stream: 'stderr', offset: 0, base64: Buffer.from('\xc0\x80', 'latin1').toString('base64') });
  });

  await t.test('a character that comes in two halves is sent whole', async () => {
    const id = await submit(server, { command: 'printf "a\\360\\237"; read x; printf "\\230"; read x; printf "\\200b"; read x' });
    const live = await open(t, server, `GET /jobs/${id}/events`);
    await live.until(/"text":"a"/);
    await until(async () => (await show(server, id)).stdoutBytes === 3, { what: 'half a character' });
    await ask(server, `POST /jobs/${id}/nudge`);
    await until(async () => (await show(server, id)).stdoutBytes === 4, { what: 'more of it' });
    await ask(server, `POST /jobs/${id}/nudge`);
    await live.until(/"text":"😀b"/);
    await ask(server, `POST /jobs/${id}/nudge`);
    assert.deepEqual(eventsIn(await live.end()).filter(({ event }) => event === 'output').map(({ id: at, data }) => [at, data['offset'], data['text']]),
      [['1-0', 0, 'a'], ['6-0', 1, '😀b']]);
  });

  await t.test('half a character that stays one is sent at the end', async () => {
    const { jobId } = await run(server, { command: 'printf "a\\360\\237"' });
    assert.deepEqual(bytesOf(await eventsOf(server, jobId), 'stdout', 0).toString('hex'), '61f09f');
    assert.deepEqual(bytesOf(await eventsOf(server, jobId, '?after=1-0'), 'stdout', 1).toString('hex'), 'f09f');
  });

  await t.test('line ends and quotes stay inside their event', async () => {
    const { jobId } = await run(server, { command: 'printf "a\\r\\n\\n\\"data: x\\n\\nevent: end\\n\\n"' });
    const [first, ...rest] = await eventsOf(server, jobId);
    assert.equal(first?.data['text'], 'a\r\n\n"data: x\n\nevent: end\n\n');
    assert.equal(rest.length, 2);
  });

  await t.test('a comment comes now and then, so that nobody takes silence for the end', async () => {
    const id = await submit(server, { command: 'read x' });
    const live = await open(t, server, `GET /jobs/${id}/events`);
    await live.until(/\n\n:\n\n(:\n\n)+/);
    live.leave();
  });

  await t.test('a position that is none is 400', async () => {
    const { jobId } = await run(server, { command: 'true' });
    for (const after of ['x', '1', '1-', '-1', '-1-0', '1-2-3', '1.5-0', '0-0%20', '9999999999999999-0', 'constructor']) {
      const { status, problem } = await ask(server, `GET /jobs/${jobId}/events?after=${after}`);
      assert.deepEqual([status, problem.code], [400, 'invalid_request'], after);
      assert.match(problem.detail, /query\.after: expected an event id/);
    }
    const { problem } = await ask(server, `GET /jobs/${jobId}/events`, { headers: { 'Last-Event-ID': 'x' } });
    assert.match(problem.detail, /Last-Event-ID: expected an event id/);
  });

  await t.test('of an unknown job is 404', async () => {
    assert.equal((await ask(server, 'GET /jobs/0000000000000000/events')).problem.code, 'job_not_found');
  });
});

async function eventsOf(server: Reached, id: string, query = ''): Promise<SentEvent[]> {
  return eventsIn((await ask(server, `GET /jobs/${id}/events${query}`)).text);
}

/** The bytes of one stream, put together; checks that each piece begins where the one before it ended. */
function bytesOf(events: readonly SentEvent[], stream: string, from: number): Buffer {
  let offset = from;
  const pieces: Buffer[] = [];
  for (const { event, data } of events) {
    if (event !== 'output' || data['stream'] !== stream) continue;
    assert.equal(data['offset'], offset);
    const piece = 'text' in data ? Buffer.from(String(data['text'])) : Buffer.from(String(data['base64']), 'base64');
    assert.doesNotMatch(String(data['text']), /\uFFFD/);
    offset += piece.length;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
