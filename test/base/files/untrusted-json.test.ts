/**
 * JSON that a job may have written: what it would cost is known before it is parsed.
 * @module
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ParseError } from '../../../src/base/parse.ts';
import { TooLargeError } from '../../../src/base/files/untrusted-file.ts';
import { isWithin, lineWithin, parseWithin, readJson, recordBounds, tokensIn } from '../../../src/base/files/untrusted-json.ts';
import { throwsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

const sizeBytes = 4 * 2 ** 20;
const many = (unit: string): string => unit.repeat(Math.floor(sizeBytes / unit.length));
/** What costs most to parse, a byte. */
const hostile: { readonly [shape: string]: string } = {
  objects: `[${many('{},')}{}]`, lists: `[${many('[],')}[]]`, 'the beginnings of lists': many('['), numbers: `[${many('0,')}0]`,
  'keys alike': `{${many('"a":0,')}"a":0}`, texts: `[${many('"x",')}""]`, 'objects within objects': many('{"a":'),
  keys: `{${Array.from({ length: sizeBytes / 10 }, (_, n) => `"${n.toString(36)}":0`).join()}}`,
};

function callsOfParse(t: TestContext): () => number {
  const { mock } = t.mock.method(JSON, 'parse');
  return () => mock.callCount();
}

for (const [shape, text] of Object.entries(hostile)) {
  test(`${shape} by the million are refused before they are parsed`, (t) => {
    const path = join(temporaryFolder(t), 'job.json');
    writeFileSync(path, text);
    const calls = callsOfParse(t);
    // What went wrong: each start of the server stood still for as long as it took to parse them, twice.
    throwsWith(() => readJson(path, recordBounds), { type: TooLargeError, message: /job\.json holds more than/ });
    assert.equal(lineWithin(text, recordBounds), undefined);
    assert.equal(calls(), 0);
  });
}

test('a record of ours has few values and long texts: it is read', (t) => {
  const path = join(temporaryFolder(t), 'job.json');
  const record = { command: many('[{":,\\'), argv: Array.from({ length: 65_536 }, (_, n) => `"${n}"`), env: { ä: '\u0000"' } };
  writeFileSync(path, JSON.stringify(record));
  assert.deepEqual(readJson(path, { ...recordBounds, maxBytes: 2 * recordBounds.maxBytes }), record);
});

test('what stands in a text does not count', () => {
  for (const [json, tokens] of [
    ['"[{,:"', 0], ['"\\"[{"', 0], ['"\\\\",', 1], ['{"a":[1,"],"]}', 4], ['"open, [[[', 0], ['', 0], ['"\\', 0], ['["é",{}]', 3],
  ] as const) assert.equal(tokensIn(Buffer.from(json), 100), tokens, json);
});

test('the bounds themselves fit, and nothing beyond them', () => {
  const at = (bounds: object): boolean => isWithin(Buffer.from('[1,2]'), { maxBytes: 5, maxTokens: 2, ...bounds });
  assert.deepEqual([at({}), at({ maxBytes: 4 }), at({ maxTokens: 1 })], [true, false, false]);
  const deep = (depth: number): Buffer => Buffer.from('['.repeat(depth) + ']'.repeat(depth));
  assert.deepEqual([1100, 1101].map((depth) => isWithin(deep(depth), recordBounds)), [true, false]);
});

test('half of a file is told from one that is too large', (t) => {
  const path = join(temporaryFolder(t), 'job.json');
  writeFileSync(path, '{"a":');
  throwsWith(() => readJson(path, recordBounds), { type: ParseError, message: /torn or not JSON/ });
  assert.throws(() => parseWithin(Buffer.from('{'), recordBounds, 'it'), SyntaxError);
});
