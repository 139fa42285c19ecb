/** `sidecar exec -t`, `-i` and `-it` against real servers, at real terminals and in pipes. */
import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { startTestServer } from '../../support/server.ts';
import { terminalless, without } from '../../support/terminal.ts';
import { programOf } from '../../support/cli.ts';
import { openCliTerminal } from '../../support/cli-terminal.ts';

const raw = /-opost [^]*-isig -icanon [^]*-echo /;

describe('sidecar exec -t', { skip: terminalless }, () => {
  it('gives the job the window, its size and every key, and exits as the job does', async (t) => {
    const server = await startTestServer(t);
    const one = await openCliTerminal(t, server, ['exec', '-it', '--', 'env', 'PS1=$ ', 'bash', '--norc', '--noprofile', '-i']);
    await one.shows('$ ');
    assert.match(one.settings(), raw);
    one.type('stty size\r');
    await one.shows('30 100\r\n');
    one.resize(120, 40);
    one.type('while [ "$(stty size)" != "40 120" ]; do :; done; echo re""sized\r');
    await one.shows('resized\r\n');
    // One program, in the foreground before it says so: bash itself must not get the interrupt while it starts another.
    one.type('sh -c \'echo sl""eeping; exec sleep 1000\'\r');
    await one.shows('sleeping\r\n');
    one.type('\x03');
    await one.shows(/\^C[^]*\$ /);
    one.resize(100, 30);
    one.type('while [ "$(stty size)" != "30 100" ]; do :; done; echo "é$((20+2))"; exit 9\r');
    await one.shows(Buffer.from('é22').toString('latin1'));
    assert.deepEqual(await one.ended, { exitCode: 9, after: one.before() });
  });

  it('leaves the job at the detach keys, and the screen as it was before', { skip: without('less') }, async (t) => {
    const server = await startTestServer(t);
    const one = await openCliTerminal(t, server, ['exec', '-t', '--detach-keys', 'ctrl-p,ctrl-q', 'seq 1 1000 | less']);
    await one.shows('\x1b[?1049h');
    await one.shows(':');
    one.type('\x10\x11');
    await one.shows('\x1b[?1049l');
    await one.shows(/left job \w+, which continues/);
    assert.deepEqual(await one.ended, { exitCode: 0, after: one.before() });
    const [job] = await server.client.jobs.list();
    assert.equal(job?.status, 'running');
  });

  it('restores the terminal where the job is killed, and where the program is', async (t) => {
    const server = await startTestServer(t);
    const killed = await openCliTerminal(t, server, ['exec', '-t', 'printf "\\033[?1049h\\033[?25l"; echo rea""dy; kill -9 $$']);
    await killed.shows(/ready[^]*\x1b\[\?1049l[^]*\x1b\[\?25h/);
    assert.deepEqual(await killed.ended, { exitCode: 137, after: killed.before() });
    const ended = await openCliTerminal(t, server, ['exec', '-t', 'echo rea""dy; sleep 1000']);
    await ended.shows('ready');
    process.kill(ended.pid(), 'SIGTERM');
    const { after } = await ended.ended;
    assert.equal(after, ended.before());
  });

  it('forwards a pipe to its end', async (t) => {
    const { run, server } = await setUp(t);
    const { stdout, exitCode } = await run(['exec', '-t', 'stty -echo; echo ready; cat; tty -s; exit 5'], { stdin: 'a line\nhalf of one' });
    assert.equal(exitCode, 5);
    assert.match(stdout.replaceAll('\r', ''), /ready\n[^]*half of one$/);
    assert.deepEqual((await server.client.jobs.list())[0]?.tty, { cols: 80, rows: 24 });
  });
});

describe('sidecar exec -i', () => {
  it('forwards stdin to its end, and refuses contradicting flags', async (t) => {
    const { run } = await setUp(t);
    assert.equal((await run(['exec', '-i', 'cat; echo end'], { stdin: 'given\n' })).stdout, 'given\nend\n');
    for (const words of [['-i', '-n', 'cat'], ['-i', '-d', 'cat'], ['-t', '90', 'make']]) {
      const { exitCode, stderr } = await run(['exec', ...words]);
      assert.equal(exitCode, 2, words.join(' '));
      assert.match(stderr, /^sidecar: Cannot /);
    }
    assert.match((await run(['exec', '-t', '90', 'make'])).stderr, /write --timeout 90/);
  });
});

async function setUp(t: TestContext): Promise<{ server: Awaited<ReturnType<typeof startTestServer>>; run: ReturnType<typeof programOf> }> {
  const server = await startTestServer(t);
  return { server, run: programOf(t, server) };
}
