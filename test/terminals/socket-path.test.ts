/** Which socket is reached in the directory of a terminal. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { linkSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { socketId, withSocket } from '../../src/terminals/socket-path.ts';
import { temporaryFolder } from '../support/server.ts';

const skip = process.platform === 'win32' ? 'it has no such sockets' : false;
const refused = { name: 'UntrustedFileError' };

/** Listens there, by a name of any length, and says who it is. */
async function speaker(t: TestContext, directory: string, word: string): Promise<string> {
  const path = join(directory, 'socket');
  const beside = join(temporaryFolder(t), 's');
  const server = createServer((socket) => socket.end(word)).listen(beside);
  t.after(() => void server.close());
  await once(server, 'listening');
  renameSync(beside, path);
  return socketId(lstatSync(path, { bigint: true }));
}

async function heard(
  directory: string, expected: string | undefined, before: () => void = () => undefined,
): Promise<string> {
  const socket = withSocket(directory, expected, (path) => {
    before();
    return connect({ path });
  });
  const [word] = await once(socket, 'data') as [Buffer];
  return word.toString();
}

function withPlatform(t: TestContext, platform: NodeJS.Platform): void {
  const real = process.platform;
  Object.defineProperty(process, 'platform', { value: platform });
  t.after(() => void Object.defineProperty(process, 'platform', { value: real }));
}

for (const platform of ['linux', 'darwin'] as const) {
  const otherwise = platform === 'linux' && process.platform !== 'linux' ? 'it needs /proc' : skip;
  test(`only the expected socket is reached, by a path of any length: ${platform}`, { skip: otherwise }, async (t) => {
    for (const name of ['short', 'long'.repeat(40)]) {
      const directory = join(temporaryFolder(t), name);
      mkdirSync(directory);
      const path = join(directory, 'socket');
      const id = await speaker(t, directory, 'own');
      await t.test(name.slice(0, 5), async (inner) => {
        withPlatform(inner, platform);
        assert.deepEqual([await heard(directory, id), await heard(directory, undefined)], ['own', 'own']);
        assert.throws(() => withSocket(directory, '1:2', () => assert.fail('used')), refused);
        linkSync(path, `${path}-2`);
        assert.equal(await heard(directory, id), 'own');
        assert.throws(() => withSocket(directory, undefined, () => assert.fail('used')), refused);
        rmSync(path);
        symlinkSync(`${path}-2`, path);
        for (const expected of [id, undefined]) {
          assert.throws(() => withSocket(directory, expected, () => assert.fail('used')), refused);
        }
      });
    }
  });
}

const procless = process.platform !== 'linux' && 'it needs /proc';

test('what is put there after the check is not reached', { skip: procless }, async (t) => {
  const directory = temporaryFolder(t);
  const id = await speaker(t, directory, 'own');
  const other = temporaryFolder(t);
  await speaker(t, other, 'other');
  const swap = (): void => {
    renameSync(join(directory, 'socket'), join(directory, 'aside'));
    renameSync(join(other, 'socket'), join(directory, 'socket'));
  };
  assert.equal(await heard(directory, id, swap), 'own');
});
