import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setUp } from '../../support/cli.ts';

const toFull = 'exec "$@" >/dev/full';
const skip = existsSync('/dev/full') ? false : 'there is no /dev/full here';

describe('stdout and stderr that cannot be written', { skip }, () => {
  it('exec reports it with the id of the job, exits with 1, and leaves the job alone', async (t) => {
    const { run, server } = await setUp(t);
    for (const args of [['exec', 'echo x; sleep 60'], ['exec', '-d', 'sleep 60']]) {
      const { exitCode, stderr } = await run(args, { by: toFull });
      assert.equal(exitCode, 1);
      const [, id = ''] = /^sidecar: Cannot write to stdout: ENOSPC.*\n +Job (\w{16}) was left alone; "sidecar logs -f \1" shows/.exec(stderr) ?? [];
      assert.ok([...server.jobs.values()].some(({ job }) => job.jobId === id && job.processAlive), stderr);
    }
    assert.ok(!server.seen.some(({ line }) => /cancel|signal|DELETE/.test(line)), 'nothing was cancelled');
    const json = await run(['exec', '--json', 'true'], { by: toFull });
    assert.match(json.stderr, /Cannot write to stdout: ENOSPC.*\n +Job \w{16} was left alone/);
  });

  it('every command exits with 1 and says why', async (t) => {
    const { run, server } = await setUp(t);
    const { write, end } = server.script();
    write('stdout', 'text\n');
    end(0);
    for (const args of [['jobs', '--json'], ['jobs'], ['logs', 'last'], ['logs', '-f', 'last'], ['--help'], ['-V'], ['version', '--json'], ['config', '--json']]) {
      const { exitCode, stderr } = await run(args, { by: toFull });
      assert.deepEqual([exitCode, /^sidecar: Cannot write to stdout: ENOSPC/.test(stderr)], [1, true], `${args.join(' ')}: ${stderr}`);
    }
  });

  it('lost output on stderr also gives exit code 1', async (t) => {
    const { run } = await setUp(t);
    const lost = await run(['exec', 'echo y >&2'], { by: 'exec "$@" 2>/dev/full' });
    assert.deepEqual([lost.exitCode, lost.stdout], [1, '']);
    assert.equal((await run(['exec', 'echo y'], { by: 'exec "$@" 2>/dev/full' })).exitCode, 0);
  });

  it('a file that takes only the beginning of the data is an error, not a short file', async (t) => {
    const { run, server, folder } = await setUp(t);
    const { write, end } = server.script();
    write('stdout', Buffer.alloc(5000, 'x'));
    end(0);
    // setrlimit(2): beyond the limit a write is short, the next one is EFBIG.
    const { exitCode, stderr } = await run(['logs', 'last'], { by: `trap '' XFSZ; ulimit -f 1; exec "$@" >${join(folder, 'out')}` });
    assert.ok(readFileSync(join(folder, 'out')).length < 5000);
    assert.deepEqual([exitCode, /Cannot write to stdout: EFBIG/.test(stderr)], [1, true], stderr);
  });
});
