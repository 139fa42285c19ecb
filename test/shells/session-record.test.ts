/** The record of a persistent shell, which a job may have replaced. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TooLargeError } from '../../src/base/files/untrusted-file.ts';
import { parseSession, readSessionFile, writeSession } from '../../src/shells/session-record.ts';
import { temporaryFolder } from '../support/server.ts';

test('a record that no server writes is not parsed', (t) => {
  const directory = temporaryFolder(t);
  const session = { sessionKey: 'k', shell: 'bash', createdAt: 1, workdir: '/', env: { A: '[{,:"' }, starts: 2 } as const;
  writeSession(directory, session);
  assert.equal(JSON.stringify(parseSession(readSessionFile(directory))), JSON.stringify(session));
  const { mock } = t.mock.method(JSON, 'parse');
  writeFileSync(join(directory, 'shell.json'), `[${'{},'.repeat(2 ** 21)}{}]`);
  assert.throws(() => readSessionFile(directory), TooLargeError);
  assert.equal(mock.callCount(), 0);
});
