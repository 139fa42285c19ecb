/** The command line of scripts/bench. Nothing is measured here. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

function bench(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--import', 'tsx', 'scripts/bench/main.ts', ...words], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
}

test('the bench explains itself: its options, examples and every measurement', () => {
  const { status, stdout } = bench('--help');
  assert.equal(status, 0);
  assert.match(stdout, /^Usage: npm run bench -- /);
  assert.match(stdout, /^Examples:\n {2}npm run bench -- --only /m);
  for (const file of readdirSync(`${root}scripts/bench/measurements`)) {
    assert.match(stdout, new RegExp(`^  ${file.replace('.ts', '')} +\\S`, 'm'));
  }
});

for (const [words, message] of [
  [['--only', 'idle,speed'], /^Cannot measure "speed": there are .*cold-start/],
  [['--fast'], /^Unknown option '--fast'\. See --help\n$/],
  [['--runs', '0'], /^Cannot read --runs: expected a whole number from 1, received "0"/],
  [['idle'], /^Unexpected argument 'idle'/],
] as const) {
  test(`the bench refuses ${words.join(' ')} in words, and measures nothing`, () => {
    const { status, stdout, stderr } = bench(...words);
    assert.equal(status, 2);
    assert.equal(stdout, '');
    assert.match(stderr, message);
  });
}
