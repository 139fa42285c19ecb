/** What agents do, as the command line shows it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agentExitCode } from '../../../src/cli/agents/ending.ts';
import { diffLines } from '../../../src/cli/agents/diff-lines.ts';
import { parseOption } from '../../../src/cli/agents/question.ts';
import type { Job } from '../../../src/client/client.ts';

function shown(before: string | null, after: string): string {
  const marks = { same: ' ', removed: '-', added: '+' } as const;
  return diffLines(before, after).map(({ type: is, text }) => `${marks[is]}${text}`).join('|');
}

describe('diffLines()', () => {
  it('shows what differs, and a little around it', () => {
    assert.equal(shown('1\n2\n3\n4\n5\n6\n7\n', '1\n2\n3\nx\n5\n6\n7\n'), ' 2| 3|-4|+x| 5| 6');
    assert.equal(shown('a\nb\nc\nd', 'a\nx\nc\ny'), ' a|-b|+x| c|-d|+y');
    assert.equal(shown(null, 'new\nfile\n'), '+new|+file');
    assert.equal(shown('gone\n', ''), '-gone');
    assert.equal(shown('same', 'same'), ' same');
    assert.equal(shown('a\na\na', 'a\na'), ' a| a|-a');
  });

  it('is quick for a large change', () => {
    const lines = (word: string): string => Array.from({ length: 20_000 }, (_, index) => `${word}${index}`).join('\n');
    assert.equal(diffLines(lines('a'), lines('b')).length, 40_000);
  });
});

describe('parseOption()', () => {
  it('takes numbers, y, n and ids; nothing else is an answer', () => {
    const options = [{ optionId: 'A', kind: 'allow_always' }, { optionId: 'ok', kind: 'allow_once' }, { optionId: 'no way', kind: 'reject_once' }];
    const permission = { permissionId: 'p', kind: 'edit', tools: [], paths: [], commands: [], options };
    const typed = ['1', ' 3 ', 'y', 'YES', 'n', 'no', 'A', 'no way', '', '0', '4', 'yy', 'x'];
    assert.deepEqual(typed.map((text) => parseOption(permission, text)), ['A', 'no way', 'ok', 'ok', 'no way', 'no way', 'A', 'no way', undefined, undefined, undefined, undefined, undefined]);
  });
});

describe('agentExitCode()', () => {
  it('is 0 for a good end, 124 at the timeout, 130 for Ctrl-C, else 1', () => {
    const code = (job: Partial<Job>, isInterrupted = false): number => agentExitCode(job as Job, { isInterrupted });
    assert.equal(code({ status: 'completed', reason: 'exit', stopReason: 'end_turn' }), 0);
    assert.equal(code({ status: 'running', reason: null, stopReason: 'end_turn' }), 0);
    assert.equal(code({ status: 'running', reason: null, stopReason: 'refusal' }), 1);
    assert.equal(code({ status: 'failed', reason: 'exit', stopReason: 'cancelled' }, true), 130);
    assert.equal(code({ status: 'failed', reason: 'exit', stopReason: 'cancelled' }), 1);
    assert.equal(code({ status: 'completed', reason: 'exit', stopReason: 'end_turn' }, true), 0);
    assert.equal(code({ status: 'timeout', reason: 'timeout', stopReason: null }, true), 124);
  });
});
