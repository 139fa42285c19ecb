/** `sidecar.terminals` against real servers: nothing is lost or doubled, whatever happens to the connection. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { type TestContext, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AttachOptions, type Attachment, ProblemError, Sidecar, type TerminalId } from '../../src/client/client.ts';
import { rejectsWith } from '../support/errors.ts';
import { atEnd, spawnServer, startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { plainShell, terminalless } from '../support/terminal.ts';
import { startUnreliableProxy } from '../support/unreliable-proxy.ts';

const patient = { attempts: 3, firstDelayMs: 5, maxDelayMs: 50 };

function problem(code: string, message = /./): (error: unknown) => boolean {
  return (error) => error instanceof ProblemError && error.code === code && message.test(error.message);
}

interface Watched {
  readonly attachment: Attachment;
  readonly text: () => string;
  readonly shows: (what: string | RegExp) => Promise<string>;
}

async function watch(t: TestContext, sidecar: Sidecar, id: TerminalId, options: AttachOptions = {}): Promise<Watched> {
  const pieces: Uint8Array[] = [];
  const text = (): string => Buffer.concat(pieces).toString();
  const attachment = await sidecar.terminals.attach(id, { onOutput: (bytes) => void pieces.push(bytes), ...options });
  atEnd(t, () => attachment.leave());
  const shows: Watched['shows'] = async (what) => {
    await until(() => (typeof what === 'string' ? text().includes(what) : what.test(text())), { what: `it shows ${what}` })
      .catch((error: Error) => { throw new Error(`${error.message}; it shows ${JSON.stringify(text().slice(-1000))}`); });
    return text();
  };
  return { attachment, text, shows };
}

describe('Terminals', { skip: terminalless }, () => {
  it('start(), list(), get(), input(), screen(), resize() and close() do as they say', async (t) => {
    const { client } = await startTestServer(t);
    const terminal = await client.terminals.start({ ...plainShell, cols: 100, rows: 30, name: 'mine', workdir: '/' });
    const { terminalId: id } = terminal;
    assert.deepEqual([terminal.status, terminal.name, terminal.cols, terminal.rows, terminal.workdir], ['running', 'mine', 100, 30, '/']);
    assert.deepEqual((await client.terminals.list()).map(({ terminalId }) => terminalId), [id]);
    await client.terminals.resize(id, { cols: 66, rows: 22 });
    await client.terminals.input(id, 'stty size; echo do""ne\r');
    await until(async () => /22 66\ndone/.test(await client.terminals.screen(id)), { what: 'it shows its size' });
    assert.equal((await client.terminals.get(id)).cols, 66);
    await client.terminals.close(id);
    await rejectsWith(client.terminals.get(id), { type: ProblemError, code: 'terminal_not_found' });
    await rejectsWith(client.terminals.close(id), { type: ProblemError, code: 'terminal_not_found' });
    await rejectsWith(client.terminals.attach(id), { type: ProblemError, code: 'terminal_not_found' });
  });

  it('attach() types, resizes, and tells how it ended', async (t) => {
    const { client } = await startTestServer(t);
    const { terminalId: id } = await client.terminals.start(plainShell);
    const { attachment, shows } = await watch(t, client, id, { cols: 120, rows: 40 });
    const hasSize = (cols: number): Promise<unknown> =>
      until(async () => (await client.terminals.get(id)).cols === cols, { what: `it has ${cols} columns` });
    await hasSize(120);
    await attachment.input('stty size\r');
    await shows('40 120\r\n');
    attachment.resize({ cols: 70, rows: 20 });
    await hasSize(70);
    await attachment.input('stty size\r');
    await shows('20 70\r\n');
    await attachment.input('exit 9\r');
    assert.deepEqual(await attachment.ended, { exitCode: 9, reason: 'exit' });
    await rejectsWith(attachment.input('x'), { type: ProblemError, code: 'terminal_ended' });
    const late = await watch(t, client, id);
    assert.deepEqual(await late.attachment.ended, { exitCode: 9, reason: 'exit' });
    assert.match(late.text(), /20 70\r\n/);
  });

  it('who only looks cannot type, leaving ends nothing, a signal ends the wait', async (t) => {
    const { client } = await startTestServer(t);
    const { terminalId: id } = await client.terminals.start(plainShell);
    const one = await watch(t, client, id);
    const onlooker = await watch(t, client, id, { readonly: true, cols: 5, rows: 5 });
    await rejectsWith(onlooker.attachment.input('x'), { type: ProblemError, code: 'invalid_request' });
    await one.attachment.input('stty size; echo se""en\r');
    await onlooker.shows('24 80\r\nseen');
    one.attachment.leave();
    assert.equal(await one.attachment.ended, undefined);
    await assert.rejects(one.attachment.input('x'), { name: 'AbortError' });
    const controller = new AbortController();
    const other = await watch(t, client, id, { signal: controller.signal, after: one.attachment.offset });
    controller.abort(new Error('enough'));
    await assert.rejects(other.attachment.ended, /enough/);
    await assert.rejects(client.terminals.attach(id, { signal: AbortSignal.abort(new Error('never')) }), /never/);
    assert.equal((await client.terminals.get(id)).status, 'running');
  });

  it('output comes once and whole, however often the connection breaks, at whatever byte', async (t) => {
    const server = await startTestServer(t, { flags: { 'terminal-scrollback': String(8 * 2 ** 20) } });
    const { url, limit } = await startUnreliableProxy(t, server);
    const sidecar = new Sidecar({ url, key: server.key, retry: patient });
    const { terminalId: id } = await sidecar.terminals.start({ command: 'stty -opost -echo; echo ready; read go; seq 1 100000; exit 3' });
    let losses = 0;
    const { attachment, text, shows } = await watch(t, sidecar, id, { onLost: () => { losses += 1; limit(20_011 + losses * 7919); } });
    await shows('ready\n');
    limit(20_011);
    await attachment.input('go\n');
    assert.deepEqual(await attachment.ended, { exitCode: 3, reason: 'exit' });
    assert.equal(text(), `ready\n${Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join('')}`);
    assert.ok(losses > 5, `${losses} losses`);
  });

  it('a slow reader holds back what it is told', async (t) => {
    const { client } = await startTestServer(t);
    const { terminalId: id } = await client.terminals.start({ command: 'read go; seq 1 200000' });
    let [isReading, most, bytes] = [0, 0, 0];
    const attachment = await client.terminals.attach(id, {
      onOutput: async (piece) => {
        isReading += 1;
        most = Math.max(most, isReading);
        await new Promise((resolve) => setImmediate(resolve));
        bytes += piece.length;
        isReading -= 1;
      },
    });
    await attachment.input('go\r');
    await attachment.ended;
    assert.equal(most, 1);
    assert.ok(bytes > 1_000_000, `${bytes} bytes`);
  });

  it('what was on its way when a connection broke is not typed twice: it rejects', async (t) => {
    const server = await startTestServer(t);
    const { url, breakAll } = await startUnreliableProxy(t, server);
    const sidecar = new Sidecar({ url, key: server.key, retry: patient });
    // It does not read: the kernel takes 4 KiB of a line, and what is behind it waits.
    const { terminalId: id } = await sidecar.terminals.start({ command: 'stty raw -echo; echo ready; sleep 1000' });
    const { attachment, shows } = await watch(t, sidecar, id);
    await shows('ready');
    const typed = [attachment.input(new Uint8Array(8 * 2 ** 20).fill(97))];
    breakAll();
    const [outcome] = await Promise.allSettled(typed);
    assert.ok(outcome?.status === 'rejected' && problem('unreachable')(outcome.reason), JSON.stringify(outcome));
  });

  it('goes on with the next server, with the next byte, and types into it', async (t) => {
    const server = await spawnServer(t, { flags: { 'terminal-scrollback': String(8 * 2 ** 20) } });
    // The address stays: as behind a supervisor.
    const { url } = await startUnreliableProxy(t, server);
    const sidecar = new Sidecar({ url, key: server.key, retry: patient });
    const { terminalId: id } = await sidecar.terminals.start({ command: 'stty -opost -echo; echo ready; i=0; while read line; do i=$((i + 1)); echo "$i $line"; seq 1 2000; done; exit 4' });
    let losses = 0;
    const { attachment, text, shows } = await watch(t, sidecar, id, { onLost: () => { losses += 1; } });
    await shows('ready\n');
    for (const [index, end] of [() => server.restart(), async () => { await server.kill9(); await server.restart(); }].entries()) {
      await attachment.input(`line ${index * 2}\n`);
      const ending = end();
      await ending;
      await attachment.input(`line ${index * 2 + 1}\n`);
      await shows(new RegExp(`\\n?${index * 2 + 2} line ${index * 2 + 1}\\n(\\d+\\n)*2000\\n$`));
    }
    await attachment.input('\x04');
    assert.deepEqual(await attachment.ended, { exitCode: 4, reason: 'exit' });
    const numbers = Array.from({ length: 2000 }, (_, index) => `${index + 1}\n`).join('');
    assert.equal(text(), `ready\n${[0, 1, 2, 3].map((index) => `${index + 1} line ${index}\n${numbers}`).join('')}`);
    assert.ok(losses >= 2);
  });

  it('gives up when the server stays away', async (t) => {
    const server = await startTestServer(t);
    const { terminalId: id } = await server.client.terminals.start(plainShell);
    const sidecar = new Sidecar({ url: server.url, key: server.key, retry: patient, reconnectMs: 100 });
    const { attachment } = await watch(t, sidecar, id);
    await server.close();
    await rejectsWith(attachment.ended, { type: ProblemError, code: 'unreachable' });
    await rejectsWith(sidecar.terminals.attach(id), { type: ProblemError, code: 'unreachable' });
  });

  it('is refused without the key, in words', async (t) => {
    const server = await startTestServer(t);
    const { terminalId: id } = await server.client.terminals.start(plainShell);
    await rejectsWith(new Sidecar({ url: server.url, key: 'wrong' }).terminals.attach(id), { type: ProblemError, code: 'unauthorized' });
  });

  it('attaches as a page does: with a ticket and the WebSocket of the platform', async (t) => {
    const server = await startTestServer(t);
    const { terminalId } = await server.client.terminals.start(plainShell);
    const page = spawn(process.execPath, ['--experimental-websocket', '--no-warnings', '--import', import.meta.resolve('tsx'),
      fileURLToPath(new URL('../fixtures/browser-page.ts', import.meta.url)), server.url, server.key, terminalId], { stdio: ['ignore', 'pipe', 'inherit'] });
    atEnd(t, () => void page.kill('SIGKILL'));
    const output = (await page.stdout.setEncoding('utf8').toArray()).join('');
    assert.match(output, /^attached 0\n[^]*page 5\r\n[^]*end 6 exit\n$/);
  });
});
