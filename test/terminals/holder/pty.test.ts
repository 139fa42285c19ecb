/** A program on a pseudo-terminal of script(1). */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { openScriptPty, type Pty } from '../../../src/terminals/holder/pty.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const options = { skip: process.platform === 'win32' ? 'needs script(1)' : false };

interface Opened {
  readonly pty: Pty;
  readonly folder: string;
  readonly text: () => string;
  readonly code: () => number | undefined;
}

async function open(t: TestContext, command: string, path = process.env['PATH'] ?? ''): Promise<Opened> {
  const folder = temporaryFolder(t);
  let text = '';
  let ended: number | undefined;
  const env = { PATH: path, TERM: 'xterm', SHELL: '/bin/false' };
  const pty = await openScriptPty(folder, { argv: ['/bin/sh', '-c', command], workdir: folder, env, size: { cols: 70, rows: 20 } }, {
    onOutput: (bytes) => { text += bytes.toString(); },
    onDrain: () => undefined,
    onExit: (code) => { ended = code; },
  });
  return { pty, folder, text: () => text, code: () => ended };
}

test('what is typed comes by a FIFO, of which no name is left', { ...options, skip: process.platform === 'linux' ? false : 'it looks into /proc' }, async (t) => {
  const { folder, text, code } = await open(t, 'readlink "/proc/$PPID/fd/0"');
  await until(() => code() !== undefined, { what: 'it has ended' });
  assert.equal(text(), `${folder}/input (deleted)\r\n`);
  assert.deepEqual(readdirSync(folder), []);
});

test('it types, resizes and ends with the code of the program', options, async (t) => {
  const { pty, text, code } = await open(t, 'read line; echo "$line, $(stty size), $SHELL"; exit 7');
  await pty.resize({ cols: 90, rows: 25 });
  pty.write(Buffer.from('hello\r'));
  await until(() => code() !== undefined, { what: 'it has ended' });
  assert.equal(code(), 7);
  assert.match(text(), /hello, 25 90, \/bin\/false\r\n/);
});

test('it needs no program on the PATH of what it runs', options, async (t) => {
  const { pty, text, code } = await open(t, 'read line; command -p stty size; echo "<$PATH>"', '');
  await pty.resize({ cols: 90, rows: 25 });
  pty.write(Buffer.from('hello\r'));
  await until(() => code() !== undefined, { what: 'it has ended' });
  assert.match(text(), /25 90\r\n<>\r\n/);
});

test('a program that cannot be started is told in the words of who could not', options, async (t) => {
  const folder = temporaryFolder(t);
  const nothing = { onOutput: () => undefined, onDrain: () => undefined, onExit: () => undefined };
  await assert.rejects(openScriptPty(folder, { argv: ['/bin/sh'], workdir: `${folder}/none`, env: { PATH: process.env['PATH'] ?? '' }, size: { cols: 80, rows: 24 } }, nothing), /ENOENT/);
  assert.deepEqual(readdirSync(folder), []);
});
