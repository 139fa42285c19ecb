import assert from 'node:assert/strict';
import test from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beginning, bounded, shown } from '../../src/agents/lenient.ts';

test('beginning() never ends with half a character', () => {
  assert.deepEqual([beginning('abc', 3), beginning('abcd', 3), beginning('ab𐀀', 3), beginning('a𐀀b', 3), beginning('\ud800\ud800', 1)], ['abc', 'abc', 'ab', 'a𐀀', '']);
});

test('beginning() keeps nothing of the rest', () => {
  // What was cut kept the whole text alive: the titles of tool calls, of an agent that has long ones, cost all of them.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const usedBytes = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = usedBytes();
  const kept = Array.from({ length: 100 }, (_, index) => beginning(JSON.parse(`"${String(index).padEnd(1_000_000, 'x')}"`) as string, 100));
  assert.ok(usedBytes() - before < 20_000_000);
  assert.equal(kept.length, 100);
});

test('shown() and bounded() take anything', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`);
  assert.deepEqual(['text', 5, null, undefined, [], { a: 1 }, deep].map((value) => shown(value)), ['text', '5', 'null', 'nothing', '[]', '{"a":1}', 'something that cannot be shown']);
  assert.equal(shown('x'.repeat(1000)).length, 200);
  assert.deepEqual([bounded({ a: 1 }, 10), bounded({ a: 'long' }, 10), bounded(deep, 9)], [{ a: 1 }, '{"a":"long', 'something']);
});
