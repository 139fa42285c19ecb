/** Archives of the machine's files: GET and PUT /files/archive. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync, chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, symlinkSync, truncateSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, after, before, describe, it } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ArchiveUnpacked } from '../../src/protocol/files/archive.ts';
import { type Answer, type Reached, ask } from '../support/client.ts';
import { mountless, smallDisk } from '../support/disk.ts';
import { childrenOf } from '../support/processes.ts';
import { readProcFile } from '../../src/process/proc-file.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const skip = process.platform === 'win32' ? 'it has other paths and another tar' : false;
const gnuOnly = spawnSync('tar', ['--version'], { encoding: 'utf8' }).stdout?.includes('GNU tar') === true ? skip : 'needs GNU tar';

const line = (method: string, path: string, query = ''): string => `${method} /files/archive?path=${encodeURIComponent(path)}${query}`;
const put = (server: Reached, path: string, body: Buffer, query = ''): Promise<Answer> => ask(server, line('PUT', path, query), { body });
const get = (server: Reached, path: string, query = ''): Promise<Answer> => ask(server, line('GET', path, query));

/** What tar makes of a directory. */
function tarOf(folder: string, ...args: string[]): Buffer {
  return execFileSync('tar', ['-c', '-f', '-', '-C', folder, ...args], { maxBuffer: 1e9 });
}

/** Every path below with its type, permissions, time and content. */
function treeOf(folder: string, below = ''): readonly string[] {
  const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(below, 'latin1')]);
  return readdirSync(path, { encoding: 'buffer' }).map((name) => name.toString('latin1')).sort().flatMap((name) => {
    const at = below === '' ? name : `${below}/${name}`;
    const inner = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(at, 'latin1')]);
    const stats = lstatSync(inner, { bigint: true });
    if (stats.isSymbolicLink()) return [`${at} -> ${readlinkSync(inner)}`];
    const mode = (Number(stats.mode) & 0o7777).toString(8);
    if (stats.isDirectory()) return [`${at}/ ${mode}`, ...treeOf(folder, at)];
    return [`${at} ${mode} ${stats.mtimeNs} ${readFileSync(inner).toString('latin1').slice(0, 100)}`];
  });
}

function makeTree(folder: string): void {
  mkdirSync(join(folder, 'sub', 'empty'), { recursive: true });
  for (const name of ['a', '-dash', 'new\nline', '*', `${'x'.repeat(255)}`, 'sub/ü', 'sub/tool']) writeFileSync(join(folder, name), `in ${name}`);
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe])]), 'no UTF-8');
  chmodSync(join(folder, 'sub/tool'), 0o755);
  chmodSync(join(folder, 'a'), 0o640);
  symlinkSync('../a', join(folder, 'sub', 'up'));
  symlinkSync('sub/ü', join(folder, 'down'));
}

/** The processes of tar that this one has started. */
const tars = (): readonly number[] => childrenOf(process.pid).filter((pid) => {
  try {
    return readProcFile(`/proc/${pid}/cmdline`).startsWith('tar\0');
  } catch {
    return false;
  }
});

/** Begins a GET whose body is read later. */
async function begin(server: Reached, path: string, query = ''): Promise<IncomingMessage> {
  const [, address = ''] = line('GET', path, query).split(' ');
  const sent = request(new URL(address, server.url), { headers: { 'X-API-Key': server.key } }).end();
  const [incoming] = await once(sent, 'response') as [IncomingMessage];
  return incoming;
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

describe('archives', { skip }, () => {
  let server: InProcessServer;
  let close: () => Promise<void> = async () => undefined;
  before(async () => {
    const endings: (() => Promise<void> | void)[] = [];
    server = await startTestServer({ after: (end: () => Promise<void>) => { endings.push(end); } } as unknown as TestContext);
    close = async () => { for (const end of endings.reverse()) await end(); };
  });
  after(() => close());

  it('a tree comes back as it was, as tar and tar.gz: names of any bytes, permissions, times, links', async (t) => {
    const [from, to] = [temporaryFolder(t), temporaryFolder(t)];
    makeTree(from);
    for (const [format, type] of [['tar', 'application/x-tar'], ['tar.gz', 'application/gzip']] as const) {
      const { headers, bytes } = await get(server, from, `&format=${format}`);
      assert.deepEqual([headers['content-type'], headers['trailer']], [type, 'X-Archive-Status']);
      assert.match(headers['content-disposition'] ?? '', new RegExp(`${format.replace('.', '\\.')}$`));
      const target = join(to, 'deep', format);
      const answer = await put(server, target, bytes, '&keepModes=1&mkdirs=1');
      const sizes = execFileSync('find', [from, '-type', 'f', '-printf', '%s+'], { encoding: 'utf8' }).split('+');
      const sizeBytes = sizes.reduce((sum, one) => sum + Number(one), 0);
      assert.deepEqual([answer.status, answer.json<ArchiveUnpacked>()], [201, { path: target, files: 8, directories: 2, links: 2, created: true, sizeBytes }]);
      assert.deepEqual(treeOf(target), treeOf(from));
      assert.deepEqual(readdirSync(join(to, 'deep')).filter((name) => name.startsWith('.')), [], 'nothing is left beside it');
    }
    const file = await get(server, join(from, 'a'));
    assert.equal((await put(server, join(to, 'one'), file.bytes)).json<ArchiveUnpacked>().files, 1);
    assert.equal(readFileSync(join(to, 'one', 'a'), 'utf8'), 'in a');
    const head = await ask(server, line('HEAD', from));
    assert.deepEqual([head.status, head.bytes.length, tars()], [200, 0, []]);
  });

  it('a glob selects by name anywhere or by path, with what is in a directory', { skip: gnuOnly }, async (t) => {
    const folder = temporaryFolder(t);
    for (const name of ['src/deep', 'lib']) mkdirSync(join(folder, name), { recursive: true });
    for (const name of ['a.ts', 'src/b.ts', 'src/deep/c.ts', 'src/d.js', 'lib/e.js', '*']) writeFileSync(join(folder, name), '');
    for (const [query, expected] of [
      ['&glob=*.ts', ['a.ts', 'src/b.ts', 'src/deep/c.ts']], ['&glob=src/*.ts', ['src/b.ts']],
      ['&glob=src/**/*.ts', ['src/b.ts', 'src/deep/c.ts']], ['&glob=deep&glob=lib/', ['lib/', 'lib/e.js', 'src/deep/', 'src/deep/c.ts']],
      ['&glob=none', []], ['&glob=../*', []],
    ] as const) {
      const { bytes } = await get(server, folder, query);
      const listed = execFileSync('tar', ['-t'], { input: bytes, encoding: 'utf8' }).trim().split('\n').filter((name) => name !== '');
      assert.deepEqual(listed.map((name) => name.replace(/^\.\//, '')).sort(), expected, query);
    }
  });

  it('the trailer says whether a file changed while it was read', { skip: gnuOnly }, async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'log'), '');
    truncateSync(join(folder, 'log'), 64 * 2 ** 20);
    const calm = await begin(server, folder);
    await readAll(calm);
    assert.equal(calm.trailers['x-archive-status'], 'complete');
    const changing = await begin(server, folder);
    await once(changing, 'readable');
    // tar waits for this client: it is in the middle of the file.
    appendFileSync(join(folder, 'log'), 'more');
    await readAll(changing);
    assert.match(changing.trailers['x-archive-status'] ?? '', /^changed; \.\/log: file changed as we read it$/);
  });

  it('where tar fails the connection breaks off, and the log says why', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'f'), '');
    truncateSync(join(folder, 'f'), 64 * 2 ** 20);
    for (const query of ['', '&format=tar.gz']) {
      const incoming = await begin(server, folder, query);
      await once(incoming, 'readable');
      await until(() => tars().length === 1, { what: 'tar runs' });
      for (const pid of tars()) process.kill(pid, 'SIGKILL');
      await assert.rejects(readAll(incoming), { code: 'ECONNRESET' });
      assert.deepEqual([incoming.complete, incoming.trailers], [false, {}]);
    }
    assert.match(server.logged(), /an archive breaks off/);
  });

  it('tar ends with a client that leaves', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'f'), '');
    truncateSync(join(folder, 'f'), 2 ** 30);
    for (const query of ['', '&format=tar.gz']) {
      const incoming = await begin(server, folder, query);
      await once(incoming, 'readable');
      assert.equal(tars().length, 1);
      incoming.destroy();
      await until(() => tars().length === 0, { what: 'tar has ended' });
    }
  });

  it('says what it cannot pack', async (t) => {
    const folder = temporaryFolder(t);
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    for (const [path, status, code] of [['none', 404, 'file_not_found'], ['fifo', 409, 'not_a_file']] as const) {
      const { problem } = await get(server, join(folder, path));
      assert.deepEqual([problem.status, problem.code], [status, code], path);
    }
  });

  it('into a directory that is there: replaces files and links, keeps the rest, its permissions and what it is', async (t) => {
    const [from, to] = [temporaryFolder(t), temporaryFolder(t)];
    const outside = temporaryFolder(t);
    for (const name of ['both', 'new/in', 'link', 'wasfile']) mkdirSync(join(from, name), { recursive: true });
    for (const name of ['both/a', 'new/in/b', 'link/x', 'wasfile/y', 'waslink']) writeFileSync(join(from, name), `new ${name}`);
    for (const name of ['both', 'other']) mkdirSync(join(to, name));
    for (const name of ['both/a', 'both/kept', 'wasfile', 'other/z']) writeFileSync(join(to, name), 'old');
    symlinkSync(outside, join(to, 'link'));
    symlinkSync(outside, join(to, 'waslink'));
    chmodSync(join(to, 'both'), 0o711);
    chmodSync(join(from, 'both'), 0o750);
    const [inode, mode] = [lstatSync(to).ino, lstatSync(to).mode];
    const answer = await put(server, to, tarOf(from, '.'));
    assert.deepEqual([answer.status, answer.json<ArchiveUnpacked>().created], [200, false]);
    assert.deepEqual([lstatSync(to).ino, lstatSync(to).mode], [inode, mode]);
    for (const name of ['both/a', 'new/in/b', 'link/x', 'wasfile/y', 'waslink']) assert.equal(readFileSync(join(to, name), 'utf8'), `new ${name}`);
    for (const name of ['both/kept', 'other/z']) assert.equal(readFileSync(join(to, name), 'utf8'), 'old');
    assert.deepEqual(readdirSync(outside), [], 'nothing goes through a link that was there');
    assert.deepEqual(readdirSync(to).sort(), ['both', 'link', 'new', 'other', 'wasfile', 'waslink']);
    assert.equal(lstatSync(join(to, 'both')).mode & 0o777, 0o711);
    await put(server, to, tarOf(from, '.'), '&keepModes=1');
    assert.equal(lstatSync(join(to, 'both')).mode & 0o777, 0o750);
    rmSync(join(from, 'new'), { recursive: true });
    writeFileSync(join(from, 'new'), 'a file');
    const { problem } = await put(server, to, tarOf(from, '.'));
    assert.deepEqual([problem.code, /\/new: there is a directory$/.test(problem.detail)], ['file_exists', true], problem.detail);
    assert.ok(!readdirSync(to).some((name) => name.startsWith('.')));
  });

  it('the umask and setuid: nothing runs as its owner', async (t) => {
    const [from, to] = [temporaryFolder(t), temporaryFolder(t)];
    writeFileSync(join(from, 'tool'), '');
    mkdirSync(join(from, 'd'));
    for (const [name, mode] of [['tool', 0o6777], ['d', 0o1777]] as const) chmodSync(join(from, name), mode);
    await put(server, join(to, 'plain'), tarOf(from, '.'));
    await put(server, join(to, 'kept'), tarOf(from, '.'), '&keepModes=1');
    const modes = (name: string): number[] => ['tool', 'd'].map((one) => lstatSync(join(to, name, one)).mode & 0o7777);
    assert.deepEqual(modes('plain'), [0o777 & ~process.umask(), 0o777 & ~process.umask()]);
    assert.equal(modes('kept')[0], 0o777);
  });

  it('refuses what leads out, what is no file, and what is no complete archive; nothing is left', async (t) => {
    const [from, to] = [temporaryFolder(t), temporaryFolder(t)];
    const made = (name: string, make: (folder: string) => void, ...args: string[]): Buffer => {
      const folder = join(from, name);
      mkdirSync(folder);
      make(folder);
      return tarOf(folder, ...(args.length === 0 ? ['.'] : args));
    };
    const link = (target: string): Buffer => made(`l${readdirSync(from).length}`, (folder) => {
      mkdirSync(join(folder, 'd'));
      symlinkSync(target, join(folder, 'd', 'l'));
    });
    const whole = made('whole', (folder) => { writeFileSync(join(folder, 'f'), 'x'.repeat(5000)); });
    const many = made('many', (folder) => { for (let at = 0; at < 30; at += 1) writeFileSync(join(folder, String(at)), ''); });
    const bomb = gzipSync(made('bomb', (folder) => {
      writeFileSync(join(folder, 'f'), '');
      truncateSync(join(folder, 'f'), 2_000_000);
    }));
    const named = (name: string): Buffer => made(`n${readdirSync(from).length}`, (folder) => { writeFileSync(join(folder, 'f'), ''); }, '-P', `--transform=s|^f$|${name}|`, 'f');
    const cases: readonly (readonly [what: string, body: Buffer, code: string, detail: RegExp, query?: string])[] = [
      ['absolute', named('/tmp/x'), 'invalid_request', /a name in it leads out of it/],
      ['up', named('../x'), 'invalid_request', /a name in it leads out of it/], ['up inside', named('a/../../x'), 'invalid_request', /leads out/],
      ['absolute link', link('/etc/passwd'), 'invalid_request', /the link "d\/l" leads out of it, to "\/etc\/passwd"/],
      ['link up', link('../../x'), 'invalid_request', /leads out/], ['link by a name', link('x/../../../y'), 'invalid_request', /leads out/],
      ['fifo', made('fifo', (folder) => { execFileSync('mkfifo', [join(folder, 'p')]); }), 'invalid_request', /"p" is a FIFO, a socket or a device/],
      ['empty', Buffer.alloc(0), 'invalid_request', /./], ['text', Buffer.from('hello'), 'invalid_request', /does not/], ['one byte', Buffer.from([0x1f]), 'invalid_request', /./],
      ['cut in a file', whole.subarray(0, 2048), 'invalid_request', /./], ['without its end', whole.subarray(0, 512 * 11), 'invalid_request', /does not end|EOF/],
      ['more behind it', Buffer.concat([whole, Buffer.from('x')]), 'invalid_request', /does not end/],
      ['gzip cut', gzipSync(whole).subarray(0, 60), 'invalid_request', /gzip data is cut off/], ['gzip damaged', Buffer.from([0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]), 'invalid_request', /gzip data is damaged/],
      ['entries', many, 'payload_too_large', /more than 29 entries/, '&maxEntries=29'], ['bytes', whole, 'payload_too_large', /more than 5000 bytes/, '&maxBytes=5000'],
      ['bomb', bomb, 'payload_too_large', /more than 1000000 bytes/, '&maxBytes=1000000'],
    ];
    mkdirSync(join(to, 'there'));
    for (const [what, body, code, detail, query] of cases) {
      for (const target of ['new', 'there']) {
        const { problem, text } = await put(server, join(to, target), body, query);
        assert.deepEqual([problem.code, detail.test(problem.detail)], [code, true], `${what}: ${text}`);
      }
      assert.deepEqual([readdirSync(to), readdirSync(join(to, 'there'))], [['there'], []], what);
    }
    assert.equal((await put(server, join(to, 'links'), link('/etc/passwd'), '&links=any')).status, 201);
    if (process.getuid?.() !== 0) return;
    const { problem } = await put(server, join(to, 'there'), tarOf('/dev', 'null'));
    assert.match(problem.detail, /"null" is a FIFO, a socket or a device/);
    assert.deepEqual(readdirSync(join(to, 'there')), []);
  });

  it('says where it cannot unpack', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'file'), '');
    const body = tarOf(folder, '.');
    for (const [path, status, code] of [['file', 409, 'not_a_file'], ['none/new', 404, 'file_not_found'], ['file/x', 404, 'file_not_found']] as const) {
      const { problem } = await put(server, join(folder, path), body);
      assert.deepEqual([problem.status, problem.code], [status, code], path);
    }
    assert.deepEqual(readdirSync(folder), ['file']);
  });

  it('a client that leaves in the middle leaves nothing, and no process', async (t) => {
    const folder = temporaryFolder(t);
    const [, address = ''] = line('PUT', join(folder, 'new')).split(' ');
    const sent = request(new URL(address, server.url), { method: 'PUT', headers: { 'X-API-Key': server.key } });
    sent.on('error', () => undefined);
    const from = temporaryFolder(t);
    writeFileSync(join(from, 'f'), 'x'.repeat(100_000));
    sent.write(tarOf(from, '.').subarray(0, 50_000));
    await until(() => tars().length === 1 && readdirSync(folder).length === 1, { what: 'it is being unpacked' });
    sent.destroy();
    await until(() => tars().length === 0 && readdirSync(folder).length === 0, { what: 'nothing is left' });
  });

  it('a full disk is 507, and the old files stay', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '2m');
    mkdirSync(join(disk, 'there'));
    writeFileSync(join(disk, 'there', 'f'), 'old');
    const from = temporaryFolder(t);
    writeFileSync(join(from, 'f'), 'x'.repeat(5_000_000));
    for (const name of ['there', 'new']) {
      const { problem } = await put(server, join(disk, name), tarOf(from, '.'));
      assert.deepEqual([problem.status, problem.code], [507, 'storage_full']);
    }
    assert.deepEqual([readdirSync(disk), readdirSync(join(disk, 'there')), readFileSync(join(disk, 'there', 'f'), 'utf8')], [['there'], ['f'], 'old']);
  });
});

it('--files-root holds archives within its directories, and is unpacked into itself', { skip }, async (t) => {
  const outer = temporaryFolder(t);
  const root = join(outer, 'in');
  mkdirSync(root);
  const server = await startTestServer(t, { flags: { 'files-root': [root] } as never });
  writeFileSync(join(root, 'f'), 'x');
  symlinkSync(outer, join(root, 'out'));
  const { bytes } = await get(server, root);
  for (const path of [outer, join(root, 'out'), join(root, 'out', 'new'), join(root, '..'), join(outer, 'new')]) {
    for (const answer of [await get(server, path), await put(server, path, bytes)]) {
      assert.ok(['path_not_allowed', 'file_not_found'].includes(answer.problem.code), `${path}: ${answer.text}`);
    }
  }
  assert.equal((await put(server, root, bytes, '&links=any')).problem.code, 'path_not_allowed');
  rmSync(join(root, 'out'));
  rmSync(join(root, 'f'));
  const { bytes: again } = await get(server, root, '&format=tar.gz');
  assert.equal(execFileSync('tar', ['-t'], { input: gunzipSync(again), encoding: 'utf8' }), './\n');
  assert.equal((await put(server, root, gzipSync(tarOf(outer, '--transform=s|in|kept|', 'in')))).status, 200);
  assert.deepEqual([readdirSync(root), readdirSync(outer), existsSync(join(root, 'kept'))], [['kept'], ['in'], true]);
});
