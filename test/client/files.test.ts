/** `sidecar.files` against real servers: every byte arrives once, whatever happens to the connection. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { type FileBytes, ProblemError, Sidecar, type SidecarOptions } from '../../src/client/client.ts';
import { directFetch } from '../../src/cli/direct-fetch.ts';
import { rejectsWith } from '../support/errors.ts';
import { type InProcessServer, spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { type UnreliableProxy, startUnreliableProxy } from '../support/unreliable-proxy.ts';

const patient = { attempts: 4, firstDelayMs: 1, maxDelayMs: 10 };
/** Both ways to send a request: that of browsers, and that of the command line. */
const ways: readonly (readonly [name: string, options: Pick<SidecarOptions, 'fetch'>])[] = [
  ['fetch', {}], ['directFetch', { fetch: directFetch }],
];

interface Setting {
  readonly server: InProcessServer;
  readonly sidecar: Sidecar;
  readonly folder: string;
}

async function setUp(t: TestContext): Promise<Setting> {
  const server = await startTestServer(t);
  return { server, sidecar: server.client, folder: temporaryFolder(t) };
}

/** The same, through a proxy that breaks connections. */
async function behindProxy(
  t: TestContext, options: Partial<SidecarOptions> = {},
): Promise<Setting & { readonly proxy: UnreliableProxy }> {
  const setting = await setUp(t);
  const proxy = await startUnreliableProxy(t, setting.server);
  const sidecar = new Sidecar({ url: proxy.url, key: setting.server.key, retry: patient, ...options });
  return { ...setting, proxy, sidecar };
}

async function collected({ body }: FileBytes): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* inPieces(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

describe('Files', () => {
  it('writes and reads content of every kind and size, byte for byte', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const path = join(folder, 'größe ä + b&c=%41#?.bin');
    const partBytes = 1000;
    for (const length of [0, 1, 999, 1000, 1001, 2000, 70_123]) {
      const bytes = randomBytes(length);
      const kinds = {
        bytes: () => bytes,
        blob: () => new Blob([bytes]),
        iterable: () => inPieces(bytes, 700),
        'one long piece': () => inPieces(bytes, 100_000),
        stream: () => ReadableStream.from(inPieces(bytes, 33)) as ReadableStream<Uint8Array>,
      };
      for (const [kind, content] of Object.entries(kinds)) {
        const told: (readonly [number, number | undefined])[] = [];
        const onProgress = (done: number, total: number | undefined): void => void told.push([done, total]);
        const written = await files.write(path, content(), { partBytes, onProgress });
        const what = `${kind} of ${length} bytes`;
        assert.equal(written.sizeBytes, length, what);
        assert.ok(readFileSync(path).equals(bytes), what);
        assert.deepEqual(told.at(-1), [length, length], what);
        assert.equal(told.length, Math.max(1, Math.ceil(length / partBytes)), what);
        const read = await files.read(path);
        assert.deepEqual([read.etag, read.sizeBytes, read.range], [written.etag, length, undefined], what);
        assert.ok((await collected(read)).equals(bytes), what);
        assert.ok(Buffer.from(await files.bytes(path)).equals(bytes), what);
      }
    }
    assert.deepEqual(readdirSync(folder), ['größe ä + b&c=%41#?.bin'], 'nothing is left beside it');
  });

  it('text keeps its byte order mark and its letters', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const path = join(folder, 'a.txt');
    const written = await files.write(path, '\ufeffgrüße\r\n');
    assert.deepEqual([written.created, written.path], [true, path]);
    assert.equal(await files.text(path), '\ufeffgrüße\r\n');
    assert.equal((await files.write(path, 'x')).created, false);
  });

  it('reads a range, the end, and nothing where the caller has it already', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const path = join(folder, 'a');
    const { etag } = await files.write(path, '0123456789');
    const middle = await files.read(path, { range: { first: 2, last: 4 } });
    assert.deepEqual([middle.sizeBytes, middle.range], [10, { first: 2, last: 4 }]);
    assert.equal(String(await collected(middle)), '234');
    assert.equal(String(await collected(await files.read(path, { range: { first: 7 } }))), '789');
    assert.equal(String(await collected(await files.read(path, { tailBytes: 4 }))), '6789');
    assert.equal(String(await collected(await files.read(path, { tailBytes: 40 }))), '0123456789');
    assert.equal(await files.read(path, { etag }), null);
    const other = await files.read(path, { etag: '"another"' });
    assert.equal(other && String(await collected(other)), '0123456789');
    await rejectsWith(files.read(path, { range: { first: 10 } }), { type: ProblemError, code: 'range_not_satisfiable' });
  });

  it('obeys mode, mkdirs, append, ifMatch and mustBeNew, also in parts', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const path = join(folder, 'a/b/c');
    await rejectsWith(files.write(path, 'x'), { type: ProblemError, code: 'file_not_found' });
    for (const [partBytes, text] of [[100, 'one'], [2, 'three']] as const) {
      const first = await files.write(path, text, { mode: '0640', mkdirs: true, mustBeNew: true, partBytes });
      assert.equal(statSync(path).mode & 0o777, 0o640);
      await rejectsWith(files.write(path, 'long text', { mustBeNew: true, partBytes }), { type: ProblemError, code: 'file_changed' });
      await rejectsWith(files.write(path, 'long text', { ifMatch: '"x"', partBytes }), { type: ProblemError, code: 'file_changed' });
      const second = await files.write(path, 'long text', { ifMatch: first.etag, partBytes });
      await files.write(path, ' and more', { append: true, ifMatch: second.etag, partBytes });
      await files.write(path, ' still', { append: true, partBytes });
      assert.equal(await files.text(path), 'long text and more still');
      assert.equal(statSync(path).mode & 0o777, 0o640, 'it keeps its permissions');
      await files.delete(path);
    }
    await files.write(path, 'abcdef', { append: true, mustBeNew: true, partBytes: 2 });
    assert.equal(await files.text(path), 'abcdef');
    await rejectsWith(files.write(path, 'x', { partBytes: 0 }), { type: ProblemError, code: 'invalid_request' });
  });

  it('stat(), list(), all(), mkdir(), move(), copy() and delete() do as they say', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const at = (name: string): string => join(folder, name);
    const made = await files.mkdir(at('d'), { mode: '0700' });
    assert.deepEqual([made.type, made.mode, made.name], ['directory', '0700', 'd']);
    await rejectsWith(files.mkdir(at('d')), { type: ProblemError, code: 'file_exists' });
    await files.mkdir(at('d/e/f'), { mkdirs: true });
    await files.mkdir(at('d/e/f'), { mkdirs: true });
    for (const name of ['1', '2', '3']) await files.write(at(`d/e/${name}`), name);
    symlinkSync('e/1', at('d/link'));
    const link = await files.stat(at('d/link'));
    assert.deepEqual([link.type, link.target], ['symlink', 'e/1']);
    const followed = await files.stat(at('d/link'), { follow: true });
    assert.deepEqual([followed.type, followed.sizeBytes, followed.etag], ['file', 1, (await files.read(at('d/e/1'))).etag]);
    const page = await files.list(at('d'), { depth: 2, limit: 2 });
    assert.deepEqual([page.path, page.entries.map(({ name }) => name)], [at('d'), ['e', '1']]);
    const rest = await files.list(at('d'), { depth: 2, after: page.next ?? '' });
    assert.deepEqual([rest.entries.map(({ name }) => name), rest.next], [['2', '3', 'f', 'link'], null]);
    const names: string[] = [];
    for await (const { name } of files.all(at('d'), { depth: 2, limit: 4 })) names.push(name);
    assert.deepEqual(names, ['e', '1', '2', '3', 'f', 'link']);
    await rejectsWith(files.move(at('d/e/1'), at('d/e/2')), { type: ProblemError, code: 'file_exists' });
    assert.equal((await files.move(at('d/e/1'), at('d/e/2'), { overwrite: true })).path, at('d/e/2'));
    await files.move(at('d/e/2'), at('new/place'), { mkdirs: true });
    assert.equal(readFileSync(at('new/place'), 'utf8'), '1');
    assert.equal((await files.copy(at('d'), at('copy'))).type, 'directory');
    assert.deepEqual(readdirSync(at('copy')), ['e', 'link']);
    await rejectsWith(files.copy(at('d'), at('copy')), { type: ProblemError, code: 'file_exists' });
    await rejectsWith(files.delete(at('d')), { type: ProblemError, code: 'directory_not_empty' });
    await files.delete(at('d'), { recursive: true });
    assert.ok(!existsSync(at('d')));
    const calls = {
      delete: () => files.delete(at('d')), stat: () => files.stat(at('d')), list: () => files.list(at('d')),
      text: () => files.text(at('d')), move: () => files.move(at('d'), at('x')),
    };
    for (const [name, call] of Object.entries(calls)) {
      await rejectsWith(call, { type: ProblemError, code: 'file_not_found' }, name);
    }
    await rejectsWith(files.list(at('new/place')), { type: ProblemError, code: 'not_a_file' });
    await rejectsWith(files.read(at('new')), { type: ProblemError, code: 'not_a_file' });
  });

  it('a signal ends a read and a write, and the file stays as it was', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const path = join(folder, 'a');
    const bytes = randomBytes(3_000_000);
    writeFileSync(path, bytes);
    const reading = new AbortController();
    const { body } = await files.read(path, { signal: reading.signal });
    const reader = body.getReader();
    assert.ok(((await reader.read()).value?.length ?? 0) > 0);
    reading.abort(new Error('enough'));
    await rejectsWith(async () => { while (!(await reader.read()).done); }, { message: 'enough' });
    const writing = new AbortController();
    const content = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('abc');
      writing.abort(new Error('stop'));
      yield Buffer.from('def');
    };
    await rejectsWith(files.write(path, content(), { signal: writing.signal, partBytes: 3 }), { message: 'stop' });
    assert.ok(readFileSync(path).equals(bytes));
  });

  it('a body may be cancelled, or left for later', async (t) => {
    const { sidecar: { files }, folder } = await setUp(t);
    const path = join(folder, 'a');
    const bytes = randomBytes(3_000_000);
    writeFileSync(path, bytes);
    const { body } = await files.read(path);
    await body.cancel();
    const reader = (await files.read(path)).body.getReader();
    const first = reader.read();
    await reader.cancel();
    assert.equal(((await first).value?.length ?? 0) > 0 || (await first).done, true);
  });
});

for (const [name, way] of ways) {
  describe(`Files over connections that break, by ${name}`, () => {
    it('a download is continued where it ended', async (t) => {
      const { sidecar: { files }, proxy, folder } = await behindProxy(t, way);
      const path = join(folder, 'a');
      const bytes = randomBytes(1_500_000);
      writeFileSync(path, bytes);
      proxy.limit(400_000);
      assert.ok(Buffer.from(await files.bytes(path)).equals(bytes));
      assert.ok(proxy.count() >= 4, `${proxy.count()} connections`);
      const { body, range } = await files.read(path, { tailBytes: 1_000_001 });
      assert.deepEqual(range, { first: 499_999, last: 1_499_999 });
      assert.ok((await collected({ body } as FileBytes)).equals(bytes.subarray(499_999)));
      const middle = await files.read(path, { range: { first: 10, last: 900_000 } });
      assert.ok((await collected(middle)).equals(bytes.subarray(10, 900_001)));
    });

    it('a download of a file that changes meanwhile fails', async (t) => {
      const { sidecar: { files }, proxy, folder } = await behindProxy(t, way);
      const path = join(folder, 'a');
      writeFileSync(path, randomBytes(1_500_000));
      proxy.limit(400_000);
      const { body } = await files.read(path);
      writeFileSync(`${path}.new`, randomBytes(1_500_000));
      renameSync(`${path}.new`, path);
      await rejectsWith(collected({ body } as FileBytes), { type: ProblemError, code: 'file_changed' });
    });

    it('an end to what the policy allows is an end to the download', async (t) => {
      const { sidecar: { files }, proxy, folder } = await behindProxy(t, { ...way, retry: { ...patient, attempts: 2 } });
      const path = join(folder, 'a');
      writeFileSync(path, randomBytes(1_500_000));
      proxy.limit(100);
      await rejectsWith(files.bytes(path), { type: ProblemError, code: 'unreachable' });
    });

    it('an upload in parts is continued where it ended', async (t) => {
      const { sidecar: { files }, proxy, folder } = await behindProxy(t, way);
      const path = join(folder, 'a');
      for (const [kind, content] of [
        ['bytes', (bytes: Buffer) => bytes], ['iterable', (bytes: Buffer) => inPieces(bytes, 9000)],
      ] as const) {
        const bytes = randomBytes(1_500_000);
        const before = proxy.count();
        proxy.limitSent(200_000);
        const written = await files.write(path, content(bytes), { partBytes: 450_000 });
        assert.equal(written.sizeBytes, bytes.length, kind);
        assert.ok(readFileSync(path).equals(bytes), kind);
        assert.ok(proxy.count() - before >= 7, `${kind}: ${proxy.count() - before} connections`);
      }
      assert.deepEqual(readdirSync(folder), ['a']);
    });

    it('what an earlier upload has left does not become a part of the next one', async (t) => {
      const { sidecar: { files }, proxy, folder } = await behindProxy(t, { ...way, retry: { ...patient, attempts: 1 } });
      const path = join(folder, 'a');
      proxy.limitSent(200_000);
      await rejectsWith(files.write(path, randomBytes(1_000_000), { partBytes: 150_000 }), { type: ProblemError });
      proxy.limitSent(Infinity);
      const bytes = randomBytes(900_000);
      await files.write(path, bytes, { partBytes: 150_000 });
      assert.ok(readFileSync(path).equals(bytes));
    });

    it('a file is written once where the answer to its last byte is lost', async (t) => {
      for (const [what, partBytes] of [['in one request', 5000], ['in parts', 700]] as const) {
        for (const more of [{ mustBeNew: true }, {}]) {
          const setting = await behindProxy(t, way);
          const path = join(setting.folder, 'a');
          const bytes = randomBytes(2100);
          let left = what === 'in parts' ? 3 : 1;
          // The server has done it; its answer is cut off.
          const lossy: SidecarOptions['fetch'] = async (address, init) => {
            const answer = await (way.fetch ?? globalThis.fetch)(address, init);
            if (init.method !== 'PUT' || (left -= 1) !== 0) return answer;
            await answer.arrayBuffer();
            throw Object.assign(new Error('the connection broke'), { code: 'ECONNRESET' });
          };
          const { files } = new Sidecar({ url: setting.server.url, key: setting.server.key, retry: patient, fetch: lossy });
          const written = await files.write(path, bytes, { partBytes, ...more });
          assert.deepEqual([written.path, written.sizeBytes], [path, 2100], what);
          assert.equal(written.etag, (await files.stat(path)).etag, what);
          assert.ok(readFileSync(path).equals(bytes), what);
          assert.ok(left <= 0, what);
        }
      }
    });

    it('what is moved, made and deleted while an answer is lost is moved, made and deleted once', async (t) => {
      const { server, folder } = await behindProxy(t, way);
      let isLost = true;
      const lossy: SidecarOptions['fetch'] = async (address, init) => {
        const answer = await (way.fetch ?? globalThis.fetch)(address, init);
        isLost = !isLost;
        if (isLost) return answer;
        await answer.arrayBuffer();
        throw Object.assign(new Error('the connection broke'), { code: 'ECONNRESET' });
      };
      const { files } = new Sidecar({ url: server.url, key: server.key, retry: patient, fetch: lossy });
      assert.equal((await files.mkdir(join(folder, 'a'))).name, 'a');
      assert.equal((await files.move(join(folder, 'a'), join(folder, 'b'))).name, 'b');
      assert.equal((await files.copy(join(folder, 'b'), join(folder, 'c'))).name, 'c');
      await files.delete(join(folder, 'b'));
      assert.deepEqual(readdirSync(folder), ['c']);
    });

    it('an append whose answer is lost is not repeated', async (t) => {
      const { server, folder } = await behindProxy(t, way);
      const path = join(folder, 'a');
      const lossy: SidecarOptions['fetch'] = async (address, init) => {
        const answer = await (way.fetch ?? globalThis.fetch)(address, init);
        await answer.arrayBuffer();
        throw Object.assign(new Error('the connection broke'), { code: 'ECONNRESET' });
      };
      const { files } = new Sidecar({ url: server.url, key: server.key, retry: patient, fetch: lossy });
      await rejectsWith(files.write(path, 'once', { append: true }), { type: ProblemError, code: 'unreachable' });
      assert.equal(readFileSync(path, 'utf8'), 'once');
    });
  });
}

it('an upload and a download outlast a restart of the server', async (t) => {
  const server = await spawnServer(t);
  const folder = temporaryFolder(t);
  const proxy = await startUnreliableProxy(t, server);
  const { files } = new Sidecar({ url: proxy.url, key: server.key, retry: patient });
  const bytes = randomBytes(1_500_000);
  const path = join(folder, 'a');
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 600_000);
    await server.kill9();
    const restarted = server.restart();
    yield bytes.subarray(600_000);
    await restarted;
  };
  await files.write(path, content(), { partBytes: 500_000 });
  assert.ok(readFileSync(path).equals(bytes));
  const { body } = await files.read(path);
  const reader = body.getReader();
  const pieces = [(await reader.read()).value ?? new Uint8Array()];
  await server.restart();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) pieces.push(piece.value);
  assert.ok(Buffer.concat(pieces).equals(bytes));
});
