/** An interrupt stops what a persistent shell does, and costs nothing of what the shell holds. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import type { Session } from '../../src/protocol/shells.ts';
import { until } from '../support/wait.ts';
import { type Reached, ask, submit } from '../support/client.ts';
import { isInstalled, session, type Setting } from '../support/shell.ts';

const skip = process.platform === 'linux' ? false : 'needs /proc';

interface Case {
  readonly command: string;
  /** Of what follows "begun". Default: nothing. */
  readonly stdout?: string;
  /** Default: 130. */
  readonly exitCode?: number;
  /** Seconds. Default: so many that a test which waits for it fails. */
  readonly killGrace?: number;
  /** Not for these. */
  readonly except?: readonly string[];
}

const cases: readonly Case[] = [
  { command: 'while true; do sleep 1; done; echo ran' },
  { command: 'while :; do (exit 1); done; echo ran' },
  { command: 'while :; do :; done\necho ran' },
  { command: 'read x; echo ran' },
  { command: 'f() { while :; do :; done; echo ran; }; g() { f; echo ran; }; g; echo ran' },
  { command: 'f() { f "$1"; }; h() { for i in 1 2 3; do read x; done; echo ran; }; h; echo ran' },
  { command: 'sleep 50 & wait; echo ran' },
  { command: 'sleep 50; echo ran' },
  { command: 'sleep 50 || echo ran; echo ran' },
  { command: 'sleep 50 | cat; echo ran' },
  { command: 'while :; do sleep 1; done | cat; echo ran' },
  { command: 'while :; do /bin/true | /bin/true || echo ran; done; echo ran' },
  { command: 'x=$(while :; do :; done); echo ran' },
  { command: 'x=$(sleep 50); echo ran' },
  { command: '(while :; do :; done); echo ran' },
  { command: 'eval "while :; do :; done"; echo ran' },
  { command: 'printf "while :; do :; done\\necho ran" >"$HOME/loop"; . "$HOME/loop"; echo ran' },
  { command: 'exec 3<>"$HOME/three"; while :; do :; done; echo ran' },
  { command: 'set -e; set -u; while :; do :; done; echo ran' },
  { command: 'sh -c \'trap "echo caught; exit 5" INT; echo in; while :; do sleep 0.01; done\'; echo ran', stdout: 'in\ncaught\n', exitCode: 5 },
  { command: 'sh -c \'trap "" INT; echo in; sleep 50; :\'; echo ran', stdout: 'in\n', killGrace: 1 },
  { command: 'trap "echo mine" INT; /bin/echo in; while :; do :; done; echo ran', stdout: 'in\nmine\n', killGrace: 1 },
  { command: 'trap "echo mine" INT; echo in; sleep 50; trap - INT; while :; do sleep 1; done; echo ran', stdout: 'in\nmine\n', killGrace: 1 },
  { command: 'trap - INT; echo in; while :; do sleep 1; done; echo ran', stdout: 'in\n' },
  { command: 'trap "" INT; echo in; sleep 50; echo ran', stdout: 'in\n', killGrace: 1 },
  {
    command: 'trap "echo mine" INT; sh -c \'trap "" INT; echo in; sleep 50; :\'; echo ran', stdout: 'in\n', killGrace: 1,
  },
  { command: 'env -i sleep 50; echo ran' },
  { command: 'sh -c "env -i sleep 50; :"; echo ran' },
  { command: 'set -C; while :; do sleep 1; done; echo ran' },
  { command: 'set -m; while :; do sleep 1; done; echo ran', except: ['zsh', 'sh'] },
  { command: 'set -m; sleep 50 | cat; echo ran', except: ['zsh', 'sh'] },
  { command: 'mkdir "${__sidecar_traps%traps}sleeps"; /bin/echo in; while :; do :; done\necho ran', stdout: 'in\n' },
];

/** Far sooner than the half of the kill grace, by when the shell is interrupted again. */
async function stopped(server: Reached, jobId: string): Promise<Job> {
  const isOver = async (): Promise<Job | false> => {
    const job = (await ask(server, `GET /jobs/${jobId}?wait=1`)).json<Job>();
    return job.finishedAt !== null && job;
  };
  return await until(isOver, { what: `the end of ${jobId}`, limitMs: 60_000 });
}

type Way = (setting: Setting, jobId: string) => Promise<Job>;

const ways: { readonly [name: string]: Way } = {
  'a cancel': async ({ server }, jobId) => {
    await ask(server, `POST /jobs/${jobId}/cancel`, { body: {} });
    return await stopped(server, jobId);
  },
  'Ctrl-C': async ({ server }, jobId) => {
    await ask(server, `POST /jobs/${jobId}/cancel`, { body: { signal: 'SIGINT' } });
    return await stopped(server, jobId);
  },
  'SIGINT': async ({ server }, jobId) => {
    assert.equal((await ask(server, `POST /jobs/${jobId}/signal`, { body: { signal: 'SIGINT' } })).status, 200);
    return await stopped(server, jobId);
  },
};

async function show(server: Reached): Promise<Session> {
  return (await ask(server, 'GET /sessions/main')).json<Session>();
}

/** Begins a job, and resolves once it is in the part that is to be stopped. */
async function begin(server: Reached, shell: string, { command, stdout = '', killGrace = 300 }: Case): Promise<string> {
  // Not by the shell itself: zsh writes its buffer twice where a signal comes between its write and the emptying.
  const text = `/bin/echo begun; ${command}`;
  const jobId = await submit(server, { mode: 'persistent_shell', sessionKey: 'main', shell, command: text, killGrace, timeout: null });
  const isIn = stdout.startsWith('in\n') ? 'begun\nin\n' : 'begun\n';
  await until(async () => (await ask(server, `GET /jobs/${jobId}`)).json<Job>().stdout?.startsWith(isIn), { what: `${command} runs` });
  return jobId;
}

for (const shell of ['bash', 'zsh', 'sh'] as const) {
  describe(`what ${shell} does is stopped, and the shell goes on`, { skip: skip || (isInstalled(shell) ? false : `no ${shell}`) }, () => {
    it('and nothing is written through what the job has put in the place of its files', async (t) => {
      const setting = await session(t, shell);
      const { run, server } = setting;
      const made = await run('HOME=$(mktemp -d); exec 7>"$HOME/seven"; held() { echo held >&7; }; echo kept >"$HOME/kept"; echo $HOME');
      for (const put of ['ln -s "$HOME/kept"', 'mkfifo', 'mkdir', 'ln -s /dev/full']) {
        const replaced = `for f in traps interrupts; do rm -f "\${__sidecar_traps%traps}$f"; ${put} "\${__sidecar_traps%traps}$f"; done`;
        for (const then of ['sleep 50', 'while :; do :; done']) {
          const job = await ways['a cancel']?.(setting, await begin(server, shell, { command: `${replaced}; ${then}; echo ran` }));
          assert.deepEqual([put, job?.stdout, job?.stderr], [put, 'begun\n', '']);
          const after = await run('held && cat "$HOME/kept"');
          assert.deepEqual([put, after.stdout, after.stderr], [put, 'kept\n', '']);
        }
      }
      rmSync(made.stdout?.trim() ?? '', { recursive: true });
    });

    for (const [name, stop] of Object.entries(ways)) {
      it(`by ${name}`, async (t) => {
        const setting = await session(t, shell);
        const { run, server } = setting;
        await run('cd /usr; keep=1; HOME=$(mktemp -d); exec 7>"$HOME/seven"; held() { echo held >&7; }');
        const { pid } = await show(server);
        for (const one of cases) {
          if (one.except?.includes(shell)) continue;
          // Their own trap on SIGINT is all that such a signal means to these.
          if (name === 'SIGINT' && one.killGrace !== undefined) continue;
          const job = await stop(setting, await begin(server, shell, one));
          assert.equal(job.stdout, `begun\n${one.stdout ?? ''}`, one.command);
          if (one.killGrace === undefined) assert.equal(job.stderr, '', one.command);
          assert.equal(job.reason, name === 'SIGINT' ? ((job.exitCode ?? 0) > 128 ? 'signal' : 'exit') : 'cancelled', one.command);
          const after = await run('set +e +u +m +C; trap - INT; held && echo "$(pwd) $keep $$"');
          assert.deepEqual([one.command, after.stdout, after.stderr, after.exitCode], [one.command, `/usr 1 ${pid}\n`, '', 0]);
        }
        assert.equal((await show(server)).starts, 1);
      });
    }
  });
}

const skipBash = skip || (isInstalled('bash') ? false : 'no bash');

describe('a program of a loop that ends by SIGINT while bash has job control', { skip: skipBash }, () => {
  it('ends the job with 130, and the shell goes on', async (t) => {
    const { run } = await session(t, 'bash');
    await run('cd /usr; keep=1; set -m');
    const body = 'f() { for i in 1 2; do sh -c \'kill -INT $$\'; done; echo ran; }; echo in; f; echo ran\necho ran';
    const job = await run(body, { timeout: 30 });
    assert.deepEqual([job.stdout, job.stderr, job.exitCode, job.reason], ['in\n', '', 130, 'signal']);
    assert.equal((await run('echo "$PWD $keep"')).stdout, '/usr 1\n');
  });
});

/** As bash is where it is the system's sh, and as a server has it that runs in a shell of another one. */
const hostile = { POSIXLY_CORRECT: '1', __sidecar_none: 'set', __sidecar_first: 'no', IFS: '/s' };

for (const shell of ['bash', 'sh'] as const) {
  const skipShell = skip || (isInstalled(shell) ? false : `no ${shell}`);
  describe(`${shell} in POSIX mode, with variables of ours in its environment`, { skip: skipShell }, () => {
    it('is interrupted at once, and goes on', async (t) => {
      const setting = await session(t, shell);
      await setting.run('cd /usr; keep=1', { env: hostile });
      for (const command of ['while :; do /bin/sleep 1; done; echo ran', 'f() { while :; do :; done; }; f; echo ran']) {
        const { stdout, stderr, exitCode } = await stop(setting, command);
        assert.deepEqual([command, stdout, stderr, exitCode], [command, 'begun\n', '', 130]);
        assert.equal((await setting.run('echo "$PWD $keep"')).stdout, '/usr 1\n');
      }
      assert.equal((await show(setting.server)).starts, 1);
    });
  });

  async function stop(setting: Setting, command: string): Promise<Job> {
    const cancel = ways['a cancel'];
    assert.ok(cancel);
    return await cancel(setting, await begin(setting.server, shell, { command }));
  }
}
