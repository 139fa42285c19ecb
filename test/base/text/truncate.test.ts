import assert from 'node:assert/strict';
import test from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { displayText, truncate, truncateJson } from '../../../src/base/text/truncate.ts';

test('truncate() never ends with half a character', () => {
  assert.deepEqual([truncate('abc', 3), truncate('abcd', 3), truncate('ab𐀀', 3), truncate('a𐀀b', 3), truncate('\ud800\ud800', 1)], ['abc', 'abc', 'ab', 'a𐀀', '']);
});

test('truncate() keeps nothing of the rest', () => {
  // What was cut kept the whole text alive: the titles of tool calls, of an agent that has long ones, cost all of them.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const usedBytes = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = usedBytes();
  const kept = Array.from({ length: 100 }, (_, index) => truncate(JSON.parse(`"${String(index).padEnd(1_000_000, 'x')}"`) as string, 100));
  assert.ok(usedBytes() - before < 20_000_000);
  assert.equal(kept.length, 100);
});

test('displayText() and truncateJson() take anything', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`);
  assert.deepEqual(['text', 5, null, undefined, [], { a: 1 }, deep].map((value) => displayText(value)), ['text', '5', 'null', 'nothing', '[]', '{"a":1}', 'something that cannot be shown']);
  assert.equal(displayText('x'.repeat(1000)).length, 200);
  assert.deepEqual([truncateJson({ a: 1 }, 10), truncateJson({ a: 'long' }, 10), truncateJson(deep, 9)], [{ a: 1 }, '{"a":"long', 'something']);
});
