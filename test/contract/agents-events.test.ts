/** GET /jobs/{id}/events of an agent: each of its events once and whole, from any position, beside the output. */
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { type Event, eventsOf, fake, inPhase, knownEventsOf, telling } from '../support/agent.ts';
import { ask, eventsIn, open, type Reached, run, type SentEvent, show, submit } from '../support/client.ts';

test('GET /jobs/{id}/events of an agent', async (t) => {
  const server = await startTestServer(t, { limits: { heartbeatMs: 20 } });

  await t.test('has what its agent did, its output, its status and its end', async () => {
    const job = await run(server, fake('say é\nflood 3\nsay b'));
    const events = await sentFor(server, job.jobId);
    assert.deepEqual(agentEventsIn(events), eventsOf(job));
    assert.deepEqual(agentEventsIn(events).map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(textIn(events), 'éb');
    assert.deepEqual(events.slice(-2).map(({ event }) => event), ['status', 'end']);
    const last = events.at(-1)?.data['job'] as { [name: string]: unknown };
    assert.deepEqual([last['stopReason'], last['eventCount'], 'events' in last, 'stdout' in last], ['end_turn', 9, false, false]);
    for (const { id } of events) assert.match(id, /^\d+-\d+-\d+$/);
  });

  await t.test('of a job without an agent: ids have exactly two parts', async () => {
    const { jobId } = await run(server, { command: 'echo hi' });
    for (const { id, event } of await sentFor(server, jobId)) {
      assert.match(id, /^\d+-\d+$/);
      assert.notEqual(event, 'agent');
    }
    assert.equal((await ask(server, `GET /jobs/${jobId}/events?after=0-0-0`)).status, 400);
  });

  await t.test('resumes after any event: nothing lost, nothing doubled', async () => {
    const { jobId } = await run(server, fake('say one\nflood 40\nsay é\nflood 3\nsay two'));
    const whole = await sentFor(server, jobId);
    const all = agentEventsIn(whole);
    const bytes = Buffer.from('oneétwo');
    for (const [index, { id }] of whole.entries()) {
      const seen = agentEventsIn(whole.slice(0, index + 1)).at(-1)?.seq ?? 0;
      const offset = Number(id.split('-')[0]);
      for (const rest of [await sentFor(server, jobId, `?after=${id}`), await sentFor(server, jobId, '', id)]) {
        assert.deepEqual(agentEventsIn(rest).map(({ seq }) => seq), all.slice(seen).map(({ seq }) => seq), id);
        assert.equal(textIn(rest), bytes.subarray(offset).toString(), id);
        assert.equal(rest.at(-1)?.event, 'end');
      }
    }
  });

  await t.test('an id without the third part gives all events, and the output after it', async () => {
    const { jobId } = await run(server, fake('say one\nsay two'));
    const events = await sentFor(server, jobId, '?after=3-0');
    assert.deepEqual([textIn(events), agentEventsIn(events)[0]?.seq], ['two', 1]);
  });

  await t.test('a follower that reconnects repeatedly gets every event once', async () => {
    const id = await submit(server, fake('say 1', { keepAlive: 600 }));
    const seqs: number[] = [];
    let text = '';
    let position = '0-0-0';
    for (let turn = 1; turn <= 6; turn += 1) {
      const live = await open(t, server, `GET /jobs/${id}/events`, { headers: { 'Last-Event-ID': position } });
      await live.until((so) => agentEventsIn(wholeIn(so)).some((event) => event.type === 'stop' && event['turn'] === turn));
      live.leave();
      const events = wholeIn(live.text());
      seqs.push(...agentEventsIn(events).map(({ seq }) => seq));
      text += textIn(events);
      position = events.at(-1)?.id ?? position;
      await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: `flood 5\nsay ${turn + 1}` } });
    }
    await inPhase(server, id, 'waiting', 7);
    await ask(server, `POST /jobs/${id}/cancel`);
    const rest = await sentFor(server, id, `?after=${position}`);
    seqs.push(...agentEventsIn(rest).map(({ seq }) => seq));
    assert.deepEqual(seqs, Array.from({ length: seqs.length }, (_, index) => index + 1));
    assert.equal(seqs.length, (await show(server, id)).eventCount);
    assert.equal(text + textIn(rest), '1234567');
  });

  await t.test('many followers get the same events', async () => {
    const id = await submit(server, fake('flood 200\nsay x\nhang', { keepAlive: 600 }));
    const followers = await Promise.all(Array.from({ length: 8 }, () => open(t, server, `GET /jobs/${id}/events`)));
    await inPhase(server, id, 'turn', 1);
    await ask(server, `POST /jobs/${id}/cancel`);
    const job = await show(server, id);
    for (const follower of followers) assert.equal(agentEventsIn(eventsIn(await follower.end())).length, job.eventCount);
  });

  await t.test('an event longer than a chunk is sent whole, and one that is too long without its content', async () => {
    const job = await run(server, fake(`raw ${bigUpdate(300_000)}\nflood 2\nraw ${bigUpdate(1_000)}\nsay x`));
    const events = agentEventsIn(await sentFor(server, job.jobId));
    assert.deepEqual(events.map(({ seq }) => seq), Array.from({ length: events.length }, (_, index) => index + 1));
    assert.deepEqual(lengthsIn(events), [300_000, 1, 1, 1000]);
    const cut = await run(server, telling('big 2000000'));
    const [long] = agentEventsIn(await sentFor(server, cut.jobId)).filter(({ type }) => type === 'update');
    const thought = knownEventsOf(cut).find(({ type }) => type === 'thought');
    assert.deepEqual(thought?.data, { sessionUpdate: 'agent_thought_chunk', isCut: true });
    assert.deepEqual([long?.['isCut'], (long?.['update'] as { sessionUpdate: string }).sessionUpdate], [true, 'agent_thought_chunk']);
    assert.ok(Number(long?.['sizeBytes']) > 2_000_000);
    assert.equal(cut.status, 'completed');
  });

  await t.test('half of an event is never sent', async () => {
    const id = await submit(server, fake('hang'));
    await inPhase(server, id, 'turn', 1);
    const live = await open(t, server, `GET /jobs/${id}/events`);
    await live.until(/"type":"prompt"/);
    const file = join(server.stateDir, 'jobs', id, 'events.ndjson');
    appendFileSync(file, '{"seq":4,"at":1,"type":"fault","what":"é');
    const before = live.text().length;
    // Meanwhile it was looked at.
    await live.until((text) => text.slice(before).split('\n:\n').length > 10);
    assert.doesNotMatch(live.text(), /fault/);
    appendFileSync(file, ' whole"}\nthis is no event\n');
    await live.until(/"what":"é whole"/);
    await ask(server, `POST /jobs/${id}/cancel`);
    const events = agentEventsIn(eventsIn(await live.end()));
    assert.deepEqual(events.map(({ type }) => type), ['agent', 'session', 'prompt', 'fault', 'stop']);
    assert.deepEqual(eventsOf(await show(server, id)).map(({ type }) => type), ['agent', 'session', 'prompt', 'fault', 'stop']);
  });

  await t.test('a partial event that is never completed delays no follower, nor does an invalid position', async () => {
    const { jobId } = await run(server, fake('say x'));
    appendFileSync(join(server.stateDir, 'jobs', jobId, 'events.ndjson'), '{"seq":99,"ty');
    const whole = await sentFor(server, jobId);
    assert.deepEqual(agentEventsIn(whole).map(({ seq }) => seq), [1, 2, 3, 4, 5]);
    const second = Number(whole.filter(({ event }) => event === 'agent')[0]?.id.split('-')[2]);
    for (const [position, first] of [[1, 2], [second - 1, 2], [second + 1, 3], [999_999, undefined]] as const) {
      const events = await sentFor(server, jobId, `?after=1-0-${position}`);
      assert.deepEqual([agentEventsIn(events)[0]?.seq, events.at(-1)?.event], [first, 'end'], String(position));
    }
  });

  await t.test('only the last events are in the answer itself; all of them are in the stream', async () => {
    const job = await run(server, fake('flood 5000\nsay x'));
    const shown = eventsOf(job);
    assert.deepEqual([job.eventsTruncated, job.eventCount, shown.at(-1)?.seq], [true, 5005, 5005]);
    assert.ok(shown.length > 100 && shown.length < 5005);
    assert.deepEqual(agentEventsIn(await sentFor(server, job.jobId)).map(({ seq }) => seq), Array.from({ length: 5005 }, (_, index) => index + 1));
    const small = await show(server, job.jobId, '?maxBytes=500');
    assert.ok(eventsOf(small).length <= 5 && small.eventsTruncated === true);
    assert.deepEqual((await show(server, job.jobId, '?maxBytes=0')).events, []);
    for (const maxBytes of [500, 5_000, 50_000]) {
      const { events = [] } = await show(server, job.jobId, `?maxBytes=${maxBytes}`);
      assert.ok(Buffer.byteLength(JSON.stringify(events)) <= maxBytes + 2, `${maxBytes}`);
    }
    assert.ok(Buffer.byteLength(JSON.stringify(job.events)) <= 262_144 + 2);
  });
});

async function sentFor(server: Reached, id: string, query = '', lastEventId?: string): Promise<SentEvent[]> {
  return eventsIn((await ask(server, `GET /jobs/${id}/events${query}`, { headers: { 'Last-Event-ID': lastEventId } })).text);
}

/** Those that have come whole so far. */
function wholeIn(text: string): SentEvent[] {
  return eventsIn(text.slice(0, text.lastIndexOf('\n\n') + 2));
}

function agentEventsIn(events: readonly SentEvent[]): Event[] {
  return events.filter(({ event }) => event === 'agent').map(({ data }) => data['event'] as Event);
}

function textIn(events: readonly SentEvent[]): string {
  return events.filter(({ event, data }) => event === 'output' && data['stream'] === 'stdout').map(({ data }) => String(data['text'])).join('');
}

/** A message of the agent: a thought of so many characters. */
function bigUpdate(length: number): string {
  const update = { sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text: 'x'.repeat(length) } };
  return JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's1', update } });
}

function lengthsIn(events: readonly Event[]): number[] {
  return events.flatMap(({ update }) => {
    const { sessionUpdate, content } = (update ?? {}) as { readonly sessionUpdate?: string; readonly content?: { readonly text: string } };
    return sessionUpdate === 'agent_thought_chunk' && content ? [content.text.length] : [];
  });
}
