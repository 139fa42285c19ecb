/** GET /files/watch, and `sidecar watch`. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import type { WatchEvent } from '../../src/client/client.ts';
import { starterOf } from '../support/cli.ts';
import { ask, eventsIn, open } from '../support/client.ts';
import { freePort } from '../support/ports.ts';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';

const skip = process.platform === 'win32' ? 'its paths are others' : false;
const line = (path: string, query = ''): string => `GET /files/watch?path=${encodeURIComponent(path)}${query}`;

it('tells what changes after `ready`, and continues after an event', { skip }, async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, '.git'));
  const first = await open(t, server, line(folder));
  assert.deepEqual([first.status, first.headers['content-type']], [200, 'text/event-stream']);
  await first.until(/event: ready/);
  assert.deepEqual(eventsIn(first.text()).map(({ event, data }) => [event, data]), [
    ['ready', { path: folder, directories: 1, isPolled: false }],
  ]);
  writeFileSync(join(folder, 'f'), 'x');
  await first.until(/event: created/);
  const [, created] = eventsIn(first.text());
  assert.ok(created !== undefined);
  const { at, ...rest } = created.data as { at: number };
  assert.deepEqual([rest, Math.abs(at - Date.now() / 1000) < 60], [{ path: 'f', fileType: 'file' }, true]);
  first.leave();

  rmSync(join(folder, 'f'));
  const again = await open(t, server, line(folder), { headers: { 'Last-Event-ID': created.id ?? '' } });
  await again.until(/event: deleted/);
  assert.deepEqual(eventsIn(again.text()).map(({ event }) => event), ['ready', 'deleted']);
  const other = await open(t, server, line(folder, '&after=another-3'));
  await other.until(/event: ready/);
  assert.deepEqual(eventsIn(other.text()).map(({ event }) => event), ['lost', 'ready']);
  const whole = await open(t, server, line(folder, '&all=1'));
  await whole.until(/event: ready/);
  writeFileSync(join(folder, '.git/x'), '');
  await whole.until(/"path":".git\/x"/);
  rmSync(folder, { recursive: true });
  assert.match(await again.end(), /event: gone\ndata: \{\}/);
  assert.doesNotMatch(server.logged(), /request failed/);
});

it('says what it cannot watch, and holds to --files-root', { skip }, async (t) => {
  const outer = temporaryFolder(t);
  for (const name of ['in/d', 'out']) mkdirSync(join(outer, name), { recursive: true });
  symlinkSync('../out', join(outer, 'in/link'));
  const server = await startTestServer(t, { flags: { 'files-root': [join(outer, 'in')] } as never });
  for (const [path, code] of [
    [join(outer, 'in/none'), 'file_not_found'], [outer, 'path_not_allowed'], [join(outer, 'in/link'), 'path_not_allowed'], ['/etc', 'path_not_allowed'],
  ] as const) assert.equal((await ask(server, line(path))).problem.code, code, path);
  const live = await open(t, server, line(join(outer, 'in')));
  await live.until(/event: ready/);
  // A directory that becomes a link is not followed.
  renameSync(join(outer, 'in/d'), join(outer, 'in/e'));
  symlinkSync('../out', join(outer, 'in/d'));
  await live.until(/"path":"d","fileType":"symlink"/);
  writeFileSync(join(outer, 'out/secret'), '');
  writeFileSync(join(outer, 'in/e/last'), '');
  assert.doesNotMatch(await live.until(/"path":"e\/last"/), /secret/);
});

it('the client and `sidecar watch` go on after a restart of the server, and say that events may be lost', { skip }, async (t) => {
  const server = await spawnServer(t, { flags: { port: String(await freePort()) } });
  const folder = temporaryFolder(t);
  const events: WatchEvent[] = [];
  const leaving = new AbortController();
  const printed = starterOf(t, server)(['watch', folder]);
  await printed.printed(/Watching/, 'stderr');
  const following = (async () => {
    for await (const event of server.client.files.watch(folder, { signal: leaving.signal })) {
      events.push(event);
      if (event.type === 'ready') writeFileSync(join(folder, 'one'), '');
      if (event.type === 'created' && event.path === 'one') await server.restart();
      if (event.type === 'lost') {
        await printed.printed(/Changes have been lost/, 'stderr');
        writeFileSync(join(folder, 'two'), '');
      }
      if (event.type === 'created' && event.path === 'two') return;
    }
  })();
  await following;
  assert.deepEqual(events.map(({ type }) => type), ['ready', 'created', 'lost', 'created']);
  await printed.printed(/created one\n[^]*created two\n/);
  printed.child.kill('SIGINT');
  await printed.ended;
});
