/** The commands of an agent that are to run in a persistent shell. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Sandbox } from '../../../src/agents/services/sandbox.ts';
import { ShellCommands } from '../../../src/agents/services/shell-commands.ts';
import { RpcError, rpcCodes } from '../../../src/jsonrpc/message.ts';
import { rejectsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

async function commandsOf(t: TestContext, options: { readonly maxCommands?: number } = {}): Promise<ShellCommands> {
  const commands = new ShellCommands({ sandbox: await Sandbox.of(temporaryFolder(t)), onChange: () => undefined, ...options });
  t.after(() => commands.close());
  return commands;
}

test('there are never more commands than allowed, also if all are requested at once', async (t) => {
  const commands = await commandsOf(t, { maxCommands: 3 });
  const all = await Promise.allSettled(Array.from({ length: 10 }, () => commands.create({ command: 'sleep 1000' })));
  assert.deepEqual(all.map(({ status }) => status).filter((status) => status === 'fulfilled').length, 3);
  assert.equal(commands.requests.length, 3);
});

test('the name of a variable never becomes part of the script', async (t) => {
  const commands = await commandsOf(t);
  for (const name of ['A; touch x', 'A-B', '1', 'A\n']) {
    await rejectsWith(commands.create({ command: 'true', env: { [name]: 'x' } }), { type: RpcError, code: rpcCodes.invalidParams }, name);
  }
  await commands.create({ command: 'true', env: { _a1: "it's" } });
  assert.deepEqual(commands.requests.map(({ script }) => script), ["export _a1='it'\\''s'\n{ true\n} 2>&1"]);
});

test('the output of a command is known when it ends, also if its start was never reported', async (t) => {
  const commands = await commandsOf(t);
  const id = await commands.create({ command: 'echo out' });
  const directory = temporaryFolder(t);
  writeFileSync(join(directory, 'stdout'), 'out\n');
  commands.ended(id, directory, 0);
  assert.deepEqual(await commands.waitForExit(id), { exitCode: 0, signal: null });
  assert.deepEqual(commands.output(id), { output: 'out\n', truncated: false, exitStatus: { exitCode: 0, signal: null } });
});

test('the total size of scripts is limited, because the agent\'s state holds them', async (t) => {
  const commands = await commandsOf(t);
  const create = async (): Promise<string> => await commands.create({ command: `true ${'x'.repeat(900_000)}` });
  const first = await create();
  await create();
  await rejectsWith(create(), { type: RpcError, message: /true x+: the commands that there are have more than/ });
  commands.ended(first, '/', 0);
  await commands.release(first);
  await create();
});
