/** What a job may put in the place of a folder of the state directory, or of a lock: the server starts, and touches nothing behind a link. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { folderName } from '../../src/shells/session-record.ts';
import { ask, run } from '../support/client.ts';
import { type SpawnedServer, spawnServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { processesWith } from '../support/processes.ts';

const skip = process.platform === 'linux' ? false : 'it needs mkfifo, and links as Linux has them';

/** That the server works: a job, a session and a terminal. */
async function works(server: SpawnedServer, what: string): Promise<void> {
  assert.equal((await run(server, { command: 'echo ran' })).stdout, 'ran\n', what);
  const inShell = await run(server, { command: 'echo ran', mode: 'persistent_shell', sessionKey: `session ${what}` });
  assert.equal(inShell.stdout, 'ran\n', what);
  const terminal = await ask(server, 'POST /terminals', { body: { command: 'sleep 600' } });
  assert.equal(terminal.status, 201, `${what}: ${terminal.text}`);
  const { terminalId } = terminal.json<{ terminalId: string }>();
  assert.equal((await ask(server, `DELETE /terminals/${terminalId}`)).status, 200, what);
}

/** That the shells of sessions that no server can know any more are ended: their directories were put elsewhere. */
async function endsShellsOf(server: SpawnedServer, what: readonly string[]): Promise<void> {
  const directories = what.map((one) => join(server.stateDir, 'shells', folderName(`session ${one}`)));
  await until(() => {
    const commands = processesWith(dirname(server.stateDir)).map(({ command }) => command);
    return !commands.some((command) => directories.some((directory) => command.includes(directory)));
  }, { what: 'the shells of replaced directories have ended' });
}

const folders = ['jobs', 'shells', 'terminals'];

test('a server starts whatever stands in the place of its folders', { skip, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  await works(server, 'before');
  const put: { readonly [what: string]: (path: string) => void } = {
    'a FIFO': (path) => { execFileSync('mkfifo', [path]); },
    'a file': (path) => writeFileSync(path, 'x'),
    'a link to nothing': (path) => symlinkSync(join(temporaryFolder(t), 'nothing'), path),
    'a link to itself': (path) => symlinkSync(path, path),
    'a link to a device': (path) => symlinkSync('/dev/zero', path),
  };
  const earlier = ['before'];
  for (const [what, act] of Object.entries(put)) {
    await server.kill9();
    for (const folder of folders) {
      renameSync(join(server.stateDir, folder), join(temporaryFolder(t), folder));
      act(join(server.stateDir, folder));
    }
    await server.restart();
    await works(server, what);
    for (const folder of folders) assert.ok(lstatSync(join(server.stateDir, folder)).isDirectory(), `${what}: ${folder}`);
    await endsShellsOf(server, earlier);
    earlier.push(what);
  }
});

test('nothing behind a link in the place of a folder is used, at a start or while the server runs', { skip, timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  await works(server, 'before');
  const outside = temporaryFolder(t);
  // What a start would remove: a job that was never taken on, one that was being made, a session that was deleted.
  const precious = ['1m8p99av8f69wy67/job.json', '1m8p99av8f69wy67/exit', '.new-1m8p99av8f69wy67/file', 'x.deleted-1-1/file'];
  for (const path of precious) {
    mkdirSync(join(outside, path, '..'), { recursive: true });
    writeFileSync(join(outside, path), '');
  }
  const all = (): string[] => readdirSync(outside, { recursive: true }).map(String).sort();
  const before = all();
  const replace = (): void => {
    for (const folder of folders) {
      renameSync(join(server.stateDir, folder), join(temporaryFolder(t), folder));
      symlinkSync(outside, join(server.stateDir, folder));
    }
  };
  const { terminalId } = (await ask(server, 'POST /terminals', { body: { command: 'true' } })).json<{ terminalId: string }>();
  const { jobId } = await run(server, { command: 'echo mine' });
  await until(async () => (await ask(server, `GET /terminals/${terminalId}`)).json<{ status: string }>().status !== 'running', { what: 'it ends' });
  replace();
  // The same names outside.
  for (const id of [terminalId, jobId]) {
    mkdirSync(join(outside, id));
    for (const name of ['stdout', 'stderr', 'scrollback', 'exit']) writeFileSync(join(outside, id, name), 'of somebody else');
  }
  before.push(...all().filter((path) => !before.includes(path)));
  before.sort();
  assert.doesNotMatch((await ask(server, `GET /terminals/${terminalId}/screen?raw=1`)).text, /somebody/);
  for (const call of [`GET /jobs/${jobId}`, `GET /jobs/${jobId}/stdout`]) assert.doesNotMatch((await ask(server, call)).text, /somebody/);
  await ask(server, `DELETE /terminals/${terminalId}`);
  await ask(server, `DELETE /jobs/${jobId}`);
  await ask(server, `DELETE /sessions/${encodeURIComponent('session before')}`);
  assert.deepEqual(all(), before);
  await works(server, 'as it runs');
  assert.deepEqual(all(), before);
  await server.kill9();
  replace();
  await server.restart();
  await works(server, 'started again');
  await endsShellsOf(server, ['before', 'as it runs']);
  assert.deepEqual(all(), before);
  assert.match(server.logged(), /it was no directory of ours: it is jobs\.replaced-/);
});

test('a server starts where a directory stands in the place of its lock', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  await server.kill9();
  for (const name of ['server.lock', 'server.lock.unreadable.stale']) {
    rmSync(join(server.stateDir, name), { recursive: true, force: true });
    mkdirSync(join(server.stateDir, name));
    writeFileSync(join(server.stateDir, name, 'file'), 'x');
  }
  await server.restart();
  await works(server, 'after');
});

test('an exit file that a job writes itself does not end it, after a restart either', { skip, timeout: 60_000 }, async (t) => {
  const server = await spawnServer(t);
  const go = join(temporaryFolder(t), 'go');
  const exit = `${server.stateDir}/jobs/$SIDECAR_JOB_ID/exit`;
  const command = `echo 0 > ${exit}; while [ ! -e ${go} ]; do sleep 0.1; done; exit 5`;
  const ids: string[] = [];
  for (const more of [{}, { output: 'pipe' }, { tty: { cols: 80, rows: 24 } }]) {
    ids.push((await ask(server, 'POST /exec', { body: { command, ...more } })).json<Job>().jobId);
  }
  const hasWritten = (id: string): boolean => lstatSync(join(server.stateDir, 'jobs', id, 'exit')).size > 0;
  await until(() => ids.every(hasWritten), { what: 'all have written' });
  await server.kill9();
  await server.restart();
  for (const id of ids) assert.equal((await ask(server, `GET /jobs/${id}`)).json<Job>().status, 'running');
  writeFileSync(go, '');
  for (const id of ids) {
    const job = (await ask(server, `GET /jobs/${id}?wait=30&waitFor=end`)).json<Job>();
    assert.notEqual(job.finishedAt, null);
  }
  assert.ok(existsSync(go));
});
