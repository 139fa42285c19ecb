/** The parts of a server: each is closed, whatever another one does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Log } from '../../src/base/log.ts';
import { Parts } from '../../src/server/parts.ts';

/** Keeps what is logged as an error. */
function logOf(lines: unknown[]): Log {
  return { error: (message: string, fields: object) => { lines.push([message, fields]); } } as unknown as Log;
}

test('parts are closed in reverse order, also behind one that hangs and one that fails, which are logged', async () => {
  const lines: unknown[] = [];
  const closed: string[] = [];
  const parts = new Parts(logOf(lines), { closeMs: 20 });
  const error = new Error('no');
  parts.onClose('first', () => { closed.push('first'); });
  parts.onClose('hangs', () => new Promise(() => undefined));
  parts.onClose('fails', () => { throw error; });
  parts.onClose('rejects', () => Promise.reject(error));
  parts.onClose('last', () => { closed.push('last'); });
  await parts.close();
  assert.deepEqual(closed, ['last', 'first']);
  assert.deepEqual(lines, [
    ['cannot close a part', { part: 'rejects', error }], ['cannot close a part', { part: 'fails', error }],
    ['cannot close a part in time', { part: 'hangs', limitMs: 20 }],
  ]);
  await parts.close();
  assert.equal(closed.length, 2);
});
