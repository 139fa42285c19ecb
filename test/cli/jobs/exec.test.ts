import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { hangUp } from '../../support/fake-server.ts';
import { setUp } from '../../support/cli.ts';
import { until } from '../../support/wait.ts';

describe('sidecar exec', () => {
  it('streams stdout and stderr apart and exits as the command does', async (t) => {
    const { run } = await setUp(t);
    const { stdout, stderr, exitCode } = await run(['exec', 'echo out; echo err >&2; exit 42']);
    assert.deepEqual([stdout, stderr, exitCode], ['out\n', 'err\n', 42]);
  });

  it('passes several arguments on exactly, flags of the command included', async (t) => {
    const { run, server } = await setUp(t);
    const args = ['%s|', 'two words', '$HOME', '"', '-n', '--help', ''];
    const { stdout } = await run(['exec', 'printf', ...args]);
    assert.equal(stdout, 'two words|$HOME|"|-n|--help||');
    assert.equal((await run(['exec', '--name', 'x', '--', 'printf', ...args])).stdout, stdout);
    assert.equal([...server.jobs.values()][1]?.job.name, 'x');
  });

  it('carries bytes in both directions unchanged', async (t) => {
    const { run } = await setUp(t);
    const stdin = randomBytes(300_000);
    const { bytes, exitCode } = await run(['exec', 'cat'], { stdin });
    assert.equal(exitCode, 0);
    assert.deepEqual(bytes, stdin);
  });

  it('shows output while the job runs, and forwards what comes on stdin', async (t) => {
    const { start } = await setUp(t);
    const { child, printed, ended } = start(['exec', 'while read line; do echo "<$line>"; done; echo end']);
    child.stdin.write('one\n');
    await printed(/<one>/);
    child.stdin.write('two\n');
    await printed(/<two>/);
    child.stdin.end();
    assert.equal((await ended).stdout, '<one>\n<two>\nend\n');
  });

  it('gives an empty stdin with --no-stdin', async (t) => {
    const { start } = await setUp(t);
    assert.equal((await start(['exec', '-n', 'cat; echo done']).ended).stdout, 'done\n');
  });

  it('loses no byte when the server restarts, and reports the restart once', async (t) => {
    const { server, start } = await setUp(t);
    const { printed, ended } = start(['exec', 'for i in $(seq 1 60); do echo "line $i"; sleep 0.02; done; echo bye >&2; exit 5']);
    await printed(/line 5\n/);
    await server.stop();
    await printed(/lost the server/, 'stderr');
    await server.start();
    const { stdout, stderr, exitCode } = await ended;
    assert.equal(stdout, Array.from({ length: 60 }, (_, index) => `line ${index + 1}\n`).join(''));
    assert.match(stderr, /^sidecar: lost the server; job \w+ keeps running there, looking for it again\nbye\n$/);
    assert.equal(exitCode, 5);
  });

  it('submits once although the answer was lost', async (t) => {
    const { server, run } = await setUp(t);
    server.faults.push((request) => request.url === '/exec' && hangUp(request, undefined as never));
    assert.equal((await run(['exec', 'echo once'])).stdout, 'once\n');
    assert.equal(server.jobs.size, 1);
  });

  it('sends the first Ctrl-C to the job, which may continue', async (t) => {
    const { start } = await setUp(t);
    const { child, printed, ended } = start(['exec', 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done']);
    await printed(/ready/);
    child.kill('SIGINT');
    const { stdout, exitCode } = await ended;
    assert.deepEqual([stdout, exitCode], ['ready\ncaught\n', 9]);
  });

  it('cancels at the second Ctrl-C, leaves at the third', async (t) => {
    const { server, start } = await setUp(t);
    const { child, printed, ended } = start(['exec', 'trap "" INT; trap "echo no" TERM; echo ready; while :; do sleep 0.05; done']);
    await printed(/ready/);
    const count = (part: string): number => server.seen.filter(({ line }) => line.endsWith(part)).length;
    child.kill('SIGINT');
    await until(() => count('/signal') === 1, { what: 'it is told of the signal' });
    child.kill('SIGINT');
    await until(() => count('/cancel') === 1, { what: 'it is told to cancel' });
    await printed(/no/);
    child.kill('SIGINT');
    const { exitCode, stderr } = await ended;
    assert.equal(exitCode, 130);
    assert.match(stderr, /cancelling the job; once more to leave it alone\n[^]*sidecar: leaving job \w+, which may still run/);
    assert.equal([...server.jobs.values()][0]?.job.processAlive, true);
  });

  it('cancels the job on SIGTERM', async (t) => {
    const { start } = await setUp(t);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
      const { child, printed, ended } = start(['exec', 'echo ready; sleep 10']);
      await printed(/ready/);
      child.kill(signal);
      const { exitCode, stderr } = await ended;
      assert.equal(exitCode, 143);
      assert.match(stderr, /job \w+ was cancelled/);
    }
  });

  it('ends the job quietly when the reader of its output has closed it', async (t) => {
    const { server, start } = await setUp(t);
    const { child, printed, ended } = start(['exec', 'while :; do echo y; done']);
    await printed(/y/);
    child.stdout.destroy();
    const { exitCode, stderr } = await ended;
    assert.deepEqual([exitCode, stderr], [141, '']);
    await until(() => [...server.jobs.values()].every(({ job }) => !job.processAlive), { what: 'no process is alive' });
  });

  it('reports an end that the exit code does not show', async (t) => {
    const { run } = await setUp(t);
    const timeout = await run(['exec', '--timeout', '200ms', 'sleep 10']);
    assert.match(timeout.stderr, /^sidecar: job \w+ was ended at its timeout of 0.2 s\n$/);
    assert.equal(timeout.exitCode, 124);
    const missing = await run(['exec', '--argv', 'no-such-program']);
    assert.match(missing.stderr, /^sidecar: job \w+ could not be started: .*ENOENT\n$/);
    assert.equal(missing.exitCode, 127);
    const killed = await run(['exec', 'kill -9 $$']);
    assert.match(killed.stderr, /was ended by SIGKILL/);
    assert.equal(killed.exitCode, 137);
  });

  it('sends what its flags say', async (t) => {
    const { server, run, folder } = await setUp(t);
    const { stdout, exitCode } = await run(['exec', '-d', '--json', '-C', folder, '-e', 'A=b=c', '-e', 'B=', '--timeout', '5m', '--label', 'k=v',
      '--name', 'n', '--kill-grace', '1.5', '--max-output-bytes', '10k', '--shell', 'bash', 'pwd; echo $A']);
    assert.equal(exitCode, 0);
    assert.match((JSON.parse(stdout) as { jobId: string }).jobId, /^[0-9a-z]{16}$/);
    const submitted = server.seen.find(({ line }) => line === 'POST /exec');
    assert.deepEqual(JSON.parse(submitted?.body ?? ''), {
      mode: 'shell', command: 'pwd; echo $A', shell: 'bash', workdir: folder, env: { A: 'b=c', B: '' }, timeout: 300, labels: { k: 'v' },
      name: 'n', killGrace: 1.5, maxOutputBytes: 10_240,
    });
  });

  it('-e NAME passes on the local value, as docker does', async (t) => {
    const { run } = await setUp(t);
    const { stdout } = await run(['exec', '-e', 'HERE', '-e', 'NOT_HERE', '-e', 'A=b', 'echo "$HERE ${NOT_HERE-unset} $A"'], { env: { HERE: 'x=y' } });
    assert.equal(stdout, 'x=y unset b\n');
  });

  it('runs in the folder that it is called in when the server is the local one', async (t) => {
    const { server, folder, run } = await setUp(t);
    const { mkdir, readFile, writeFile } = await import('node:fs/promises');
    const stat = await readFile('/proc/self/stat', 'latin1').catch(() => '');
    if (stat === '') return t.skip('needs /proc');
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    await mkdir(`${folder}/state/deeper`, { recursive: true });
    await writeFile(`${folder}/state/server.lock`, JSON.stringify({ pid: process.pid, startTime, url: server.url, version: '9.9.9' }));
    await writeFile(`${folder}/state/api-key`, 'test-key\n');
    const env = { SIDECAR_URL: '', SIDECAR_KEY_FILE: '' };
    const { stdout } = await run(['exec', 'pwd'], { env, cwd: `${folder}/state/deeper` });
    assert.equal(stdout, `${await realpath(folder)}/state/deeper\n`);
    await writeFile(`${folder}/state/server.lock`, JSON.stringify({ pid: process.pid, startTime: '1', url: server.url }));
    const gone = await run(['exec', 'pwd'], { env });
    assert.equal(gone.exitCode, 69);
    assert.match(gone.stderr, /No server is running here/);
  });

  it('prints the finished job with --json', async (t) => {
    const { run } = await setUp(t);
    const { stdout, exitCode } = await run(['exec', '--json', 'cat; exit 3'], { stdin: 'hello' });
    const job = JSON.parse(stdout) as { stdout: string; exitCode: number };
    assert.deepEqual([job.stdout, job.exitCode, exitCode], ['hello', 3, 3]);
  });
});
