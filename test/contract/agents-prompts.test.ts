/** POST /jobs/{id}/prompt: an agent continues, turn after turn, in the same process. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { eventsOf, fake, inPhase, noProcessLeft, reaches, telling } from '../support/agent.ts';
import { type Answer, ask, finished, type Reached, run, show, submit } from '../support/client.ts';

test('POST /jobs/{id}/prompt', async (t) => {
  const server = await startTestServer(t);

  await t.test('continues with the same process and session', async () => {
    const id = await submit(server, fake('say a', { keepAlive: 600 }));
    const first = await inPhase(server, id, 'waiting', 1);
    assert.deepEqual([first.status, first.stopReason, first.stdout, first.processAlive], ['running', 'end_turn', 'a', true]);
    const answer = await prompt(server, id, 'say b');
    assert.deepEqual([answer.status, answer.json()], [202, { jobId: id, turn: 2 }]);
    await inPhase(server, id, 'waiting', 2);
    assert.deepEqual((await prompt(server, id, [{ type: 'text', text: 'stop refusal' }])).json()['turn'], 3);
    const job = await inPhase(server, id, 'waiting', 3);
    assert.deepEqual([job.stdout, job.stopReason, job.acpSessionId], ['ab', 'refusal', 's1']);
    assert.deepEqual(eventsOf(job).filter(({ type }) => ['agent', 'session'].includes(type)).length, 2, 'one agent, one session');
    assert.deepEqual(eventsOf(job).filter(({ type }) => type === 'stop').map((event) => [event['turn'], event['stopReason']]),
      [[1, 'end_turn'], [2, 'end_turn'], [3, 'refusal']]);
    await ask(server, `POST /jobs/${id}/cancel`);
    await noProcessLeft(id);
  });

  await t.test('to an agent that was begun without a prompt is the first turn', async () => {
    const id = await submit(server, fake(undefined, { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 0);
    assert.equal((await prompt(server, id, 'say first')).json()['turn'], 1);
    assert.equal((await inPhase(server, id, 'waiting', 1)).stdout, 'first');
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('during a turn waits for its end, one after the other; before the agent has begun, too', async () => {
    const id = await submit(server, fake('hang', { keepAlive: 600 }));
    const turns = [];
    for (const word of ['b', 'c', 'd']) turns.push((await prompt(server, id, `say ${word}`)).json()['turn']);
    assert.deepEqual(turns, [2, 3, 4]);
    await inPhase(server, id, 'turn', 1);
    assert.equal((await prompt(server, id, 'say e')).json()['turn'], 5);
    assert.equal((await show(server, id)).stdout, '');
    assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).json(), { cancelled: true });
    const job = await inPhase(server, id, 'waiting', 5);
    assert.equal(job.stdout, 'bcde');
    assert.deepEqual(eventsOf(job).filter(({ type }) => type === 'stop').map(({ stopReason }) => stopReason), ['cancelled', ...Array.from({ length: 4 }, () => 'end_turn')]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('beyond a hundred that wait: 429 too_many_prompts', async () => {
    const id = await submit(server, fake('hang', { keepAlive: 600 }));
    await inPhase(server, id, 'turn', 1);
    for (let count = 0; count < 100; count += 1) assert.equal((await prompt(server, id, 'say .')).status, 202);
    const { status, problem } = await prompt(server, id, 'say too many');
    assert.deepEqual([status, problem.code], [429, 'too_many_prompts']);
    await ask(server, `POST /jobs/${id}/prompt/cancel`);
    assert.equal((await inPhase(server, id, 'waiting', 101)).stdout, '.'.repeat(100));
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('without keepAlive is refused during the turn', async () => {
    const id = await submit(server, fake('hang'));
    await inPhase(server, id, 'turn', 1);
    const during = (await prompt(server, id, 'say x')).problem;
    assert.deepEqual([during.status, during.code], [409, 'job_not_running']);
    assert.match(during.detail, /ends after this turn, as the job has no keepAlive/);
    assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).json(), { cancelled: true });
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.reason, job.exitCode, job.stopReason], ['failed', 'exit', 1, 'cancelled']);
    assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).problem.code, 'job_not_running');
  });

  await t.test('ends the wait of keepAlive; without one the job is completed', async () => {
    const job = await run(server, fake('say x', { keepAlive: 0.2 }));
    assert.deepEqual([job.status, job.reason, job.stopReason, job.stdout, job.agentPhase], ['completed', 'exit', 'end_turn', 'x', 'ended']);
    await noProcessLeft(job.jobId);
    const never = await run(server, fake(undefined, { keepAlive: 0.2 }));
    assert.deepEqual([never.status, never.stopReason], ['completed', 'no_prompt']);
  });

  await t.test('the last turn says how the job ends', async () => {
    const id = await submit(server, fake('stop refusal', { keepAlive: 2 }));
    await reaches(server, id, 'the first turn', ({ stopReason }) => stopReason === 'refusal');
    await prompt(server, id, 'say fine');
    const job = await finished(server, id);
    // The second prompt may have come too late on a slow machine: then the refusal stays.
    assert.deepEqual([job.status, job.stopReason], job.turnCount === 2 ? ['completed', 'end_turn'] : ['failed', 'refusal']);
  });

  await t.test('ends the wait when the agent ends', async () => {
    const id = await submit(server, fake('say x', { keepAlive: 600 }));
    const job = await inPhase(server, id, 'waiting', 1);
    process.kill(Number(eventsOf(job)[0]?.['pid']), 'SIGKILL');
    const ended = await finished(server, id);
    assert.deepEqual([ended.stdout, ended.agentPhase], ['x', 'ended']);
    await noProcessLeft(id);
  });

  await t.test('with an Idempotency-Key is one prompt, however often it is sent', async () => {
    const id = await submit(server, fake('say a', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    const keyed = (text: string): Promise<Answer> => ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: text }, headers: { 'Idempotency-Key': 'k' } });
    const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => keyed('say b')));
    await inPhase(server, id, 'waiting', 2);
    assert.deepEqual(new Set([...others, await keyed('say b')].map(({ text }) => text)), new Set([first?.text]));
    assert.equal((await keyed('say c')).problem.code, 'idempotency_mismatch');
    const cancelTwice = [0, 1].map(() => ask(server, `POST /jobs/${id}/prompt/cancel`, { headers: { 'Idempotency-Key': 'c' } }));
    assert.deepEqual(new Set((await Promise.all(cancelTwice)).map(({ text }) => text)).size, 1);
    const job = await show(server, id);
    assert.deepEqual([job.turnCount, job.stdout], [2, 'ab']);
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await keyed('say b')).text, first?.text, 'also after the end');
  });

  await t.test('that its agent has not answered in time may be repeated with its Idempotency-Key: it is one prompt', async () => {
    const id = await submit(server, fake('say a', { keepAlive: 600 }));
    const { pid } = await inPhase(server, id, 'waiting', 1);
    const keyed = (): Promise<Answer> => ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'say b' }, headers: { 'Idempotency-Key': 'k' } });
    process.kill(pid ?? 0, 'SIGSTOP');
    const stalled = await keyed();
    assert.deepEqual([stalled.status, stalled.problem.code, stalled.headers['retry-after']], [503, 'unavailable', '2']);
    process.kill(pid ?? 0, 'SIGCONT');
    const answer = await keyed();
    assert.deepEqual([answer.status, answer.json()['turn']], [202, 2]);
    await prompt(server, id, 'say c');
    const job = await reaches(server, id, 'all is said', ({ stdout, agentPhase }) => stdout?.endsWith('c') === true && agentPhase === 'waiting');
    assert.deepEqual([job.stdout, job.turnCount], ['abc', 3]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('many at once: each is answered, and those that are accepted reach the agent', async () => {
    const id = await submit(server, fake('hang', { keepAlive: 600 }));
    await inPhase(server, id, 'turn', 1);
    const answers = await Promise.all(Array.from({ length: 90 }, () => prompt(server, id, 'say .')));
    const taken = answers.filter(({ status }) => status === 202);
    // Not so many may wait to be written.
    for (const { status, problem } of answers.filter((answer) => !taken.includes(answer))) assert.deepEqual([status, problem.code], [409, 'stdin_full']);
    assert.equal(new Set(taken.map((answer) => answer.json()['turn'])).size, taken.length);
    await ask(server, `POST /jobs/${id}/prompt/cancel`);
    assert.equal((await inPhase(server, id, 'waiting', taken.length + 1)).stdout, '.'.repeat(taken.length));
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('cancel without a turn says so, and changes nothing', async () => {
    const id = await submit(server, fake('say a', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    for (let time = 0; time < 2; time += 1) assert.deepEqual((await ask(server, `POST /jobs/${id}/prompt/cancel`)).json(), { cancelled: false });
    await prompt(server, id, 'say b');
    const job = await inPhase(server, id, 'waiting', 2);
    assert.deepEqual([job.stdout, job.stopReason], ['ab', 'end_turn']);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('reaches the agent unchanged, whatever it contains', async () => {
    const id = await submit(server, telling(undefined, { keepAlive: 600 }));
    const texts = ['é漢😀\n\r\n\u2028\0"\\', '{"is":"cancel"}\n{"id":"x","is":"cancel"}\n', 'x'.repeat(200_000), ' '];
    let expected = '';
    for (const [index, text] of texts.entries()) {
      assert.equal((await prompt(server, id, text)).status, 202);
      expected += JSON.stringify([{ type: 'text', text }]);
      await inPhase(server, id, 'waiting', index + 1);
    }
    assert.equal((await show(server, id)).stdout, expected);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('refuses an invalid prompt', async () => {
    const id = await submit(server, fake('say a', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    for (const [body, detail] of [
      [{}, /body\.prompt/], [{ prompt: '' }, /body\.prompt: expected a string that is not empty/], [{ prompt: 1 }, /body\.prompt/],
      [{ prompt: null }, /body\.prompt/], [{ prompt: [] }, /body\.prompt: expected 1 to/], [{ prompt: [{ type: 'text' }] }, /body\.prompt\[0\]\.text/],
      [{ prompt: 'x', turn: 1 }, /body\.turn: unknown field/],
    ] as const) {
      const { status, problem } = await ask(server, `POST /jobs/${id}/prompt`, { body });
      assert.deepEqual([status, problem.code], [400, 'invalid_request']);
      assert.match(problem.detail, detail);
    }
    assert.equal((await show(server, id)).turnCount, 1);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('of a job without an agent, or of none: 409 not_an_agent, 404', async () => {
    const id = await submit(server, { command: 'read x' });
    for (const call of ['prompt', 'prompt/cancel']) {
      const body = call === 'prompt' ? { prompt: 'x' } : {};
      const refused = (await ask(server, `POST /jobs/${id}/${call}`, { body })).problem;
      assert.deepEqual([refused.status, refused.code], [409, 'not_an_agent']);
      assert.equal((await ask(server, `POST /jobs/0000000000000000/${call}`, { body })).problem.code, 'job_not_found');
    }
    assert.equal((await show(server, id)).status, 'running');
    await ask(server, `POST /jobs/${id}/nudge`);
  });

  await t.test('to a job that only manages sessions is refused', async () => {
    const job = await run(server, telling(undefined, { sessionAction: 'list', keepAlive: 600 }, { abilities: { sessionCapabilities: { list: {} } } }));
    assert.deepEqual([job.status, job.sessions], ['completed', [{ sessionId: 'old', cwd: '/', title: 'An old one', updatedAt: null }]]);
    assert.equal(job.stdout, `${JSON.stringify(job.sessions?.[0])}\n`);
  });
});

function prompt(server: Reached, id: string, text: string | object): Promise<Answer> {
  return ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: text } });
}
