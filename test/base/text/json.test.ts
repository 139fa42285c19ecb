import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonText } from '../../../src/base/text/json.ts';

const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);

test('jsonText() writes what JSON.stringify() writes, and refuses what is deep on every Node', () => {
  for (const value of ['a', 5, null, [], { a: [1, { b: '\u2028' }] }]) assert.equal(jsonText(value), JSON.stringify(value));
  assert.equal(jsonText(undefined), 'nothing');
  assert.equal(jsonText(nested(1000)), JSON.stringify(nested(1000)));
  assert.equal(jsonText({ a: 1, deep: nested(1000) }), undefined);
  assert.equal(jsonText(nested(200_000)), undefined);
});
