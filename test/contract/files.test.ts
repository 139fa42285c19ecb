/** The machine's files: /files and what is below it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync,
  truncateSync, writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { basename, join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import type { FileEdited, FileInfo, FileList, FileText, FileWritten, TextLine } from '../../src/protocol/files.ts';
import type { FilesPatched } from '../../src/protocol/files/patch.ts';
import { type Answer, type Asked, type Reached, ask } from '../support/client.ts';
import { type TestServer, atEnd, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'win32' ? 'its paths are others' : false;

interface Setting {
  readonly server: TestServer;
  readonly folder: string;
  /** `GET /files?path=` of a path in the folder; a query may follow behind `&`. */
  readonly call: (line: string, path: string, asked?: Asked) => Promise<Answer>;
}

async function setUp(t: TestContext, flags: { readonly [name: string]: string | readonly string[] } = {}): Promise<Setting> {
  const folder = temporaryFolder(t);
  const server = await startTestServer(t, { flags: flags as never });
  return { server, folder, call: callOf(server, folder) };
}

function callOf(server: Reached, folder: string): Setting['call'] {
  return (line, path, asked = {}) => {
    const [name = '', ...rest] = path.split('&');
    const query = [`path=${encodeURIComponent(name.startsWith('/') ? name : join(folder, name))}`, ...rest].join('&');
    return ask(server, `${line}?${query}`, asked);
  };
}

const sha256 = (bytes: Buffer): string => `"${createHash('sha256').update(bytes).digest('base64url')}"`;

describe('GET /files', { skip }, () => {
  it('sends the bytes, with a tag that names them, a name and a length; HEAD sends only those', async (t) => {
    const { folder, call } = await setUp(t);
    const content = Buffer.concat([randomBytes(1000), Buffer.from('\r\n\0')]);
    writeFileSync(join(folder, "ü 'x'.bin"), content);
    const whole = await call('GET /files', "ü 'x'.bin");
    assert.deepEqual([whole.status, whole.bytes.equals(content)], [200, true]);
    assert.equal(whole.headers['etag'], sha256(content));
    assert.equal(whole.headers['content-disposition'], "attachment; filename*=UTF-8''%C3%BC%20%27x%27.bin");
    assert.equal(whole.headers['content-length'], '1003');
    assert.equal(whole.headers['content-type'], 'application/octet-stream');
    assert.equal(Date.parse(whole.headers['last-modified'] ?? ''), Math.floor(statSync(join(folder, "ü 'x'.bin")).mtimeMs / 1000) * 1000);
    const head = await call('HEAD /files', "ü 'x'.bin");
    assert.deepEqual([head.status, head.bytes.length, head.headers['content-length'], head.headers['etag']], [200, 0, '1003', sha256(content)]);
    writeFileSync(join(folder, 'empty'), '');
    const empty = await call('GET /files', 'empty');
    assert.deepEqual([empty.status, empty.bytes.length, empty.headers['content-length']], [200, 0, '0']);
  });

  for (const [what, size] of [['small', 1000], ['large', 3_000_000]] as const) {
    it(`sends ranges and the end of a ${what} file, and 304 for what the client has`, async (t) => {
      const { folder, call } = await setUp(t);
      const content = randomBytes(size);
      writeFileSync(join(folder, 'f'), content);
      const { headers: { etag = '' } } = await call('HEAD /files', 'f');
      assert.match(etag, /^"[^"]+"$/);
      for (const [header, first, last] of [['bytes=10-19', 10, 19], ['bytes=-7', size - 7, size - 1], [`bytes=${size - 3}-`, size - 3, size - 1]] as const) {
        const answer = await call('GET /files', 'f', { headers: { Range: header } });
        assert.deepEqual([answer.status, answer.headers['content-range']], [206, `bytes ${first}-${last}/${size}`]);
        assert.ok(answer.bytes.equals(content.subarray(first, last + 1)), header);
      }
      const tail = await call('GET /files', 'f&tailBytes=5');
      assert.deepEqual([tail.status, tail.bytes.equals(content.subarray(-5))], [206, true]);
      const all = await call('GET /files', `f&tailBytes=${size + 1}`);
      assert.deepEqual([all.status, all.bytes.equals(content)], [200, true]);
      const outside = await call('GET /files', 'f', { headers: { Range: `bytes=${size}-` } });
      assert.deepEqual([outside.status, outside.problem.code, outside.headers['content-range']], [416, 'range_not_satisfiable', `bytes */${size}`]);
      assert.equal((await call('GET /files', 'f', { headers: { 'If-None-Match': `"x", ${etag}` } })).status, 304);
      const same = await call('GET /files', 'f', { headers: { 'Range': 'bytes=0-0', 'If-Range': etag } });
      const other = await call('GET /files', 'f', { headers: { 'Range': 'bytes=0-0', 'If-Range': '"other"' } });
      assert.deepEqual([same.status, other.status, other.bytes.length], [206, 200, size]);
      writeFileSync(join(folder, 'f'), Buffer.concat([content.subarray(1), Buffer.from('x')]));
      assert.equal((await call('GET /files', 'f', { headers: { 'If-None-Match': etag } })).status, 200);
    });
  }

  it('reads files of /proc, which have no size, and a relative path from where the server runs', async (t) => {
    const { call, server } = await setUp(t);
    const status = await call('GET /files', '/proc/self/status');
    assert.match(status.text, new RegExp(`^Name:[^]*\nPid:\t${process.pid}\n`));
    assert.equal(status.headers['content-length'], String(status.bytes.length));
    assert.equal((await ask(server, 'GET /files?path=package.json')).text, readFileSync('package.json', 'utf8'));
  });

  it('says what something else is, and waits for no FIFO and no device', async (t) => {
    const { folder, call, server } = await setUp(t);
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    symlinkSync('circle', join(folder, 'circle'));
    symlinkSync('nowhere', join(folder, 'dangling'));
    writeFileSync(join(folder, 'plain'), 'x');
    for (const [path, status, code, detail] of [
      ['.', 409, 'not_a_file', /it is a directory$/], ['fifo', 409, 'not_a_file', /it is a FIFO, a socket or a device$/],
      ['/dev/zero', 409, 'not_a_file', /it is a FIFO/],
      ['none', 404, 'file_not_found', /there is no such file or directory$/], ['plain/x', 404, 'file_not_found', /a part of the path is no directory$/],
      ['circle', 409, 'file_unusable', /its links lead in a circle$/], ['dangling', 404, 'file_not_found', /no such/],
      [`${'x'.repeat(256)}`, 400, 'invalid_request', /too long/], [`${'d/'.repeat(2000)}f`, 404, 'file_not_found', /no such/],
      ['/proc/self/mem', 409, 'file_unusable', /the system says EIO$/],
    ] as const) {
      const { problem } = await call('GET /files', path);
      assert.deepEqual([path, problem.status, problem.code], [path, status, code]);
      assert.match(problem.detail, detail);
    }
    assert.doesNotMatch(server.logged(), /request failed/);
  });
});

describe('GET /files/text', { skip }, () => {
  it('gives lines with their numbers, from either end, and says how many there are', async (t) => {
    const { folder, call } = await setUp(t);
    const text = async (path: string): Promise<FileText> => (await call('GET /files/text', path)).json<FileText>();
    writeFileSync(join(folder, 'f'), '\ufeffone\r\n\r\nthree ü\nfour');
    const { etag, path, ...rest } = await text('f');
    assert.deepEqual([path, etag], [join(folder, 'f'), (await call('HEAD /files', 'f')).headers['etag']]);
    assert.deepEqual(rest, {
      sizeBytes: 23, encoding: 'utf-8', lineCount: 4, truncated: false,
      lines: [{ number: 1, text: 'one' }, { number: 2, text: '' }, { number: 3, text: 'three ü' }, { number: 4, text: 'four' }],
    });
    const numbers = async (query: string): Promise<readonly [number[], boolean]> => {
      const { lines, truncated } = await text(`f&${query}`);
      return [lines.map(({ number }) => number), truncated];
    };
    for (const [query, expected] of [
      ['line=2&limit=2', [[2, 3], true]], ['line=-1', [[4], false]], ['line=-3&limit=2', [[2, 3], true]], ['line=-9', [[1, 2, 3, 4], false]],
      ['line=0&limit=1', [[1], true]], ['line=5', [[], false]],
    ] as const) assert.deepEqual(await numbers(query), expected, query);
    writeFileSync(join(folder, 'empty'), '');
    assert.deepEqual(await text('empty').then(({ lineCount, lines }) => [lineCount, lines]), [0, []]);
    assert.match((await text('/proc/self/status')).lines[0]?.text ?? '', /^Name:/);
  });

  it('cuts long lines between characters, reads other encodings, and refuses what is no text by its type', async (t) => {
    const { folder, call } = await setUp(t);
    const text = async (path: string): Promise<FileText> => (await call('GET /files/text', path)).json<FileText>();
    writeFileSync(join(folder, 'long'), `${'x'.repeat(1999)}😀rest\n${'ü'.repeat(2000)}\n${'x'.repeat(3_000_000)}`);
    const { lines, lineCount } = await text('long');
    assert.deepEqual([lineCount, lines.map((line) => [line.text.length, line.isCut])], [3, [[1999, true], [2000, undefined], [2000, true]]]);
    writeFileSync(join(folder, 'wide'), Buffer.from('\ufeffä\nb', 'utf16le'));
    writeFileSync(join(folder, 'big-endian'), Buffer.from('\ufeffä\nb', 'utf16le').swap16());
    writeFileSync(join(folder, 'old'), Buffer.from('stra\xdfe\n', 'latin1'));
    for (const [name, encoding, first] of [['wide', 'utf-16le', 'ä'], ['big-endian', 'utf-16be', 'ä'], ['old', 'latin1', 'straße']] as const) {
      const found = await text(name);
      assert.deepEqual([found.encoding, found.lines[0]?.text], [encoding, first]);
    }
    for (const [begin, type] of [['\x89PNG\r\n\x1a\n\0', 'image/png'], ['\x7fELF\x02\x01\x01\0', 'application/x-elf'], ['a\0b', 'application/octet-stream']] as const) {
      writeFileSync(join(folder, 'binary'), Buffer.from(begin, 'latin1'));
      const { problem } = await call('GET /files/text', 'binary');
      assert.deepEqual([problem.status, problem.code, problem['contentType']], [409, 'not_text', type]);
    }
    writeFileSync(join(folder, 'huge'), Buffer.alloc(16 * 2 ** 20 + 1, 'x\n'));
    assert.deepEqual((await call('GET /files/text', 'huge')).problem.code, 'payload_too_large');
    truncateSync(join(folder, 'huge'), 16 * 2 ** 20);
    const most = await text('huge&limit=100000');
    assert.deepEqual([most.lineCount, most.lines.length, most.truncated], [8 * 2 ** 20, 100_000, true]);
  });
});

describe('PUT /files', { skip }, () => {
  it('makes and replaces a file, with its permissions kept or given, and leaves nothing beside it', async (t) => {
    const { folder, call, server } = await setUp(t);
    const first = await call('PUT /files', 'a', { body: Buffer.from('one') });
    const { path, ...made } = first.json<FileWritten>();
    assert.deepEqual([first.status, made, path], [201, { sizeBytes: 3, etag: sha256(Buffer.from('one')), created: true }, join(folder, 'a')]);
    assert.equal(statSync(join(folder, 'a')).mode & 0o777, 0o666 & ~process.umask());
    chmodSync(join(folder, 'a'), 0o751);
    const second = await call('PUT /files', 'a', { body: Buffer.from('two') });
    assert.deepEqual([second.status, second.json<FileWritten>().created, statSync(join(folder, 'a')).mode & 0o777], [200, false, 0o751]);
    await call('PUT /files', 'a&mode=0600', { body: Buffer.from('three') });
    assert.deepEqual([statSync(join(folder, 'a')).mode & 0o777, readFileSync(join(folder, 'a'), 'utf8')], [0o600, 'three']);
    assert.equal((await call('PUT /files', 'n/m/b', { body: Buffer.from('x') })).problem.code, 'file_not_found');
    assert.equal((await call('PUT /files', 'n/m/b&mkdirs=1', { body: Buffer.from('x') })).status, 201);
    assert.equal((await call('PUT /files', 'empty')).json<FileWritten>().sizeBytes, 0);
    await call('PUT /files', 'a&append=1', { body: Buffer.from('+four') });
    await call('PUT /files', 'log&append=1', { body: Buffer.from('new') });
    assert.deepEqual(['a', 'log', 'n/m/b'].map((name) => readFileSync(join(folder, name), 'utf8')), ['three+four', 'new', 'x']);
    assert.deepEqual([readdirSync(folder).sort(), readdirSync(join(folder, 'n/m'))], [['a', 'empty', 'log', 'n'], ['b']]);
    assert.deepEqual(readdirSync(join(server.stateDir, 'files')), []);
  });

  it('writes where a link leads, and keeps the link', async (t) => {
    const { folder, call } = await setUp(t);
    mkdirSync(join(folder, 'd'));
    symlinkSync('d/target', join(folder, 'link'));
    assert.equal((await call('PUT /files', 'link', { body: Buffer.from('x') })).json<FileWritten>().path, join(folder, 'd/target'));
    assert.deepEqual([readlinkSync(join(folder, 'link')), readFileSync(join(folder, 'd/target'), 'utf8')], ['d/target', 'x']);
  });

  it('writes only over the file that the client knows, or where there is none', async (t) => {
    const { folder, call } = await setUp(t);
    const put = (headers: { readonly [name: string]: string }, text: string): Promise<Answer> => call('PUT /files', 'a', { headers, body: Buffer.from(text) });
    assert.equal((await put({ 'If-Match': '*' }, 'x')).problem.code, 'file_changed');
    const { headers: { etag = '' } } = await put({ 'If-None-Match': '*' }, 'one');
    const taken = await put({ 'If-None-Match': '*' }, 'two');
    assert.deepEqual([taken.status, taken.problem.code, taken.problem['etag'], taken.headers['etag']], [412, 'file_changed', etag, etag]);
    assert.equal((await put({ 'If-Match': `"x", ${etag}` }, 'two')).status, 200);
    assert.match((await put({ 'If-Match': etag }, 'three')).problem.detail, /there is a file with the ETag "/);
    assert.match((await put({ 'If-None-Match': '"x"' }, 'three')).problem.detail, /^Cannot read header If-None-Match/);
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'two');
    // Of many that know the same file, one writes.
    const { headers: { etag: known = '' } } = await call('HEAD /files', 'a');
    const statuses = (await Promise.all(Array.from({ length: 20 }, (_, index) => put({ 'If-Match': known }, `by ${index}`)))).map(({ status }) => status);
    assert.deepEqual([statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 412).length], [1, 19]);
    const created = (await Promise.all(Array.from({ length: 20 }, (_, index) =>
      call('PUT /files', 'new', { headers: { 'If-None-Match': '*' }, body: Buffer.from(`by ${index}`) })))).map(({ status }) => status);
    assert.equal(created.filter((status) => status === 201).length, 1);
    assert.deepEqual(readdirSync(folder).sort(), ['a', 'new']);
  });

  it('takes a file in parts, says how much is there, and refuses a part at another place', async (t) => {
    const { folder, call, server } = await setUp(t);
    const content = randomBytes(300_000);
    const part = (first: number, last: number, more = ''): Promise<Answer> => call('PUT /files', `f${more}`, {
      headers: { 'Content-Range': `bytes ${first}-${last}/300000` }, body: content.subarray(first, last + 1),
    });
    const begun = await part(0, 99_999);
    assert.deepEqual([begun.status, begun.json()], [202, { path: join(folder, 'f'), uploadOffset: 100_000 }]);
    const head = await call('HEAD /files', 'f');
    assert.deepEqual([head.status, head.headers['upload-offset']], [404, '100000']);
    const wrong = await part(200_000, 299_999);
    assert.deepEqual([wrong.status, wrong.problem.code, wrong.problem['uploadOffset'], wrong.headers['upload-offset']], [409, 'wrong_offset', 100_000, '100000']);
    await broken(server, `/files?path=${encodeURIComponent(join(folder, 'f'))}`, { 'Content-Range': 'bytes 100000-199999/300000' }, content.subarray(100_000, 150_000));
    await until(async () => (await call('HEAD /files', 'f')).headers['upload-offset'] === '150000', { what: 'what came of the part is there' });
    await part(150_000, 199_999);
    assert.equal(existsSync(join(folder, 'f')), false);
    const done = await part(200_000, 299_999);
    assert.deepEqual([done.status, done.json<FileWritten>().sizeBytes], [201, 300_000]);
    assert.ok(readFileSync(join(folder, 'f')).equals(content));
    assert.equal((await call('HEAD /files', 'f')).headers['upload-offset'], undefined);
    assert.equal(statSync(join(folder, 'f')).mode & 0o777, 0o666 & ~process.umask());
    // All is there, and the server has ended before it made the file.
    const parts = async (range: string): Promise<Answer> => call('PUT /files', 'g', { headers: { 'Content-Range': range } });
    assert.deepEqual((await parts('bytes */10')).problem['uploadOffset'], 0);
    assert.equal((await call('HEAD /files', 'g')).headers['upload-offset'], undefined);
    await call('PUT /files', 'g', { headers: { 'Content-Range': 'bytes 0-9/11' }, body: 'x'.repeat(10) });
    assert.equal((await parts('bytes */11')).problem['uploadOffset'], 10);
    assert.equal((await parts('bytes */10')).status, 201);
    assert.equal((await call('DELETE /files', 'g')).status, 200);
    // Begun anew at its first byte.
    await part(0, 9);
    assert.equal((await part(0, 299_999)).status, 200);
    assert.deepEqual([readdirSync(folder), readdirSync(join(server.stateDir, 'files'))], [['f'], []]);
    const long = await call('PUT /files', 'f', { headers: { 'Content-Range': 'bytes 0-9/300000' }, body: content.subarray(0, 20) });
    assert.match(long.problem.detail, /longer than its Content-Range says/);
    for (const header of ['bytes 0-9', 'bytes 9-0/10', 'bytes 0-10/10', 'items 0-9/10', 'bytes 0-9/*']) {
      assert.match((await call('PUT /files', 'f', { headers: { 'Content-Range': header }, body: 'x' })).problem.detail, /^Cannot read header Content-Range/);
    }
    assert.match((await part(0, 9, '&append=1')).problem.detail, /expected none with append/);
  });

  it('leaves the old file where the client goes in the middle', async (t) => {
    const { folder, call, server } = await setUp(t);
    writeFileSync(join(folder, 'f'), 'old');
    await broken(server, `/files?path=${encodeURIComponent(join(folder, 'f'))}`, {}, Buffer.alloc(100_000, 'x'));
    await until(() => readdirSync(folder).length === 1 && readdirSync(join(server.stateDir, 'files')).length === 0, { what: 'what was begun is gone' });
    assert.equal((await call('GET /files', 'f')).text, 'old');
    assert.doesNotMatch(server.logged(), /request failed/);
  });

  it('refuses what does not fit on the disk before it comes, and a directory, a FIFO or a device as the target', async (t) => {
    const { folder, call } = await setUp(t);
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    const huge = await call('PUT /files', 'f', { headers: { 'Content-Length': '900000000000000' } }).catch((error: Error) => error);
    assert.ok(!(huge instanceof Error), String(huge));
    assert.deepEqual([huge.status, huge.problem.code], [507, 'storage_full']);
    for (const path of ['.', 'fifo', '/dev/null']) assert.equal((await call('PUT /files', path, { body: 'x' })).problem.code, 'not_a_file', path);
    assert.deepEqual([readdirSync(folder), lstatSync('/dev/null').isCharacterDevice()], [['fifo'], true]);
    assert.match((await call('PUT /files', 'f&mode=999', { body: 'x' })).problem.detail, /permissions in octal/);
  });
});

/** Sends the head of a PUT and some of its body, and breaks the connection. */
async function broken(server: Reached, path: string, headers: { readonly [name: string]: string }, body: Buffer): Promise<void> {
  const sent = request(new URL(path, server.url), {
    method: 'PUT', headers: { 'X-API-Key': server.key, 'Content-Length': body.length + 50_000, ...headers },
  });
  sent.on('error', () => undefined);
  await new Promise<void>((resolve) => { sent.write(body, () => resolve()); });
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  sent.destroy();
}

describe('directories', { skip }, () => {
  it('lists by name, each directory before what is in it, in pages', async (t) => {
    const { folder, call } = await setUp(t);
    for (const path of ['b/deep/er', 'a', 'b/x']) mkdirSync(join(folder, path), { recursive: true });
    for (const path of ['b/deep/er/f', 'b/x/g', 'a.txt', 'c']) writeFileSync(join(folder, path), path);
    symlinkSync('/nowhere', join(folder, 'l'));
    execFileSync('mkfifo', [join(folder, 'q')]);
    const names = async (query: string): Promise<string[]> => {
      const found: string[] = [];
      for (let after: string | null = ''; after !== null;) {
        const page: FileList = (await call('GET /files/list', `.&${query}${after === '' ? '' : `&after=${after}`}`)).json<FileList>();
        found.push(...page.entries.map(({ path }) => path.slice(folder.length + 1)));
        after = page.next;
      }
      return found;
    };
    assert.deepEqual(await names(''), ['a', 'a.txt', 'b', 'c', 'l', 'q']);
    const deep = ['a', 'a.txt', 'b', 'b/deep', 'b/deep/er', 'b/deep/er/f', 'b/x', 'b/x/g', 'c', 'l', 'q'];
    assert.deepEqual(await names('depth=2'), deep.filter((path) => path.split('/').length < 3));
    for (const limit of [1, 2, 3, 5, 11, 12]) assert.deepEqual(await names(`depth=9&limit=${limit}`), deep, `limit ${limit}`);
    const { entries } = (await call('GET /files/list', '.')).json<FileList>();
    assert.deepEqual(entries.map(({ type, target, etag }) => [type, target, etag]), [
      ['directory', undefined, undefined], ['file', undefined, undefined], ['directory', undefined, undefined], ['file', undefined, undefined],
      ['symlink', '/nowhere', undefined], ['other', undefined, undefined],
    ]);
    const hashed = (await call('GET /files/list', '.&depth=9&hashes=1')).json<FileList>().entries;
    assert.deepEqual(hashed.flatMap(({ name, sha256 }) => (sha256 === undefined ? [] : [[name, sha256]])), ['a.txt', 'b/deep/er/f', 'b/x/g', 'c'].map((path) =>
      [basename(path), createHash('sha256').update(path).digest('hex')]));
    assert.equal((await call('GET /files/list', 'c')).problem.code, 'not_a_file');
    assert.match((await call('GET /files/list', '.&after=A')).problem.detail, /^Cannot read query.after/);
    const bytes = Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from([0xff, 0x66])]);
    writeFileSync(bytes, '');
    assert.deepEqual((await call('GET /files/list', 'a')).json<FileList>().entries.map(({ name, nameBase64 }) => [name, nameBase64]), [['\ufffdf', '/2Y=']]);
  });

  it('holds no directory open behind a page', async (t) => {
    const { folder, call } = await setUp(t);
    mkdirSync(join(folder, 'a/b/c/d'), { recursive: true });
    const held = (): string[] => readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`);
        return path.startsWith(`${folder}/a`) ? [path] : [];
      } catch {
        // That of this very look.
        return [];
      }
    });
    for (const limit of [1, 2, 3, 4, 5]) await call('GET /files/list', `.&depth=9&limit=${limit}`);
    assert.deepEqual(held(), []);
  });

  it('lists a hundred thousand files page by page', async (t) => {
    const { folder, call } = await setUp(t);
    const many = join(folder, 'many');
    mkdirSync(many);
    execFileSync('sh', ['-c', 'seq 100000 | xargs touch'], { cwd: many });
    let count = 0;
    let last = '';
    for (let after: string | null = ''; after !== null;) {
      const page: FileList = (await call('GET /files/list', `many&limit=10000${after === '' ? '' : `&after=${after}`}`)).json<FileList>();
      for (const { name } of page.entries) {
        assert.ok(name > last);
        last = name;
      }
      count += page.entries.length;
      after = page.next;
    }
    assert.equal(count, 100_000);
    assert.equal((await call('DELETE /files', 'many')).problem.code, 'directory_not_empty');
    assert.equal((await call('DELETE /files', 'many&recursive=1')).status, 200);
    assert.equal(existsSync(many), false);
  });

  it('describes, makes, moves and deletes', async (t) => {
    const { folder, call, server } = await setUp(t);
    const post = async (line: string, body: object): Promise<Answer> => ask(server, `POST /files/${line}`, { body });
    const [made, again] = [await post('mkdir', { path: join(folder, 'd/e'), mkdirs: true, mode: '0700' }), await post('mkdir', { path: join(folder, 'd/e'), mkdirs: true })];
    assert.deepEqual([made.status, again.status, made.json<FileInfo>().mode, made.json<FileInfo>().type], [201, 200, '0700', 'directory']);
    assert.equal((await post('mkdir', { path: join(folder, 'd/e') })).problem.code, 'file_exists');
    assert.equal((await post('mkdir', { path: join(folder, 'x/y') })).problem.code, 'file_not_found');
    writeFileSync(join(folder, 'f'), 'content', { mode: 0o640 });
    symlinkSync('f', join(folder, 'l'));
    const [file, link, followed] = [await call('GET /files/stat', 'f'), await call('GET /files/stat', 'l'), await call('GET /files/stat', 'l&follow=1')];
    const { modifiedAt, ...rest } = file.json<FileInfo>();
    assert.deepEqual(rest, { name: 'f', path: join(folder, 'f'), type: 'file', sizeBytes: 7, mode: '0640', etag: sha256(Buffer.from('content')) });
    assert.ok(Math.abs(modifiedAt - statSync(join(folder, 'f')).mtimeMs / 1000) < 0.002);
    assert.deepEqual([link.json<FileInfo>().type, link.json<FileInfo>().target, followed.json<FileInfo>().path], ['symlink', 'f', join(folder, 'f')]);
    const moved = await post('move', { from: join(folder, 'f'), to: join(folder, 'new/g'), mkdirs: true });
    assert.deepEqual([moved.status, moved.json<FileInfo>().path], [200, join(folder, 'new/g')]);
    writeFileSync(join(folder, 'h'), 'other');
    assert.equal((await post('move', { from: join(folder, 'h'), to: join(folder, 'new/g') })).problem.code, 'file_exists');
    assert.equal((await post('move', { from: join(folder, 'h'), to: join(folder, 'new/g'), overwrite: true })).status, 200);
    assert.equal(readFileSync(join(folder, 'new/g'), 'utf8'), 'other');
    assert.equal((await post('move', { from: join(folder, 'd'), to: join(folder, 'd/e/x') })).problem.code, 'invalid_request');
    assert.equal((await post('move', { from: join(folder, 'none'), to: join(folder, 'z') })).problem.code, 'file_not_found');
    assert.equal((await call('DELETE /files', 'new')).problem.code, 'directory_not_empty');
    assert.deepEqual((await call('DELETE /files', 'l')).json(), { deleted: true, path: join(folder, 'l') });
    for (const path of ['new/g', 'new', 'd&recursive=1']) assert.equal((await call('DELETE /files', path)).status, 200, path);
    assert.deepEqual(readdirSync(folder), []);
    assert.equal((await call('DELETE /files', 'l')).problem.code, 'file_not_found');
    assert.equal((await call('DELETE /files', '/&recursive=1')).problem.code, 'path_not_allowed');
  });
});

describe('POST /files/edit', { skip }, () => {
  it('checks all edits, changes only what they name, answers the diff, and keeps the permissions', async (t) => {
    const { folder, server } = await setUp(t);
    const path = join(folder, 'f');
    writeFileSync(path, '\ufeffone\r\ntwo ü\r\nthree\r\nfour', { mode: 0o640 });
    const edit = (body: object): Promise<Answer> => ask(server, 'POST /files/edit', { body: { path, ...body } });
    const edits = [{ startLine: 4, endLine: 4, new: '4\nfive' }, { old: 'two ü\nthree', new: 'TWO\nü' }];
    const dry = (await edit({ edits, dryRun: true })).json<FileEdited>();
    const diff = `--- ${path}\n+++ ${path}\n@@ -1,4 +1,5 @@\n \ufeffone\r\n-two ü\r\n-three\r\n-four\n\\ No newline at end of file\n`
      + '+TWO\r\n+ü\r\n+4\r\n+five\n\\ No newline at end of file\n';
    assert.deepEqual([dry.diff, dry.replacements, dry.written], [diff, 2, false]);
    assert.equal(readFileSync(path, 'utf8').length, 24);
    const done = (await edit({ edits, etag: dry.etag })).json<FileEdited>();
    assert.deepEqual([done.diff, done.written, statSync(path).mode & 0o777], [diff, true, 0o640]);
    assert.equal(readFileSync(path, 'utf8'), '\ufeffone\r\nTWO\r\nü\r\n4\r\nfive');
    const stale = await edit({ edits, etag: dry.etag });
    assert.deepEqual([stale.status, stale.problem.code, stale.problem['etag']], [412, 'file_changed', done.etag]);
    assert.deepEqual(stale.problem['lines'], ['\ufeffone', 'TWO', 'ü', '4', 'five'].map((text, index) => ({ number: index + 1, text })));
    const unfit = await edit({ edits: [{ old: 'one', new: '1' }, { old: 'TWO\n ü', new: '' }] });
    assert.deepEqual([unfit.status, unfit.problem.code, unfit.problem['edit']], [422, 'edit_failed', 2]);
    assert.match(unfit.problem.detail, /edit 2: its old text is not there; the nearest place is line 2$/);
    assert.deepEqual((unfit.problem['lines'] as TextLine[]).map(({ number }) => number), [1, 2, 3, 4, 5]);
    assert.equal(readFileSync(path, 'utf8'), '\ufeffone\r\nTWO\r\nü\r\n4\r\nfive');
    const same = (await edit({ edits: [{ old: 'one', new: 'one' }] })).json<FileEdited>();
    assert.deepEqual([same.diff, same.written, same.etag], ['', false, done.etag]);
    for (const [wrong, detail] of [
      [{}, /body.edits/], [{ edits: [] }, /body.edits/], [{ edits: [{ old: 'a' }] }, /body.edits\[0\].new/], [{ edits: [{ new: 'a' }] }, /either old, or startLine/],
      [{ edits: [{ old: 'a', startLine: 1, endLine: 1, new: '' }] }, /either old/], [{ edits: [{ startLine: 0, endLine: 0, new: '' }] }, /from 1/],
    ] as const) assert.match((await edit(wrong)).problem.detail, detail);
    writeFileSync(join(folder, 'binary'), 'a\0b');
    assert.equal((await edit({ path: join(folder, 'binary'), edits: [{ old: 'a', new: 'b' }] })).problem.code, 'not_text');
    assert.equal((await edit({ path: folder, edits: [{ old: 'a', new: 'b' }] })).problem.code, 'not_a_file');
  });

  it('takes old text with other blanks where there is one such place, and says so', async (t) => {
    const { folder, server } = await setUp(t);
    const path = join(folder, 'f');
    writeFileSync(path, '\tif x:  \r\n\t\ty\r\nend\r\n');
    const edits = [{ old: 'end', new: 'END' }, { old: '  if x:\n  \ty\n', new: '  if z:\n  \ty \n' }];
    const edited = (await ask(server, 'POST /files/edit', { body: { path, edits } })).json<FileEdited>();
    assert.deepEqual(edited.edits, [{ edit: 2, matched: 'whitespace', line: 1 }]);
    assert.equal(readFileSync(path, 'utf8'), '\tif z:\r\n\t\ty \r\nEND\r\n');
  });

  it('applies a patch over several files, once for each Idempotency-Key', async (t) => {
    const { folder, server } = await setUp(t);
    writeFileSync(join(folder, 'a'), 'one\n');
    const patch = '--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+1\n--- /dev/null\n+++ b/sub/b\n@@ -0,0 +1 @@\n+new\n';
    const asked = { body: { path: folder, patch }, headers: { 'Idempotency-Key': 'patch-1' } };
    const patched = (await ask(server, 'POST /files/edit', asked)).json<FilesPatched>();
    assert.deepEqual(patched.files.map(({ path, action }) => [path, action]), [[join(folder, 'a'), 'edited'], [join(folder, 'sub/b'), 'created']]);
    assert.deepEqual((await ask(server, 'POST /files/edit', asked)).json<FilesPatched>(), patched);
    assert.deepEqual([readFileSync(join(folder, 'a'), 'utf8'), readFileSync(join(folder, 'sub/b'), 'utf8')], ['1\n', 'new\n']);
    const again = await ask(server, 'POST /files/edit', { body: { path: folder, patch } });
    assert.deepEqual([again.status, again.problem.code, again.problem['file'], again.problem['hunk']], [422, 'edit_failed', 'a', 1]);
    assert.deepEqual((await server.client.files.patch(patch.replace('-one', '-1').replace('+1\n---', '+2\n---').split('--- /dev')[0] ?? '', { path: folder, dryRun: true })).written, false);
    const mixed = await ask(server, 'POST /files/edit', { body: { patch, edits: [{ old: 'one', new: '1' }] } });
    assert.match(mixed.problem.detail, /body.edits: there is a patch/);
  });

  it('of many edits at once each is made on the file that the one before has left; with a tag only one is', async (t) => {
    const { folder, server } = await setUp(t);
    const path = join(folder, 'f');
    writeFileSync(path, Array.from({ length: 20 }, (_, index) => `line ${index};\n`).join(''));
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) =>
      ask(server, 'POST /files/edit', { body: { path, edits: [{ old: `line ${index};`, new: `edited ${index};` }] } })));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(readFileSync(path, 'utf8'), Array.from({ length: 20 }, (_, index) => `edited ${index};\n`).join(''));
    const { etag } = (await ask(server, `GET /files/stat?path=${encodeURIComponent(path)}`)).json<FileInfo>();
    const tagged = await Promise.all(Array.from({ length: 9 }, (_, index) =>
      ask(server, 'POST /files/edit', { body: { path, etag, edits: [{ old: `edited ${index};`, new: 'x' }] } })));
    assert.deepEqual(tagged.map(({ status }) => status).sort(), [200, ...Array.from({ length: 8 }, () => 412)]);
  });
});

it('an Idempotency-Key moves and copies once', { skip }, async (t) => {
  const { folder, server } = await setUp(t);
  writeFileSync(join(folder, 'a'), 'x');
  const post = (line: string, body: object, key: string): Promise<Answer> =>
    ask(server, `POST /files/${line}`, { body, headers: { 'Idempotency-Key': key } });
  for (const [line, key, from, to] of [['move', 'm', 'a', 'b'], ['copy', 'c', 'b', 'c']] as const) {
    const answers = [1, 2].map(() => post(line, { from: join(folder, from), to: join(folder, to) }, key));
    const [first, second] = await Promise.all(answers);
    const third = await post(line, { from: join(folder, from), to: join(folder, to) }, key);
    assert.deepEqual([first?.status, second?.text, third.text], [200, first?.text, first?.text]);
    assert.equal((await post(line, { from: join(folder, from), to: join(folder, 'other') }, key)).problem.code, 'idempotency_mismatch');
  }
  assert.equal((await post('mkdir', { path: join(folder, 'd') }, 'd')).text, (await post('mkdir', { path: join(folder, 'd') }, 'd')).text);
  assert.deepEqual(readdirSync(folder).sort(), ['b', 'c', 'd']);
});

it('copies what there is, also to and from another file system, and leaves nothing of a copy that fails', { skip }, async (t) => {
  const { folder, server } = await setUp(t);
  // The tests may run in memory, then this is another file system.
  const other = join(process.cwd(), '.setup', `copies-${process.pid}`);
  atEnd(t, () => rmSync(other, { recursive: true, force: true }));
  mkdirSync(other, { recursive: true });
  const post = async (line: string, from: string, to: string, more = {}): Promise<Answer> =>
    ask(server, `POST /files/${line}`, { body: { from, to, ...more } });
  mkdirSync(join(folder, 'a/deep'), { recursive: true });
  writeFileSync(join(folder, 'a/deep/f'), 'content', { mode: 0o750 });
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from([0xff])]), 'odd');
  symlinkSync('deep/f', join(folder, 'a/l'));
  chmodSync(join(folder, 'a/deep'), 0o711);
  const same = (one: string, two: string): void => {
    assert.equal(execFileSync('diff', ['-r', '--no-dereference', one, two], { encoding: 'utf8' }), '');
    for (const name of ['deep', 'deep/f']) assert.equal(statSync(join(two, name)).mode, statSync(join(one, name)).mode);
  };
  assert.equal((await post('copy', join(folder, 'a'), join(folder, 'b'))).json<FileInfo>().type, 'directory');
  same(join(folder, 'a'), join(folder, 'b'));
  assert.equal((await post('copy', join(folder, 'a'), join(folder, 'b'))).problem.code, 'file_exists');
  assert.equal((await post('copy', join(folder, 'a'), join(folder, 'b'), { overwrite: true })).problem.code, 'directory_not_empty');
  assert.equal((await post('copy', join(folder, 'a'), join(folder, 'a/c'))).problem.code, 'invalid_request');
  assert.equal((await post('copy', join(folder, 'a/l'), join(folder, 'link'))).json<FileInfo>().target, 'deep/f');
  assert.equal((await post('copy', join(folder, 'a/deep/f'), join(folder, 'link'), { overwrite: true })).json<FileInfo>().mode, '0750');
  assert.equal((await post('move', join(folder, 'b'), join(other, 'n/b'), { mkdirs: true })).status, 200);
  same(join(folder, 'a'), join(other, 'n/b'));
  execFileSync('mkfifo', [join(folder, 'a/q')]);
  const refused = await post('copy', join(folder, 'a'), join(folder, 'c'));
  assert.deepEqual([refused.problem.code, /\/q: it is a FIFO/.test(refused.problem.detail)], ['not_a_file', true]);
  assert.deepEqual(readdirSync(folder).sort(), ['a', 'link']);
  assert.deepEqual(readdirSync(join(server.stateDir, 'files')), []);
});

describe('--files-root', { skip }, () => {
  it('holds every call within its directories, links followed', async (t) => {
    const outer = temporaryFolder(t);
    for (const name of ['in', 'also', 'out/deep']) mkdirSync(join(outer, name), { recursive: true });
    writeFileSync(join(outer, 'out/secret'), 'secret');
    writeFileSync(join(outer, 'in/mine'), 'mine');
    symlinkSync('../out', join(outer, 'in/relative'));
    symlinkSync(join(outer, 'out'), join(outer, 'in/absolute'));
    symlinkSync(join(outer, 'also'), join(outer, 'in/allowed'));
    symlinkSync('/', join(outer, 'in/top'));
    symlinkSync('../out/new', join(outer, 'in/dangling'));
    const { server, call } = await setUp(t, { 'files-root': [join(outer, 'in'), join(outer, 'also')] });
    const inside = (path: string): string => `${outer}/in/${path}`;
    const hostile = [
      `${outer}/out/secret`, inside('../out/secret'), inside('x/../../out/secret'), inside('relative/secret'), inside('absolute/secret'),
      inside('relative/deep/../secret'), inside(`top${outer}/out/secret`), inside('dangling'), inside('./../in/../out/secret'),
      '/etc/passwd', '/proc/self/root/etc/passwd', `/proc/self/cwd/package.json`, '/proc/self/fd/0', 'package.json', '../../etc/passwd', '/',
      outer, `${outer}/in2`, `${outer}/in/..`, inside('allowed/../../out/secret'),
    ];
    for (const path of hostile) {
      for (const line of ['GET /files', 'PUT /files', 'GET /files/stat', 'GET /files/list', 'DELETE /files']) {
        const own = line === 'GET /files/stat' || line === 'DELETE /files' ? path.replace(/\/dangling$/, '/dangling/x') : path;
        const answer = await call(line, own, line.startsWith('PUT') ? { body: 'x' } : {});
        assert.ok(['path_not_allowed', 'file_not_found'].includes(answer.problem.code), `${line} ${own}: ${answer.text}`);
      }
      for (const [from, to] of [[path, inside('stolen')], [inside('mine'), path]] as const) {
        const moved = await ask(server, 'POST /files/move', { body: { from, to } });
        if (path === inside('dangling')) continue;
        assert.ok(['path_not_allowed', 'file_not_found'].includes(moved.problem.code), `${from} to ${to}: ${moved.text}`);
      }
    }
    assert.deepEqual([readFileSync(join(outer, 'out/secret'), 'utf8'), readdirSync(join(outer, 'out')).sort()], ['secret', ['deep', 'secret']]);
    assert.equal((await call('GET /files', inside('allowed/../mine'))).problem.code, 'path_not_allowed');
    assert.equal((await call('PUT /files', inside('allowed/f'), { body: 'x' })).status, 201);
    assert.equal((await call('GET /files', `${outer}/also/f`)).text, 'x');
    assert.equal((await call('DELETE /files', `${outer}/in&recursive=1`)).problem.code, 'path_not_allowed');
    assert.doesNotMatch(server.logged(), /request failed/);
  });
});

it('a file that grows while it is read is sent as it was; one that shrinks breaks the answer off', { skip }, async (t) => {
  const { folder, call, server } = await setUp(t);
  writeFileSync(join(folder, 'f'), Buffer.alloc(40_000_000, 'x'));
  const url = new URL(`/files?path=${encodeURIComponent(join(folder, 'f'))}`, server.url);
  const read = (change: () => void): Promise<number | undefined> => new Promise((resolve) => {
    request(url, { headers: { 'X-API-Key': server.key } }, (incoming) => {
      let bytes = 0;
      incoming.once('readable', change);
      incoming.on('data', (piece: Buffer) => { bytes += piece.length; });
      incoming.on('error', () => resolve(undefined));
      incoming.on('end', () => resolve(bytes));
    }).end();
  });
  assert.equal(await read(() => execFileSync('sh', ['-c', 'echo more >> f'], { cwd: folder })), 40_000_000);
  assert.equal(await read(() => truncateSync(join(folder, 'f'), 1_000_000)), undefined);
  assert.equal((await call('GET /files/stat', 'f')).json<FileInfo>().sizeBytes, 1_000_000);
});
