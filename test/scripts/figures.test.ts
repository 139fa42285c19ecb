/** `npm run figures` measures this checkout. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { unwantedWordsIn } from '../../scripts/figures/language.ts';
import { measure } from '../../scripts/figures/measure.ts';
import { temporaryFolder } from '../support/server.ts';

test('the figures of a small checkout are right', (t) => {
  const root = temporaryFolder(t);
  const write = (path: string, text: string): void => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('src/a/one.ts', "import { two } from '../b/two.ts';\n/** Somebody's. */\nexport const one = two ? 1 : two ? 2 : 3;\n");
  write('src/b/two.ts', "import { one } from '../a/one.ts';\nexport function two(): number {\n  return one;\n}\n");
  write('src/b/one.ts', "export type State = { type: 'a'; b: 1 } | { type: 'c' };\nexport const c = (x as NodeJS.ErrnoException);\n");
  write('test/one.test.ts', "test('a fact', () => undefined);\nit('another', () => undefined);\n");
  write('README.md', `${'x'.repeat(121)}\n`);
  for (const folder of ['scripts', '.github']) mkdirSync(join(root, folder));
  const figures = Object.fromEntries(measure(root).map(({ name, value }) => [name, value]));
  const expected = {
    'files in src': '3', 'lines in src': '9', 'functions of at most 20 lines': '100.0 %', 'files over 400 lines': '0',
    'lines over 120 columns': '1', 'unwanted words': '1', 'import cycles': '1', 'fullest folder': '2 files (src/b)',
    'file names in several folders': '1', 'casts to NodeJS.ErrnoException': '1', 'ternaries in ternaries': '1',
    'tags of unions': 'type 1', 'files of tests': '1', 'tests that they declare': '2', 'last npm test': 'not recorded',
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(figures[name], value, name);
});

test('the figures of this checkout are there, each with an aim', () => {
  const figures = measure(fileURLToPath(new URL('../../', import.meta.url)));
  assert.ok(figures.length > 15);
  for (const { name, value, aim } of figures) assert.ok(value !== '' && aim !== '', name);
});

test('unwanted words are found in names, too', () => {
  const lines = ['nobodyKnows', 'is_nobody', 'Whoever asks', 'goes on', 'const noBody = 1', 'there is none', 'let gone: A'];
  assert.deepEqual(lines.map((line) => unwantedWordsIn(line)), [['nobody'], ['nobody'], ['whoever'], ['goes on'], [], [], []]);
});
