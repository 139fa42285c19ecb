import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, describe, it } from 'node:test';
import { type JobEvent, ProblemError, Sidecar, outputBytes } from '../../src/client/client.ts';
import { rejectsWith } from '../support/errors.ts';
import { until } from '../support/wait.ts';
import { FakeServer, hangUp, key, refuse } from '../support/fake-server.ts';

const quick = { firstDelayMs: 1, maxDelayMs: 20 };

async function setUp(t: TestContext): Promise<{ server: FakeServer; sidecar: Sidecar }> {
  const server = new FakeServer();
  await server.start();
  t.after(() => server.close());
  return { server, sidecar: new Sidecar({ url: server.url, key, retry: quick }) };
}

async function collect(events: AsyncIterable<JobEvent>): Promise<{ stdout: Buffer; stderr: Buffer; last: JobEvent | undefined }> {
  const pieces: { stdout: Uint8Array[]; stderr: Uint8Array[] } = { stdout: [], stderr: [] };
  let last: JobEvent | undefined;
  for await (const event of events) {
    last = event;
    if (event.type === 'output') pieces[event.stream].push(outputBytes(event));
  }
  return { stdout: Buffer.concat(pieces.stdout), stderr: Buffer.concat(pieces.stderr), last };
}

describe('Jobs', () => {
  it('follow() gives each byte once although connections break and the server restarts', async (t) => {
    const { server, sidecar } = await setUp(t);
    server.eventBytes = 1000;
    const { job, write, end } = server.script();
    const followed = collect(sidecar.jobs.follow(job.jobId));
    const sent: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
    for (let round = 0; round < 20; round += 1) {
      const stream = round % 3 === 0 ? 'stderr' : 'stdout';
      const bytes = round % 2 === 0 ? randomBytes(3000) : Buffer.from(`line ${round} \u{1f600}\ufeff\r\n`);
      sent[stream].push(bytes);
      write(stream, bytes);
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (round % 4 === 3) {
        await server.stop();
        write('stdout', 'while away\n');
        sent.stdout.push(Buffer.from('while away\n'));
        await server.start();
      }
    }
    end(0);
    const received = await followed;
    assert.deepEqual(received.stdout, Buffer.concat(sent.stdout));
    assert.deepEqual(received.stderr, Buffer.concat(sent.stderr));
    assert.equal(received.last?.type, 'end');
    assert.ok(server.seen.filter(({ line }) => line.endsWith('/events')).length > 3);
  });

  it('follow() goes on from where it is told', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job, write, end } = server.script();
    write('stdout', 'abcdef');
    end(0);
    const { stdout } = await collect(sidecar.jobs.follow(job.jobId, { from: { stdout: 4, stderr: 0 } }));
    assert.equal(stdout.toString(), 'ef');
  });

  it('follow() refuses an answer in which bytes are missing', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    server.faults.push((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.end('event: output\ndata: {"stream":"stdout","offset":5,"text":"x"}\n\n');
      return true;
    });
    await assert.rejects(collect(sidecar.jobs.follow(job.jobId)), /5 bytes of stdout are missing before byte 5/);
  });

  it('follow() says that the server is lost, and gives up in time', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    const told: number[] = [];
    const followed = collect(sidecar.jobs.follow(job.jobId, { reconnectMs: 100, onLost: (_error, delayMs) => told.push(delayMs) }));
    const refused = rejectsWith(followed, { type: ProblemError, code: 'unreachable' });
    await server.stop();
    await refused;
    assert.ok(told.length > 1);
  });

  it('follow() ends with the reason of its signal, also while the server is away', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    for (const isAway of [false, true]) {
      if (isAway) await server.stop();
      const controller = new AbortController();
      const followed = collect(sidecar.jobs.follow(job.jobId, { signal: controller.signal }));
      setTimeout(() => controller.abort(new Error('enough')), 50);
      await assert.rejects(followed, /enough/);
    }
    await server.start();
    await assert.rejects(collect(sidecar.jobs.follow('0000000000000000' as never)), /Cannot find job/);
  });

  it('wait() resolves when the job has ended, across a restart, without asking all the time', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job, end } = server.script();
    const waiting = sidecar.jobs.wait(job.jobId);
    await until(() => server.seen.length > 0, { what: 'it asks' });
    await server.stop();
    const before = server.seen.length;
    await server.start();
    await until(() => server.seen.length > before, { what: 'it asks again' });
    end(7);
    assert.equal((await waiting).exitCode, 7);
    assert.ok(server.seen.length < 12, String(server.seen.length));
  });

  it('wait() hands out the job as it is when the time is over', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    assert.equal((await sidecar.jobs.wait(job.jobId, { timeoutMs: 60 })).status, 'running');
    await assert.rejects(sidecar.jobs.wait(job.jobId, { signal: AbortSignal.timeout(50) }), /timeout/);
  });

  it('wait() does not ask at every change of a job that writes all the time', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job, write, end } = server.script();
    const timer = setInterval(() => write('stdout', 'x'), 1);
    setTimeout(() => {
      clearInterval(timer);
      end(0);
    }, 1000);
    await sidecar.jobs.wait(job.jobId);
    assert.ok(server.seen.length < 25, String(server.seen.length));
  });

  it('stdin() goes on behind what a full FIFO took', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    server.stdinRoom = 7000;
    const bytes = randomBytes(200_000);
    await sidecar.jobs.stdin(job.jobId, bytes, { eof: true });
    assert.deepEqual(server.jobs.get(job.jobId)?.stdin, bytes);
    assert.equal(server.jobs.get(job.jobId)?.isEof, true);
    await rejectsWith(sidecar.jobs.stdin(job.jobId, bytes), { type: ProblemError, code: 'stdin_closed' });
  });

  it('stdin() is not repeated when the answer to a long piece is lost, but is when nothing was sent or it was taken whole', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    server.faults.push(hangUp);
    await assert.rejects(sidecar.jobs.stdin(job.jobId, Buffer.alloc(5000)), /the connection broke/);
    server.faults.push(hangUp);
    await sidecar.jobs.stdin(job.jobId, Buffer.from('x'));
    const patient = new Sidecar({ url: server.url, key, retry: { firstDelayMs: 50, attempts: 10 } });
    await server.stop();
    setTimeout(() => void server.start(), 100);
    await patient.jobs.stdin(job.jobId, Buffer.from('y'));
    assert.equal(server.jobs.get(job.jobId)?.stdin.toString(), 'xy');
  });

  it('list() and all() filter, and go through the pages', async (t) => {
    const { server, sidecar } = await setUp(t);
    for (let index = 0; index < 25; index += 1) server.script(index % 5 === 0 ? 'completed' : 'running');
    assert.equal((await sidecar.jobs.list()).length, 20);
    const ids: string[] = [];
    for await (const job of sidecar.jobs.all({ limit: 4 })) ids.push(job.jobId);
    assert.deepEqual(ids, [...server.jobs.keys()].reverse());
    assert.equal((await sidecar.jobs.list({ status: 'completed', labels: {} })).length, 5);
    await sidecar.jobs.list({ labels: { a: 'b c', d: 'e&f' } });
    assert.match(server.seen.at(-1)?.line ?? '', /label=a%3Ab\+c&label=d%3Ae%26f/);
  });

  it('output() reads a part of the bytes', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job, write } = server.script();
    write('stderr', Buffer.from([0xff, 1, 2, 3]));
    assert.deepEqual(await sidecar.jobs.output(job.jobId, 'stderr', { offset: 1, limit: 2 }), new Uint8Array([1, 2]));
  });

  it('nudge, signal, cancel and rerun do what they say', async (t) => {
    const { sidecar } = await setUp(t);
    const { jobId } = await sidecar.exec({ command: 'read a; echo "got $a"; sleep 5' });
    assert.deepEqual(await sidecar.jobs.nudge(jobId, 'it\n'), { nudged: true, processAlive: true });
    for await (const event of sidecar.jobs.follow(jobId)) if (event.type === 'output') break;
    const job = await sidecar.jobs.cancel(jobId, { signal: 'SIGINT' });
    assert.deepEqual([job.reason, job.signal], ['cancelled', 'SIGINT']);
    const again = await sidecar.jobs.rerun(jobId);
    assert.equal(again.rerunOf, jobId);
    await sidecar.jobs.signal(again.jobId, 'SIGKILL');
    assert.equal((await sidecar.jobs.wait(again.jobId)).exitCode, 137);
  });

  it('delete() is content when a second try finds nothing', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job, end } = server.script();
    end(0);
    // The job is deleted, the answer lost.
    server.faults.push((request) => {
      server.jobs.delete(job.jobId);
      return hangUp(request, undefined as never);
    });
    await sidecar.jobs.delete(job.jobId);
    await rejectsWith(sidecar.jobs.delete(job.jobId), { type: ProblemError, code: 'job_not_found' });
  });

  it('is content with a server that shuts down while it is asked', async (t) => {
    const { server, sidecar } = await setUp(t);
    const { job } = server.script();
    const closing = new ProblemError('shutting_down', 'Bye', { headers: { 'Retry-After': '0' } });
    server.faults.push(refuse(closing));
    assert.equal((await sidecar.jobs.nudge(job.jobId)).nudged, true);
  });
});
