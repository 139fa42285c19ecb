/** The client's side of the Agent Client Protocol, against agents that do it all in other ways. */
import assert from 'node:assert/strict';
import readline from 'node:readline';
import { PassThrough } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { AgentFailure } from '../../../src/agents/acp/agent-failure.ts';
import { Conversation } from '../../../src/agents/acp/conversation.ts';
import { RpcError } from '../../../src/jsonrpc/message.ts';
import { rejectsWith } from '../../support/errors.ts';
import { atEnd } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { type Talk, talk } from '../../support/acp-agent.ts';

const text = { type: 'text', text: 'do it' } as const;
const yes = { optionId: 'yes', name: 'Yes', kind: 'allow_once' } as const;
const permission = { sessionId: 's1', toolCall: { toolCallId: 't' }, options: [yes] } as const;
const chunk = (words: string): object => ({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: words } });
const paramsOf = ({ heard }: Talk, method: string): unknown => heard.find((one) => one.method === method)?.params;

test('open() says who it is and what it can, and begins a session', async (t) => {
  const it = talk(t, { initialize: () => ({ protocolVersion: 1, agentInfo: { name: 'a', version: '1' }, agentCapabilities: { sessionCapabilities: { additionalDirectories: {} } } }) },
    { additionalDirectories: ['/more'] });
  await it.conversation.open();
  assert.deepEqual(it.heard, [
    { method: 'initialize', params: {
      protocolVersion: 1, clientCapabilities: {
        fs: { readTextFile: true, writeTextFile: true }, terminal: true,
        session: { configOptions: { boolean: {} }, notices: {}, compaction: {} },
      },
      clientInfo: { name: 'machine-sidecar', title: 'machine-sidecar', version: '0.0.0-test' },
    } },
    { method: 'session/new', params: { cwd: '/w', mcpServers: [], additionalDirectories: ['/more'] } },
  ]);
  assert.equal(it.conversation.sessionId, 's1');
  assert.deepEqual(it.conversation.abilities.info, { name: 'a', version: '1' });
});

test('directories are not sent to an agent that does not take them', async (t) => {
  const it = talk(t, {}, { additionalDirectories: ['/more'] });
  await it.conversation.open();
  assert.deepEqual(paramsOf(it, 'session/new'), { cwd: '/w', mcpServers: [] });
  assert.deepEqual(it.faults, ['the agent takes no further directories, and was not told of /more']);
});

test('an agent of another version, or that says none, is left', async (t) => {
  await rejectsWith(talk(t, { initialize: () => ({ protocolVersion: 2 }) }).conversation.open(), { type: AgentFailure, code: 'unsupported_version', message: /version 2 .*, not 1/ });
  await rejectsWith(talk(t, { initialize: () => null }).conversation.open(), { type: AgentFailure, code: 'unsupported_version', message: /unknown/ });
});

test('version 2 where it is asked for, and version 1 where the agent has no other', async (t) => {
  const asked = ({ heard }: Talk): unknown[] => heard.filter(({ method }) => method === 'initialize').map(({ params }) => (params as { protocolVersion: number }).protocolVersion);
  const older = talk(t, {}, { acpVersion: 2 });
  await older.conversation.open();
  assert.deepEqual([await older.conversation.prompt([text]), asked(older)], ['end_turn', [2]]);
  const strict = talk(t, { initialize: (params) => {
    if ((params as { protocolVersion: number }).protocolVersion !== 1) throw new RpcError(-32602, 'unsupported');
    return { protocolVersion: 1 };
  } }, { acpVersion: 2 });
  await strict.conversation.open();
  assert.deepEqual(asked(strict), [2, 1]);
  // Some only say again what they were asked for.
  const echo = talk(t, { initialize: () => ({ protocolVersion: 2, agentInfo: { name: 'echo', version: '1' }, agentCapabilities: {} }) }, { acpVersion: 2 });
  await echo.conversation.open();
  assert.equal(await echo.conversation.prompt([text]), 'end_turn');
  const newer = talk(t, { initialize: () => ({ protocolVersion: 3 }) }, { acpVersion: 2 });
  await rejectsWith(newer.conversation.open(), { type: AgentFailure, code: 'unsupported_version', message: /version 3 .*, not 2/ });
});

test('an agent of version 2 that ends in the middle of its work is told of at once', async (t) => {
  const it = talk(t, {
    initialize: () => ({ protocolVersion: 2, info: { name: 'a', version: '1' }, capabilities: { session: {} } }),
    'session/prompt': () => {
      setImmediate(() => it.die());
      return { messageId: 'u' };
    },
  }, { acpVersion: 2 });
  await it.conversation.open();
  await rejectsWith(it.conversation.prompt([text]), { type: AgentFailure, code: 'agent_ended', message: /session\/prompt/ });
});

test('a prompt that was cancelled before an agent of version 2 had begun with it', async (t) => {
  const it = talk(t, {
    initialize: () => ({ protocolVersion: 2, info: { name: 'a', version: '1' }, capabilities: { session: {} } }),
    'session/prompt': async () => {
      await until(() => it.heard.some(({ method }) => method === 'session/cancel'), { what: 'it is cancelled' });
      throw new RpcError(-32800, 'Request cancelled');
    },
  }, { acpVersion: 2 });
  await it.conversation.open();
  const turn = it.conversation.prompt([text]);
  it.conversation.cancel();
  assert.equal(await turn, 'cancelled');
});

test('an agent that wants to be logged in says how', async (t) => {
  const authMethods = [{ id: 'key', name: 'API key' }, { id: 'login', name: 'Log in', type: 'terminal' }, { id: 'bare', type: 'env_var', vars: [] }, null];
  const answers = {
    initialize: () => ({ protocolVersion: 1, authMethods }),
    'session/new': (_: unknown, { heard }: Talk) => {
      if (!heard.some(({ method }) => method === 'authenticate')) throw new RpcError(-32000, 'Authentication required');
      return { sessionId: 's1' };
    },
    authenticate: () => ({}),
  };
  await rejectsWith(talk(t, answers).conversation.open(), {
    type: AgentFailure, code: 'auth_required', message: /Authentication required\); it has key \(API key\), bare$/,
    details: { authMethods: [{ id: 'key', name: 'API key' }, { id: 'bare', name: '' }] },
  });
  const it = talk(t, answers, { authMethod: 'key' });
  await it.conversation.open();
  assert.deepEqual(paramsOf(it, 'authenticate'), { methodId: 'key' });
  for (const authMethod of ['login', 'none']) await rejectsWith(talk(t, answers, { authMethod }).conversation.open(), { type: AgentFailure, code: 'auth_failed', message: /the agent has key/ });
});

test('a login in a terminal is offered where there are some, and done there alone', async (t) => {
  const terminal = { type: 'terminal', id: 'tty', name: 'Log in', args: ['--login', 'a b'], env: { A: 'of the method' } };
  const authMethods = [
    terminal, { ...terminal, id: 'bad', args: ['x', 5] }, { ...terminal, id: 'nul', env: { A: '\0' } }, { ...terminal, id: 'name', env: { 'A=B': '' } },
    { ...terminal, id: 'long', args: ['x'.repeat(20_000)] }, { type: 'terminal', id: 'bare' },
  ];
  const answers = {
    initialize: () => ({ protocolVersion: 1, authMethods }),
    'session/new': () => { throw new RpcError(-32000, 'Authentication required'); },
  };
  const login = { argv: ['my agent', '--acp'], env: { A: 'of the agent', B: 'b' } };
  const it = talk(t, answers, { login });
  const details = { authMethods: [
    { id: 'tty', name: 'Log in', type: 'terminal', argv: ['my agent', '--acp', '--login', 'a b'], env: { A: 'of the method', B: 'b' } },
    { id: 'bare', name: '', type: 'terminal', argv: login.argv, env: login.env },
  ] };
  await rejectsWith(it.conversation.open(), {
    type: AgentFailure, code: 'auth_required', details,
    message: /it has tty \(Log in\), in a terminal, by 'my agent' --acp --login 'a b', bare, in a terminal, by /,
  });
  assert.deepEqual((paramsOf(it, 'initialize') as { clientCapabilities: { auth?: object } }).clientCapabilities.auth, { terminal: true });
  const asked = talk(t, answers, { login, authMethod: 'tty' });
  await rejectsWith(asked.conversation.open(), { type: AgentFailure, code: 'auth_failed', message: /by tty: that is done in a terminal, by 'my agent' --acp --login 'a b'$/ });
  assert.equal(paramsOf(asked, 'authenticate'), undefined);
  await rejectsWith(talk(t, answers).conversation.open(), { type: AgentFailure, code: 'auth_required', message: /it has told no way to$/ });
});

test('a session without an id is none, and no answer is a failure in time', async (t) => {
  await rejectsWith(talk(t, { 'session/new': () => ({}) }).conversation.open(), { type: AgentFailure, code: 'bad_answer', message: /no id/ });
  await rejectsWith(talk(t, { 'session/new': () => new Promise(() => undefined) }, { answerMs: 20 }).conversation.open(), { type: AgentFailure, code: 'no_answer', message: /session\/new/ });
});

test('an agent that ends, at any time, is told of at once', async (t) => {
  for (const method of ['initialize', 'session/new', 'session/prompt']) {
    const it = talk(t, { [method]: (_, { die }) => { die(); return new Promise(() => undefined); } });
    await rejectsWith(async () => { await it.conversation.open(); await it.conversation.prompt([text]); }, { type: AgentFailure, code: 'agent_ended', message: new RegExp(`has ended at ${method}`) });
  }
});

test('an error of the agent is told with its code and data', async (t) => {
  const it = talk(t, { 'session/prompt': () => { throw new RpcError(401, 'no credit', { data: { status: 401 } }); } });
  await it.conversation.open();
  await rejectsWith(it.conversation.prompt([text]), {
    type: AgentFailure, code: 'agent_error', message: /session\/prompt: no credit/, details: { code: 401, data: { status: 401 } },
  });
  await rejectsWith(it.conversation.prompt([text]), { type: AgentFailure, code: 'agent_error', message: /no credit/ }, 'another turn may follow');
});

test('a turn tells of all that happens, of its own session alone, and ends with the reason', async (t) => {
  const it = talk(t, {
    'session/new': (_, { update }) => { update(chunk('early')); update(chunk('foreign'), 'other'); return { sessionId: 's1' }; },
    'session/prompt': (_, { update }) => { update(chunk('a')); update(chunk('foreign'), 'other'); update({ sessionUpdate: 'of_next_year' }); update(chunk('b')); return { stopReason: 'max_tokens' }; },
  });
  await it.conversation.open();
  assert.equal(await it.conversation.prompt([text]), 'max_tokens');
  assert.deepEqual(paramsOf(it, 'session/prompt'), { sessionId: 's1', prompt: [text] });
  assert.deepEqual(it.updates.map(({ update, isReplay }) => [update, isReplay]), [chunk('early'), chunk('a'), { sessionUpdate: 'of_next_year' }, chunk('b')].map((update) => [update, false]));
  assert.deepEqual(it.faults, ['an update of another session: other', 'an update of another session: other']);
});

test('an earlier session is resumed, or loaded with what was said marked as such, or refused', async (t) => {
  const abilities = (agentCapabilities: object) => () => ({ protocolVersion: 1, agentCapabilities });
  const resuming = talk(t, { initialize: abilities({ loadSession: true, sessionCapabilities: { resume: {} } }), 'session/resume': () => ({}) }, { sessionId: 's0' });
  await resuming.conversation.open();
  assert.deepEqual(paramsOf(resuming, 'session/resume'), { sessionId: 's0', cwd: '/w', mcpServers: [] });
  const loading = talk(t, {
    initialize: abilities({ loadSession: true }),
    'session/load': (_, { update }) => { update(chunk('old'), 's0'); return null; },
    'session/prompt': (_, { update }) => { update(chunk('new'), 's0'); return { stopReason: 'end_turn' }; },
  }, { sessionId: 's0' });
  await loading.conversation.open();
  await loading.conversation.prompt([text]);
  assert.deepEqual(loading.updates, [{ update: chunk('old'), isReplay: true }, { update: chunk('new'), isReplay: false }]);
  assert.equal(loading.conversation.sessionId, 's0');
  await rejectsWith(talk(t, {}, { sessionId: 's0' }).conversation.open(), { type: AgentFailure, code: 'resume_not_supported', message: /s0/ });
  const unknown = talk(t, { initialize: abilities({ loadSession: true }), 'session/load': () => { throw new RpcError(-32002, 'not found'); } }, { sessionId: 's0' });
  await rejectsWith(unknown.conversation.open(), { type: AgentFailure, code: 'agent_error', message: /session\/load: not found/ });
});

test('what an agent cannot take is refused before it is sent', async (t) => {
  const image = { type: 'image', data: '', mimeType: 'image/png' } as const;
  const link = { type: 'resource_link', uri: 'file:///a', name: 'a' } as const;
  const it = talk(t);
  await it.conversation.open();
  await rejectsWith(it.conversation.prompt([text, image]), { type: AgentFailure, code: 'content_not_supported', message: /no image/ });
  assert.equal(await it.conversation.prompt([text, link]), 'end_turn');
  const able = talk(t, { initialize: () => ({ protocolVersion: 1, agentCapabilities: { promptCapabilities: { image: true }, mcpCapabilities: { http: true } } }) },
    { mcpServers: [{ type: 'http', name: 'h', url: 'http://x', headers: [] }, { name: 'p', command: 'x', args: [], env: [] }] });
  await able.conversation.open();
  assert.equal(await able.conversation.prompt([image]), 'end_turn');
  await rejectsWith(talk(t, {}, { mcpServers: [{ type: 'sse', name: 'tools', url: 'http://x', headers: [] }] }).conversation.open(), { type: AgentFailure, code: 'mcp_not_supported', message: /tools.*sse/ });
});

test('choose() goes by category, value or name, in groups too, and by set_mode where there is no option for the mode', async (t) => {
  const select = (id: string, category: string | undefined, options: unknown[], currentValue = 'x'): object => ({ id, name: id, category, type: 'select', currentValue, options });
  const models = [{ group: 'g', name: 'G', options: [{ value: 'm1', name: 'Model One' }] }, { value: 'm2', name: 'Two' }];
  const it = talk(t, {
    'session/new': () => ({
      sessionId: 's1', modes: { currentModeId: 'code', availableModes: [{ id: 'https://modes/plan', name: 'Plan' }, { id: 'code', name: 'Code' }] },
      configOptions: [select('llm', 'model', models), select('reasoning_effort', undefined, [{ value: 'low', name: 'Low' }]), { id: 'b', type: 'boolean', category: 'mode', currentValue: true }],
    }),
    'session/set_config_option': () => ({ configOptions: [select('llm', 'model', models, 'm1'), select('effort', 'thought_level', [{ value: 'high', name: 'High' }])] }),
    'session/set_mode': () => null,
  });
  await it.conversation.open();
  assert.deepEqual(await it.conversation.choose({ model: 'model one', thought_level: 'high', mode: 'plan' }), []);
  assert.deepEqual(it.heard.slice(2).map(({ params }) => params), [
    { sessionId: 's1', configId: 'llm', value: 'm1' }, { sessionId: 's1', configId: 'effort', value: 'high' }, { sessionId: 's1', modeId: 'https://modes/plan' },
  ]);
  assert.deepEqual(await it.conversation.choose({ model: 'gpt', mode: 'none' }), [
    { category: 'model', wanted: 'gpt', offered: ['m1', 'm2'] }, { category: 'mode', wanted: 'none', offered: ['https://modes/plan', 'code'] },
  ]);
  const bare = talk(t);
  await bare.conversation.open();
  assert.deepEqual(await bare.conversation.choose({ model: 'm' }), [{ category: 'model', wanted: 'm', offered: [] }]);
});

test('a permission is answered with the option that was chosen, while other messages come', async (t) => {
  const answers: unknown[] = [];
  let permit: (optionId: string) => void = () => undefined;
  const it = talk(t, {
    'session/prompt': async (_, { agent, update }) => {
      const asked = agent.request('session/request_permission', { sessionId: 's1', toolCall: { toolCallId: '1' }, options: [] });
      update(chunk('meanwhile'));
      answers.push(await asked);
      return { stopReason: 'end_turn' };
    },
  }, { permit: () => new Promise((resolve) => { permit = resolve; }) });
  await it.conversation.open();
  const turn = it.conversation.prompt([text]);
  await until(() => it.updates.length === 1, { what: 'the update came' });
  permit('yes');
  assert.equal(await turn, 'end_turn');
  assert.deepEqual(answers, [{ outcome: { outcome: 'selected', optionId: 'yes' } }]);
});

test('cancel() tells the agent, answers what it has asked, and the turn ends as the agent says', async (t) => {
  const answers: unknown[] = [];
  let isAborted = false;
  const it = talk(t, {
    'session/prompt': async (_, { agent }) => {
      answers.push(await agent.request('session/request_permission', permission));
      answers.push(await agent.request('session/request_permission', permission));
      return { stopReason: 'cancelled' };
    },
  }, { permit: (_params, signal) => new Promise(() => { signal.addEventListener('abort', () => { isAborted = true; }); }) });
  await it.conversation.open();
  it.conversation.cancel();
  const turn = it.conversation.prompt([text]);
  await until(() => it.heard.some(({ method }) => method === 'session/prompt'), { what: 'the turn has begun' });
  it.conversation.cancel();
  it.conversation.cancel();
  assert.equal(await turn, 'cancelled');
  const cancelled = { outcome: { outcome: 'cancelled' } };
  assert.deepEqual([answers, isAborted], [[cancelled, cancelled], true]);
  assert.deepEqual(it.heard.filter(({ method }) => method === 'session/cancel'), [{ method: 'session/cancel', params: { sessionId: 's1' } }]);
});

test('what the agent asks for goes to whoever serves it, of its own session alone; one turn at a time', async (t) => {
  const served: unknown[] = [];
  let go: () => void = () => undefined;
  const it = talk(t, {
    'session/prompt': async (_, { agent }) => {
      await agent.request('fs/read_text_file', { sessionId: 's1', path: '/w/a' });
      await assert.rejects(agent.request('fs/read_text_file', { sessionId: 'other', path: '/w/a' }), { code: -32602 });
      await assert.rejects(agent.request('session/request_permission', { sessionId: 'other' }), { code: -32602 });
      await new Promise<void>((resolve) => { go = resolve; });
      return {};
    },
  }, { serve: async (method, params) => { served.push([method, params]); return { content: 'x' }; } });
  await it.conversation.open();
  const turn = it.conversation.prompt([text]);
  await rejectsWith(it.conversation.prompt([text]), { type: AgentFailure, code: 'busy', message: /still/ });
  await until(() => served.length === 1, { what: 'it was served' });
  await until(() => { go(); return it.agent.waitingCount === 0; }, { what: 'all was asked' });
  const done = turn.then((reason) => assert.equal(reason, 'end_turn', 'a turn without a reason has ended'));
  await until(async () => { go(); return Promise.race([done.then(() => true), new Promise((resolve) => { setImmediate(() => resolve(false)); })]); }, { what: 'the turn has ended' });
  assert.deepEqual(served, [['fs/read_text_file', { sessionId: 's1', path: '/w/a' }]]);
});

const withSessions = (sessionCapabilities: object) => () => ({ protocolVersion: 1, agentCapabilities: { loadSession: true, sessionCapabilities } });

test('closeSession() is told to an agent that wants it, once, and no failure of it is one', async (t) => {
  const it = talk(t, { initialize: withSessions({ close: {} }), 'session/close': () => null });
  await it.conversation.closeSession();
  await it.conversation.open();
  await it.conversation.closeSession();
  await it.conversation.closeSession();
  assert.deepEqual(it.heard.filter(({ method }) => method === 'session/close'), [{ method: 'session/close', params: { sessionId: 's1' } }]);
  const unable = talk(t);
  await unable.conversation.open();
  await unable.conversation.closeSession();
  assert.deepEqual(unable.heard.map(({ method }) => method), ['initialize', 'session/new']);
  for (const [error, faults] of [[new RpcError(-32002, 'none'), []], [new RpcError(5, 'no'), ['The agent failed at session/close: no']]] as const) {
    const failing = talk(t, { initialize: withSessions({ close: {} }), 'session/close': () => { throw error; } });
    await failing.conversation.open();
    await failing.conversation.closeSession();
    assert.deepEqual(failing.faults, faults);
  }
  const dead = talk(t, { initialize: withSessions({ close: {} }) });
  await dead.conversation.open();
  dead.die();
  await dead.conversation.ended;
  await dead.conversation.closeSession();
  assert.deepEqual(dead.faults, []);
});

test('closeSession() is not waited for longer than a short time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const it = talk(t, { initialize: withSessions({ close: {} }), 'session/close': () => new Promise(() => undefined) }, { answerMs: 1_000_000 });
  await it.conversation.open();
  const closed = it.conversation.closeSession();
  t.mock.timers.tick(2000);
  await closed;
  t.mock.timers.reset();
  assert.deepEqual(it.faults, ['The agent has not answered session/close in time']);
});

test('a session that could not be gone on with is not closed', async (t) => {
  const it = talk(t, { initialize: withSessions({ close: {} }), 'session/load': () => { throw new RpcError(-32602, 'unknown'); } }, { sessionId: 's0' });
  await rejectsWith(it.conversation.open(), { type: AgentFailure, code: 'agent_error', message: /unknown/ });
  await it.conversation.closeSession();
  assert.ok(!it.heard.some(({ method }) => method === 'session/close'));
});

test('listSessions() reads all pages, without a session of its own', async (t) => {
  const pages: { readonly [cursor: string]: object } = {
    '': { sessions: [{ sessionId: 'a', cwd: '/a', title: 'A', updatedAt: '2026-01-01T00:00:00Z' }, { cwd: '/x' }, null, { sessionId: 5 }], nextCursor: '1' },
    1: { sessions: [{ sessionId: 'b', cwd: '/b', title: null }], nextCursor: '2' },
    2: { sessions: 'none', nextCursor: null },
  };
  const it = talk(t, { initialize: withSessions({ list: {} }), 'session/list': (params) => pages[(params as { cursor?: string }).cursor ?? ''] });
  await it.conversation.initialize();
  assert.deepEqual(await it.conversation.listSessions('/a'), [
    { sessionId: 'a', cwd: '/a', title: 'A', updatedAt: '2026-01-01T00:00:00Z' }, { sessionId: 'b', cwd: '/b', title: null, updatedAt: null },
  ]);
  assert.deepEqual(it.heard.slice(1).map(({ params }) => params), [{ cwd: '/a' }, { cwd: '/a', cursor: '1' }, { cwd: '/a', cursor: '2' }]);
});

test('listSessions() comes to an end: with a cursor that comes again, after 100 pages, after 1000 sessions', async (t) => {
  let page = 0;
  const one = (): object => ({ sessionId: `s${page}` });
  const endless: readonly (readonly [answer: () => object, pages: number, sessions: number])[] = [
    [() => ({ sessions: [one()], nextCursor: `${page % 3}` }), 4, 4],
    [() => ({ sessions: [one()], nextCursor: `${page}` }), 100, 100],
    [() => ({ sessions: Array.from({ length: 600 }, (_, index) => ({ sessionId: `${page}-${index}` })), nextCursor: `${page}` }), 2, 1000],
  ];
  for (const [answer, pages, sessions] of endless) {
    page = 0;
    const it = talk(t, { initialize: withSessions({ list: {} }), 'session/list': () => { page += 1; return answer(); } });
    await it.conversation.initialize();
    assert.equal((await it.conversation.listSessions()).length, sessions);
    assert.equal(page, pages);
  }
});

test('logOut() is asked of an agent that says that it can', async (t) => {
  const abilities = (auth: unknown) => () => ({ protocolVersion: 1, agentCapabilities: { auth } });
  const it = talk(t, { initialize: abilities({ logout: {} }), logout: () => null });
  await it.conversation.initialize();
  await it.conversation.logOut();
  assert.deepEqual(it.heard.at(-1), { method: 'logout', params: {} });
  for (const auth of [undefined, null, {}, { logout: null }, { logout: false }, 'logout']) {
    const unable = talk(t, { initialize: abilities(auth) });
    await unable.conversation.initialize();
    await rejectsWith(unable.conversation.logOut(), { type: AgentFailure, code: 'logout_not_supported', message: /^Cannot log out: / });
  }
});

test('deleteSession() is done where the agent knows of none, and fails where it fails', async (t) => {
  const errors: { readonly [sessionId: string]: number } = { gone: -32002, bad: -32603 };
  const it = talk(t, {
    initialize: withSessions({ delete: {} }),
    'session/delete': (params) => {
      const code = errors[(params as { sessionId: string }).sessionId];
      if (code !== undefined) throw new RpcError(code, 'no');
      return {};
    },
  });
  await it.conversation.initialize();
  await it.conversation.deleteSession('there');
  await it.conversation.deleteSession('gone');
  await rejectsWith(it.conversation.deleteSession('bad'), { type: AgentFailure, code: 'agent_error', message: /session\/delete: no/ });
});

test('what an agent cannot do with sessions is refused, with what it can', async (t) => {
  const it = talk(t, { initialize: withSessions({ close: {}, list: null }) });
  await it.conversation.initialize();
  await rejectsWith(it.conversation.listSessions(), { type: AgentFailure, code: 'sessions_not_supported', message: /Cannot list .* new ones, and load, close those that there are$/ });
  await rejectsWith(it.conversation.deleteSession('a'), { type: AgentFailure, code: 'sessions_not_supported', message: /Cannot delete / });
  const bare = talk(t);
  await bare.conversation.initialize();
  await rejectsWith(bare.conversation.listSessions(), { type: AgentFailure, code: 'sessions_not_supported', message: /can only begin new ones$/ });
});

test('questions by a form are advertised and answered where they are wanted, and else are no method', async (t) => {
  const answers: unknown[] = [];
  const prompt = async (_: unknown, { agent }: Talk): Promise<object> => {
    agent.notify('elicitation/complete', { elicitationId: 'e' });
    for (const mode of ['form', 'url', 5, undefined]) {
      answers.push(await agent.request('elicitation/create', { sessionId: 's1', mode, message: 'Which?', requestedSchema: {} }).catch((error: RpcError) => error.code));
    }
    return { stopReason: 'end_turn' };
  };
  const asked: unknown[] = [];
  const it = talk(t, { 'session/prompt': prompt }, { elicit: async (params) => { asked.push(params); return { action: 'accept', content: { a: 1 } }; } });
  await it.conversation.open();
  assert.deepEqual((paramsOf(it, 'initialize') as { clientCapabilities: { elicitation?: object } }).clientCapabilities.elicitation, { form: {}, url: {} });
  await it.conversation.prompt([text]);
  const accepted = { action: 'accept', content: { a: 1 } };
  assert.deepEqual(answers.splice(0), [accepted, -32602, -32602, accepted]);
  assert.deepEqual([asked.length, it.faults], [2, []]);
  const silent = talk(t, { 'session/prompt': prompt });
  await silent.conversation.open();
  await silent.conversation.prompt([text]);
  assert.deepEqual(answers, [-32601, -32601, -32601, -32601]);
});

test('a question by URL is asked where a browser can open it, and what completes it is told', async (t) => {
  const urls = [
    'https://example.org/login?a=b#c', 'HTTP://127.0.0.1:8080/', 'javascript:alert(1)', 'file:///etc/passwd', 'https://', '//example.org',
    'https://example.org/a\nb', 'https://example.org/\u001b[2J', ' https://example.org', 5, undefined, `https://a/${'b'.repeat(20_000)}`,
  ];
  const answers: unknown[] = [];
  const completed: string[] = [];
  const asked: unknown[] = [];
  const it = talk(t, {
    'session/prompt': async (_, { agent }) => {
      const ask = async (params: object): Promise<void> => {
        const answer = agent.request('elicitation/create', { sessionId: 's1', mode: 'url', message: 'Log in', ...params });
        answers.push(await answer.catch((error: RpcError) => error.code));
      };
      for (const url of urls) await ask({ url, elicitationId: 'e' });
      for (const elicitationId of [undefined, 5, '', 'x'.repeat(5000)]) await ask({ url: urls[0], elicitationId });
      for (const elicitationId of ['e', 5, undefined]) agent.notify('elicitation/complete', { elicitationId });
      return { stopReason: 'end_turn' };
    },
  }, {
    elicit: async (params) => { asked.push((params as { url: unknown }).url); return { action: 'accept' }; },
    onElicited: (elicitationId) => { completed.push(elicitationId); },
  });
  await it.conversation.open();
  await it.conversation.prompt([text]);
  const refused = Array.from({ length: urls.length - 2 + 4 }, () => -32602);
  assert.deepEqual(answers, [{ action: 'accept' }, { action: 'accept' }, ...refused]);
  assert.deepEqual([asked, completed, it.faults], [urls.slice(0, 2), ['e'], []]);
});

test('an open question is answered with cancel when the turn is, and one may come before any turn', async (t) => {
  const answers: unknown[] = [];
  let isAborted = false;
  const it = talk(t, {
    'session/new': async (_, { agent }) => {
      answers.push(await agent.request('elicitation/create', { requestId: 1, mode: 'form' }));
      return { sessionId: 's1' };
    },
    'session/prompt': async (_, { agent }) => {
      for (const _time of [1, 2]) answers.push(await agent.request('elicitation/create', { sessionId: 's1', mode: 'form' }));
      return { stopReason: 'cancelled' };
    },
  }, {
    elicit: (_params, signal) => new Promise((resolve) => {
      if (answers.length === 0) return resolve({ action: 'decline' });
      signal.addEventListener('abort', () => { isAborted = true; });
    }),
  });
  await it.conversation.open();
  const turn = it.conversation.prompt([text]);
  await until(() => it.heard.some(({ method }) => method === 'session/prompt'), { what: 'the turn has begun' });
  it.conversation.cancel();
  assert.equal(await turn, 'cancelled');
  assert.deepEqual([answers, isAborted], [[{ action: 'decline' }, { action: 'cancel' }, { action: 'cancel' }], true]);
});

test('what an agent asks for and does not wait for ends with its turn', async (t) => {
  let isAborted = false;
  const it = talk(t, {
    'session/prompt': (_, { agent }) => {
      agent.request('session/request_permission', permission).catch(() => undefined);
      return { stopReason: 'end_turn' };
    },
  }, { permit: (_params, signal) => new Promise(() => { signal.addEventListener('abort', () => { isAborted = true; }); }) });
  await it.conversation.open();
  await it.conversation.prompt([text]);
  await until(() => isAborted, { what: 'nobody is asked any more' });
});

test('a permission request that cannot be answered is refused, and nobody is asked about it', async (t) => {
  const { toolCall, options } = permission;
  const malformed = [
    ...[undefined, null, 'yes', { 0: yes }, [5], [null, { ...yes, optionId: 5 }]].map((wrong) => ({ toolCall, options: wrong })),
    ...[undefined, null, 't', [toolCall]].map((wrong) => ({ options, toolCall: wrong })), {},
  ];
  const answers: unknown[] = [];
  let asked = 0;
  const ask = async (agent: Talk['agent'], params: object): Promise<void> => {
    const answer = agent.request('session/request_permission', { sessionId: 's1', ...params });
    answers.push(await answer.catch((error: RpcError) => error.code));
  };
  const it = talk(t, {
    'session/prompt': async (_, { agent }) => {
      for (const params of [...malformed, permission]) await ask(agent, params);
      return { stopReason: 'end_turn' };
    },
  }, { permit: async () => { asked += 1; return 'yes'; } });
  await it.conversation.open();
  await ask(it.agent, {});
  await it.conversation.prompt([text]);
  assert.deepEqual(answers.slice(0, -1), [undefined, ...malformed].map(() => -32602));
  assert.deepEqual([answers.at(-1), asked], [{ outcome: { outcome: 'selected', optionId: 'yes' } }, 1]);
});

test('an answer to a prompt that is none fails the turn, and a reason that nobody knows is told as it is', async (t) => {
  const answers: readonly unknown[] = [null, [], 'done', 5, { stopReason: 5 }, { stopReason: {} }];
  for (const answer of answers) {
    const it = talk(t, { 'session/prompt': () => answer });
    await it.conversation.open();
    await rejectsWith(it.conversation.prompt([text]), { type: AgentFailure, code: 'bad_answer', message: /how the turn has ended: the agent answered/ }, JSON.stringify(answer));
  }
  const it = talk(t, { 'session/prompt': () => ({ stopReason: 'out_of_luck' }) });
  await it.conversation.open();
  assert.equal(await it.conversation.prompt([text]), 'out_of_luck');
});

test('the tokens of a turn are kept where the agent tells them', async (t) => {
  const usages: unknown[] = [{ totalTokens: 12, inputTokens: 10, outputTokens: 2, thoughtTokens: null, cachedReadTokens: 'many', other: 1 }, undefined, 5];
  const it = talk(t, { 'session/prompt': () => ({ stopReason: 'end_turn', usage: usages.shift() }) });
  await it.conversation.open();
  const told: unknown[] = [];
  for (const _time of [1, 2, 3]) {
    await it.conversation.prompt([text]);
    told.push(it.conversation.turnUsage);
  }
  assert.deepEqual(told, [{ totalTokens: 12, inputTokens: 10, outputTokens: 2 }, undefined, undefined]);
});

test('an error of the agent is told in bounds', async (t) => {
  const it = talk(t, { 'session/prompt': () => { throw new RpcError(1, 'x'.repeat(100_000), { data: 'y'.repeat(1_000_000) }); } });
  await it.conversation.open();
  await assert.rejects(it.conversation.prompt([text]), ({ message, details }: AgentFailure) => message.length < 3000 && JSON.stringify(details).length < 100_000);
});

test('another session is told of, whatever its id is', async (t) => {
  const it = talk(t, { 'session/prompt': (_, { agent }) => { agent.notify('session/update', { sessionId: { toString: 5 }, update: {} }); return {}; } });
  await it.conversation.open();
  await it.conversation.prompt([text]);
  assert.deepEqual(it.faults, ['an update of another session: {"toString":5}']);
});

test('an update and a request that name no session are of the only one there is', async (t) => {
  const asked: unknown[] = [];
  const it = talk(t, {
    'session/new': (_, { agent }) => { agent.notify('session/update', { update: chunk('early') }); return { sessionId: 's1' }; },
    'session/prompt': async (_, { agent }) => {
      agent.notify('session/update', { update: chunk('none') });
      agent.notify('session/update', { sessionId: null, update: chunk('null') });
      agent.notify('session/update', { sessionId: '', update: chunk('empty') });
      agent.notify('session/update', {});
      for (const of of [{}, { sessionId: null }]) asked.push(await agent.request('fs/read_text_file', { ...of, path: 'a' }));
      return {};
    },
  }, { serve: async () => 'served' });
  await it.conversation.open();
  await it.conversation.prompt([text]);
  assert.deepEqual(it.updates.map(({ update }) => update), [chunk('early'), chunk('none'), chunk('null')]);
  assert.deepEqual(it.faults, ['an update of another session: ', 'an update that names no session and tells nothing']);
  assert.deepEqual(asked, ['served', 'served']);
});

test('what was said before is marked as such also where it names no session', async (t) => {
  const it = talk(t, {
    initialize: () => ({ protocolVersion: 1, agentCapabilities: { loadSession: true } }),
    'session/load': (_, { agent }) => { agent.notify('session/update', { update: chunk('old') }); return null; },
  }, { sessionId: 's0' });
  await it.conversation.open();
  assert.deepEqual(it.updates, [{ update: chunk('old'), isReplay: true }]);
});

test('an image may tell where it is from, and a resource may be bytes', async (t) => {
  const blocks = [
    { type: 'image', data: 'AA==', mimeType: 'image/png', uri: 'file:///a.png' }, { type: 'resource', resource: { uri: 'file:///b', blob: 'AA==', mimeType: 'x/y' } },
    { type: 'resource', resource: { uri: 'file:///c', text: 'c' } },
  ] as const;
  const it = talk(t, { initialize: () => ({ protocolVersion: 1, agentCapabilities: { promptCapabilities: { image: true, embeddedContext: true } } }) });
  await it.conversation.open();
  await it.conversation.prompt(blocks);
  assert.deepEqual(paramsOf(it, 'session/prompt'), { sessionId: 's1', prompt: blocks });
});

/** The agent's side, in bytes. */
function raw(t: TestContext): { conversation: Conversation; say: (line: string) => void; line: () => Promise<string> } {
  const [toAgent, fromAgent] = [new PassThrough(), new PassThrough()];
  const conversation = new Conversation({
    input: fromAgent, output: toAgent, version: '1', workdir: '/w', additionalDirectories: [], mcpServers: [],
    serve: async (method) => { throw new RpcError(-32601, `Method not found: ${method}`); }, permit: async () => 'yes', onUpdate: () => undefined, onFault: () => undefined,
  });
  atEnd(t, () => { conversation.close(); });
  const lines = readline.createInterface({ input: toAgent })[Symbol.asyncIterator]();
  return { conversation, say: (text) => { fromAgent.write(`${text}\n`); }, line: async () => String((await lines.next()).value) };
}

test('on the wire: ids from 0 on either side, text ids, the id last, nulls for what is absent, and a cancel without an id', async (t) => {
  const { conversation, say, line } = raw(t);
  const opened = conversation.open();
  assert.match(await line(), /^\{"jsonrpc":"2\.0","id":0,"method":"initialize",/);
  say('{"jsonrpc":"2.0","result":{"protocolVersion":1,"agentCapabilities":null,"agentInfo":null,"authMethods":null},"id":0}');
  assert.equal(await line(), '{"jsonrpc":"2.0","id":1,"method":"session/new","params":{"cwd":"/w","mcpServers":[]}}');
  say('{"jsonrpc":"2.0","result":{"sessionId":"s1","modes":null,"configOptions":null,"models":{"currentModelId":"x","availableModels":[]},"_meta":{}},"id":1}');
  await opened;
  const turn = conversation.prompt([text]);
  assert.equal(await line(), '{"jsonrpc":"2.0","id":2,"method":"session/prompt","params":{"sessionId":"s1","prompt":[{"type":"text","text":"do it"}]}}');
  say('{"jsonrpc":"2.0","method":"session/request_permission","params":{"sessionId":"s1","toolCall":{},"options":[]},"id":2}');
  assert.equal(await line(), '{"jsonrpc":"2.0","id":2,"result":{"outcome":{"outcome":"selected","optionId":"yes"}}}');
  say('{"id":0,"method":"session/request_permission","params":{"sessionId":"s1","toolCall":{},"options":[]}}');
  assert.equal(await line(), '{"jsonrpc":"2.0","id":0,"result":{"outcome":{"outcome":"selected","optionId":"yes"}}}');
  conversation.cancel();
  assert.equal(await line(), '{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s1"}}');
  say('{"method":"craft/drainMidTurnQueue","params":{},"id":"6f1c-uuid"}');
  assert.equal(await line(), '{"jsonrpc":"2.0","id":"6f1c-uuid","error":{"code":-32601,"message":"Method not found: craft/drainMidTurnQueue"}}');
  say('{"method":"session/request_permission","params":{"sessionId":"s1","toolCall":{},"options":[]},"id":null}');
  assert.equal(await line(), '{"jsonrpc":"2.0","id":null,"result":{"outcome":{"outcome":"cancelled"}}}');
  for (const method of ['qwen/notify/session/prompt-suggestion', '_auth/status_update', 'session/of_next_year']) say(JSON.stringify({ method, params: 5 }));
  say('{"id":2,"result":{"stopReason":"cancelled"}}');
  assert.equal(await turn, 'cancelled');
});

test('what an agent names and has to choose is bounded: names are cut, ids passed over', async (t) => {
  const long = 'x'.repeat(100_000);
  const select = { id: 'm', type: 'select', category: 'model', options: [{ value: long, name: 'a' }, { value: 'b', name: long }, ...Array.from({ length: 5000 }, (_, index) => ({ value: `${index}` }))] };
  const it = talk(t, {
    initialize: () => ({ protocolVersion: 1, agentInfo: { name: long, version: long }, authMethods: [{ id: long }, { id: 'a', name: long }] }),
    'session/new': () => ({ sessionId: 's1', configOptions: [{ ...select, id: long }, select] }),
  });
  await it.conversation.open();
  assert.ok(JSON.stringify([it.conversation.info, it.conversation.abilities.authMethods, it.conversation.choices]).length < 100_000);
  assert.deepEqual([it.conversation.info?.name.length, it.conversation.abilities.authMethods.length, it.conversation.choices.length], [200, 1, 1]);
});

test('what an agent tells of an earlier conversation after it has answered session/load is of that one still', async (t) => {
  const it = talk(t, {
    initialize: () => ({ protocolVersion: 1, agentCapabilities: { loadSession: true } }),
    'session/load': (_, { update }) => { setTimeout(() => update(chunk('old'), 's0'), 20); return {}; },
    'session/prompt': (_, { update }) => { update(chunk('new'), 's0'); return { stopReason: 'end_turn' }; },
  }, { sessionId: 's0' });
  await it.conversation.open();
  await it.conversation.prompt([text]);
  assert.deepEqual(it.updates, [{ update: chunk('old'), isReplay: true }, { update: chunk('new'), isReplay: false }]);
});
