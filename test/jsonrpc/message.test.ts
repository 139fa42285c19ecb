import assert from 'node:assert/strict';
import test from 'node:test';
import { RpcError, readMessage, writeError, writeNotification, writeRequest, writeResult } from '../../src/jsonrpc/message.ts';

const good: readonly (readonly [text: string, type: string, fields: object])[] = [
  ['{"jsonrpc":"2.0","id":0,"method":"m","params":{"a":1}}', 'request', { id: 0, method: 'm', params: { a: 1 } }],
  ['{"method":"m","id":"x"}', 'request', { id: 'x', method: 'm', params: undefined }],
  ['{"jsonrpc":"2.0","id":null,"method":"m"}', 'request', { id: null, method: 'm', params: undefined }],
  ['{"jsonrpc":"2.0","id":1,"method":"m","result":5}', 'request', { id: 1, method: 'm', params: undefined }],
  ['{"jsonrpc":"2.0","method":"m","params":[1]}', 'notification', { method: 'm', params: [1] }],
  ['{"jsonrpc":"2.0","id":1,"result":null}', 'result', { id: 1, result: null }],
  ['{"jsonrpc":"2.0","id":1}', 'result', { id: 1, result: undefined }],
  ['{"jsonrpc":"2.0","id":1,"result":5,"error":null}', 'result', { id: 1, result: 5 }],
];

for (const [text, type, fields] of good) {
  test(`readMessage() takes ${text} for a ${type}`, () => assert.deepEqual(readMessage(JSON.parse(text)), { type, ...fields }));
}

const bad: readonly (readonly [text: string, why: RegExp])[] = [
  ['5', /not an object/], ['null', /not an object/], ['[]', /batches/], ['[{"method":"m"}]', /batches/],
  ['{}', /neither/], ['{"result":5}', /neither/], ['{"id":{},"method":"m"}', /its id/], ['{"id":true}', /its id/], ['{"id":1,"method":5}', /its method/],
];

for (const [text, why] of bad) {
  test(`readMessage() says what is wrong with ${text}`, () => {
    const message = readMessage(JSON.parse(text));
    assert.ok(message.type === 'invalid');
    assert.match(message.why, why);
  });
}

test('readMessage() makes an RpcError of an error of any form', () => {
  const errors: readonly (readonly [error: unknown, code: number, message: string, data?: unknown])[] = [
    [{ code: -32000, message: 'auth_required', data: { a: 1 } }, -32000, 'auth_required', { a: 1 }],
    [{ code: 401, message: 'no' }, 401, 'no'],
    [{ code: '5' }, -32603, '{"code":"5"}'],
    ['words', -32603, 'words'],
    [false, -32603, 'false'],
  ];
  for (const [error, code, text, data] of errors) {
    const message = readMessage({ id: 1, error });
    assert.ok(message.type === 'error');
    assert.deepEqual([message.error.code, message.error.message, message.error.data], [code, text, data]);
  }
});

test('readMessage() truncates an error that is deep or large, also if JSON.stringify() can write it', () => {
  // It was thrown where all messages are read, and ended the conversation.
  const deep = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) as unknown;
  const shown: readonly (readonly [what: unknown, message: RegExp])[] = [
    [deep, /^an error that cannot be shown$/],
    ['x'.repeat(1_000_000), /^\{"code":1,"what":"x{100,2000}\u2026$/],
  ];
  for (const [what, expected] of shown) {
    const message = readMessage({ id: 1, error: { code: 1, what } });
    assert.ok(message.type === 'error');
    assert.equal(message.error.code, 1);
    assert.match(message.error.message, expected);
  }
});

test('a written message is one line, and is read back unchanged', () => {
  const params = { text: 'a\nb\u2028\ud800', none: undefined };
  for (const text of [writeRequest(1, 'm', params), writeNotification('m', params), writeResult('x', params), writeError(null, new RpcError(5, 'a\nb', { data: 1 }))]) {
    assert.ok(!text.includes('\n'));
    assert.equal(JSON.parse(text).jsonrpc, '2.0');
  }
  assert.deepEqual(JSON.parse(writeResult(1, undefined)), { jsonrpc: '2.0', id: 1, result: null });
  assert.deepEqual(JSON.parse(writeRequest(0, 'm', undefined)), { jsonrpc: '2.0', id: 0, method: 'm' });
});
