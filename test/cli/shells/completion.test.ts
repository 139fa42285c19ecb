/** Completion in `sidecar shell`, by real shells. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { completionScript, completionsOf, wordAt } from '../../../src/cli/shells/completion.ts';
import { startTestServer, temporaryFolder } from '../../support/server.ts';
import { terminalless } from '../../support/terminal.ts';
import { openCliTerminal } from '../../support/cli-terminal.ts';
import { startHoldingProxy } from '../../support/holding-proxy.ts';

const shells = ['bash', 'sh', 'zsh'].filter((shell) => existsSync(`/bin/${shell}`) || existsSync(`/usr/bin/${shell}`));

for (const shell of shells) {
  test(`${shell}: completes files and commands with any characters in their names`, { skip: process.platform === 'win32' }, (t) => {
    const folder = temporaryFolder(t);
    for (const name of ['my file', "it's", 'plain.txt', '$HOME', 'a"b', '.hidden', '-dash', 'grün', 'new\nline', 'star*']) writeFileSync(join(folder, name), '');
    for (const name of ['my dir', 'deep']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'my dir', 'inner one'), '');
    const complete = (line: string): string[] => {
      const word = wordAt(line);
      return completionsOf(word, execFileSync(shell, ['-c', completionScript(word)], { cwd: folder, encoding: 'utf8', env: { PATH: '/usr/bin:/bin', HOME: folder, D: folder } }));
    };
    const cases: readonly (readonly [line: string, found: string[]])[] = [
      ['ls my', ['my\\ dir/', 'my\\ file ']], ['ls my\\ f', ['my\\ file ']], ['ls "my f', ['"my file" ']], ["ls 'my d", ["'my dir/"]],
      ["cat it", ["it\\'s "]], ['cat "it', ['"it\'s" ']], ["cat 'it", ["'it'\\''s' "]], ['cat \\$', ['\\$HOME ']], ["cat '$H", ["'$HOME' "]], ['cat a', ['a\\"b ']],
      ['cat .h', ['.hidden ']], ['cat -d', ['-dash ']], ['cat gr', ['grün ']], ['cat st', ['star\\* ']], ['cat new', []],
      ['cat ./pl', ['./plain.txt ']], ['cat my\\ dir/', ['my\\ dir/inner\\ one ']], ['cat "my dir/in', ['"my dir/inner one" ']], ['cat my\\ dir/"in', ['my\\ dir/"inner one" ']],
      ['cat ~/pl', ['~/plain.txt ']], ['cat ~/my\\ dir/i', ['~/my\\ dir/inner\\ one ']], ['cat $D/pl', ['$D/plain.txt ']], ['cat "${D}/my dir/i', ['"${D}/my dir/inner one" ']],
      ['cat "$(touch made)/', []], ['cat `touch made`/x', []], ['cat nothing-like-it', []], ['cat x;cat pl', ['plain.txt ']], ['echo a >pl', ['plain.txt ']], ['./de', ['./deep/']],
    ];
    for (const [line, found] of cases) assert.deepEqual(complete(line), found, line);
    assert.ok(complete('mkfif').includes('mkfifo '));
    assert.ok(complete('ls | mkfif').includes('mkfifo '));
    assert.deepEqual(complete('ls mkfif'), []);
    assert.ok(!existsSync(join(folder, 'made')));
  });
}

test('bash: functions and words of the shell are commands as well', { skip: !shells.includes('bash') }, () => {
  const word = wordAt('my_fun');
  const script = `my_function() { :; }\n${completionScript(word)}`;
  assert.deepEqual(completionsOf(word, execFileSync('bash', ['-c', script], { encoding: 'utf8' })), ['my_function ']);
});

test('Tab completes in the directory of the session, and leaves no job and no state', { skip: terminalless }, async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'only one here'), 'its content\n');
  const { type, shows, ended } = await openCliTerminal(t, server, ['shell', 'r']);
  await shows('r> ');
  type(`cd '${folder}'; helper() { echo he""lped; }\r`);
  await shows(/\n[^\n]*r> /);
  type('cat on\t');
  await shows('cat only\\ one\\ here ');
  type('\r');
  await shows('its content\r\n');
  await shows('r> ');
  type('helpe');
  await shows('helpe');
  type('r\t\r');
  await shows('helped\r\n');
  type('exit\r');
  await ended;
  const commands = (await server.client.jobs.list()).map(({ command }) => command);
  assert.deepEqual(commands.filter((command) => command?.includes('compgen') || command?.includes('for f in')), []);
});

test('the job of a completion is gone, also where the server has not heard yet that it may go', { skip: terminalless }, async (t) => {
  const server = await startTestServer(t);
  const proxy = await startHoldingProxy(t, server, /\/cancel$/);
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'only one here'), '');
  const { type, shows, ended } = await openCliTerminal(t, proxy, ['shell', '-C', folder, 'r']);
  await shows('r> ');
  type('cat on\t');
  await shows('cat only\\ one\\ here ');
  await proxy.holds;
  type('\x03exit\r');
  await shows(/exit\r+\n/);
  proxy.passOn();
  await ended;
  assert.deepEqual(await server.client.jobs.list(), []);
});
