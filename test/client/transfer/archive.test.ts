/** Archives through the client, as `fetch` and the command line send them. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Sidecar } from '../../../src/client/client.ts';
import { directFetch } from '../../../src/cli/direct-fetch.ts';
import { rejectsWith } from '../../support/errors.ts';
import { startTestServer, temporaryFolder } from '../../support/server.ts';

const skip = process.platform === 'win32' ? 'its tar is another' : false;

describe('files.archive() and files.unpack()', { skip }, () => {
  it('send a directory there and back, count the bytes, and end with a signal', async (t) => {
    const server = await startTestServer(t);
    const [folder, from] = [temporaryFolder(t), temporaryFolder(t)];
    writeFileSync(join(from, 'f'), 'x'.repeat(300_000));
    for (const [name, options] of [['fetch', {}], ['directFetch', { fetch: directFetch }]] as const) {
      const { files } = new Sidecar({ url: server.url, key: server.key, ...options });
      let [received, sent] = [0, 0];
      const stream = await files.archive(from, { onProgress: (doneBytes) => { received = doneBytes; } });
      const unpacked = await files.unpack(join(folder, name), stream, { onProgress: (doneBytes) => { sent = doneBytes; } });
      assert.deepEqual([unpacked.created, unpacked.sizeBytes >= 300_000, received], [true, true, sent], name);
      assert.equal(readFileSync(join(folder, name, 'f'), 'utf8').length, 300_000);
      await rejectsWith(files.unpack(join(folder, 'none', 'x'), await files.archive(from)), { code: 'file_not_found' });
      const leaving = new AbortController();
      const endless = async function* (): AsyncGenerator<Uint8Array, void> {
        yield new Uint8Array(10);
        leaving.abort(new Error('enough'));
        await new Promise(() => undefined);
      };
      await assert.rejects(files.unpack(join(folder, 'left'), endless(), { signal: leaving.signal }), { message: 'enough' });
      const failing = async function* (): AsyncGenerator<Uint8Array, void> {
        yield new Uint8Array(10);
        throw new Error('no more');
      };
      await assert.rejects(files.unpack(join(folder, 'left'), failing()));
    }
    assert.deepEqual(readdirSync(folder).sort(), ['directFetch', 'fetch']);
  });

  it('a file that changes while it is read fails the stream, or is reported', async (t) => {
    const server = await startTestServer(t);
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'log'), '');
    truncateSync(join(folder, 'log'), 64 * 2 ** 20);
    const { files } = new Sidecar({ url: server.url, key: server.key, fetch: directFetch });
    const reasons: string[] = [];
    for (const onChanged of [undefined, (reason: string) => { reasons.push(reason); }]) {
      const reader = (await files.archive(folder, onChanged === undefined ? {} : { onChanged })).getReader();
      await reader.read();
      appendFileSync(join(folder, 'log'), 'more');
      const rest = async (): Promise<void> => { while (!(await reader.read()).done); };
      if (onChanged === undefined) await rejectsWith(rest(), { code: 'file_changed' });
      else await rest();
    }
    assert.deepEqual(reasons, ['./log: file changed as we read it']);
  });
});
