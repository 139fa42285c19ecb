/** `sidecar terminal`, `attach` and `terminals` against real servers, at real terminals. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import type { Terminal } from '../../../src/client/client.ts';
import { DetachKeys } from '../../../src/cli/terminals/detach-keys.ts';
import { withoutQueries } from '../../../src/cli/terminals/terminal-queries.ts';
import { ScreenState } from '../../../src/terminals/holder/screen-state.ts';
import { startUnreliableProxy } from '../../support/unreliable-proxy.ts';
import { type InProcessServer, key, spawnServer, startTestServer, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { release, spawnWrapper } from '../../support/wrapper.ts';
import { plainShell, terminalless, without } from '../../support/terminal.ts';
import { programOf } from '../../support/cli.ts';
import { type CliTerminal, openCliTerminal } from '../../support/cli-terminal.ts';

const raw = /-opost [^]*-isig -icanon [^]*-echo /;

async function statusOf({ client }: Pick<InProcessServer, 'client'>, id: string): Promise<string> {
  return (await client.terminals.get(id as Terminal['terminalId'])).status;
}

async function setUp(t: TestContext): Promise<{ server: InProcessServer; run: ReturnType<typeof programOf>; id: Terminal['terminalId'] }> {
  const server = await startTestServer(t);
  const { terminalId: id } = await server.client.terminals.start({ ...plainShell, name: 'mine' });
  return { server, run: programOf(t, server), id };
}

/** Attached, and in raw mode. */
async function attached(t: TestContext, server: { readonly url: string; readonly key: string }, words: readonly string[]): Promise<CliTerminal> {
  const typist = await openCliTerminal(t, server, ['attach', ...words]);
  await typist.shows(/terminal \w+; \S+ .*detaches\r\n[^]*\$ /);
  assert.match(typist.settings(), raw);
  assert.doesNotMatch(typist.before(), / -icanon/);
  return typist;
}

describe('sidecar terminals', { skip: terminalless }, () => {
  it('lists them, closes them, by id, name, or last', async (t) => {
    const { server, run, id } = await setUp(t);
    const detached = await run(['terminal', '-d', '--name', 'two', '-C', '/usr', '-e', 'A=b c', '--', 'sh', '-c', 'echo "$1 $A $PWD"; exec cat', 'sh', "it's"]);
    const two = detached.stdout.trim() as Terminal['terminalId'];
    assert.equal(detached.exitCode, 0, detached.stderr);
    await until(async () => (await server.client.terminals.screen(two)).includes("it's b c /usr"), { what: 'it shows its arguments' });
    // To read its screen is to be attached for a moment.
    await until(async () => (await server.client.terminals.get(two)).attached === 0, { what: 'nothing is attached' });
    const { stdout } = await run(['terminals']);
    assert.match(stdout, /^ID +STATUS +EXIT +SIZE +ATTACHED +ACTIVE +NAME OR COMMAND\n\w+ +running +- +80x24 +0 +\d+s ago +two\n\w+ +running .* mine\n$/);
    const listed = JSON.parse((await run(['terminals', '--json'])).stdout) as Terminal[];
    assert.deepEqual(listed.map(({ terminalId }) => terminalId), [two, id]);
    assert.match((await run(['terminals', 'close', 'two', id])).stderr, new RegExp(`^sidecar: terminal ${two} is closed\nsidecar: terminal ${id} is closed\n$`));
    assert.deepEqual(await server.client.terminals.list(), []);
    assert.equal((await run(['terminals', 'close', 'two'])).exitCode, 1);
    assert.equal((await run(['terminals', 'close', 'last'])).exitCode, 1);
    assert.equal((await run(['terminals', 'open', 'x'])).exitCode, 2);
  });

  it('commands that need a terminal fail without one; --readonly works in a pipe', async (t) => {
    const { server, run } = await setUp(t);
    for (const words of [['terminal'], ['attach', 'mine']]) {
      const { exitCode, stdout, stderr } = await run(words);
      assert.deepEqual([exitCode, stdout], [1, '']);
      assert.match(stderr, /^sidecar: Cannot attach: stdin is not a terminal\n +To /);
    }
    const { terminalId } = await server.client.terminals.start({ command: 'read go; echo done; exit 5' });
    const looking = run(['attach', '--readonly', terminalId]);
    await until(async () => (await server.client.terminals.get(terminalId)).attached === 1, { what: 'it is attached' });
    await server.client.terminals.input(terminalId, 'go\r');
    const { exitCode, stdout, stderr } = await looking;
    assert.deepEqual([exitCode, stdout, stderr], [5, 'go\r\ndone\r\n', '']);
    assert.equal((await run(['attach', '-r', 'nobody'])).exitCode, 1);
    assert.equal((await run(['attach', '-r', '--detach-keys', 'escape', 'mine'])).exitCode, 2);
  });
});

describe('sidecar terminal and attach at a terminal', { skip: terminalless }, () => {
  it('opens one as large as the window, types, resizes, detaches and comes back, and exits as the program does', async (t) => {
    const { server } = await setUp(t);
    const one = await openCliTerminal(t, server, ['terminal', '--name', 'work', '--', 'env', 'PS1=$ ', 'bash', '--norc', '--noprofile']);
    await one.shows(/terminal \w+; Ctrl-\] detaches\r\n[^]*\$ /);
    one.type('stty size\r');
    await one.shows('30 100\r\n');
    one.resize(120, 40);
    const hasSize = (wanted: string): Promise<unknown> => until(async () => {
      const [terminal] = await server.client.terminals.list();
      return `${terminal?.cols}x${terminal?.rows}` === wanted;
    }, { what: 'it has the size of the window' });
    await hasSize('120x40');
    // One program: bash passes on no Ctrl-C that comes before the next one has the terminal.
    one.type('x=5; sh -c \'echo sl""eeping; exec sleep 1000\'\r');
    await one.shows('sleeping\r\n');
    one.type('\x03');
    await one.shows(/\^C[^]*\$ /);
    one.type('\x1d');
    await one.shows(/left terminal \w+, which stays; "sidecar attach \w+" comes back\r\n/);
    assert.equal((await one.ended).exitCode, 0);
    const two = await openCliTerminal(t, server, ['attach', '--detach-keys', 'ctrl-p,ctrl-q', 'work']);
    await two.shows(/Ctrl-P Ctrl-Q detaches\r\n[^]*stty size[^]*30 100\r\n[^]*sleeping[^]*\$ /);
    await hasSize('100x30');
    two.type('stty size; echo x=$x; exit 9\r');
    await two.shows(/30 100\r\nx=5\r\n/);
    assert.deepEqual(await two.ended, { exitCode: 9, after: two.before() });
  });

  it('the local terminal is restored, however the command ends', async (t) => {
    const { server, id } = await setUp(t);
    const ends: readonly (readonly [what: string, end: (typist: CliTerminal) => void, exitCode: number])[] = [
      ['the keys', ({ type }) => type('\x1d'), 0],
      ['SIGTERM', ({ pid }) => process.kill(pid(), 'SIGTERM'), 143],
      ['SIGHUP', ({ pid }) => process.kill(pid(), 'SIGHUP'), 129],
      ['SIGINT', ({ pid }) => process.kill(pid(), 'SIGINT'), 130],
      ['SIGQUIT', ({ pid }) => process.kill(pid(), 'SIGQUIT'), 131],
    ];
    for (const [what, end, exitCode] of ends) {
      const typist = await attached(t, server, ['mine']);
      end(typist);
      assert.deepEqual([what, await typist.ended], [what, { exitCode, after: typist.before() }]);
      assert.equal(await statusOf(server, id), 'running');
    }
    const closed = await attached(t, server, ['mine']);
    await server.client.terminals.close(id);
    const { exitCode, after } = await closed.ended;
    // By SIGHUP, or where that took too long by SIGKILL.
    assert.ok(exitCode === 129 || exitCode === 137, String(exitCode));
    assert.equal(after, closed.before());
    assert.match(closed.text(), /was closed\r\n$/);
    const missing = await openCliTerminal(t, server, ['attach', 'mine']);
    assert.deepEqual(await missing.ended, { exitCode: 1, after: missing.before() });
  });

  it('leaves the screen of a program in the middle of it as it was before', { skip: without('less') }, async (t) => {
    const { server } = await setUp(t);
    const one = await openCliTerminal(t, server, ['terminal', '--', 'seq 1 1000 | less']);
    await one.shows('\x1b[?1049h');
    await one.shows(':');
    one.type('\x1d');
    await one.shows('\x1b[?1049l');
    assert.deepEqual(await one.ended, { exitCode: 0, after: one.before() });
  });

  it('--readonly only shows output, and Ctrl-C leaves', async (t) => {
    const { server, id } = await setUp(t);
    const one = await attached(t, server, ['-r', 'mine']);
    one.type('echo never\r');
    await server.client.terminals.input(id, 'stty size; echo se""en\r');
    await one.shows(/24 80\r\nseen/);
    one.type('\x03');
    assert.deepEqual(await one.ended, { exitCode: 0, after: one.before() });
    assert.doesNotMatch(await server.client.terminals.screen(id), /never/);
  });

  it('a killed and restarted server loses no output, and the restart is reported', async (t) => {
    const server = await spawnServer(t);
    const { url } = await startUnreliableProxy(t, server);
    await server.client.terminals.start({ ...plainShell, name: 'mine' });
    const one = await attached(t, { url, key }, ['mine']);
    one.type('x=5; echo be""fore\r');
    await one.shows('before\r\n');
    await server.kill9();
    await one.shows(/\[sidecar: lost the server; .*\]\r\n/);
    await server.restart();
    await one.shows('[sidecar: found the server again]\r\n');
    one.type('echo x=$x; exit 4\r');
    await one.shows('x=5\r\n');
    assert.deepEqual(await one.ended, { exitCode: 4, after: one.before() });
    assert.equal(one.text().match(/before/g)?.length, 1);
  });

  it('no byte is lost or doubled, shown or typed, while the server is updated', async (t) => {
    const source = join(temporaryFolder(t), 'release.tgz');
    writeFileSync(source, release('1.0.0'));
    const server = await spawnWrapper(t, { flags: { 'update-source': source, 'update-probation': '1' } });
    await server.client.terminals.start({ name: 'mine', command: 'stty raw -echo; printf "$ "; while read line; do printf "<%s>\\n" "$line"; [ "$line" = end ] && exit 3; done' });
    const one = await attached(t, { url: server.url, key }, ['mine']);
    let isUpdated = false;
    let typed = 0;
    const typing = (async () => {
      while (!isUpdated || typed < 50) {
        one.type(`${typed}\n`);
        typed += 1;
        // Some are always on their way.
        await until(() => one.text().includes(`<${typed - 20}>`) || typed < 20, { what: `it shows ${typed - 20}` });
      }
      one.type('end\n');
    })();
    for (const version of ['1.0.0', '1.0.1']) {
      writeFileSync(source, release(version));
      await server.client.updates.begin();
      await server.client.updates.wait(version, { untilProven: true });
    }
    isUpdated = true;
    await typing;
    assert.deepEqual(await one.ended, { exitCode: 3, after: one.before() });
    const shown = [...one.text().matchAll(/<(\w+)>/g)].map(([, word]) => word);
    assert.deepEqual(shown, [...Array.from({ length: typed }, (_, index) => String(index)), 'end']);
    assert.doesNotMatch(one.text(), /lost the server/);
  });
});

describe('DetachKeys', () => {
  const took = (keys: DetachKeys, text: string): [string, boolean] => {
    const { bytes, isDetached } = keys.take(Buffer.from(text));
    return [bytes.toString(), isDetached];
  };

  it('finds the key in what is typed, in every way that terminals send it', () => {
    for (const sent of ['\x1d', '\x1b[93;5u', '\x1b[27;5;93~']) {
      assert.deepEqual(took(new DetachKeys('ctrl-]'), `ab${sent}cd`), ['ab', true]);
    }
    assert.deepEqual(took(new DetachKeys('ctrl-]'), ']\x1b[93u'), [']\x1b[93u', false]);
    assert.deepEqual(took(new DetachKeys('~'), 'a~'), ['a', true]);
  });

  it('holds back the first keys of a sequence, and passes them on when the rest does not follow', () => {
    const keys = new DetachKeys('ctrl-p,ctrl-q');
    assert.deepEqual(took(keys, 'a\x10'), ['a', false]);
    assert.deepEqual(took(keys, 'b'), ['\x10b', false]);
    assert.deepEqual(took(keys, '\x10'), ['', false]);
    assert.deepEqual(took(keys, '\x11'), ['', true]);
    assert.equal(keys.shown, 'Ctrl-P Ctrl-Q');
  });

  it('refuses invalid keys', () => {
    for (const text of ['', 'ctrl-', 'escape', 'ctrl-1', 'ctrl-a,', 'é']) assert.throws(() => new DetachKeys(text), { name: 'UsageError' }, text);
  });
});

describe('the state that is left in a terminal', () => {
  const undone = (...pieces: string[]): string => {
    const modes = new ScreenState();
    for (const piece of pieces) modes.feed(Buffer.from(piece, 'latin1'));
    return modes.undo();
  };

  it('undoes what is still done, the other screen last', () => {
    assert.equal(undone('text \x1b[1m', '\x1b[?2004h\x1b[?2004l\x1b[m'), '');
    assert.equal(undone('\x1b[1m\x1b(0\x1b]11;red\x07\x1b[?2026h'), '\x1b(B\x1b]111\x07\x1b[m\x1b[?2026l');
    assert.equal(undone('\x1b[?1049h\x1b[?1h\x1b=\x1b[?1000;1006h\x1b[?25l\x1b[1;20r'),
      '\x1b7\x1b[r\x1b8\x1b>\x1b[?1l\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[?25h');
    assert.equal(undone('\x1b[?1049', 'h'), '\x1b[?1049l');
    assert.equal(undone('\x1b[?25l\x1b[>1u\x1b[>5u\x1b[<u\x1b[>4;2m\x1b[6 q'), '\x1b[>4m\x1b[<1u\x1b[0 q\x1b[?25h');
    assert.equal(undone('\x1b[?1049h\x1b[6 q', '\x1bc'), '');
  });

  it('removes queries that the terminal would answer', () => {
    const text = (bytes: string): string => Buffer.from(withoutQueries(Buffer.from(bytes, 'latin1'))).toString('latin1');
    assert.equal(text('a\x1b[cb\x1b[6nc\x1b[>0qd\x1b]11;?\x07e\x1b[?ux\x1bP+q544e\x1b\\y\x1b[?2026$pz'), 'abcdexyz');
    const drawn = '\x1b[31mred\x1b[2;5H\x1b]0;title\x07\x1b[?25l\x1b[5C\xe4';
    assert.equal(text(drawn), drawn);
  });
});
