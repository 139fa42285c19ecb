/** What is written to each shell, and whom a job has in one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ShellJob } from '../../../src/shells/dialects/dialect.ts';
import { quote } from '../../../src/base/text/shell-word.ts';
import { posix } from '../../../src/shells/dialects/posix.ts';
import { pwsh } from '../../../src/shells/dialects/powershell.ts';
import { ofCommand } from '../../../src/shells/command-processes.ts';

const job: ShellJob = { id: 'j1', directory: '/s/jobs/j1', stdin: 'fifo', shell: '/s/shells/k/run-1', claim: '7 99 #ab' };

test('bash is told of a job at its top level, with the control hidden from what it runs', () => {
  const { bash } = posix;
  assert.deepEqual(bash.argv('/bin/bash', '/c'), ['/bin/bash', '--norc', '--noprofile', '-O', 'expand_aliases', '/c']);
  assert.equal(bash.begin('/c', '/e'), `exec 99<>'/c' >/dev/null 2>&1; builtin . '/e'`);
  assert.equal(bash.exports?.({ TMOUT: '2', PS4: 'it\'s' }), `builtin export 'TMOUT=2'\nbuiltin export 'PS4=it'\\''s'\n`);
  assert.equal(bash.source('/s/it\'s'), `builtin . '/s/it'\\''s'\nbuiltin eval "\${__sidecar_end-}"`);
  const lines = bash.run(job).replaceAll(`'\\''`, `'`).split('\n');
  const order = [
    `exec {__sidecar_hold}<>'/s/jobs/j1/stdin' {__sidecar_in}<'/s/jobs/j1/stdin' {__sidecar_hold}>&-`,
    `builtin trap 'builtin eval "$__sidecar_stop"' URG`,
    `builtin echo '7 99 #ab' >>'/s/jobs/j1/process'`,
    `IFS= builtin read -r __sidecar_line <'/s/jobs/j1/process'`,
    `if builtin [ "$__sidecar_line" = '7 99 #ab' ]; then`,
    `builtin export SIDECAR_JOB_ID='j1'`,
    `if builtin [ "$__sidecar_on" ]; then`,
    `builtin . '/s/jobs/j1/command' <&$__sidecar_in- >>'/s/jobs/j1/stdout' 2>>'/s/jobs/j1/stderr' 99>&-`,
    `__sidecar=$?`,
    'builtin eval "$__sidecar_end"',
    'fi',
  ];
  const end = [
    `__sidecar_end='__sidecar_end=`,
    `builtin [ "$__sidecar_on" ] || __sidecar=$__sidecar_code`,
    `exec {__sidecar_in}<&-`,
    `{ builtin [ -d '/s/jobs/j1' ] && ! builtin [ -h '/s/jobs/j1' ] &&`,
    `{ { ${['-f', '! -h', '! -s'].map((is) => `${is.replace(/(! )?(-.)/, '$1builtin [ $2')} '/s/jobs/j1/exit' ]`).join(' && ')}; } || /bin/rm -rf -- '/s/jobs/j1/exit'; } &&`,
    `builtin echo "$__sidecar" >>'/s/jobs/j1/exit'; } ||`,
  ];
  for (const part of [order, end]) {
    let from = 0;
    for (const line of part) {
      const at = lines.indexOf(line, from);
      assert.notEqual(at, -1, line);
      from = at + 1;
    }
  }
  assert.equal(bash.interrupt, 'SIGURG');
});

test('sh keeps an error of a special built-in from ending it', () => {
  const { sh } = posix;
  assert.deepEqual(sh.argv('/bin/sh', '/c'), ['/bin/sh', '/c']);
  assert.equal(sh.begin('/c', '/e'), `exec 9<>'/c' >/dev/null 2>&1; command . '/e'`);
  assert.match(sh.run(job), /^\{\n[^]*\ncommand echo [^]*\n\} <>'\/s\/jobs\/j1\/stdin' <'\/s\/jobs\/j1\/stdin'\n$/);
  assert.match(sh.run({ ...job, stdin: 'null' }), /^command \. '\\''\/s\/jobs\/j1\/command'\\'' <\/dev\/null >>'\\''\/s\/jobs\/j1\/stdout'\\'' 2>>\S+ 9>&-$/m);
});

test('zsh opens stdin ahead, as it would read two redirections one after the other', () => {
  const { zsh } = posix;
  assert.deepEqual(zsh.argv('/bin/zsh', '/c'), ['/bin/zsh', '-f', '-o', 'aliases', '/c']);
  assert.match(zsh.run(job), /^exec \{__sidecar_hold\}<>'\S+' \{__sidecar_in\}<'\S+' \{__sidecar_hold\}>&-$/m);
  assert.match(zsh.run({ ...job, stdin: 'file' }), /^builtin \. '\S+' <'\/s\/jobs\/j1\/stdin' >>/m);
});

test('the bootstrap goes first, into stderr, and its failure is told', () => {
  for (const dialect of Object.values(posix)) {
    const lines = dialect.run({ ...job, bootstrap: '/s/boot' }).split('\n');
    const bootstrap = lines.findIndex((line) => /\. '\S*\/s\/boot\S+ <\/dev\/null >>\S+\/s\/jobs\/j1\/stderr\S+ 2>&1/.test(line));
    const command = lines.findIndex((line) => /\. '\S*\/s\/jobs\/j1\/command/.test(line));
    assert.ok(bootstrap > 0 && command > bootstrap);
    assert.match(lines[bootstrap + 2] ?? '', /"sidecar: the bootstrap command of this session failed with exit code \$__sidecar"/);
  }
});

test('pwsh reads the paths of run files, and gives each command its own stdin', () => {
  const argv = pwsh.argv('/usr/bin/pwsh', '/it\'s/c');
  assert.deepEqual(argv.slice(0, -1), ['/usr/bin/pwsh', '-NoLogo', '-NoProfile', '-NonInteractive', '-Command']);
  assert.match(argv.at(-1) ?? '', /FileStream\]::new\('\/it''s\/c', /);
  assert.equal(pwsh.begin('/c', '/e'), '');
  assert.equal(pwsh.source('/s/run-1'), '/s/run-1');
  const lines = pwsh.run({ ...job, directory: '/it\'s', bootstrap: '/s/boot' }).split('\n');
  assert.equal(lines[0], `[SidecarNative.Fd]::Stdin('/it''s/stdin')`);
  assert.equal(lines[1], `[System.IO.File]::AppendAllText('/it''s/process', '7 99 #ab' + "\`n")`);
  const at = (part: string): number => lines.findIndex((line) => line.includes(part));
  const order = [`-ceq '7 99 #ab'`, `ReadAllText('/s/boot')`, 'the bootstrap command of this session failed', `ReadAllText('/it''s/command')`, `AppendAllText('/it''s/exit'`, `Stdin('/dev/null')`];
  assert.deepEqual(order.map(at), order.map(at).toSorted((a, b) => a - b));
  assert.ok(!order.map(at).includes(-1));
  assert.match(pwsh.run({ ...job, stdin: 'null' }), /^\[SidecarNative\.Fd\]::Stdin\('\/dev\/null'\)\n/);
});

test('quote() is one word for each of them, whatever is in it', () => {
  assert.equal(quote(`it's $HOME \`x\` "y" \\ \n`), `'it'\\''s $HOME \`x\` "y" \\ \n'`);
});

test('ofCommand() takes what carries the mark of the job, and what was started below it or the shell without a mark', () => {
  const one = (pid: number, parentPid: number, mark: string | undefined, startTime = '50'): Parameters<typeof ofCommand>[0][number] =>
    ({ stat: { pid, parentPid, groupId: 10, sessionId: 10, terminal: 0, startTime, isKernel: false, state: 'S' }, mark });
  const all = [
    one(10, 1, 'shell-x-1', '5'),
    one(11, 10, 'j1'), one(12, 11, 'j1'), one(13, 1, 'j1'),
    one(14, 10, 'shell-x-1', '60'), one(15, 14, 'shell-x-1', '61'),
    // In the background since an earlier job.
    one(16, 10, 'shell-x-1', '40'), one(17, 10, 'j0'), one(18, 16, 'j0', '60'),
    one(23, 16, 'shell-x-1', '60'), one(24, 17, undefined, '60'), one(25, 10, undefined, '40'),
    // Started without an environment.
    one(26, 10, undefined, '60'), one(27, 12, undefined, '60'), one(28, 27, undefined, '60'),
    one(19, 1, undefined), one(20, 1, 'shell-x-1', '60'),
    // Read one after the other, with pids used again in between.
    one(21, 22, 'shell-x-1', '60'), one(22, 21, 'shell-x-1', '60'),
  ];
  const found = ofCommand(all, { jobId: 'j1', shell: { pid: 10, startTime: '5' }, shellMark: 'shell-x-1', startedAtTicks: 50 });
  assert.deepEqual(found.map(({ pid }) => pid), [11, 12, 13, 14, 15, 26, 27, 28]);
});
