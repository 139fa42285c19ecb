/**
 * Every call with everything that it does not take: each field of its query and of its body with each wrong type, beyond
 * each bound and in each encoding that its parser states. All of it is answered with a problem that names the field, and
 * nothing is any different afterwards.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Schema } from '../../src/base/parse.ts';
import { type Endpoint, pathOf } from '../../src/protocol/endpoint.ts';
import * as agentCalls from '../../src/protocol/endpoints/agents.ts';
import * as fileCalls from '../../src/protocol/endpoints/files.ts';
import * as jobCalls from '../../src/protocol/endpoints/jobs.ts';
import * as serverCalls from '../../src/protocol/endpoints/server.ts';
import * as shellCalls from '../../src/protocol/endpoints/shells.ts';
import * as terminalCalls from '../../src/protocol/endpoints/terminals.ts';
import * as updateCalls from '../../src/protocol/endpoints/updates.ts';
import { startTestServer } from '../support/server.ts';
import { type Asked, type Reached, ask } from '../support/client.ts';

interface Case extends Asked {
  readonly name: string;
  /** Behind the question mark. */
  readonly query?: string;
  readonly status?: number;
  readonly code?: string;
  /** What the detail begins with. */
  readonly at: string;
}

interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

/** Its calls are those of the second listener. */
const elsewhere: readonly Endpoint[] = [terminalCalls.openOwnTerminalAtRoot];
const endpoints = [agentCalls, fileCalls, jobCalls, serverCalls, shellCalls, terminalCalls, updateCalls]
  .flatMap((calls) => Object.values(calls) as Endpoint[]).filter((one) => !elsewhere.includes(one));

const values = { null: null, number: 1.5, boolean: true, array: [], object: {}, text: 'no such word' } as const;
/** Text that may hold NUL: what is typed, or said to an agent. */
const takesNul = ['stdin', 'input', 'data', 'prompt'];
/** Texts and lists longer than this are not sent: the limit on bodies comes first. */
const longestSent = 100_000;

test('every call refuses what it does not take, and names it', async (t) => {
  const server = await startTestServer(t);
  const { paths } = (await ask(server, 'GET /openapi.json')).json<{ paths: { [path: string]: object } }>();
  const published = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  assert.deepEqual(endpoints.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`).sort(), published.sort());

  let count = 0;
  for (const endpoint of endpoints) {
    await t.test(`${endpoint.method} ${endpoint.path}`, async () => {
      const cases = [...queryCases(endpoint), ...bodyCases(endpoint), ...keyCases(endpoint)];
      for (const one of cases) await refuses(server, endpoint, one);
      count += cases.length;
    });
  }
  assert.ok(count > 1000, `${count} cases`);
  for (const [line, expected] of [['GET /jobs', []], ['GET /terminals', { terminals: [] }], ['GET /sessions', { sessions: [] }]] as const) {
    assert.deepEqual((await ask(server, line)).json(), expected, line);
  }
  assert.doesNotMatch(server.logged(), /request failed|unexpected/);
});

async function refuses(server: Reached, endpoint: Endpoint, { name, query, status = 400, code = 'invalid_request', at, ...asked }: Case): Promise<void> {
  const ids = Object.fromEntries([...endpoint.path.matchAll(/:(\w+)/g)].map(([, id]) => [id, '0000000000000000']));
  const path = pathOf<string>(endpoint, ids);
  const answer = await ask(server, `${endpoint.method} ${path}${query === undefined ? '' : `?${query}`}`, asked);
  assert.equal(answer.status, status, `${name}: ${answer.text}`);
  const { problem } = answer;
  assert.deepEqual([problem.status, problem.code, problem.error], [status, code, problem.detail], name);
  assert.ok(problem.detail.startsWith(at), `${name}: ${problem.detail}`);
}

// Queries. ------------------------------------------------------------------------------------------------------------

function queryCases(endpoint: Endpoint): Case[] {
  const needed = fieldsOf(endpoint.query?.schema).filter(({ isRequired }) => isRequired);
  const besides = (one: string): string => needed.filter(({ name }) => name !== one).map(({ name }) => `${name}=x&`).join('');
  const cases = fieldsOf(endpoint.query?.schema).flatMap((field) => [...wrongTexts(field.schema)].map(([what, text]) => ({
    name: `${field.name} ${what}`, query: `${besides(field.name)}${field.name}=${encodeURIComponent(text)}`, at: `Cannot read query.${field.name}`,
  })));
  const missing = needed.map(({ name }) => ({ name: `${name} is missing`, query: besides(name), at: `Cannot read query.${name}` }));
  const twice = fieldsOf(endpoint.query?.schema).filter(({ schema }) => schema['type'] !== 'array').map(({ name }) => ({
    name: `${name} twice`, query: `${besides(name)}${name}=1&${name}=1`, at: `Cannot read query.${name}`,
  }));
  return [
    ...cases, ...twice, ...missing,
    { name: 'an unknown parameter', query: `${besides('')}noSuchParameter=1`, at: 'Cannot read query.noSuchParameter: unknown field' },
    { name: 'a method of objects as a parameter', query: `${besides('')}constructor=1`, at: 'Cannot read query.constructor: unknown field' },
    { name: 'a query that is not percent-encoded', query: 'a=%zz', at: 'Cannot read query: expected percent-encoded UTF-8' },
    { name: 'a query that is not UTF-8', query: 'a=%ff', at: 'Cannot read query: expected percent-encoded UTF-8' },
  ];
}

function* wrongTexts(schema: Schema): Generator<[what: string, text: string]> {
  const { type, enum: words, minimum, exclusiveMinimum, maximum, maxLength, pattern, items } = schema as { readonly [keyword: string]: unknown };
  if (type === 'array') return void (yield* wrongTexts(items as Schema));
  if (Array.isArray(words)) return yield ['as another word', 'no such word'];
  if (type === 'boolean') return yield ['as another word', 'yes'];
  if (type === 'number' || type === 'integer') {
    for (const text of ['', 'x', 'NaN', 'Infinity', '0x1', '1e1', '1,5', ' 1', '99999999999999999999']) yield [`as ${JSON.stringify(text)}`, text];
    if (type === 'integer') yield ['as a fraction', '1.5'];
    if (typeof minimum === 'number') yield ['below its bound', String(minimum - 1)];
    if (typeof exclusiveMinimum === 'number') yield ['at its bound', String(exclusiveMinimum)];
    if (typeof maximum === 'number' && maximum < Number.MAX_SAFE_INTEGER) yield ['above its bound', String(maximum + 1)];
    return;
  }
  yield ['with NUL', '\0'];
  if (typeof pattern === 'string') yield ['of another form', '='];
  if (typeof maxLength === 'number' && maxLength < 10_000) yield ['longer than its bound', 'x'.repeat(maxLength + 1)];
}

// Bodies. -------------------------------------------------------------------------------------------------------------

function bodyCases(endpoint: Endpoint): Case[] {
  if (typeof endpoint.body !== 'function') return endpoint.body === 'raw' ? encodingCases() : [];
  const base = endpoint.example ?? {};
  const fields = fieldsOf(endpoint.body.schema);
  const json = { headers: { 'Content-Type': 'application/json' } };
  return [
    ...fields.flatMap((field) => [...wrongValues(field)].map(([what, value]): Case => ({
      ...json, name: `${field.name} ${what}`, body: JSON.stringify({ ...base, [field.name]: value }), at: `Cannot read body.${field.name}`,
    }))),
    ...['null', '[]', '"text"', '1', 'true'].map((body): Case => ({ ...json, name: `the body ${body}`, body, at: 'Cannot read body: expected an object' })),
    ...['{', '{"a":}', "{'a':1}", '{"a":1} x', 'a=1', ' '].map((body): Case => ({ ...json, name: `the body ${body}`, body, at: 'Cannot read body: expected JSON' })),
    { ...json, name: 'an unknown field', body: JSON.stringify({ ...base, noSuchField: 1 }), at: 'Cannot read body.noSuchField: unknown field' },
    { ...json, name: '__proto__', body: '{"__proto__":{}}', at: 'Cannot read body.__proto__: unknown field' },
    { ...json, name: 'a body that is not UTF-8', body: Buffer.from('{"a":"\xff"}', 'latin1'), at: 'Cannot read body: expected UTF-8' },
    { ...json, name: 'a body with too many levels', body: `{"a":${'['.repeat(64)}`, at: 'Cannot read body: expected at most 64 levels' },
    { ...json, name: 'a body that is too long', body: ' '.repeat(2 ** 20 + 1), status: 413, code: 'payload_too_large', at: 'Cannot read body: it is longer' },
    { name: 'a body of another type', headers: { 'Content-Type': 'text/plain' }, body: '{}', status: 415, code: 'unsupported_media_type', at: 'Cannot read body: expected Content-Type' },
    { name: 'a body in another character set', headers: { 'Content-Type': 'application/json; charset=latin1' }, body: '{}', status: 415, code: 'unsupported_media_type', at: 'Cannot read body: expected Content-Type' },
    ...encodingCases(),
  ];
}

function encodingCases(): Case[] {
  const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' };
  return [{ name: 'a compressed body', headers, body: '{}', status: 415, code: 'unsupported_media_type', at: 'Cannot read body: its Content-Encoding is gzip' }];
}

function* wrongValues({ name, schema, isRequired }: Field): Generator<[what: string, value: unknown]> {
  for (const [kind, value] of Object.entries(values)) {
    const isLeftOut = value === null && !isRequired;
    if (!isLeftOut && !takes(schema, value)) yield [`as ${kind}`, value];
  }
  for (const one of alternatives(schema)) yield* beyond(name, one, isRequired);
}

/** Values of the right type beyond the bounds. */
function* beyond(name: string, schema: Schema, isRequired: boolean): Generator<[what: string, value: unknown]> {
  const { type, enum: words, minimum, exclusiveMinimum, maximum, minLength, maxLength, minItems, maxItems, maxProperties, items, additionalProperties, properties } =
    schema as { readonly [keyword: string]: unknown };
  if (type === 'string' && !Array.isArray(words)) {
    if (!takesNul.includes(name)) yield ['with NUL', 'a\0b'];
    yield ['with half a surrogate pair', '\ud83d'];
    if (typeof minLength === 'number' && isRequired) yield ['that is empty', ''];
    if (typeof maxLength === 'number' && maxLength < longestSent) yield ['longer than its bound', 'x'.repeat(maxLength + 1)];
  }
  if (type === 'integer') yield ['as a fraction', 1.5];
  if (typeof minimum === 'number') yield ['below its bound', minimum - 1];
  if (typeof exclusiveMinimum === 'number') yield ['at its bound', exclusiveMinimum];
  if (typeof maximum === 'number' && maximum < Number.MAX_SAFE_INTEGER) yield ['above its bound', maximum + 1];
  if (typeof minItems === 'number' && minItems > 0) yield ['with too few items', []];
  if (typeof maxItems === 'number' && maxItems < longestSent / 4) yield ['with too many items', Array.from({ length: maxItems + 1 }, () => null)];
  if (typeof maxProperties === 'number') yield ['with too many entries', Object.fromEntries(Array.from({ length: maxProperties + 1 }, (_, index) => [`k${index}`, 'x']))];
  for (const [kind, value] of Object.entries(values)) {
    if (typeof items === 'object' && !takes(items as Schema, value)) yield [`with ${kind} in it`, [value]];
    const entry = additionalProperties;
    if (typeof entry === 'object' && !takes(entry as Schema, value)) yield [`with ${kind} in it`, { a: value }];
  }
  if (typeof properties === 'object' && additionalProperties === false) yield ['with an unknown field', { noSuchField: 1 }];
}

/** Whether a value of this kind is right, whatever its bounds. */
function takes(schema: Schema, value: unknown): boolean {
  return alternatives(schema).some(({ type, enum: words }) => {
    if (Array.isArray(words)) return words.includes(value);
    if (type === undefined) return true;
    return [type].flat().some((one) => {
      switch (one) {
        case 'null': return value === null;
        case 'array': return Array.isArray(value);
        case 'object': return typeof value === 'object' && value !== null && !Array.isArray(value);
        case 'integer': return Number.isInteger(value);
        default: return typeof value === one;
      }
    });
  });
}

function alternatives(schema: Schema): readonly Schema[] {
  const parts = (schema['anyOf'] ?? schema['oneOf']) as readonly Schema[] | undefined;
  return parts === undefined ? [schema] : parts.flatMap(alternatives);
}

function fieldsOf(schema: Schema | undefined): Field[] {
  const { properties = {}, required = [] } = (schema ?? {}) as { readonly properties?: { readonly [name: string]: Schema }; readonly required?: readonly string[] };
  return Object.entries(properties).filter(([name]) => name !== 'ticket').map(([name, own]) => ({ name, schema: own, isRequired: required.includes(name) }));
}

// The key of repetitions. ---------------------------------------------------------------------------------------------

/** Also with a body that is right: the call itself is not made. */
function keyCases(endpoint: Endpoint): Case[] {
  if (endpoint.isIdempotent !== true || endpoint.path.includes(':')) return [];
  return ['', 'x'.repeat(256)].map((key): Case => ({
    name: `an Idempotency-Key of ${key.length} characters`, headers: { 'Idempotency-Key': key, 'Content-Type': 'application/json' },
    ...(endpoint.body === undefined ? {} : { body: JSON.stringify(endpoint.example ?? {}) }),
    at: 'Cannot read the header Idempotency-Key: expected 1 to 255 characters',
  }));
}
