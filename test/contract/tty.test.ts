/** `tty`: a job under a pseudo-terminal is a job like any other. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { scriptBackend } from '../../src/terminals/backend.ts';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type Reached, ask, run, submit } from '../support/client.ts';

const options = { skip: scriptBackend(process.env['PATH']) === undefined ? 'needs script(1) and stty(1)' : false };

const stdoutOf = async (server: Reached, jobId: string): Promise<string> => (await ask(server, `GET /jobs/${jobId}/stdout`)).text;

test('a job with a terminal: its size, its type, both streams in one, the code of the command', options, async (t) => {
  const server = await startTestServer(t);
  const job = await run(server, { command: 'tty >/dev/null && echo yes; stty size; echo "$TERM $COLORTERM"; echo error >&2; exit 7', tty: true });
  assert.deepEqual([job.stdout, job.stderr, job.exitCode, job.status], ['yes\r\n24 80\r\nxterm-256color truecolor\r\nerror\r\n', '', 7, 'failed']);
  assert.deepEqual(job.tty, { cols: 80, rows: 24 });
  const wide = await run(server, { mode: 'argv', argv: ['stty', 'size'], tty: { cols: 132, rows: 43 }, env: { TERM: 'vt100' } });
  assert.deepEqual([wide.stdout, wide.tty], ['43 132\r\n', { cols: 132, rows: 43 }]);
  assert.equal((await run(server, { mode: 'argv', argv: ['sh', '-c', 'echo "$TERM $1 $SIDECAR_JOB_ID"', 'sh', 'a  "b" \'c\' $d'], tty: { cols: 90 }, env: { TERM: 'vt100' } })).stdout?.split(' a ')[0], 'vt100');
  assert.equal((await run(server, { command: 'tty', tty: false })).exitCode, 1);
});

test('what is given to its stdin is typed: text, nudges, Ctrl-C', options, async (t) => {
  const server = await startTestServer(t);
  const given = await run(server, { command: 'stty -echo; cat', tty: true, stdin: 'a line\nhalf of one' });
  // The terminal may show what is typed before it is told not to.
  assert.match(given.stdout?.replaceAll('\r', '') ?? '', /a line\nhalf of one$/);
  const jobId = await submit(server, { command: 'stty -echo; echo ready; read line; trap "exit 130" INT; echo "got $line"; while :; do sleep 0.05; done', tty: true });
  await until(async () => (await stdoutOf(server, jobId)).includes('ready'), { what: 'it reads' });
  await ask(server, `POST /jobs/${jobId}/nudge`, { body: { input: 'this\n' } });
  await until(async () => (await stdoutOf(server, jobId)).includes('got this'), { what: 'it was typed' });
  assert.deepEqual((await ask(server, `POST /jobs/${jobId}/nudge`, { body: { input: '\x03' } })).json(), { nudged: true, processAlive: true });
  const job = await until(async () => {
    const seen = (await ask(server, `GET /jobs/${jobId}`)).json<Job>();
    return seen.finishedAt === null ? undefined : seen;
  }, { what: 'Ctrl-C ends it' });
  assert.deepEqual([job.exitCode, job.signal], [130, 'SIGINT']);
});

test('POST resize changes the size of its terminal, and says where there is none', options, async (t) => {
  const server = await startTestServer(t);
  const jobId = await submit(server, { command: 'trap "stty size" WINCH; echo ready; while :; do sleep 0.05; done', tty: true });
  const size = { cols: 132, rows: 43 };
  const answer = await ask(server, `POST /jobs/${jobId}/resize`, { body: size });
  assert.deepEqual([answer.status, answer.json()], [200, size]);
  await until(async () => {
    const shown = await stdoutOf(server, jobId);
    if (shown.includes('43 132')) return true;
    // A size that came before the trap changed nothing to tell of.
    await ask(server, `POST /jobs/${jobId}/resize`, { body: { cols: 131, rows: 43 } });
    return await ask(server, `POST /jobs/${jobId}/resize`, { body: size }) && false;
  }, { what: 'it is told' });
  await ask(server, `POST /jobs/${jobId}/cancel`);
  const ended = await ask(server, `POST /jobs/${jobId}/resize`, { body: size });
  assert.deepEqual([ended.status, ended.problem.code], [409, 'job_not_running']);
  const plain = await submit(server, { command: 'sleep 1000' });
  const none = await ask(server, `POST /jobs/${plain}/resize`, { body: size });
  assert.deepEqual([none.status, none.problem.code], [409, 'no_terminal']);
  for (const body of [{}, { cols: 80 }, { cols: 0, rows: 1 }, { cols: 80, rows: 24, depth: 1 }]) {
    assert.equal((await ask(server, `POST /jobs/${plain}/resize`, { body })).status, 400);
  }
});

test('a timeout ends all that is on the terminal', options, async (t) => {
  const server = await startTestServer(t);
  const job = await run(server, { command: 'sleep 1000 & sleep 1000', tty: true, timeout: 0.3 });
  assert.deepEqual([job.status, job.lingering], ['timeout', []]);
});

test('a machine without script(1) says so', async (t) => {
  const server = await startTestServer(t, { environment: { PATH: '/nowhere' } });
  const answer = await ask(server, 'POST /exec', { body: { command: 'true', tty: true } });
  assert.deepEqual([answer.status, answer.problem.code], [501, 'not_supported']);
});

test('what is no size is refused', async (t) => {
  const server = await startTestServer(t);
  for (const tty of ['yes', 1, [], { cols: 0 }, { cols: 1.5 }, { rows: 1001 }, { width: 80 }]) {
    const answer = await ask(server, 'POST /exec', { body: { command: 'true', tty } });
    assert.equal(answer.status, 400);
    assert.match(answer.problem.detail, /^Cannot read body\.tty/);
  }
  const inShell = await ask(server, 'POST /exec', { body: { mode: 'persistent_shell', sessionKey: 'a', command: 'true', tty: true } });
  assert.match(inShell.problem.detail, /body\.tty: expected nothing, as mode is "persistent_shell"/);
});
