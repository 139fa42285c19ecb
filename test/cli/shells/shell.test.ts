/** `sidecar shell`, `sidecar sessions` and `sidecar exec --session` against real servers. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import type { Job, Session } from '../../../src/client/client.ts';
import { isIncomplete } from '../../../src/cli/shells/incomplete.ts';
import { withoutCommandFile } from '../../../src/cli/follow/shell-errors.ts';
import { startUnreliableProxy } from '../../support/unreliable-proxy.ts';
import { spawnServer, startTestServer, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { terminalless } from '../../support/terminal.ts';
import { programOf } from '../../support/cli.ts';
import { openCliTerminal } from '../../support/cli-terminal.ts';

const hasZsh = ['/bin/zsh', '/usr/bin/zsh', '/usr/local/bin/zsh'].some((path) => existsSync(path));
const skip = process.platform === 'win32' ? 'needs FIFOs' : false;

async function setUp(t: TestContext): Promise<{ server: Awaited<ReturnType<typeof startTestServer>>; run: ReturnType<typeof programOf> }> {
  const server = await startTestServer(t);
  return { server, run: programOf(t, server) };
}

describe('sidecar shell', { skip }, () => {
  it('-c runs one command in the session, forwards stdin, and exits as it does', async (t) => {
    const { run } = await setUp(t);
    const first = await run(['shell', '-C', '/usr', '-e', 'GIVEN=a b', '--bootstrap', 'boot=1', '-c', 'x=5; pwd; echo "$GIVEN"; cat; return 3'], { stdin: 'typed\n' });
    assert.deepEqual([first.stdout, first.stderr, first.exitCode], ['/usr\na b\ntyped\n', '', 3]);
    assert.equal((await run(['shell', '-c', 'echo $x $boot', 'default'])).stdout, '5 1\n');
    assert.equal((await run(['shell', '-c', 'echo [$x]', 'other'])).stdout, '[]\n');
    const exec = await run(['exec', '--session', 'default', 'echo $x; echo err >&2; return 4']);
    assert.deepEqual([exec.stdout, exec.stderr, exec.exitCode], ['5\n', 'err\n', 4]);
  });

  it('runs the commands of a script, also those of several lines, and exits as the last one does', async (t) => {
    const { run } = await setUp(t);
    const stdin = 'cd /usr\n\nfor i in 1 2; do\n  echo $i\ndone\ncat <<END\nhere $i\nEND\necho a \\\n  b "c\nd"\nfalse\npwd; cat; (exit 6)\n';
    const { stdout, stderr, exitCode } = await run(['shell'], { stdin });
    assert.deepEqual([stdout, stderr, exitCode], ['1\n2\nhere 2\na b c\nd\n/usr\n', '', 6]);
    const left = await run(['shell'], { stdin: 'echo $i\nexit 9\necho never\n' });
    assert.deepEqual([left.stdout, left.exitCode], ['2\n', 9]);
    assert.equal((await run(['shell'], { stdin: 'if true; then\n' })).exitCode, 2);
    assert.equal((await run(['shell'], { stdin: '' })).exitCode, 0);
  });

  it('prints errors like an interactive shell, without the path of our file', async (t) => {
    const { run } = await setUp(t);
    const errors = async (shell: string, text: string): Promise<string> =>
      (await run(['shell', '--shell', shell, '-c', text, `with ${shell}`])).stderr;
    const failing = 'nosuch\nfi';
    assert.match(await errors('bash', failing), /^bash: line 1: nosuch: command not found\nbash: line 2: syntax error near .*\nbash: line 2: `fi'\n$/);
    assert.equal(await errors('sh', 'true\nnosuch'), 'sh: 2: nosuch: not found\n');
    if (hasZsh) assert.equal(await errors('zsh', 'nosuch'), 'zsh:1: command not found: nosuch\n');
    const other = 'echo "/jobs/x/command: line 1: mine" >&2; printf "\\303\\274 \\377\\n" >&2';
    assert.equal(await errors('bash', other), '/jobs/x/command: line 1: mine\nü \ufffd\n');
    const exec = await run(['exec', '--session', 'with bash', 'nosuch']);
    assert.equal(exec.stderr, 'bash: line 1: nosuch: command not found\n');
  });

  it('refuses invalid sessions and flags', async (t) => {
    const { run } = await setUp(t);
    await run(['shell', '--shell', 'sh', '-c', 'true', 'mine']);
    const conflict = await run(['shell', '--shell', 'bash', '-c', 'true', 'mine']);
    assert.equal(conflict.exitCode, 1);
    assert.match(conflict.stderr, /session "?mine"? has sh/);
    assert.equal((await run(['shell', '--shell', 'fish', '-c', 'true', 'x'])).exitCode, 1);
    assert.equal((await run(['shell', 'a', 'b'])).exitCode, 2);
    assert.equal((await run(['exec', '--session', 'x', 'echo', 'two'])).exitCode, 2);
  });

  it('says in one line when the shell ends, and when another one was started; --require-shell takes no other', async (t) => {
    const { run } = await setUp(t);
    const inSession = (...words: readonly string[]): ReturnType<typeof run> => run(['exec', '--session', 'mine', ...words]);
    const none = await inSession('--require-shell', 'true');
    assert.equal(none.exitCode, 1);
    assert.match(none.stderr, /Cannot run the command in the shell of session "mine": there is no such session; a request that does not require it gets a new one/);
    assert.equal((await inSession('kept=1')).stderr, '');
    assert.deepEqual((await inSession('--require-shell', 'echo $kept')).stdout, '1\n');
    const ended = await inSession('exit 3');
    const lost = 'sidecar: the shell of session mine ended with this command (exit, exit code 3): the next one gets a new one\n';
    assert.deepEqual([ended.exitCode, ended.stderr], [3, lost]);
    assert.equal((await inSession('--require-shell', 'echo ran')).stdout, '');
    const again = await run(['shell', '-c', 'echo "[$kept]"', 'mine']);
    assert.equal(again.stdout, '[]\n');
    assert.equal(again.stderr, 'sidecar: the shell of session mine was started again (exit): what the one before held is gone\n');
    assert.match((await run(['show', 'last'])).stdout, /^shell +start 2 \(exit, exit code 3\)$/m);
    const quiet = await inSession('--json', 'exit 4');
    assert.deepEqual([quiet.stderr, (JSON.parse(quiet.stdout) as Job).shellEnded], ['', { reason: 'exit', exitCode: 4 }]);
    const misplaced = await run(['exec', '--require-shell', 'true']);
    assert.deepEqual([misplaced.exitCode, /--require-shell without --session/.test(misplaced.stderr)], [2, true]);
  });

  it('sessions lists them, deletes them', async (t) => {
    const { run, server } = await setUp(t);
    assert.match((await run(['sessions'])).stdout, /^KEY +SHELL +STATUS +USED +JOB +STARTS IN\n$/);
    for (const key of ['one', 'two']) await run(['shell', '-C', '/usr', '-c', 'true', key]);
    assert.match((await run(['sessions'])).stdout, /\none +\w+ +idle +\d+s ago +- +\/usr\ntwo /);
    const listed = JSON.parse((await run(['sessions', '--json'])).stdout) as Session[];
    assert.deepEqual(listed.map(({ sessionKey }) => sessionKey), ['one', 'two']);
    const deleted = await run(['sessions', 'delete', 'one', 'none']);
    assert.equal(deleted.exitCode, 1);
    assert.match(deleted.stderr, /^sidecar: session one is deleted\nsidecar: .*none.*\n$/);
    assert.deepEqual((await server.client.shells.list()).map(({ sessionKey }) => sessionKey), ['two']);
    assert.equal((await run(['sessions', 'delete'])).exitCode, 2);
    assert.equal((await run(['sessions', 'close', 'x'])).exitCode, 2);
  });
});

it('an error of a shell loses the path of the file that it reads, and nothing else does', () => {
  const file = '/st\xe4te: dir/jobs/1m8mkcdwa21kajmm/command';
  for (const [said, shown] of [
    [`${file}: line 2: x: command not found\nmore\n`, 'bash: line 2: x: command not found\nmore\n'],
    [`\xff\n${file}:1: command not found: x\n`, '\xff\nzsh:1: command not found: x\n'],
    [`/state/shells/0/run-1/control: 1: ${file}: x: not found\n`, 'sh: 1: x: not found\n'],
    [`see ${file}\n/other/jobs/x/command: line 1: \n`, `see ${file}\n/other/jobs/x/command: line 1: \n`],
  ] as const) assert.equal(Buffer.from(withoutCommandFile(Buffer.from(said, 'latin1'))).toString('latin1'), shown);
});

describe('sidecar shell at a terminal', { skip: skip || terminalless }, () => {
  it('runs line after line, ends a command at Ctrl-C, and leaves at Ctrl-D with the code of the last', async (t) => {
    const server = await startTestServer(t);
    const { type, shows, ended, before } = await openCliTerminal(t, server, ['shell', 'r']);
    await shows(/session r, a new one; Ctrl-D leaves it[^]*r> /);
    type('cd /usr; x=5\r');
    await shows('r> ');
    type('pwd; echo $x; printf partial\r');
    await shows(/\n\/usr\r\n5\r\npartial\r\n[^\n]*r> /);
    for (const command of ['while :; do sleep 1; done', 'while :; do :; done', 'read line', 'sleep 1000; echo nev""er']) {
      type(`echo sta""rted; ${command}\r`);
      await shows('started\r\n');
      type('\x03');
      await shows(/was cancelled\r\n[^\n]*r> /);
    }
    type('for i in 1 2\r');
    await shows('> ');
    type('do echo n$i; done\r');
    await shows(/n1\r\nn2\r\n[^\n]*r> /);
    type('read line; echo "got $line"; cat\r');
    await until(async () => (await server.client.jobs.list({ limit: 1 }))[0]?.status === 'running', { what: 'it runs' });
    type('first\r');
    await shows('got first');
    type('second\r');
    await shows(/second\r+\nsecond/);
    type('\x04');
    await shows('r> ');
    type('echo unfinished "\r');
    await shows('> ');
    type('\x03');
    await shows(/\^C\r\n[^\n]*r> /);
    type('nonesuch-1\r');
    await shows(/\nbash: line 1: nonesuch-1: command not found\r\n[^\n]*r> /);
    type('echo never-run');
    await shows('never-run');
    type('\x03');
    await shows(/\^C\r\n[^\n]*r> /);
    type('echo $x; (exit 4)\r');
    await shows(/\n5\r\n[^\n]*r> /);
    type('\x04');
    assert.deepEqual(await ended, { exitCode: 4, after: before() });
    assert.equal((await server.client.shells.get('r')).starts, 1);
  });

  it('what is typed ahead is for the command, and what that does not read is the next command, unless Ctrl-C came', async (t) => {
    const server = await startTestServer(t);
    const { type, shows, ended } = await openCliTerminal(t, server, ['shell', 'r']);
    const gate = join(temporaryFolder(t), 'gate');
    await shows('r> ');
    type(`echo sta""rted; read line; until [ -e ${gate} ]; do sleep 0.05; done\r`);
    await shows('started\r\n');
    type('for the command\recho "ah""ead of <$line>"\rfor i in 1 2; do\r');
    await shows('for i in 1 2; do');
    type('echo n$i; done\r');
    await shows(/echo n.i; done\r+\n/);
    writeFileSync(gate, '');
    await shows('ahead of <for the command>\r\n');
    await shows(/n1\r\nn2\r\n[^\n]*r> /);
    type('sh -c \'echo sta""rted; exec sleep 1000\'\r');
    await shows('started\r\n');
    type('echo nev""er\r');
    await shows(/echo nev""er\r+\n/);
    type('\x03');
    await shows(/\r\n[^\n]*r> /);
    type('echo la""st; (exit 3)\r');
    await shows('last\r\n');
    type('exit 4\r');
    const { exitCode } = await ended;
    assert.equal(exitCode, 4);
    assert.equal((await server.client.jobs.list()).filter(({ command }) => command?.includes('nev')).length, 0);
  });

  it('a command that ignores Ctrl-C is ended by the second one, and the third leaves it alone', async (t) => {
    const server = await startTestServer(t);
    const { type, shows, ended } = await openCliTerminal(t, server, ['shell', 'r']);
    await shows('r> ');
    type('bash -c \'trap "echo no" INT; echo rea""dy; while :; do sleep 0.05; done\'\r');
    await shows('ready\r\n');
    type('\x03');
    await shows('no\r\n');
    type('\x03');
    await shows(/ending the command[^]*r> /);
    type('exit 7\r');
    assert.equal((await ended).exitCode, 7);
    assert.equal((await server.client.shells.list()).length, 1);
  });

  it('exits on SIGTERM and SIGHUP, restores the terminal, and ends the running command', async (t) => {
    const server = await startTestServer(t);
    for (const [signal, exitCode] of [['SIGTERM', 143], ['SIGHUP', 129]] as const) {
      const idle = await openCliTerminal(t, server, ['shell', 'r']);
      await idle.shows('r> ');
      assert.match(idle.settings(), / -icanon/);
      process.kill(idle.pid(), signal);
      assert.deepEqual(await idle.ended, { exitCode, after: idle.before() });
      const busy = await openCliTerminal(t, server, ['shell', 'r']);
      await busy.shows('r> ');
      busy.type('echo rea""dy; sleep 1000\r');
      await busy.shows('ready\r\n');
      process.kill(busy.pid(), signal);
      assert.deepEqual(await busy.ended, { exitCode, after: busy.before() });
      await until(async () => !(await server.client.shells.get('r')).activeCommand, { what: 'its command is gone' });
    }
  });

  it('a restart of the server loses nothing', async (t) => {
    const server = await spawnServer(t);
    const { url } = await startUnreliableProxy(t, server);
    const { type, shows, ended } = await openCliTerminal(t, { url, key: server.key }, ['shell', 'r']);
    await shows('r> ');
    type('x=5; echo be""fore; read go; echo af""ter $go\r');
    await shows('before\r\n');
    await server.restart();
    type('on\r');
    await shows(/after on\r\n[^]*r> /);
    type('echo $x; exit\r');
    // Ctrl-D before the prompt would be the end of the command's input.
    await shows(/5\r\n[^]*r> /);
    type('\x04');
    assert.equal((await ended).exitCode, 0);
  });
});

it('isIncomplete() tells whether a command continues on the next line', { skip }, () => {
  const whole = ['', 'echo', 'echo a; echo b', 'for i in 1; do echo; done', 'echo "a\nb"', 'cat <<E\nx\nE', 'echo )', 'echo \\\\', 'if; then', 'cd /tmp'];
  const parts = ['for i in 1 2', 'for i in 1; do', 'if true', 'echo "a', "echo 'a", 'cat <<E\nx', 'f() {', 'echo a &&', 'echo a |', 'echo \\', 'echo $(', '{'];
  assert.deepEqual(whole.filter(isIncomplete), []);
  assert.deepEqual(parts.filter((part) => !isIncomplete(part)), []);
});
