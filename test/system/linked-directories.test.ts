/** A link stands in the place of the directory of a job: nothing behind it is read, written or asked. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, readSync, renameSync, symlinkSync,
  writeFileSync, writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { lastEvents } from '../../src/agents/server/event-tail.ts';
import { Sandbox } from '../../src/agents/services/sandbox.ts';
import { JobFiles } from '../../src/agents/runner/job-files.ts';
import { type AgentState, eventsFile, stateFile, turnsFile } from '../../src/agents/runner-config.ts';
import { ShellCommands } from '../../src/agents/services/shell-commands.ts';
import { StateCache } from '../../src/agents/state-file.ts';
import { shownTurns } from '../../src/agents/server/turns.ts';
import { appendLine } from '../../src/base/files/untrusted-file.ts';
import { carriedArgv } from '../../src/process/launcher/carry.ts';
import { drainFifo, writeFifo } from '../../src/process/launcher/fifo.ts';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { fake, inPhase } from '../support/agent.ts';
import { ask } from '../support/client.ts';
import { spawnServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'it needs mkfifo, and opens FIFOs as Linux does';

const ours = '{"ours":true}\n';
const files = ['stdout', 'stderr', 'exit', stateFile, eventsFile, turnsFile];

interface Outside {
  readonly path: string;
  /** What nobody may have taken from the FIFO, or put there. */
  readonly inFifo: () => string;
  readonly check: () => void;
}

/** A folder with files that have the names of those of a job. */
function outsideOf(t: TestContext): Outside {
  const path = join(temporaryFolder(t), 'outside');
  mkdirSync(path);
  for (const name of files) writeFileSync(join(path, name), ours);
  execFileSync('mkfifo', [join(path, 'stdin')]);
  const fd = openSync(join(path, 'stdin'), constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => closeSync(fd));
  writeSync(fd, 'ours');
  const inFifo = (): string => {
    const bytes = Buffer.alloc(100);
    return bytes.subarray(0, readSync(fd, bytes)).toString();
  };
  const check = (): void => {
    assert.deepEqual(readdirSync(path).sort(), [...files, 'stdin'].sort());
    for (const name of files) assert.equal(readFileSync(join(path, name), 'utf8'), ours, name);
    assert.equal(inFifo(), 'ours');
  };
  return { path, inFifo, check };
}

test('what belongs to a job is not used behind a link', { skip }, async (t) => {
  const folder = temporaryFolder(t);
  const [directory, outside] = [join(folder, 'job'), outsideOf(t)];
  mkdirSync(directory);
  const jobFiles = new JobFiles(directory);
  t.after(() => jobFiles.close());
  renameSync(directory, `${directory}-aside`);
  symlinkSync(outside.path, directory);
  const refused = { name: 'UntrustedFileError' };
  assert.throws(() => jobFiles.state({} as AgentState), refused);
  assert.throws(() => appendLine(join(directory, 'stderr'), 'x'), refused);
  assert.throws(() => carriedArgv(['true'], { 'a.b': 'c' }, directory), refused);
  assert.equal(writeFifo(join(directory, 'stdin'), Buffer.from('x')), 'closed');
  assert.equal(drainFifo(join(directory, 'stdin')), 0);
  assert.deepEqual(new StateCache().read(directory), { fields: {}, warnings: [] });
  assert.deepEqual(await lastEvents(directory, 1000), { lines: [], isTruncated: false });
  assert.doesNotMatch(JSON.stringify(await shownTurns(directory, null)), /ours/);
  const commands = new ShellCommands({ sandbox: await Sandbox.of(folder), onChange: () => undefined });
  t.after(() => commands.close());
  const id = await commands.create({ command: 'true' });
  commands.ended(id, directory, 0);
  assert.equal(commands.output(id).output, '');
  outside.check();
});

test('an agent and a job whose directories became links end, and nothing behind those changes', { skip }, async (t) => {
  const server = await spawnServer(t);
  const submit = async (body: object): Promise<string> => (await ask(server, 'POST /exec', { body })).json<Job>().jobId;
  const agent = await submit(fake('say a', { keepAlive: 600 }));
  const job = await submit({ command: 'sleep 600' });
  await inPhase(server, agent, 'waiting', 1);
  const input = (id: string): ReturnType<typeof ask> => ask(server, `POST /jobs/${id}/stdin`, { body: 'x\n' });
  const given = await input(job);
  assert.equal(given.status, 200, given.text);
  const outsides = [agent, job].map((id) => {
    const [directory, outside] = [join(server.stateDir, 'jobs', id), outsideOf(t)];
    renameSync(directory, join(temporaryFolder(t), 'aside'));
    symlinkSync(outside.path, directory);
    return outside;
  });
  assert.match((await input(job)).text, /stdin_closed/);
  for (const id of [agent, job]) {
    await ask(server, `POST /jobs/${id}/cancel`, { body: { graceSeconds: 1 } });
    const isOver = async (): Promise<boolean> => (await ask(server, `GET /jobs/${id}`)).json<Job>().finishedAt !== null;
    await until(isOver, { what: 'it has ended' });
    assert.equal((await ask(server, `DELETE /jobs/${id}`)).status, 204);
  }
  for (const outside of outsides) outside.check();
});
