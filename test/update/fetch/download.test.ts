/** Downloads from a server that is not always at its best. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DownloadOptions, download } from '../../../src/update/fetch/download.ts';
import { SourceError, type SourceReason } from '../../../src/update/source-error.ts';
import { rejectsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { type Fault, type Registry, startRegistry } from '../../support/registry.ts';

const content = randomBytes(300_000);
const path = '/x.tgz';

interface Setting {
  readonly registry: Registry;
  readonly file: string;
  readonly folder: string;
  readonly url: URL;
  readonly fetch: (options?: Partial<DownloadOptions>, url?: URL) => Promise<void>;
  /** What each request asked for, as `range if-range`. */
  readonly ranges: () => (string | undefined)[];
}

async function setUp(t: TestContext, faults: readonly Fault[] = [], headers: { readonly [name: string]: string } = {}): Promise<Setting> {
  const registry = await startRegistry(t);
  const folder = temporaryFolder(t);
  const file = join(folder, 'x.tgz');
  const url = registry.serve(path, content, headers);
  registry.misbehave(path, ...faults);
  return {
    registry, file, folder, url,
    fetch: (options = {}, from = url) => download(from, file, { maxBytes: 1_000_000, backoffMs: 1, stalledMs: 5_000, ...options }),
    ranges: () => registry.requests.map((request) => request.headers.range),
  };
}

function fails(work: Promise<unknown>, reason: SourceReason, message = /./): Promise<SourceError> {
  return rejectsWith(work, { type: SourceError, reason, message });
}

describe('download()', () => {
  it('leaves the whole file, for its owner only, and nothing beside it', async (t) => {
    const { fetch, file, folder, registry } = await setUp(t);
    await fetch();
    assert.deepEqual(readFileSync(file), content);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), ['x.tgz']);
    assert.equal(registry.requests[0]?.headers['accept-encoding'], 'identity');
  });

  it('replaces what was there, and what a killed process left beside it', async (t) => {
    const { fetch, file, folder } = await setUp(t);
    writeFileSync(file, 'old');
    writeFileSync(join(folder, 'other'), 'untouched');
    symlinkSync(join(folder, 'other'), `${file}.part`);
    await fetch();
    assert.deepEqual(readFileSync(file), content);
    assert.equal(readFileSync(join(folder, 'other'), 'utf8'), 'untouched');
  });

  it('goes on where the connection broke', async (t) => {
    const { fetch, file, registry, ranges } = await setUp(t, [{ kind: 'truncate', bytes: 100_000 }, { kind: 'truncate', bytes: 50_000 }]);
    await fetch();
    assert.deepEqual(readFileSync(file), content);
    assert.deepEqual(ranges(), [undefined, 'bytes=100000-', 'bytes=150000-']);
    assert.match(String(registry.requests[1]?.headers['if-range']), /^"[0-9a-f]{40}"$/);
  });

  it('goes on where nothing came any more', async (t) => {
    const { fetch, file, ranges } = await setUp(t, [{ kind: 'hang-after', bytes: 100_000 }]);
    await fetch({ stalledMs: 200 });
    assert.deepEqual(readFileSync(file), content);
    assert.deepEqual(ranges(), [undefined, 'bytes=100000-']);
  });

  it('resumes by a date that is old enough, and by no weak ETag', async (t) => {
    const modified = 'Thu, 01 Jan 2026 00:00:00 GMT';
    const dated = await setUp(t, [{ kind: 'truncate', bytes: 10 }], { 'etag': 'W/"1"', 'last-modified': modified });
    await dated.fetch();
    assert.equal(dated.registry.requests[1]?.headers['if-range'], modified);
    assert.deepEqual(readFileSync(dated.file), content);
    for (const headers of [{ etag: 'W/"1"' }, { etag: '', 'last-modified': new Date(Date.now() + 60_000).toUTCString() }]) {
      const { fetch, file, ranges } = await setUp(t, [{ kind: 'truncate', bytes: 10 }], headers);
      await fetch();
      assert.deepEqual(ranges(), [undefined, undefined]);
      assert.deepEqual(readFileSync(file), content);
    }
  });

  it('starts anew when the file has changed meanwhile', async (t) => {
    const other = randomBytes(50_000);
    const { fetch, file, ranges } = await setUp(t, [{ kind: 'truncate', bytes: 100_000 }, { kind: 'replace', content: other }]);
    await fetch();
    assert.deepEqual(readFileSync(file), other);
    assert.deepEqual(ranges(), [undefined, 'bytes=100000-']);
  });

  it('starts anew when the server knows no ranges, or serves another part', async (t) => {
    for (const [fault, requests] of [['ignore-range', 2], ['wrong-range', 3]] as const) {
      const { fetch, file, registry } = await setUp(t, [{ kind: 'truncate', bytes: 100_000 }, { kind: fault }]);
      await fetch();
      assert.deepEqual(readFileSync(file), content);
      assert.equal(registry.requests.length, requests);
    }
  });

  it('tries again after 5xx and 429, as often as it was told', async (t) => {
    const { fetch, file } = await setUp(t, [{ kind: 'status', status: 500, times: 3 }, { kind: 'status', status: 429, headers: { 'retry-after': '0' } }]);
    await fetch();
    assert.deepEqual(readFileSync(file), content);
    const failing = await setUp(t, [{ kind: 'status', status: 503, times: 9 }]);
    await fails(failing.fetch({ attempts: 3 }), 'unavailable', /answered 503; try again later/);
    assert.equal(failing.registry.requests.length, 3);
  });

  it('waits as long as the server asks, but not for more than a minute', async (t) => {
    const { fetch, registry } = await setUp(t, [{ kind: 'status', status: 429, headers: { 'retry-after': '60' } }]);
    const controller = new AbortController();
    const fetched = fetch({ signal: controller.signal });
    await until(() => registry.requests.length > 0, { what: 'it asks' });
    // Without being asked it would be back after a millisecond.
    await sleep(50);
    controller.abort(new Error('enough'));
    await assert.rejects(fetched, /^Error: enough$/);
    registry.misbehave(path, { kind: 'status', status: 503, headers: { 'retry-after': '61' } });
    await fails(fetch(), 'unavailable');
    assert.equal(registry.requests.length, 2);
  });

  it('asks once for what is refused or not there', async (t) => {
    for (const [status, reason] of [[404, 'not_found'], [410, 'not_found'], [401, 'refused'], [403, 'refused'], [418, 'refused']] as const) {
      const { fetch, registry, folder } = await setUp(t, [{ kind: 'status', status }]);
      await fails(fetch(), reason, new RegExp(`${registry.url.origin}/x.tgz: the server answered ${status}; check`));
      assert.equal(registry.requests.length, 1);
      assert.deepEqual(readdirSync(folder), []);
    }
  });

  it('takes no answer that is not a file', async (t) => {
    const { fetch } = await setUp(t, [{ kind: 'status', status: 204 }]);
    await fails(fetch(), 'malformed', /204/);
    const encoded = await setUp(t, [], { 'content-encoding': 'gzip' });
    await fails(encoded.fetch(), 'malformed', /gzip/);
  });

  it('gives up a server that never answers, one that always breaks, and one that is not there', async (t) => {
    const { fetch, folder, registry } = await setUp(t, [{ kind: 'hang', times: 2 }]);
    await fails(fetch({ stalledMs: 100, attempts: 2 }), 'stalled', /nothing came within 0.1 s/);
    registry.misbehave(path, { kind: 'wrong-length', bytes: content.length + 1, times: 3 });
    await fails(fetch({ attempts: 2 }), 'truncated');
    await fails(fetch({ attempts: 2 }, new URL('http://user:secret@127.0.0.1:1/x.tgz?token=secret')), 'unreachable');
    assert.deepEqual(readdirSync(folder), []);
  });

  it('takes no more than it may, whether or not the size was said before', async (t) => {
    const { fetch, folder, registry } = await setUp(t, [{ kind: 'status', status: 500 }]);
    await fails(fetch({ maxBytes: content.length - 1 }), 'too_large', /larger than 299999 bytes/);
    registry.misbehave(path, { kind: 'no-length' });
    await fails(fetch({ maxBytes: content.length - 1 }), 'too_large');
    assert.deepEqual(readdirSync(folder), []);
    registry.misbehave(path, { kind: 'no-length' });
    await fetch({ maxBytes: content.length });
  });

  it('follows five redirects and no more, and none to a less safe or an unknown protocol', async (t) => {
    const { fetch, file, registry } = await setUp(t, [{ kind: 'redirect', location: path, times: 5 }]);
    await fetch();
    assert.deepEqual(readFileSync(file), content);
    registry.misbehave(path, { kind: 'redirect', location: path, times: 6 });
    await fails(fetch(), 'refused', /more than 5 times/);
    registry.misbehave(path, { kind: 'redirect', location: 'ftp://localhost/x' });
    await fails(fetch(), 'refused');
    assert.equal(registry.requests.length, 6 + 6 + 1);
  });

  it('names where a redirect leads to that it does not follow, whatever the scheme', async (t) => {
    const { fetch, registry } = await setUp(t);
    const ways = [
      ['file:///etc/passwd', 'file:///etc/passwd'], ['ftp://me:secret@localhost/x?secret#secret', 'ftp://localhost/x?…'],
      ['data:text/plain,secret', 'data:…'], ['unix:/run/secret.sock', 'unix:…'], ['foo://host:1/x', 'foo://host:1/x'],
    ] as const;
    for (const [location, expected] of ways) {
      registry.misbehave(path, { kind: 'redirect', location });
      const { message } = await fails(fetch(), 'refused');
      assert.ok(message.endsWith(`it redirects to ${expected}, which is no address of the web; use an address that does not`), message);
    }
  });

  it('keeps credentials to the origin that they are for, and out of messages', async (t) => {
    const { fetch, registry, url } = await setUp(t);
    const other = await setUp(t);
    registry.misbehave(path, { kind: 'redirect', location: other.url.href });
    await fetch({ headers: { Authorization: 'Bearer secret' } });
    assert.equal(registry.requests[0]?.headers.authorization, 'Bearer secret');
    assert.equal(other.registry.requests[0]?.headers.authorization, undefined);
    const withUser = new URL(url);
    Object.assign(withUser, { username: 'me', password: 'se:cret', search: '?x=secret' });
    const error = await fails(fetch({}, withUser), 'not_found', /x\.tgz\?…: the server/);
    assert.doesNotMatch(error.message, /secret|cret|me:/);
    assert.equal(registry.requests.at(-1)?.headers.authorization, `Basic ${Buffer.from('me:se:cret').toString('base64')}`);
  });

  it('ends with the reason of its signal, while it waits for bytes and between tries', async (t) => {
    const faults: Fault[] = [{ kind: 'hang-after', bytes: 10 }, { kind: 'status', status: 500 }];
    for (const fault of faults) {
      const { fetch, folder, registry } = await setUp(t, [fault]);
      const controller = new AbortController();
      const fetched = fetch({ signal: controller.signal, backoffMs: 60_000 });
      await until(() => registry.requests.length > 0, { what: 'it asks' });
      controller.abort(new Error('enough'));
      await assert.rejects(fetched, /^Error: enough$/);
      assert.deepEqual(readdirSync(folder), []);
    }
  });

  it('passes on what the file system says', async (t) => {
    const { url, folder } = await setUp(t);
    await assert.rejects(download(url, join(folder, 'missing', 'x'), { maxBytes: 1 }), { code: 'ENOENT' });
  });

  it('passes on that the disk is full, and tries no more', async (t) => {
    const { url, registry, folder } = await setUp(t);
    const { FileHandle } = await handlePrototype(folder);
    t.mock.method(FileHandle, 'write', () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })));
    await assert.rejects(download(url, join(folder, 'x'), { maxBytes: 1_000_000 }), { code: 'ENOSPC' });
    assert.equal(registry.requests.length, 1);
  });
});

/** Node exports no class for its file handles. */
async function handlePrototype(folder: string): Promise<{ FileHandle: { write: () => unknown } }> {
  const { open } = await import('node:fs/promises');
  const handle = await open(join(folder, 'probe'), 'w');
  await handle.close();
  return { FileHandle: Object.getPrototypeOf(handle) as { write: () => unknown } };
}
