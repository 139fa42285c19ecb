import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Parser, ParseError, array, boolean, described, flag, fromText, integer, nullable, number, object, oneOf, optional,
  optionalText, parser, record, refuse, repeated, text,
} from '../../src/base/parse.ts';

const everything: readonly unknown[] = [undefined, null, true, false, 0, 1, -1, 1.5, NaN, Infinity, '', 'text', '\0', [], [1], {}, { a: 1 }, 'x'.repeat(100)];

/** Everything but `right` is refused, with a message that names the place. */
function refusesAllBut(parser: Parser<unknown>, right: readonly unknown[]): void {
  for (const value of everything) {
    if (right.some((fine) => Object.is(fine, value))) assert.doesNotThrow(() => parser(value, 'body.x'), `${String(value)}`);
    else assert.throws(() => parser(value, 'body.x'), (error) => error instanceof ParseError && error.message.startsWith('Cannot read body.x'), String(value));
  }
}

function messageOf(parser: Parser<unknown>, value: unknown, path = 'body.x'): string {
  try {
    parser(value, path);
  } catch (error) {
    assert.ok(error instanceof ParseError);
    return error.message;
  }
  return 'accepted';
}

test('each parser takes its own kind and refuses every other by name', () => {
  const texts = everything.filter((value) => typeof value === 'string' && value !== '\0');
  refusesAllBut(text(), texts);
  refusesAllBut(text({ min: 1, max: 10 }), ['text']);
  refusesAllBut(text({ allowNul: true, max: 3 }), ['', '\0']);
  refusesAllBut(number({ min: 0, max: 1 }), [0, 1]);
  refusesAllBut(number({ above: 0, max: 1.5 }), [1, 1.5]);
  refusesAllBut(integer({ min: -1, max: 1 }), [-1, 0, 1]);
  refusesAllBut(boolean, [true, false]);
  refusesAllBut(oneOf('text', 'more'), ['text']);
  refusesAllBut(flag, ['']);
  refusesAllBut(nullable(integer({ min: 0, max: 0 })), [0, null]);
  refusesAllBut(optional(boolean), [true, false, undefined]);
  refusesAllBut(optionalText(text({ min: 1, max: 10 })), ['text', '', undefined]);
});

test('the message says where, what was expected and what came', () => {
  assert.equal(messageOf(number({ above: 0, max: 604_800, unit: 'seconds' }), '5', 'body.timeout'),
    'Cannot read body.timeout: expected a number of seconds above 0 to 604800, received "5"');
  assert.equal(messageOf(text({ min: 1 }), ''), 'Cannot read body.x: expected a string that is not empty, received ""');
  assert.equal(messageOf(text({ max: 2 }), 'abc'), 'Cannot read body.x: expected at most 2 characters, received 3');
  assert.equal(messageOf(oneOf('a', 'b'), 'c'), 'Cannot read body.x: expected "a" or "b", received "c"');
  assert.equal(messageOf(array(text(), { max: 3 }), ['a', 3]), 'Cannot read body.x[1]: expected a string, received 3');
  assert.equal(messageOf(array(text(), { min: 1, max: 3 }), []), 'Cannot read body.x: expected 1 to 3 items, received 0');
  assert.equal(messageOf(boolean, undefined), 'Cannot read body.x: expected true or false, received nothing');
  assert.equal(messageOf(boolean, []), 'Cannot read body.x: expected true or false, received an array');
  assert.equal(messageOf(boolean, {}), 'Cannot read body.x: expected true or false, received an object');
});

test('what is said back of a value is short', () => {
  assert.ok(messageOf(boolean, 'x'.repeat(100_000)).length < 200);
  assert.ok(messageOf(object({}), { ['x'.repeat(100_000)]: 1 }).length < 400);
  assert.ok(messageOf(record(text({ max: 3 }), text(), { max: 9 }), { ['x'.repeat(100_000)]: 1 }).length < 400);
});

test('object() takes exactly its fields, and helps with a misspelt one', () => {
  const parse = object({ killGrace: optional(integer({ min: 0, max: 9 })), session_key: optional(text()) });
  assert.deepEqual(parse({ killGrace: 3 }, 'body'), { killGrace: 3, session_key: undefined });
  assert.match(messageOf(parse, { kill_grace: 3 }, 'body'), /body\.kill_grace: unknown field, did you mean "killGrace"\?/);
  assert.match(messageOf(parse, { SessionKey: '' }, 'body'), /did you mean "session_key"\?/);
  assert.match(messageOf(parse, { other: 3 }, 'body'), /expected one of killGrace, session_key/);
  assert.match(messageOf(object({}), { other: 3 }, 'body'), /expected none/);
});

test('no name is special: __proto__, constructor and toString are fields like any other', () => {
  const parse = object({ a: optional(text()) });
  for (const json of ['{"__proto__":{"a":"b"}}', '{"constructor":1}', '{"toString":1}', '{"hasOwnProperty":1}']) {
    assert.match(messageOf(parse, JSON.parse(json), 'body'), /unknown field/);
  }
  assert.equal(parse(Object.create({ a: 'inherited' }), 'body').a, undefined);
  const entries = record(text(), text(), { max: 9 })(JSON.parse('{"__proto__":"x","constructor":"y"}'), 'body');
  assert.deepEqual(Object.entries(entries), [['__proto__', 'x'], ['constructor', 'y']]);
  assert.equal(Object.getPrototypeOf(entries), null);
  assert.equal(({} as { x?: string }).x, undefined);
});

test('record() checks names, values and how many there are', () => {
  const parse = record(text({ min: 1, pattern: /^[^=]+$/, expected: 'a name without "="' }), text({ max: 3 }), { max: 2 });
  assert.deepEqual({ ...parse({ a: 'b', c: '' }, 'body.env') }, { a: 'b', c: '' });
  assert.match(messageOf(parse, { 'a=b': '' }, 'body.env'), /body\.env key "a=b": expected a name without "="/);
  assert.match(messageOf(parse, { a: 1 }, 'body.env'), /body\.env\.a: expected a string, received 1/);
  assert.match(messageOf(parse, { a: '', b: '', c: '' }, 'body.env'), /at most 2 entries, received 3/);
  for (const value of [null, [], 'a', 1]) assert.match(messageOf(parse, value), /expected an object/);
});

test('text() refuses what has no UTF-8 form, and counts what it bounds', () => {
  assert.match(messageOf(text(), '\ud800'), /lone surrogate/);
  assert.match(messageOf(text(), 'a\udc00b'), /lone surrogate/);
  assert.equal(text()('😀', 'x'), '😀');
  assert.match(messageOf(text(), 'a\0b'), /without NUL/);
});

test('fromText() reads plain decimal numbers and nothing that only looks like one', () => {
  const parse = fromText(number({ min: -10, max: 1e9 }));
  assert.deepEqual(['0', '-1', '1.5', '007'].map((value) => parse(value, 'query.n')), [0, -1, 1.5, 7]);
  for (const value of ['', ' ', '1 ', ' 1', '+1', '1e3', '0x1', '.5', '5.', 'NaN', 'Infinity', '1,5', '１', ['1'], 'x'.repeat(99), '9'.repeat(400)]) {
    assert.match(messageOf(parse, value, 'query.n'), /Cannot read query\.n: expected a number/, String(value));
  }
  assert.match(messageOf(fromText(integer({ min: 0, max: 9 })), '1.5'), /whole number/);
});

test('flag and repeated() read what a query can say', () => {
  assert.deepEqual(['', '1', 'true', '0', 'false'].map((value) => flag(value, 'q')), [true, true, true, false, false]);
  const parse = repeated(text({ max: 3 }), { max: 2 });
  assert.deepEqual(parse('a', 'q'), ['a']);
  assert.deepEqual(parse(['a', 'b'], 'q'), ['a', 'b']);
  assert.match(messageOf(parse, ['a', 'b', 'c']), /to 2 items/);
  assert.match(messageOf(flag, ['1', '1']), /1 or 0/);
});

test('the schema says what the parser does', () => {
  const parse = object({
    name: described('Who.', text({ min: 1, max: 5 })),
    size: described('How large.', optional(integer({ min: 1, max: 9 }))),
    share: optional(nullable(number({ above: 0, max: 1 }))),
    mode: optional(oneOf('a', 'b')),
    list: optional(array(boolean, { max: 3 })),
    env: optional(record(text(), text(), { max: 7 })),
  });
  assert.deepEqual(JSON.parse(JSON.stringify(parse.schema)), {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 5, description: 'Who.' },
      size: { type: 'integer', minimum: 1, maximum: 9, description: 'How large.' },
      share: { anyOf: [{ type: 'number', exclusiveMinimum: 0, maximum: 1 }, { type: 'null' }] },
      mode: { type: 'string', enum: ['a', 'b'] },
      list: { type: 'array', items: { type: 'boolean' }, minItems: 0, maxItems: 3 },
      env: { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'string' }, maxProperties: 7 },
    },
    required: ['name'],
    additionalProperties: false,
  });
});

test('null in an optional field counts as left out, unless it has a meaning', () => {
  const parse = object({
    plain: optional(integer({ min: 0, max: 9 })), said: described('Says.', optional(text())), meant: described('None.', optional(nullable(text()))), needed: nullable(text()),
  });
  assert.deepEqual({ ...parse({ plain: null, said: null, meant: null, needed: null }, 'body') }, { plain: undefined, said: undefined, meant: null, needed: null });
  assert.match(messageOf(object({ needed: text() }), { needed: null }), /needed: expected a string, received null/);
});

test('only what is wrong in a long list or map is named', (t) => {
  const seen = new Set<string>();
  const even: Parser<number> = parser({}, (value, path) => {
    seen.add(path);
    return typeof value === 'number' && value % 2 === 0 ? value : refuse(path, 'an even number', value);
  });
  const { mock } = t.mock.method(JSON, 'stringify');
  const names = Array.from({ length: 5000 }, (_, index) => `name_${index}`);
  const values = names.map((_, index) => index * 2);
  const map = Object.fromEntries(names.map((name, index) => [name, index * 2]));
  // What went wrong: a path and a text were made for each of 99,000 variables, 0.2 s for a record of 1 MB.
  assert.deepEqual(array(even, { max: 5000 })(values, 'list'), values);
  assert.deepEqual({ ...record(text(), even, { max: 5000 })(map, 'map') }, map);
  assert.ok(seen.size === 1 && mock.callCount() === 0, `${seen.size} paths, ${mock.callCount()} texts`);
  assert.match(messageOf(array(array(even, { max: 3 }), { max: 3 }), [[0], [2, 4, 5]]), /Cannot read \S+\[1\]\[2\]: expected an even number, received 5/);
  assert.match(messageOf(record(text(), even, { max: 3 }), { a: 2, b: 3 }), /Cannot read \S+\.b: expected an even number/);
  assert.match(messageOf(record(text({ max: 3 }), even, { max: 3 }), { a: 2, long: 4 }), /Cannot read \S+ key "long": expected at most 3/);
});
