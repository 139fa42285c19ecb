import assert from 'node:assert/strict';
import test from 'node:test';
import { type Alphabet, glob, inCommand, inName, inText } from '../../../src/base/text/glob.ts';

const rows: readonly (readonly [pattern: string, alphabet: Alphabet, fits: readonly string[], others: readonly string[]])[] = [
  ['', inText, [''], ['a']],
  ['a?c', inText, ['abc', 'a𐀀c', 'a\nc'], ['ac', 'abbc', 'ABC']],
  ['*', inText, ['', 'anything\nat all'], []],
  ['a.b+(c)[d]{e}|^$', inText, ['a.b+(c)[d]{e}|^$'], ['aXb+(c)[d]{e}|^$']],
  ['/w/*.ts', inName, ['/w/a.ts', '/w/.ts'], ['/w/a/b.ts', '/w/a.tsx', '/x/a.ts']],
  ['/w/**', inName, ['/w/', '/w/a', '/w/a/b/c'], ['/w', '/wa']],
  ['/w/**/x', inName, ['/w/x', '/w/a/x', '/w/a/b/x'], ['/w/ax', '/wx', '/w/a/xx']],
  ['**/x', inName, ['x', '/x', 'a/b/x'], ['ax', 'x/']],
  ['npm *', inCommand, ['npm test', 'npm run "a b"', 'npm '], ['npm', 'npm test; rm -rf ~', 'npm test && x', 'npm $(x)', 'npm `x`', 'npm a\nrm b', 'npm a > f', 'npm a\\;b', 'npm a | b', 'npm a & b', 'npm ${X}']],
  ['npm **', inCommand, ['npm test; rm -rf ~'], ['npx']],
  ['echo a > f', inCommand, ['echo a > f'], ['echo b > f']],
];

for (const [pattern, alphabet, fits, others] of rows) {
  test(`glob(${JSON.stringify(pattern)})`, () => {
    const is = glob(pattern, alphabet);
    for (const text of fits) assert.equal(is(text), true, text);
    for (const text of others) assert.equal(is(text), false, text);
  });
}

test('glob() takes time proportional to the text, whatever the pattern', () => {
  assert.equal(glob('*a'.repeat(50), inText)(`${'a'.repeat(20_000)}b`), false);
});
