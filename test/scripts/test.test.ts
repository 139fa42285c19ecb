/** The runner of the tests: what it prints, and how it ends. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../support/server.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

const head = "import { test } from 'node:test';\n";
const good = `${head}test('works', () => undefined);\ntest('is elsewhere', { skip: true }, () => undefined);\n`;
const bad = `${head}test('is broken', () => { throw new Error('on purpose'); });\n`;
/** It ends in the middle, with the exit code of success. */
const early = `${head}test('never ends', () => process.exit(0));\n`;
const soak = `// '../support/soak.ts'\n${head}test('soak ' + process.env.SIDECAR_TEST_SOAK, () => undefined);\n`;

function run(
  t: TestContext, files: { readonly [name: string]: string }, ...words: readonly string[]
): { readonly status: number | null; readonly stdout: string } {
  const folder = temporaryFolder(t);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, `${name}.test.ts`), text);
  const { status, stdout, stderr } = spawnSync(
    process.execPath, [join(root, 'scripts/test.mjs'), relative(root, folder), ...words], { encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  return { status, stdout };
}

test('a line for each file tells its time and its tests, and failures come at once and at the end', (t) => {
  const { status, stdout } = run(t, { good, bad });
  assert.equal(status, 1);
  assert.match(stdout, /^\[[12]\/2\] ok +[\d.]+ s +2 tests  \S+good\.test\.ts \(1 skipped\)$/m);
  assert.match(stdout, /^\[[12]\/2\] FAILED +[\d.]+ s +1 tests  \S+bad\.test\.ts$/m);
  assert.match(stdout, /on purpose[^]*\nFAILED \S+bad\.test\.ts\n✖ failing tests:[^]*on purpose/);
  assert.match(stdout, /\n2 of 2 files, 3 tests, 1 skipped, \d+ s: failed:\n  \S+bad\.test\.ts\n$/);
});

test('one file prints as it runs, and its options are those of Node', (t) => {
  const { status, stdout } = run(t, { good: good + bad.slice(head.length) }, '--test-name-pattern=works');
  assert.equal(status, 0, stdout);
  assert.match(stdout, /✔ works/);
  assert.match(stdout, /no file failed\n$/);
});

test('a file that ends before its tests has failed', (t) => {
  const { status, stdout } = run(t, { good, early });
  assert.equal(status, 1);
  assert.match(stdout, /FAILED .*early\.test\.ts/);
});

test('--soak runs the files that have a long form, and says so to them', (t) => {
  const { status, stdout } = run(t, { good, soak }, '--soak');
  assert.equal(status, 0, stdout);
  assert.match(stdout, /✔ soak 1/);
  assert.match(stdout, /^1 of 1 files, 1 tests/m);
});
