import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { ttyArgv, typedInput } from '../../src/process/pty.ts';
import { until } from '../support/wait.ts';

const skip = existsSync('/usr/bin/script') ? false : 'needs script(1)';

interface Running {
  readonly child: ChildProcess;
  readonly shown: () => string;
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

function run(t: TestContext, argv: readonly string[], size = { cols: 80, rows: 24 }): Running {
  const [file = '', ...args] = ttyArgv(argv, size);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true, env: { PATH: process.env['PATH'], SHELL: '/bin/odd shell' } });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => { shown += text; });
  child.stdin.on('error', () => undefined);
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null);
  t.after(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL');
  });
  return { child, shown: () => shown, ended };
}

test('ttyArgv() runs words as they are on a terminal of that size, with the SHELL of the caller', { skip }, async (t) => {
  const one = run(t, ['/bin/sh', '-c', 'tty -s && stty size; echo "$SHELL $SIDECAR_PTY_SHELL"; printf "[%s]" "$@"; exit 7', 'sh', 'it\'s', '"$x`\\', '', 'a b'], { cols: 91, rows: 33 });
  assert.equal(await one.ended, 7);
  assert.equal(one.shown(), '33 91\r\n/bin/odd shell \r\n[it\'s]["$x`\\][][a b]');
});

test('ttyArgv() exits with 128+n for signal n, and with 127 where there is nothing to run', { skip }, async (t) => {
  assert.equal(await run(t, ['/bin/sh', '-c', 'kill -9 $$']).ended, 137);
  assert.equal(await run(t, ['/no/such/program']).ended, 127);
});

test('ttyArgv() ends with SIGTERM to its group, and its program with it', { skip }, async (t) => {
  const one = run(t, ['/bin/sh', '-c', 'echo pid=$$; exec sleep 1000']);
  const pid = await until(() => /pid=(\d+)/.exec(one.shown())?.[1], { what: 'it runs' });
  process.kill(-(one.child.pid ?? 0), 'SIGTERM');
  await once(one.child, 'exit');
  assert.equal(one.child.signalCode, 'SIGTERM');
  await until(() => !existsSync(`/proc/${pid}`), { what: 'the program has ended' });
});

test('typedInput() ends the input, also behind half a line', { skip }, async (t) => {
  for (const text of ['', 'abc', 'abc\n', 'abc\ndef']) {
    const one = run(t, ['/bin/sh', '-c', 'stty -echo; echo ready; exec wc -c']);
    await until(() => one.shown().includes('ready'), { what: 'it reads' });
    one.child.stdin?.end(typedInput(text));
    assert.equal(await one.ended, 0);
    assert.equal(one.shown(), `ready\r\n${text.length}\r\n`);
  }
});
