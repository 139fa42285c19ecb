/**
 * Tests terminals with a real node-pty, installed beside the program as a user would install it.
 *
 *     npm ci --prefix scripts/interop
 *     npm run build
 *     node --import tsx scripts/interop/node-pty.mjs
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sidecar } from '../../src/client/client.ts';
import { readOwner } from '../../src/process/state/lock.ts';
import { check, until } from './check.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sidecar-interop-'));
const program = join(folder, 'program');
const stateDir = join(folder, 'state');
const key = 'the-key-of-the-checks';
mkdirSync(program);
for (const name of ['dist', 'package.json']) cpSync(join(root, name), join(program, name), { recursive: true });
symlinkSync(join(root, 'scripts/interop/node_modules'), join(program, 'node_modules'));

let { server, client } = await start();

await check('/health says who opens terminals', async () => {
  assert.equal((await client.health()).terminal_backend, '@lydell/node-pty');
});

await check('what is typed is answered, the size follows, and the end has its exit code', async () => {
  const { terminalId } = await client.terminals.start({ command: 'sh', cols: 70, rows: 20 });
  const terminal = await attached(terminalId);
  terminal.attachment.input('stty size; tty\r');
  await until(() => /20 70\r\n\/dev\/pts\/\d+\r\n/.test(terminal.text()), 'stty says the first size');
  terminal.attachment.resize({ cols: 99, rows: 33 });
  terminal.attachment.input('stty size; exit 7\r');
  const { exitCode } = await terminal.attachment.ended;
  assert.match(terminal.text(), /33 99\r\n/);
  assert.equal(exitCode, 7);
});

await check('20 MB come whole, and a character is never cut', async () => {
  const { terminalId } = await client.terminals.start({
    command: `read go; head -c 5000000 /dev/zero | tr '\\0' a | sed 's/a/\\xc3\\xa4\\xc3\\xb6/g'; exit 0`,
  });
  const terminal = await attached(terminalId);
  terminal.attachment.input('\r');
  await terminal.attachment.ended;
  assert.equal(terminal.text().replace(/[^äö]/g, '').length, 10_000_000);
  assert.ok(!terminal.text().includes('\ufffd'));
});

await check('a terminal keeps running when its server is killed', async () => {
  const { terminalId } = await client.terminals.start({ command: 'sh' });
  const before = await attached(terminalId);
  before.attachment.input('kept=5\r');
  await until(() => before.text().includes('kept=5\r\n'), 'it was typed');
  before.attachment.leave();
  server.kill('SIGKILL');
  await once(server, 'exit');
  ({ server, client } = await start());
  const after = await attached(terminalId);
  after.attachment.input('echo "[$kept]"\r');
  await until(() => after.text().includes('[5]'), 'the shell is the same');
  after.attachment.leave();
  await client.terminals.close(terminalId);
});

server.kill('SIGTERM');
await once(server, 'exit');
rmSync(folder, { recursive: true, force: true });

async function start() {
  const child = spawn(process.execPath, [
    join(program, 'dist/cli/main.js'), 'serve', '--port=0', `--state-dir=${stateDir}`,
  ], {
    env: { PATH: process.env.PATH, HOME: folder, SIDECAR_API_KEY: key }, stdio: ['ignore', 'ignore', 'inherit'],
  });
  const url = await until(() => {
    const owner = readOwner(join(stateDir, 'server.lock'));
    return owner?.pid === child.pid && owner.url;
  }, 'the server listens');
  return { server: child, client: new Sidecar({ url, key }) };
}

/** Attaches to a terminal and collects its output. */
async function attached(terminalId) {
  const decoder = new TextDecoder();
  let text = '';
  const attachment = await client.terminals.attach(terminalId, {
    onOutput: (bytes) => { text += decoder.decode(bytes, { stream: true }); },
  });
  return { attachment, text: () => text };
}
