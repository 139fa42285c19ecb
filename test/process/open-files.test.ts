import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { it } from 'node:test';
import { openFileCount } from '../../src/process/open-files.ts';

it('openFileCount() is the number of files in /proc/self/fd', { skip: process.platform === 'linux' ? false : 'there is no /proc' }, () => {
  const opened = Array.from({ length: 20 }, () => openSync('/dev/null', 'r'));
  // The listing has its own directory, too.
  assert.equal(openFileCount(), readdirSync('/proc/self/fd').length - 1);
  opened.forEach((fd) => closeSync(fd));
  assert.equal(openFileCount(), readdirSync('/proc/self/fd').length - 1);
});
