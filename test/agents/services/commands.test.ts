/** Real commands, as agents have them run. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { AgentCommands, type AgentCommandsOptions, type CommandRequest } from '../../../src/agents/services/commands.ts';
import { Sandbox } from '../../../src/agents/services/sandbox.ts';
import { RpcError } from '../../../src/jsonrpc/message.ts';
import { readStat } from '../../../src/process/identity.ts';
import { rejectsWith } from '../../support/errors.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const options = { skip: process.platform === 'linux' ? false : 'it looks into /proc' };

async function setUp(t: TestContext, more: Partial<AgentCommandsOptions> = {}): Promise<{ commands: AgentCommands; work: string; run: (command: string, outputByteLimit?: number) => Promise<string> }> {
  const work = join(realpathSync(temporaryFolder(t)), 'work');
  mkdirSync(work);
  const commands = new AgentCommands({ sandbox: await Sandbox.of(work), env: { PATH: process.env['PATH'], KEPT: 'kept' }, ...more });
  atEnd(t, () => commands.close());
  return { commands, work, run: (command, outputByteLimit) => commands.create({ command, outputByteLimit }) };
}

/** Without processes that only wait for their parent to read the exit code. */
const isRunning = (pid: number): boolean => !['Z', undefined].includes(readStat(pid)?.state);

const pidIn = (path: string): Promise<number> => until(() => existsSync(path) && Number(readFileSync(path, 'utf8')), { what: `${path} has a pid` });

test('a line runs in a shell, a program with its exact arguments, in its directory and environment', options, async (t) => {
  const { commands, work, run } = await setUp(t);
  const line = await run('echo out; echo error >&2; pwd; echo $KEPT');
  assert.deepEqual(await commands.waitForExit(line), { exitCode: 0, signal: null });
  const { output, ...rest } = commands.output(line);
  assert.deepEqual(output.split('\n').sort(), ['', 'error', 'kept', 'out', work].sort());
  assert.deepEqual(rest, { truncated: false, exitStatus: { exitCode: 0, signal: null } });
  assert.equal(commands.output(line).output, output, 'it is not consumed');
  mkdirSync(join(work, 'a b'));
  const program = await commands.create({ command: 'printf', args: ['%s|', 'a b', '$KEPT;', ''], cwd: join(work, 'a b') });
  await commands.waitForExit(program);
  assert.equal(commands.output(program).output, 'a b|$KEPT;||');
  const variables = await commands.create({ command: 'echo "$KEPT $MORE"', env: { KEPT: 'other', MORE: 'more' } });
  await commands.waitForExit(variables);
  assert.equal(commands.output(variables).output, 'other more\n');
});

test('a line runs in the shell of the server', options, async (t) => {
  const { commands, run } = await setUp(t, { shell: '/bin/bash' });
  const line = await run('words=(a b c); echo ${#words[@]} "$0"');
  await commands.waitForExit(line);
  assert.equal(commands.output(line).output, '3 /bin/bash\n');
});

test('exit codes and signals are reported', options, async (t) => {
  const { commands, run } = await setUp(t);
  assert.deepEqual(await commands.waitForExit(await run('exit 7')), { exitCode: 7, signal: null });
  assert.deepEqual(await commands.waitForExit(await run('kill -9 $$')), { exitCode: null, signal: 'SIGKILL' });
});

test('output can be read while a command runs, and a wait blocks nothing', options, async (t) => {
  const { commands, work, run } = await setUp(t);
  const id = await run('echo begun; while [ ! -e go ]; do sleep 0.02; done; echo done');
  const waiting = commands.waitForExit(id);
  await until(() => commands.output(id).output === 'begun\n', { what: 'the first line is there' });
  assert.equal(commands.output(id).exitStatus, undefined);
  const other = await run(`touch '${join(work, 'go')}'`);
  await commands.waitForExit(other);
  assert.deepEqual(await waiting, { exitCode: 0, signal: null });
  assert.equal(commands.output(id).output, 'begun\ndone\n');
});

test('the end of long output is kept, cut at a character', options, async (t) => {
  const { commands, run } = await setUp(t);
  const id = await run(`i=0; while [ $i -lt 1000 ]; do printf 'ä𐀀'; i=$((i+1)); done`, 100);
  await commands.waitForExit(id);
  const { output, truncated } = commands.output(id);
  assert.equal(truncated, true);
  assert.match(output, /^(𐀀)?(ä𐀀)+$/u);
  assert.ok(Buffer.byteLength(output) > 96 && Buffer.byteLength(output) <= 100);
  const exact = await run('printf 12345', 5);
  await commands.waitForExit(exact);
  assert.deepEqual([commands.output(exact).output, commands.output(exact).truncated], ['12345', false]);
  const none = await run('printf 12345', 0);
  await commands.waitForExit(none);
  assert.deepEqual([commands.output(none).output, commands.output(none).truncated], ['', true]);
});

test('a command with 50 MB of unread output does not block', options, async (t) => {
  const { commands, run } = await setUp(t);
  const id = await run('head -c 50000000 /dev/zero', 1000);
  assert.deepEqual(await commands.waitForExit(id), { exitCode: 0, signal: null });
  assert.equal(commands.output(id).output.length, 1000);
});

test('kill() ends the whole group, also if it ignores SIGTERM; output and exit stay readable until release()', options, async (t) => {
  const { commands, work, run } = await setUp(t);
  const id = await run(`trap '' TERM; echo begun; sh -c 'echo $$ >child; trap "" TERM; while :; do sleep 1; done' & echo $$ >self; while :; do sleep 1; done`);
  const pids = await Promise.all(['child', 'self'].map((name) => pidIn(join(work, name))));
  await commands.kill(id);
  assert.deepEqual(pids.map(isRunning), [false, false]);
  assert.deepEqual(await commands.waitForExit(id), { exitCode: null, signal: 'SIGKILL' });
  assert.equal(commands.output(id).output, 'begun\n');
  await commands.kill(id);
  await commands.release(id);
  for (const gone of [() => commands.output(id), () => commands.waitForExit(id), () => commands.kill(id), () => commands.release(id)]) {
    await rejectsWith(async () => gone(), { type: RpcError, code: -32002 });
  }
});

test('a process that a command leaves delays neither its end nor release(), which ends it', options, async (t) => {
  const { commands, work, run } = await setUp(t);
  const id = await run('sleep 1000 & echo $! >left; echo done');
  assert.deepEqual(await commands.waitForExit(id), { exitCode: 0, signal: null });
  const left = await pidIn(join(work, 'left'));
  assert.equal(isRunning(left), true);
  await commands.release(id);
  assert.equal(isRunning(left), false);
});

test('close() ends all commands, and none is started afterwards', options, async (t) => {
  const { commands, work, run } = await setUp(t);
  for (const name of ['a', 'b']) await run(`echo $$ >${name}; sleep 1000`);
  const pids = await Promise.all(['a', 'b'].map((name) => pidIn(join(work, name))));
  await commands.close();
  assert.deepEqual(pids.map(isRunning), [false, false]);
  await assert.rejects(run('true'), /is being ended/);
});

test('a command that cannot be run is an error: outside, missing, too many', options, async (t) => {
  const { commands, run, work } = await setUp(t, { maxCommands: 1 });
  await rejectsWith(commands.create({ command: 'ls', cwd: '/' }), { type: RpcError, code: -32602 });
  const missing: readonly (readonly [request: CommandRequest, why: RegExp])[] = [
    [{ command: 'no-such-program', args: ['x'] }, /^Cannot run no-such-program: no-such-program is not installed \(ENOENT\)$/],
    [{ command: './no-such-file', args: ['x'] }, /^Cannot run .*: \.\/no-such-file is not there \(ENOENT\)$/],
    [{ command: './script', args: ['x'] }, /^Cannot run .*: the interpreter that \.\/script names is not there \(ENOENT\)$/],
    [{ command: 'true', args: ['x'], cwd: 'gone' }, /^Cannot run true: the directory .*\/work\/gone is not there \(ENOENT\)$/],
    [{ command: 'echo x', cwd: 'gone' }, /^Cannot run echo x: the directory .*\/work\/gone is not there \(ENOENT\)$/],
  ];
  writeFileSync(join(work, 'script'), '#!/no/such/interpreter\n', { mode: 0o755 });
  for (const [request, message] of missing) await assert.rejects(commands.create(request), { message });
  await assert.rejects(run('x'.repeat(1_000_000)), /^RpcError: Cannot run x{200}: .*E2BIG/);
  const id = await run('true');
  await assert.rejects(run('true'), /1 commands already/);
  await commands.release(id);
  await commands.release(await run('true'));
});

test('no more commands are started than allowed, also if they are requested at once', options, async (t) => {
  const { run } = await setUp(t, { maxCommands: 2 });
  const started = await Promise.allSettled(Array.from({ length: 10 }, () => run('sleep 1000')));
  assert.equal(started.filter(({ status }) => status === 'fulfilled').length, 2);
});

test('a wait ends with its signal, the command continues', options, async (t) => {
  const { commands, run } = await setUp(t);
  const id = await run('sleep 1000');
  const controller = new AbortController();
  const waiting = commands.waitForExit(id, controller.signal);
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(commands.waitForExit(id, controller.signal), /enough/);
  assert.equal(commands.output(id).exitStatus, undefined);
});
