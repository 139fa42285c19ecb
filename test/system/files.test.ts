/** Files through kill -9: the old one or the new one, and nothing beside them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import test from 'node:test';
import type { FileWritten } from '../../src/protocol/files.ts';
import { ask } from '../support/client.ts';
import { soak } from '../support/soak.ts';
import { type SpawnedServer, spawnServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const sizeBytes = 4_000_000;
const contentOf = (letter: string): Buffer => Buffer.alloc(sizeBytes, letter);

/** Sends a body; resolves once it has an answer or the connection is gone. */
function put(server: SpawnedServer, path: string, body: Buffer, headers: { readonly [name: string]: string } = {}): Promise<void> {
  return new Promise((resolve) => {
    const sent = request(new URL(`/files?path=${encodeURIComponent(path)}`, server.url), {
      method: 'PUT', headers: { 'X-API-Key': server.key, 'Content-Length': body.length, ...headers },
    }, (incoming) => { incoming.resume().on('close', resolve); });
    sent.on('error', () => resolve());
    sent.end(body);
  });
}

test('a server that is killed while it writes leaves the old file or the new one', async (t) => {
  const server = await spawnServer(t);
  const folder = temporaryFolder(t);
  const path = join(folder, 'f');
  writeFileSync(path, contentOf('a'));
  const seen = new Set<string>();
  for (let round = 0; round < soak(6, 60); round += 1) {
    const letter = 'bcdefgh'[round % 7] ?? 'b';
    const before = readFileSync(path);
    const writing = put(server, path, contentOf(letter));
    // Anywhere from before its first byte to behind its last.
    const beganAt = performance.now();
    const killMs = randomInt(0, 30);
    await until(() => performance.now() - beganAt >= killMs, { what: 'the moment of the kill' });
    await server.kill9();
    await writing;
    const after = readFileSync(path);
    assert.ok(after.equals(before) || after.equals(contentOf(letter)), `${after.length} bytes, ${after.subarray(0, 1)} … ${after.subarray(-1)}`);
    seen.add(after.equals(before) ? 'old' : 'new');
    await server.restart();
    await until(() => readdirSync(folder).length === 1, { what: 'only the file is there' });
    const notes = join(server.stateDir, 'files');
    await until(() => !existsSync(notes) || readdirSync(notes).length === 0, { what: 'no note is left' });
  }
  t.diagnostic([...seen].join(', '));
  assert.equal((await ask(server, `PUT /files?path=${encodeURIComponent(path)}`, { body: Buffer.from('z') })).status, 200);
});

test('a server that is killed while it unpacks an archive leaves nothing of it', { skip: process.platform === 'win32' }, async (t) => {
  const server = await spawnServer(t);
  const [folder, from] = [temporaryFolder(t), temporaryFolder(t)];
  mkdirSync(join(folder, 'there'));
  writeFileSync(join(folder, 'there', 'f'), 'old');
  writeFileSync(join(from, 'f'), contentOf('a'));
  const archive = execFileSync('tar', ['-c', '-C', from, '.'], { maxBuffer: 2 * sizeBytes });
  for (const name of ['new', 'there']) {
    const sent = request(new URL(`/files/archive?path=${encodeURIComponent(join(folder, name))}`, server.url), {
      method: 'PUT', headers: { 'X-API-Key': server.key },
    }).on('error', () => undefined);
    sent.write(archive.subarray(0, sizeBytes / 2));
    await until(() => [folder, join(folder, 'there')].some((one) => readdirSync(one).some((entry) => entry.startsWith('.'))), { what: 'it is unpacked' });
    await server.kill9();
    await server.restart();
    await until(() => readdirSync(folder).length === 1 && readdirSync(join(folder, 'there')).length === 1, { what: 'nothing of it is left' });
    assert.equal(readFileSync(join(folder, 'there', 'f'), 'utf8'), 'old');
  }
});

test('an upload in parts is continued by the next server', async (t) => {
  const server = await spawnServer(t);
  const folder = temporaryFolder(t);
  const path = join(folder, 'f');
  const content = Buffer.concat(['a', 'b', 'c'].map(contentOf));
  const size = content.length;
  const line = `/files?path=${encodeURIComponent(path)}`;
  const offset = async (): Promise<number> => Number((await ask(server, `HEAD ${line}`)).headers['upload-offset'] ?? 0);
  let isComplete = false;
  for (let kills = 0; !isComplete; kills += 1) {
    const first = await offset();
    const last = Math.min(size, first + sizeBytes) - 1;
    const writing = put(server, path, content.subarray(first, last + 1), { 'Content-Range': `bytes ${first}-${last}/${size}` });
    if (kills < 3) {
      await until(async () => readdirSync(folder).length > 0, { what: 'something has arrived' });
      await server.kill9();
      await writing;
      await server.restart();
    } else {
      await writing;
    }
    isComplete = readdirSync(folder).includes('f');
  }
  assert.ok(readFileSync(path).equals(content));
  assert.deepEqual(readdirSync(folder), ['f']);
  assert.deepEqual((await ask(server, `GET /files/stat?path=${encodeURIComponent(path)}`)).json<FileWritten>().sizeBytes, size);
});
