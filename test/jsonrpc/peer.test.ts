/** One side of a conversation, with the other one's messages written out. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { RpcError, rpcCodes } from '../../src/jsonrpc/message.ts';
import { Peer, type PeerOptions, acpCancel, lspCancel } from '../../src/jsonrpc/peer.ts';
import { until } from '../support/wait.ts';

interface Setting {
  readonly peer: Peer;
  readonly sent: unknown[];
  readonly told: unknown[];
  readonly faults: string[];
  /** Says something as the other side. */
  readonly say: (message: unknown) => Promise<void>;
}

function open(options: Partial<PeerOptions> = {}): Setting {
  const sent: unknown[] = [];
  const told: unknown[] = [];
  const faults: string[] = [];
  const peer = new Peer({
    send: (message) => sent.push(JSON.parse(message)),
    onRequest: (method, params) => {
      if (method === 'echo') return params;
      throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method}`);
    },
    onNotification: (method, params) => { told.push([method, params]); },
    onFault: (what) => { faults.push(what); },
    cancel: acpCancel,
    ...options,
  });
  const say = async (message: unknown): Promise<void> => {
    peer.receive(typeof message === 'string' ? message : JSON.stringify(message));
    await turn();
  };
  return { peer, sent, told, faults, say };
}

test('request() resolves with the result that has its id, in any order', async () => {
  const { peer, sent, say } = open();
  const [a, b] = [peer.request('a', { x: 1 }), peer.request('b', undefined)];
  assert.deepEqual(sent, [{ jsonrpc: '2.0', id: 0, method: 'a', params: { x: 1 } }, { jsonrpc: '2.0', id: 1, method: 'b' }]);
  await say({ id: 1, result: 'of b' });
  await say({ id: 0 });
  assert.deepEqual(await Promise.all([a, b]), [null, 'of b']);
  assert.equal(peer.pendingCount, 0);
});

test('request() rejects with the error of the answer', async () => {
  const { peer, say } = open();
  const rejected = assert.rejects(peer.request('a', {}),
    (error) => error instanceof RpcError && error.code === -32000 && error.message === 'auth_required' && Array.isArray(error.data));
  await say({ id: 0, error: { code: -32000, message: 'auth_required', data: [1] } });
  await rejected;
});

test('each side counts its own ids: a message with a method is a request even if its id is pending, also 0', async () => {
  const { peer, sent, say } = open();
  const asked = peer.request('a', {});
  await say({ id: 0, method: 'echo', params: 'theirs' });
  await say({ id: 0, result: 'ours' });
  assert.equal(await asked, 'ours');
  assert.deepEqual(sent[1], { jsonrpc: '2.0', id: 0, result: 'theirs' });
});

test('a request is answered with its result, null, its error, -32601, or -32603 without the message of a bug', async () => {
  const handlers: { readonly [method: string]: () => unknown } = {
    value: () => 5,
    nothing: () => undefined,
    late: async () => { await turn(); return 'late'; },
    refuse: () => { throw new RpcError(-32002, 'none', { data: { path: '/x' } }); },
    bug: () => { throw new Error('secret'); },
    circle: () => { const circle: { self?: unknown } = {}; circle.self = circle; return circle; },
  };
  const { sent, say, faults } = open({
    onRequest: (method) => {
      const handle = handlers[method];
      if (!handle) throw new RpcError(rpcCodes.methodNotFound, 'Method not found');
      return handle();
    },
  });
  for (const [id, method] of [...Object.keys(handlers), 'other'].entries()) await say({ id: `${id}`, method });
  await turn();
  assert.deepEqual(sent.map((answer) => { const { id, result, error } = answer as { id: string; result?: unknown; error?: unknown }; return [id, result, error]; }).sort(), [
    ['0', 5, undefined], ['1', null, undefined], ['2', 'late', undefined], ['3', undefined, { code: -32002, message: 'none', data: { path: '/x' } }],
    ['4', undefined, { code: -32603, message: 'Internal error' }], ['5', undefined, { code: -32603, message: 'Internal error' }],
    ['6', undefined, { code: -32601, message: 'Method not found' }],
  ]);
  assert.deepEqual(faults, ['the answer to bug failed', 'the answer to circle failed']);
});

test('notifications come in order, and one that throws is a fault of its own', async () => {
  const told: string[] = [];
  const { say, faults } = open({
    onNotification: (method) => {
      if (method === 'bug') throw new Error('x');
      told.push(method);
    },
  });
  for (const method of ['a', 'bug', 'b']) await say({ method });
  assert.deepEqual([told, faults], [['a', 'b'], ['the notification bug could not be handled']]);
});

test('an invalid message is answered if a response may be expected, and the conversation continues', async () => {
  const { peer, sent, say, faults } = open();
  for (const text of ['[{"id":1,"method":"echo"}]', '{"id":5,"method":5}', '{"broken', 'Debugger attached.', '{}', '7']) await say(text);
  assert.deepEqual(sent.map((answer) => { const { id, error: { code } } = answer as { id: unknown; error: { code: number } }; return [id, code]; }),
    [[null, -32600], [5, -32600], [null, -32700], [null, -32600], [null, -32600]]);
  assert.equal(faults.length, 6);
  const asked = peer.request('a', {});
  await say({ id: 0, result: 'fine' });
  assert.equal(await asked, 'fine');
});

test('a response to no request, and a second response, are faults without an effect', async () => {
  const { peer, say, faults } = open();
  await say({ id: 7, result: 1 });
  const asked = peer.request('a', {});
  for (const result of ['first', 'second']) await say({ id: 0, result });
  await say({ id: null, error: { code: -32700, message: 'Parse error' } });
  assert.equal(await asked, 'first');
  assert.deepEqual(faults, ['a response to no pending request: id 7', 'a response to no pending request: id 0', 'a response to no pending request: id null']);
});

for (const [cancel, expected] of [[acpCancel, { method: '$/cancel_request', params: { requestId: 0 } }], [lspCancel, { method: '$/cancelRequest', params: { id: 0 } }]] as const) {
  test(`a request whose signal aborts rejects at once and tells the peer by ${expected.method}; its late answer is no fault`, async () => {
    const { peer, sent, say, faults } = open({ cancel });
    const controller = new AbortController();
    const asked = peer.request('a', {}, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await assert.rejects(asked, /enough/);
    assert.deepEqual(sent[1], { jsonrpc: '2.0', ...expected });
    await say({ id: 0, error: { code: -32800, message: 'cancelled' } });
    assert.deepEqual(faults, []);
    await assert.rejects(peer.request('b', {}, { signal: controller.signal }), /enough/);
    assert.equal(sent.length, 2, 'what is aborted already is not asked');
  });
}

test('a request that is not answered in time rejects with TimeoutError', async () => {
  const { peer, sent } = open();
  await assert.rejects(peer.request('a', {}, { timeoutMs: 1 }), { name: 'TimeoutError', message: /1 ms for the answer to a/ });
  assert.deepEqual(sent[1], { jsonrpc: '2.0', method: '$/cancel_request', params: { requestId: 0 } });
});

test('a request that the peer cancels has its signal aborted, and is still answered', async () => {
  const { sent, say } = open({
    onRequest: (method, _params, { signal }) => new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => { if (method === 'stubborn') resolve('done'); else reject(signal.reason as Error); });
    }),
  });
  await say({ id: 1, method: 'polite' });
  await say({ id: 2, method: 'stubborn' });
  for (const requestId of [1, 2, 3, undefined]) await say({ method: '$/cancel_request', params: { requestId } });
  await say({ method: '$/cancel_request' });
  assert.deepEqual(sent, [{ jsonrpc: '2.0', id: 1, error: { code: -32800, message: 'Request cancelled' } }, { jsonrpc: '2.0', id: 2, result: 'done' }]);
});

test('at most maxConcurrentRequests requests are handled at a time, and none twice', async () => {
  const goes: (() => void)[] = [];
  const { sent, say } = open({ maxConcurrentRequests: 2, onRequest: () => new Promise<void>((resolve) => { goes.push(resolve); }) });
  for (const id of [1, 1, 2, 3]) await say({ id, method: 'a' });
  assert.deepEqual(sent.map((answer) => { const { id, error } = answer as { id: number; error: { message: string } }; return [id, error.message]; }),
    [[1, 'Invalid request: one with that id is being answered'], [3, 'Cannot answer more than 2 requests at a time']]);
  for (const go of goes) go();
  await turn();
  await say({ id: 1, method: 'a' });
  assert.equal(goes.length, 3, 'an id may come again once it was answered');
});

test('close() rejects pending requests, aborts running handlers, and sends nothing afterwards', async () => {
  let signal: AbortSignal | undefined;
  const { peer, sent, told, say } = open({ onRequest: (_method, _params, asked) => { signal = asked.signal; return new Promise(() => undefined); } });
  const waiting = [peer.request('a', {}), peer.request('b', {}, { timeoutMs: 60_000 })];
  await say({ id: 1, method: 'x' });
  const before = sent.length;
  peer.close(new Error('the agent has ended'));
  for (const asked of [...waiting, peer.request('c', {})]) await assert.rejects(asked, /the agent has ended/);
  assert.equal(signal?.aborted, true);
  peer.notify('d', {});
  await say({ id: 2, method: 'echo' });
  await say({ method: 'e' });
  assert.deepEqual([sent.length, told, peer.pendingCount], [before, [], 0]);
});

test('large answers are made one at a time, each when there is room, also after a failed one; none after close()', async () => {
  const rooms: (() => void)[] = [];
  const made: number[] = [];
  const { peer, sent, say } = open({
    room: () => new Promise((resolve) => { rooms.push(resolve); }),
    onRequest: (_method, params, { oneAtATime }) => oneAtATime(() => {
      made.push(Number(params));
      if (params === 1) throw new RpcError(5, 'no');
      return params;
    }),
  });
  for (const params of [0, 1, 2, 3]) await say({ id: params, method: 'large', params });
  const next = async (): Promise<void> => {
    rooms.shift()?.();
    await until(() => rooms.length === 1, { what: 'the next one waits' });
  };
  assert.deepEqual([made, rooms.length], [[], 1]);
  for (const expected of [[0], [0, 1], [0, 1, 2]]) {
    await next();
    assert.deepEqual(made, expected);
  }
  assert.deepEqual(sent.map((answer) => (answer as { id: number }).id), [0, 1, 2]);
  peer.close(new Error('enough'));
  rooms.shift()?.();
  await turn();
  assert.deepEqual(made, [0, 1, 2]);
});

test('parameters that cannot be written as JSON are refused before the request is stored', () => {
  const { peer } = open();
  const circle: { self?: unknown } = {};
  circle.self = circle;
  assert.throws(() => peer.request('a', circle), TypeError);
  assert.equal(peer.pendingCount, 0);
});
