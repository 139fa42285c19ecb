import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { ProblemError } from '../../src/client/client.ts';
import { answer, refuse } from '../support/fake-server.ts';
import { setUp } from '../support/cli.ts';

const names = ['serve', 'exec', 'jobs', 'show', 'rm', 'logs', 'nudge', 'wait', 'kill', 'rerun', 'ls', 'cat', 'cp', 'update', 'key', 'config', 'doctor', 'install', 'uninstall', 'status', 'version'];

describe('sidecar', () => {
  it('--help works for every command and shows examples', async (t) => {
    const { run } = await setUp(t);
    const { stdout, stderr, exitCode } = await run(['--help']);
    assert.deepEqual([stderr, exitCode], ['', 0]);
    for (const name of names) assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
    const helps = await Promise.all(names.map((name) => run([name, '--help'])));
    for (const help of helps) {
      assert.equal(help.exitCode, 0);
      assert.match(help.stdout, /^Usage: sidecar .*[^]*^Flags$[^]*^Examples$/m);
      const examples = help.stdout.split('\nExamples\n')[1]?.trimEnd().split('\n').filter((line) => !/^ *# /.test(line)) ?? [];
      for (const example of examples) assert.match(example, /(^ |[ (])sidecar /);
    }
    assert.match(helps[0]?.stdout ?? '', /--log-level VALUE +What is logged\. One of debug, info, warn, error\./);
    assert.match((await run(['help', 'logs'])).stdout, /sidecar logs -f last/);
    for (const flag of ['-V', '-v', '--version']) assert.match((await run([flag])).stdout, /^\d+\.\d+\.\d+\n$/);
    assert.match(stdout, /^Jobs\n( {2}\w+ +.*\n)+\nAgents\n( {2}\w+ +.*\n)+\nShells and terminals\n( {2}\w+ +.*\n)+\nFiles\n( {2}\w+ +.*\n)+\nThe server\n/m);
    const install = (await run(['install', '--help'])).stdout;
    assert.match(install, /--port VALUE/);
    assert.doesNotMatch(install, /--terminal-idle|--no-auto-update/);
  });

  it('exits with 2 for an argument that it cannot read, and names it', async (t) => {
    const { run } = await setUp(t);
    const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [[], /Usage/],
      [['job'], /Unknown command "job", did you mean "jobs"\?\n +See: sidecar --help/],
      [['--json', 'jobs'], /flags come behind/],
      [['exex', 'true'], /Unknown command "exex", did you mean "exec"\?/],
      [['ps'], /did you mean "jobs"\?/],
      [['jbos'], /did you mean "jobs"\?/],
      [['xyzzy'], /Unknown command "xyzzy"\n/],
      [['jobs', '--lable', 'a=b'], /Unknown option '--lable', did you mean "--label"\?\n +See: sidecar jobs --help/],
      [['rm'], /Say which jobs to delete/],
      [['rm', '--all', 'last'], /Give jobs or filters, not both/],
      [['jobs', '--status', 'canceled'], /did you mean "cancelled"\?/],
      [['jobs', '--nope'], /Unknown option '--nope'\n +See: sidecar jobs --help/],
      [['jobs', '--limit'], /argument missing/],
      [['jobs', '--limit', '0'], /whole number from 1, received "0"\n +See: sidecar jobs --help/],
      [['jobs', '--status', 'odd'], /expected one of pending/],
      [['jobs', 'extra'], /Unexpected argument "extra"/],
      [['logs'], /logs needs more: sidecar logs \[flags\] JOB/],
      [['exec', '--timeout', 'soon', 'true'], /--timeout: expected a time.*\n +See: sidecar exec --help/],
      [['exec', '--env', '=SECRET', 'true'], /NAME=VALUE/],
      [['exec', '--shell', 'bash', 'a', 'b'], /--shell/],
      [['exec', ''], /empty/],
      [['kill', '--signal', 'BANG', 'last'], /expected a signal/],
      [['key', 'eat'], /expected show, rotate, trust/],
      [['key'], /^sidecar: Say what to do with the key: show, rotate, trust, trusted or distrust\n +See: sidecar key --help/],
      [['key', 'rotate', '--grace', 'x'], /--grace: expected a time.*\n +See: sidecar key --help/],
      [['jobs', '--url', 'nonsense'], /Cannot use the address "nonsense": .*\n +See: sidecar jobs --help/],
      [['serve', '--tls-cert', 'x'], /^sidecar: Cannot serve HTTPS: --tls-cert and --tls-key go together\n/],
      [['serve', '--wrapper', '--tls-key', 'x'], /--tls-cert and --tls-key go together/],
    ];
    const results = await Promise.all(cases.map(([args]) => run(args)));
    for (const [index, { exitCode, stderr, stdout }] of results.entries()) {
      assert.deepEqual([exitCode, stdout], [2, ''], stderr);
      assert.match(stderr, cases[index]?.[1] ?? /never/);
    }
  });

  it('exits with 69 when no server answers, with 77 when it refuses, else with 1, and says what to do', async (t) => {
    const { run, server } = await setUp(t);
    const refused = await run(['jobs'], { env: { SIDECAR_KEY_FILE: '', SIDECAR_API_KEY: 'wrong' } });
    assert.equal(refused.exitCode, 77);
    assert.match(refused.stderr, /^sidecar: .*\n +Give its key with --key-file or SIDECAR_API_KEY/);
    server.faults.push(refuse(new ProblemError('host_not_allowed', 'Not for that name')));
    assert.equal((await run(['jobs'])).exitCode, 77);
    server.faults.push(answer(200, {}, 'hello'));
    const foreign = await run(['jobs']);
    assert.equal(foreign.exitCode, 1);
    assert.match(foreign.stderr, /Is that the address of a machine-sidecar\?/);
    const missing = await run(['logs', '0000000000000000']);
    assert.deepEqual([missing.exitCode, missing.stdout], [1, '']);
    await server.stop();
    const away = await run(['jobs']);
    assert.equal(away.exitCode, 69);
    assert.match(away.stderr, new RegExp(`^sidecar: Cannot reach ${server.url}: nothing listens there\n +Start a server`));
    assert.doesNotMatch(away.stderr, /at .*\.c?js/);
    assert.match((await run(['jobs'], { env: { SIDECAR_LOG_LEVEL: 'debug' } })).stderr, /at .*\.c?js/);
    assert.equal((await run(['jobs'], { env: { SIDECAR_URL: '' } })).exitCode, 69);
    assert.equal((await run(['jobs', '--key-file', '/none'])).exitCode, 1);
  });

  it('jobs lists, with colours only where they are wanted, and control characters never', async (t) => {
    const { run } = await setUp(t);
    await run(['exec', '--name', 'nice', '--label', 'a=b', 'exit 3']);
    await run(['exec', '-d', "printf '\u001b[2J\nx'; sleep 60"]);
    const { stdout } = await run(['jobs']);
    const lines = stdout.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^ID +STATUS +EXIT +STARTED +TOOK +NAME OR COMMAND$/);
    assert.match(lines[1] ?? '', /^\w{16}  running +- +\d+s ago +\S+ +printf '\\x1b\[2J⏎x'; sleep 60$/);
    assert.match(lines[2] ?? '', /^\w{16}  failed +3 +\d+s ago +\S+ +nice$/);
    assert.equal(lines.length, 3);
    assert.match((await run(['jobs'], { env: { FORCE_COLOR: '1' } })).stdout, /\u001b\[31mfailed/);
    assert.doesNotMatch((await run(['jobs'], { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })).stdout, /\u001b/);
    const filtered = JSON.parse((await run(['jobs', '--json', '--label', 'a=b', '--status', 'failed'])).stdout) as unknown[];
    assert.equal(filtered.length, 1);
    assert.equal((JSON.parse((await run(['jobs', '--json', '--limit', '1'])).stdout) as unknown[]).length, 1);
    assert.equal((JSON.parse((await run(['jobs', '--json', '--all'])).stdout) as unknown[]).length, 2);
  });

  it('logs prints a job byte for byte, its end, or what is still to come', async (t) => {
    const { run, server, start } = await setUp(t);
    const { job, write, end } = server.script();
    write('stdout', Buffer.from([0xff, 0x0a]));
    write('stdout', Array.from({ length: 30_000 }, (_, index) => `line ${index}\n`).join(''));
    write('stderr', 'oh\nno');
    const all = await run(['logs', job.jobId]);
    assert.deepEqual([all.bytes[0], all.stdout.split('\n').length, all.stderr], [0xff, 30_002, 'oh\nno']);
    const tail = await run(['logs', '--tail', '1', 'last']);
    assert.deepEqual([tail.stdout, tail.stderr], ['line 29999\n', 'no']);
    assert.equal((await run(['logs', '--tail', '29999', '--stdout', '-'])).stdout.split('\n')[0], 'line 1');
    const errors = await run(['logs', '--stderr', '--tail', '9', 'last']);
    assert.deepEqual([errors.stdout, errors.stderr], ['oh\nno', '']);
    assert.equal((await run(['logs', '--stdout', '--tail', '0', 'last'])).stdout, '');
    const following = start(['logs', '-f', '--tail', '2', '--stdout', job.jobId]);
    await following.printed(/line 29999/);
    write('stdout', 'more\n');
    write('stderr', 'hidden');
    await following.printed(/more/);
    end(1);
    const followed = await following.ended;
    assert.deepEqual([followed.stdout, followed.stderr, followed.exitCode], ['line 29998\nline 29999\nmore\n', '', 0]);
    const events = (await run(['logs', '-f', '--json', '--tail', '1', job.jobId])).stdout.trimEnd().split('\n')
      .map((line) => JSON.parse(line) as { type: string });
    assert.deepEqual(events.map(({ type }) => type), ['output', 'output', 'end']);
    assert.equal((JSON.parse((await run(['logs', '--json', job.jobId])).stdout) as { stderr: string }).stderr, 'oh\nnohidden');
  });

  it('exits quietly when the reader of its output has closed it', async (t) => {
    const { server, start } = await setUp(t);
    const { write } = server.script();
    write('stdout', Buffer.alloc(20_000_000, 'line\n'));
    const { child, printed, ended } = start(['logs', 'last']);
    await printed(/line/);
    child.stdout.destroy();
    const { exitCode, stderr } = await ended;
    assert.deepEqual([exitCode, stderr], [0, '']);
  });

  it('accepts a unique beginning of an id', async (t) => {
    const { run, server } = await setUp(t);
    const { job: older, write } = server.script();
    write('stdout', 'older\n');
    const { job } = server.script();
    let length = 1;
    while (older.jobId.slice(0, length) === job.jobId.slice(0, length)) length += 1;
    assert.equal((await run(['logs', older.jobId.slice(0, length).toUpperCase()])).stdout, 'older\n');
    const unclear = await run(['logs', older.jobId.slice(0, 2)]);
    assert.equal(unclear.exitCode, 1);
    assert.match(unclear.stderr, new RegExp(`2 ids begin with that \\(${job.jobId}, ${older.jobId}\\)`));
    assert.match((await run(['logs', 'zzzz'])).stderr, /no id begins with that\n +See: sidecar jobs/);
  });

  it('flags of the connection may stand before the command', async (t) => {
    const { run, server, folder } = await setUp(t);
    const env = { SIDECAR_URL: '', SIDECAR_KEY_FILE: '' };
    const { job, write, end } = server.script();
    write('stdout', 'text\n');
    end(0);
    assert.equal((await run(['--url', server.url, `--key-file=${folder}/key`, 'logs', job.jobId], { env })).stdout, 'text\n');
    assert.match((await run(['--url', server.url, 'logs', '--help'], { env })).stdout, /Usage: sidecar logs/);
    assert.equal((await run(['--url'], { env })).exitCode, 2);
  });

  it('show prints a job in detail', async (t) => {
    const { run } = await setUp(t);
    await run(['exec', '--name', 'nice', '--label', 'a=b', 'echo x; exit 3']);
    const { stdout, exitCode } = await run(['show', 'last']);
    assert.equal(exitCode, 0);
    for (const line of [/^job +\w{16}$/m, /^name +nice$/m, /^command +echo x; exit 3$/m, /^labels +a=b$/m, /^status +failed$/m, /^exit code +3$/m, /^stdout +2 B$/m]) {
      assert.match(stdout, line);
    }
    assert.equal((JSON.parse((await run(['show', '--json', 'last'])).stdout) as { name: string }).name, 'nice');
  });

  it('rm deletes jobs by id and by filter, asks where it must, and leaves what runs', async (t) => {
    const { run, server } = await setUp(t);
    for (const code of [0, 3]) server.script().end(code);
    const { job: running } = server.script();
    const unasked = await run(['rm', '--all']);
    assert.deepEqual([unasked.exitCode, /2 jobs and their output.*give --yes/.test(unasked.stderr)], [2, true], unasked.stderr);
    assert.equal((await run(['rm', '--all', '--dry-run'])).stdout.trim().split('\n').length, 2);
    assert.equal(server.jobs.size, 3);
    assert.equal((await run(['rm', '--status', 'failed', '--yes'])).stdout.trim().split('\n').length, 1);
    const rest = await run(['rm', '--all', '--yes', '--json']);
    assert.equal((JSON.parse(rest.stdout) as string[]).length, 1);
    const refused = await run(['rm', running.jobId]);
    assert.deepEqual([refused.exitCode, refused.stdout], [1, '']);
    assert.deepEqual([...server.jobs.keys()], [running.jobId]);
  });

  it('nudge, kill and rerun do what they say', async (t) => {
    const { run, server } = await setUp(t);
    const id = (await run(['exec', '-d', 'read a; echo "got $a"; read b; echo "then <$b>"'])).stdout.trim();
    assert.match((await run(['nudge', id, 'this'])).stderr, new RegExp(`^sidecar: nudged job ${id}\n$`));
    assert.deepEqual(JSON.parse((await run(['nudge', '--json', 'last'])).stdout), { nudged: true, processAlive: true });
    assert.equal((await run(['logs', '-f', id])).stdout, 'got this\nthen <>\n');
    const late = await run(['nudge', id]);
    assert.equal(late.exitCode, 1);
    assert.match(late.stderr, /was not nudged/);

    const again = (await run(['rerun', id])).stdout.trim();
    assert.notEqual(again, id);
    assert.match((await run(['kill', '--only', '-s', 'cont', again])).stderr, /sent SIGCONT/);
    const killed = await run(['kill', '--json', '--signal', 'SIGINT', '--grace', '1', again, again]);
    assert.deepEqual((JSON.parse(killed.stdout) as { signal: string }[]).map(({ signal }) => signal), ['SIGINT']);
    assert.match(killed.stderr, /ended by SIGINT, exit code 130/);
    const twice = await run(['kill', again]);
    assert.equal(twice.exitCode, 1);
    assert.match(twice.stderr, /it is not running/);

    await run(['exec', 'echo out; exit 6']);
    const rerun = await run(['rerun', '-f', 'last']);
    assert.deepEqual([rerun.stdout, rerun.exitCode], ['out\n', 6]);
    assert.equal(server.jobs.size, 4);
  });

  it('version prints its own version and that of the server', async (t) => {
    const { run, server } = await setUp(t);
    assert.match((await run(['version'])).stdout, new RegExp(`^sidecar \\d\\S+ \\(Node v.*\\)\nserver  9\\.9\\.9 at ${server.url}\n$`));
    await server.stop();
    const away = await run(['version', '--json']);
    assert.equal(away.exitCode, 0);
    assert.match((JSON.parse(away.stdout) as { server: { error: string } }).server.error, /Cannot reach/);
  });

  it('config prints the effective settings and their sources, and no secret', async (t) => {
    const { run, folder } = await setUp(t);
    await mkdir(`${folder}/.config/machine-sidecar`, { recursive: true });
    await writeFile(`${folder}/.config/machine-sidecar/config.json`, '{"keep-jobs": 7}');
    const env = { SIDECAR_API_KEY: 'top-secret', SIDECAR_PORT: '1234' };
    const { stdout } = await run(['config', '--max-running', '5'], { env });
    assert.match(stdout, /^max-running +5 +--max-running$/m);
    assert.match(stdout, /^port +1234 +SIDECAR_PORT$/m);
    assert.match(stdout, /^keep-jobs +7 +\S+config\.json$/m);
    assert.match(stdout, /^host +127\.0\.0\.1 +default$/m);
    assert.match(stdout, /^api-key +\*{8} +SIDECAR_API_KEY$/m);
    const text = (await run(['config', '--json'], { env })).stdout;
    assert.doesNotMatch(stdout + text, /top-secret/);
    assert.equal((JSON.parse(text) as { name: string }[]).find(({ name }) => name === 'port')?.name, 'port');
    assert.equal((await run(['config'], { env: { SIDECAR_PORT: 'x' } })).exitCode, 2);
  });

  it('doctor reports what works and what does not, with the fix', async (t) => {
    const { run, folder, server } = await setUp(t);
    const port = new URL(server.url).port;
    const rows = async (env: { [name: string]: string }): Promise<{ [name: string]: { state: string; text: string; fix?: string } }> => {
      const { stdout } = await run(['doctor', '--json'], { env });
      return Object.fromEntries((JSON.parse(stdout) as { name: string; state: string; text: string }[]).map((row) => [row.name, row]));
    };
    const good = await rows({ SIDECAR_PORT: '0' });
    for (const name of ['Node.js', 'bash', 'default shell', 'mkfifo', 'process identity', 'file watching', 'state directory', 'clock', 'key', 'port']) {
      assert.equal(good[name]?.state, 'ok', `${name}: ${good[name]?.text}`);
    }
    assert.match(good['server']?.text ?? '', /version 9\.9\.9/);

    const wrongShell = (await rows({ SIDECAR_PORT: '0', SIDECAR_SHELL: 'fihs' }))['default shell'];
    assert.match(`${wrongShell?.state} ${wrongShell?.text}`, /^fail Cannot use --shell fihs: .*this machine has bash/);

    await mkdir(`${folder}/state`, { mode: 0o755 });
    await symlink('/etc/hostname', `${folder}/state/api-key`);
    const local = { SIDECAR_URL: '', SIDECAR_KEY_FILE: '', SIDECAR_PORT: port };
    const bad = await rows(local);
    assert.deepEqual([bad['server']?.state, bad['server']?.fix], ['warn', 'sidecar serve']);
    assert.match(`${bad['port']?.state} ${bad['port']?.text}`, /^fail .* is taken by another program/);
    assert.match(`${bad['key']?.state} ${bad['key']?.text}`, /^fail .* is a link/);
    assert.match(bad['state directory']?.fix ?? '', /^chmod 700/);
    await chmod(`${folder}/state`, 0o700);
    assert.equal((await run(['doctor'], { env: local })).exitCode, 1);
    await writeFile(`${folder}/file`, '');
    const { stdout } = await run(['doctor'], { env: { SIDECAR_STATE_DIR: `${folder}/file/state` } });
    assert.match(stdout, /^fail {2}state directory .*ENOTDIR\n +→ Make/m);
  });
});
