/** What a terminal emulator shows that attaches late, in the middle of much output. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Terminal } from '../../src/protocol/terminals.ts';
import { environmentOf, type InProcessServer, program, startTestServer, temporaryFolder } from '../support/server.ts';
import { type Emulator, openEmulator } from '../support/tmux.ts';
import { until } from '../support/wait.ts';
import { attachTo, openTerminal, without } from '../support/terminal.ts';

const size = { cols: 90, rows: 25 };

/** `sidecar attach` in an emulator as large as the terminal. */
function attachIn(t: TestContext, server: InProcessServer, id: Terminal['terminalId'], words: readonly string[] = []): Emulator {
  const folder = temporaryFolder(t);
  const env = { ...environmentOf(folder), SIDECAR_URL: server.url, SIDECAR_API_KEY: server.key, SIDECAR_STATE_DIR: join(folder, 'state') };
  return openEmulator(t, [process.execPath, program, 'attach', ...words, id], { env, ...size });
}

async function shownBytes(server: InProcessServer, t: TestContext, id: string): Promise<number> {
  const look = await attachTo(t, server, id, '?readonly=1');
  const { end } = await look.hears('attached');
  look.leave();
  return end;
}

test('vim looks right, and has mouse, title and cursor, to one who attaches in the middle of megabytes', { skip: without('vim') || without('tmux') }, async (t) => {
  const server = await startTestServer(t);
  const file = join(temporaryFolder(t), 'poem.txt');
  writeFileSync(file, Array.from({ length: 200 }, (_, index) => `verse ${index + 1}`).join('\n'));
  const script = join(temporaryFolder(t), 'busy.vim');
  // One line is drawn again and again: nothing else of the screen is within what is kept.
  writeFileSync(script, 'set mouse=a ruler title titlestring=poetry\nredraw\nlet i = 0\nwhile i < 60000 | call setline(3, repeat(nr2char(97 + i % 26), 80)) | let i += 1 | redraw | endwhile\ncall setline(3, "calm")\nredraw\n');
  const { terminalId } = await openTerminal(server, { command: `exec vim -u NONE -i NONE -n -N -S ${script} ${file}`, env: { TERM: 'xterm-256color' }, ...size });
  await until(async () => await shownBytes(server, t, terminalId) > 1_000_000, { what: 'much is shown', limitMs: 120_000 });
  const during = attachIn(t, server, terminalId);
  await until(async () => await shownBytes(server, t, terminalId) > 4_000_000, { what: 'all is shown', limitMs: 120_000 });
  const after = attachIn(t, server, terminalId);
  for (const emulator of [during, after]) {
    await emulator.shows(/^verse 1\nverse 2\n(?:\w+)\n(?:verse \d+\n){20,}/);
    // What is shown comes first, then the modes.
    for (const name of ['alternate_on', 'mouse_any_flag', 'keypad_cursor_flag']) await until(() => emulator.flag(name) === '1', { what: name });
    await until(() => emulator.flag('pane_title') === 'poetry', { what: 'the title' });
  }
  // Its own keys reach vim: it leaves, and both emulators are as they were before.
  await until(() => { after.type('\x1b:q!\r'); return /left>/.test(after.screen()) && /left>/.test(during.screen()); }, { what: 'vim is left', limitMs: 120_000 });
  for (const emulator of [during, after]) {
    assert.deepEqual(['alternate_on', 'mouse_any_flag', 'keypad_cursor_flag', 'cursor_flag'].map(emulator.flag), ['0', '0', '0', '1']);
  }
});

test('htop looks right to one who attaches late, and who only looks', { skip: without('htop') || without('tmux') }, async (t) => {
  const server = await startTestServer(t, { flags: { 'terminal-scrollback': '16384' } });
  const { terminalId } = await openTerminal(server, { command: 'exec htop -d 1', env: { TERM: 'xterm-256color', HOME: temporaryFolder(t) }, ...size });
  await until(async () => await shownBytes(server, t, terminalId) > 60_000, { what: 'what htop drew first is gone', limitMs: 120_000 });
  const late = attachIn(t, server, terminalId);
  await late.shows(/PID.*USER[^]*F1Help[^]*F10Quit/);
  assert.equal(late.flag('alternate_on'), '1');
  assert.equal(late.flag('cursor_flag'), '0');
  const onlooker = attachIn(t, server, terminalId, ['--readonly']);
  await until(() => onlooker.flag('alternate_on') === '1', { what: 'the onlooker is on the other screen' });
  late.type('\x1d');
  await late.shows(/left>/);
  assert.deepEqual(['alternate_on', 'cursor_flag', 'mouse_any_flag'].map(late.flag), ['0', '1', '0']);
});

test('a shell that colours and draws lines does so still to one who attaches late; offsets count what a client gets', { skip: without('tmux') }, async (t) => {
  const server = await startTestServer(t, { flags: { 'terminal-scrollback': '16384' } });
  const command = 'printf "\\033]2;late\\007\\033[1;32m\\033(0\\033[?2004h"; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "qqq$i"; done; exec cat';
  const { terminalId } = await openTerminal(server, { command, ...size });
  const late = attachIn(t, server, terminalId);
  await late.shows(/qqq3000/);
  assert.equal(late.flag('pane_title'), 'late');
  const one = await attachTo(t, server, terminalId);
  await one.shows('qqq3000\r\n');
  assert.match(one.text(), /^\x1b\]0;late\x07|^\x1b\]2;late\x07/);
  assert.match(one.text(), /\x1b\[\?2004h[^]*\x1b\(0[^]*\x1b\[0;1;32mqqq\d+\r\n/);
  const { offset, end } = await one.hears('attached');
  await until(() => offset + one.bytes() === end, { what: 'the client has all' });
  const again = await attachTo(t, server, terminalId, `?after=${end - 9}`);
  assert.equal((await again.hears('attached')).offset, end - 9);
  await until(() => again.text() === 'qqq3000\r\n', { what: 'exactly the rest comes' });
});
