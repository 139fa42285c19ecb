import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sendSignal } from '../../src/process/identity.ts';
import { isSameStart, readFileTime, taskkillArguments } from '../../src/process/windows.ts';
import { ProblemError } from '../../src/protocol/problem.ts';

describe('windows', () => {
  it('readFileTime() reads what PowerShell prints, and nothing else', () => {
    assert.equal(readFileTime('134081712000000000\r\n'), Date.parse('2025-11-21T04:00:00Z'));
    for (const text of ['', '\r\n', '12', 'You cannot call a method on a null-valued expression.', '1340817120000000000']) assert.equal(readFileTime(text), undefined, text);
  });

  it('isSameStart() tells a process from a later one with its pid, and believes the pid where nobody tells more', () => {
    const startedAt = '1795207483644';
    assert.equal(isSameStart(startedAt, 1795207483144), true);
    assert.equal(isSameStart(startedAt, 1795207583644), false);
    assert.equal(isSameStart(startedAt, undefined), true);
    assert.equal(isSameStart('', 1795207483144), true);
    assert.equal(isSameStart('-', 1795207483144), true);
  });

  it('taskkill ends the tree, by force', () => assert.deepEqual(taskkillArguments(42), ['/PID', '42', '/T', '/F']));

  it('sendSignal() refuses on Windows what that does not have', () => {
    // Once SIGCONT threw a TypeError there, so that no job could be ended; and SIGTERM to a group found nobody.
    const isRefused = (error: unknown): boolean => error instanceof ProblemError && error.code === 'not_supported';
    const pid = 2 ** 30;
    assert.throws(() => sendSignal(pid, 'SIGCONT', 'win32'), isRefused);
    assert.throws(() => sendSignal(-pid, 'SIGTERM', 'win32'), isRefused);
    assert.equal(sendSignal(pid, 'SIGTERM', 'win32'), false);
    assert.equal(sendSignal(-pid, 'SIGTERM', 'linux'), false);
  });
});
