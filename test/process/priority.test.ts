import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { builtModule } from '../support/built.ts';

const file = '/proc/self/autogroup';
const source = builtModule('process/priority');

/** In a session of its own, a shell and in it a server that goes first; then the session's niceness during it, and after it. */
function session(niceness: string): string[] {
  const program = `const { goFirst } = await import('${source}'); goFirst(); console.log((await import('node:fs')).readFileSync('${file}', 'utf8'));`;
  const script = `echo ${niceness} > ${file}; "$0" --input-type=module -e "$1"; cat ${file}`;
  const printed = execFileSync('setsid', ['-w', '/bin/sh', '-c', script, process.execPath, program], { encoding: 'utf8' });
  return [...printed.matchAll(/nice (-?\d+)/g)].map(([, value]) => value ?? '');
}

describe('a session that goes first', { skip: existsSync(file) && process.getuid?.() === 0 ? false : 'root and a Linux with autogroups are needed' }, () => {
  it('does so until its server ends', () => assert.deepEqual(session('0'), ['-10', '0']));
  it('keeps what somebody has set', () => assert.deepEqual(session('5'), ['5', '5']));
});
