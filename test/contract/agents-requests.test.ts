/** The fields of mode acp: what is refused, what reaches the agent, and what is never shown. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { environmentOf, startTestServer, temporaryFolder } from '../support/server.ts';
import { eventsOf, fake, inPhase, noProcessLeft, telling } from '../support/agent.ts';
import { ask, open, run, show, submit } from '../support/client.ts';

test('an invalid field of a request in mode acp is 400, with a message', async (t) => {
  const server = await startTestServer(t);
  const cases: readonly (readonly [fields: object, detail: RegExp])[] = [
    [{ agent: 1 }, /body\.agent: expected a string/], [{ agent: 'a\0b' }, /body\.agent: .*NUL/], [{ agent: 'copilot', argv: ['x'] }, /body\.argv: expected nothing, as agent is given/],
    [{ agent: 'copliot' }, /body\.agent: expected one of copilot, gemini, .*"copliot" is no program.*, did you mean "copilot"\?$/],
    [{ agent: ' claud\n' }, /did you mean "claude"\?$/],
    [{ agent: 'no-such-agent', env: { PATH: '/' } }, /"no-such-agent" is no program on the PATH of the job$/],
    [{ agent: 'gemini', env: { PATH: '/' }, additionalDirectories: ['/no/such'] }, /additionalDirectories/],
    [{ argv: [] }, /body\.argv: expected 1 to/], [{ argv: [''] }, /body\.argv\[0\]: expected the name of a program/],
    [{ prompt: 1 }, /body\.prompt: expected a string or an array of content blocks/], [{ prompt: {} }, /body\.prompt/], [{ prompt: [] }, /body\.prompt: expected 1 to/],
    [{ prompt: [{ type: 'video' }] }, /body\.prompt\[0\]\.type: expected one of "text", "resource_link"/], [{ prompt: ['x'] }, /body\.prompt\[0\]: expected an object with type/],
    [{ prompt: [{ type: 'constructor' }] }, /body\.prompt\[0\]\.type/], [{ prompt: [{ type: 'text', text: 1 }] }, /body\.prompt\[0\]\.text: expected a string/],
    [{ prompt: [{ type: 'text', text: 'x', more: 1 }] }, /body\.prompt\[0\]\.more: unknown field/], [{ prompt: [{ type: 'text', text: 'x' }, { type: 'image', data: 'é', mimeType: 'image/png' }] }, /body\.prompt\[1\]\.data: .*base64/],
    [{ prompt: [{ type: 'image', data: 'AAAA' }] }, /body\.prompt\[0\]\.mimeType/], [{ prompt: [{ type: 'resource_link', uri: 'file:///a' }] }, /body\.prompt\[0\]\.name/],
    [{ prompt: [{ type: 'resource', resource: { uri: 'file:///a' } }] }, /body\.prompt\[0\]\.resource: expected one of text and blob/],
    [{ prompt: [{ type: 'resource', resource: { uri: 'file:///a', text: 'x', blob: 'AAAA' } }] }, /body\.prompt\[0\]\.resource: expected one of text and blob/],
    [{ acp_session_id: 1 }, /body\.acp_session_id/], [{ model: 1 }, /body\.model/], [{ effort: [] }, /body\.effort/], [{ agentMode: {} }, /body\.agentMode/],
    [{ strictConfig: 'yes' }, /body\.strictConfig: expected true or false/], [{ permissions: 'allow' }, /body\.permissions: expected "read" or "edits" or "all" or "ask" or "deny" or "approve"/], [{ permissions: {} }, /body\.permissions: expected "read", "edits", "all", "ask", "deny" or an array of rules/],
    [{ onDenied: 'stop' }, /body\.onDenied: expected "continue" or "fail"/], [{ trustAgent: 1 }, /body\.trustAgent: expected true or false/],
    [{ permissions: [{ kind: 'edit' }] }, /body\.permissions\[0\]\.decide/], [{ permissions: [{ decide: 'approve', knd: 'edit' }] }, /body\.permissions\[0\]\.knd: unknown field, expected one of kind, tool/],
    [{ permissions: [{ decide: 'approve', path: '' }] }, /body\.permissions\[0\]\.path/], [{ permissions: ['approve'] }, /body\.permissions\[0\]: expected an object/],
    [{ askTimeout: 0 }, /body\.askTimeout: expected a number of seconds above 0/], [{ askTimeout: '5' }, /body\.askTimeout/],
    [{ askDefault: 'ask' }, /body\.askDefault: expected "approve" or "deny"/], [{ keepAlive: -1 }, /body\.keepAlive: .*from 0 to 31536000/], [{ keepAlive: '1' }, /body\.keepAlive/],
    [{ mcpServers: {} }, /body\.mcpServers: expected an array/], [{ mcpServers: [{ name: 'x' }] }, /body\.mcpServers\[0\]\.command/], [{ mcpServers: [{ name: '', command: 'x' }] }, /body\.mcpServers\[0\]\.name/],
    [{ mcpServers: ['x'] }, /body\.mcpServers\[0\]: expected an object/], [{ mcpServers: [null] }, /body\.mcpServers\[0\]: expected an object/],
    [{ mcpServers: [{ name: 'x', command: 'y', env: { A: 1 } }] }, /body\.mcpServers\[0\]\.env\.A: expected a string/], [{ mcpServers: [{ name: 'x', command: 'y', env: [{ name: 'A' }] }] }, /body\.mcpServers\[0\]\.env\[0\]\.value/],
    [{ mcpServers: [{ type: 'http', name: 'x', url: 'ftp://x' }] }, /body\.mcpServers\[0\]\.url: .*http/], [{ mcpServers: [{ type: 'ws', name: 'x', url: 'http://x' }] }, /body\.mcpServers\[0\]\.type: expected "http" or "sse"/],
    [{ mcpServers: [{ type: 'http', name: 'x', url: 'http://x', command: 'y' }] }, /body\.mcpServers\[0\]\.command: unknown field/],
    [{ additionalDirectories: '/tmp' }, /body\.additionalDirectories: expected an array/], [{ additionalDirectories: ['/tmp', '/no/such/folder'] }, /body\.additionalDirectories\[1\]: expected an existing directory, received "\/no\/such\/folder"/],
    [{ additionalDirectories: ['/etc/passwd'] }, /body\.additionalDirectories\[0\]: expected an existing directory/], [{ additionalDirectories: [''] }, /body\.additionalDirectories\[0\]/],
    [{ workdir: '/no/such/folder' }, /body\.workdir: expected an existing directory/], [{ authMethod: 1 }, /body\.authMethod/], [{ elicitation: 1 }, /body\.elicitation: expected true or false/],
    [{ sessionAction: 'fork' }, /body\.sessionAction: expected "prompt" or "list" or "delete"/], [{ sessionAction: 'delete' }, /body\.acp_session_id: .*sessionAction is "delete"/],
    [{ sessionAction: 'logout', prompt: 'x' }, /body\.prompt: expected nothing, as sessionAction is "logout"/],
    [{ sessionAction: 'list', prompt: 'x' }, /body\.prompt: expected nothing, as sessionAction is "list"/], [{ persistent_session_key: 1 }, /body\.persistent_session_key/],
    [{ persistent_shell: 'yes' }, /body\.persistent_shell: expected one of bash/], [{ killGrace: -1 }, /body\.killGrace/],
    // Of other modes.
    [{ command: 'true' }, /body\.command: expected nothing, as mode is "acp"/], [{ tty: true }, /body\.tty: expected nothing, as mode is "acp"/], [{ stdin: 'x' }, /body\.stdin: expected nothing, as mode is "acp"/],
    [{ sessionKey: 'x' }, /body\.sessionKey: expected nothing, as mode is "acp"/], [{ bootstrapCommand: 'x' }, /body\.bootstrapCommand: expected nothing/],
    [{ shell: 'fish' }, /body\.shell: expected one of bash/], [{ promt: 'x' }, /body\.promt: unknown field, expected one of mode, command/],
  ];
  for (const [fields, detail] of cases) {
    await t.test(JSON.stringify(fields), async () => {
      const { status, problem } = await ask(server, 'POST /exec', { body: { mode: 'acp', ...fields } });
      assert.deepEqual([status, problem.code], [400, 'invalid_request']);
      assert.match(problem.detail, detail);
    });
  }
  for (const [field, value] of Object.entries({ prompt: 'x', agent: 'x', permissions: 'deny', keepAlive: 1, mcpServers: [], strictConfig: true, additionalDirectories: [], sessionAction: 'list' })) {
    await t.test(`${field} in other modes`, async () => {
      for (const program of [{ command: 'true' }, { mode: 'argv', argv: ['true'] }, { mode: 'persistent_shell', sessionKey: 'k', command: 'true' }]) {
        const { status, problem } = await ask(server, 'POST /exec', { body: { ...program, [field]: value } });
        assert.equal(status, 400);
        assert.match(problem.detail, new RegExp(`^Cannot read body\\.${field}: expected nothing, as mode is`));
      }
    });
  }
  await t.test('none of them has started a job', async () => {
    assert.deepEqual((await ask(server, 'GET /jobs')).json(), []);
    assert.deepEqual(readdirSync(join(server.stateDir, 'jobs')), []);
  });
});

test('the fields of a request in mode acp', async (t) => {
  const server = await startTestServer(t);
  const folder = temporaryFolder(t);
  const able = { promptCapabilities: { image: true, audio: true, embeddedContext: true }, mcpCapabilities: { http: true, sse: true }, loadSession: true };

  /** What the agent was told to begin its session with. */
  async function sessionFor(more: object, abilities: object = able): Promise<{ readonly [field: string]: unknown }> {
    const job = await run(server, telling('session', more, { abilities }));
    assert.equal(job.status, 'completed', JSON.stringify(job.acpError));
    return (JSON.parse(job.stdout ?? '') as { session: { [field: string]: unknown } }).session;
  }

  await t.test('empty texts count as absent, and so do false values', async () => {
    const job = await run(server, telling('session', {
      agent: '', acp_session_id: '', model: '', effort: '', agentMode: '', authMethod: '', persistent_session_key: '', persistent_shell: false,
      command: '', sessionKey: '', bootstrapCommand: '', bootstrapCurrentCommand: '', shell: '', tty: false, stdin: null, workdir: '', name: '',
    }));
    assert.deepEqual([job.status, job.acpSessionId, job.agent], ['completed', 's1', undefined]);
    const { client, session } = JSON.parse(job.stdout ?? '') as { client: { [field: string]: unknown }; session: object };
    assert.deepEqual(session, { cwd: process.cwd(), mcpServers: [] });
    assert.deepEqual([client['protocolVersion'], (client['clientInfo'] as { name: string }).name], [1, 'machine-sidecar']);
    assert.equal('elicitation' in (client['clientCapabilities'] as object), false);
  });

  const blocks = [
    { type: 'text', text: 'é\0' }, { type: 'resource_link', uri: 'file:///a', name: 'a', mimeType: 'text/plain' }, { type: 'image', data: 'AAAA', mimeType: 'image/png' },
    { type: 'audio', data: 'AA==', mimeType: 'audio/wav' }, { type: 'resource', resource: { uri: 'file:///a', text: 'x' } },
    { type: 'resource', resource: { uri: 'file:///b', blob: 'AAAA', mimeType: 'x/y' } },
  ];
  await t.test('content blocks reach the agent as they are; the job shows them in words', async () => {
    const job = await run(server, telling(blocks, {}, { abilities: able }));
    assert.deepEqual([job.status, JSON.parse(job.stdout ?? '')], ['completed', blocks]);
    assert.equal(job.prompt, 'é\0\n[resource_link]\n[image]\n[audio]\n[resource]\n[resource]');
    const plain = await run(server, telling(blocks.slice(0, 2)));
    assert.deepEqual(JSON.parse(plain.stdout ?? ''), blocks.slice(0, 2), 'these any agent takes');
  });

  for (const [index, ability] of [[2, 'image'], [3, 'audio'], [4, 'resource']] as const) {
    await t.test(`${ability} to an agent that does not take it fails in words`, async () => {
      const job = await run(server, telling([blocks[0], blocks[index]]));
      assert.deepEqual([job.status, job.acpError?.code, job.stdout], ['failed', 'content_not_supported', '']);
      assert.match(job.acpError?.message ?? '', new RegExp(`takes no ${ability}`));
      await noProcessLeft(job.jobId);
    });
  }

  await t.test('MCP servers, in both forms of their environment', async () => {
    const { mcpServers } = await sessionFor({ mcpServers: [
      { name: 'a', command: 'x' }, { type: 'stdio', name: 'b', command: 'x', args: ['1', ''], env: { A: 'é', B: '' } },
      { name: 'c', command: 'x', env: [{ name: 'A', value: '1' }, { name: 'A', value: '2' }] },
      { type: 'http', name: 'd', url: 'https://x/y', headers: { Authorization: 'z' } }, { type: 'sse', name: 'e', url: 'http://x' },
    ] });
    assert.deepEqual(mcpServers, [
      { name: 'a', command: 'x', args: [], env: [] }, { name: 'b', command: 'x', args: ['1', ''], env: [{ name: 'A', value: 'é' }, { name: 'B', value: '' }] },
      { name: 'c', command: 'x', args: [], env: [{ name: 'A', value: '1' }, { name: 'A', value: '2' }] },
      { type: 'http', name: 'd', url: 'https://x/y', headers: [{ name: 'Authorization', value: 'z' }] }, { type: 'sse', name: 'e', url: 'http://x', headers: [] },
    ]);
  });

  for (const type of ['http', 'sse']) {
    await t.test(`an MCP server by ${type} for an agent that cannot fails in words`, async () => {
      const { status, acpError } = await run(server, telling('session', { mcpServers: [{ type, name: 'far', url: 'http://x' }] }));
      assert.deepEqual([status, acpError?.code], ['failed', 'mcp_not_supported']);
      assert.match(acpError?.message ?? '', new RegExp(`Cannot give the agent far: it takes no MCP server by ${type}`));
    });
  }

  await t.test('model, effort and mode are chosen, by id or by name', async () => {
    assert.equal((await run(server, telling('choices', { model: 'b', effort: 'HIGH', agentMode: 'Code' }))).stdout, '{"m":"b","e":"high","o":"code"}');
  });

  await t.test('a choice that the agent does not have fails the job, unless strictConfig is false', async () => {
    const wishes = { model: 'c', effort: 'high', agentMode: 'none' };
    const strict = await run(server, telling('choices', wishes));
    assert.deepEqual([strict.status, strict.acpError?.code, strict.turnCount], ['failed', 'config_not_supported', 0]);
    assert.match(strict.acpError?.message ?? '', /Cannot choose model c: it has a, b/);
    const lenient = await run(server, telling('choices', { ...wishes, strictConfig: false }));
    assert.deepEqual([lenient.status, lenient.stdout], ['completed', '{"e":"high"}']);
    assert.deepEqual(eventsOf(lenient).filter(({ type }) => type === 'config_refused').map(({ category, wanted, offered }) => [category, wanted, offered]),
      [['model', 'c', ['a', 'b']], ['mode', 'none', ['ask', 'code']]]);
    const none = await run(server, fake('say x', { effort: 'high' }));
    assert.match(none.acpError?.message ?? '', /Cannot choose thought_level high: it offers none/);
  });

  await t.test('additional directories reach an agent that supports them, made absolute; for another there is a fault', async () => {
    mkdirSync(join(folder, 'a'));
    const home = environmentOf(dirname(server.stateDir))['HOME'] ?? '';
    mkdirSync(join(home, 'x'));
    const inHome = { workdir: '~/x', additionalDirectories: ['~', '~/x', '.'] };
    assert.deepEqual(await sessionFor(inHome, { sessionCapabilities: { additionalDirectories: {} } }),
      { cwd: join(home, 'x'), mcpServers: [], additionalDirectories: [home, join(home, 'x'), join(home, 'x')] });
    const more = { workdir: folder, additionalDirectories: ['a', '/tmp'] };
    assert.deepEqual(await sessionFor(more, { sessionCapabilities: { additionalDirectories: {} } }), { cwd: folder, mcpServers: [], additionalDirectories: [join(folder, 'a'), '/tmp'] });
    const job = await run(server, telling('session', more));
    assert.equal('additionalDirectories' in (JSON.parse(job.stdout ?? '') as { session: object }).session, false);
    assert.match(String(eventsOf(job).find(({ type }) => type === 'fault')?.['what']), /supports no additional directories/);
  });

  await t.test('an earlier session is continued, and its replay is not output', async () => {
    const job = await run(server, telling('session', { acp_session_id: 's1' }, { abilities: able }));
    const { session } = JSON.parse(job.stdout ?? '') as { session: object };
    assert.deepEqual([session, job.acpSessionId], [{ sessionId: 's1', cwd: process.cwd(), mcpServers: [] }, 's1']);
    assert.deepEqual(eventsOf(job).filter(({ type }) => type === 'update').map(({ isReplay }) => isReplay), [true, false]);
    const { acpError } = await run(server, telling('session', { acp_session_id: 's1' }));
    assert.equal(acpError?.code, 'resume_not_supported');
  });

  await t.test('sessions are listed or deleted if the agent supports that', async () => {
    const can = { abilities: { sessionCapabilities: { list: {}, delete: {} } } };
    assert.deepEqual((await run(server, telling(undefined, { sessionAction: 'list' }, can))).sessions, [{ sessionId: 'old', cwd: '/', title: 'An old one', updatedAt: null }]);
    assert.equal((await run(server, telling(undefined, { sessionAction: 'delete', acp_session_id: 'old' }, can))).status, 'completed');
    const { status, acpError } = await run(server, telling(undefined, { sessionAction: 'list' }));
    assert.deepEqual([status, acpError?.code], ['failed', 'sessions_not_supported']);
  });

  await t.test('an agent is logged out if it supports that', async () => {
    const job = await run(server, fake(undefined, { sessionAction: 'logout', env: { FAKE_SESSIONS: '1' } }));
    assert.deepEqual([job.status, job.stderr, job.acpSessionId], ['completed', 'logged out\n', null]);
    const { status, acpError } = await run(server, fake(undefined, { sessionAction: 'logout' }));
    assert.deepEqual([status, acpError?.code], ['failed', 'logout_not_supported']);
  });

  await t.test('an authMethod that the agent does not have fails in words', async () => {
    const { acpError } = await run(server, fake('say x', { authMethod: 'magic' }));
    assert.deepEqual([acpError?.code, acpError?.message], ['auth_failed', 'Cannot authenticate by magic: the agent has no login methods']);
  });
});

test('secrets of a request reach the agent and are shown nowhere', async (t) => {
  const server = await startTestServer(t, { flags: { 'log-level': 'debug' } });
  const secrets = { env: 'secret-of-the-env', mcp: 'secret-of-mcp', header: 'secret-of-a-header' };
  const mcpServers = [
    { name: 'a', command: 'x', env: { TOKEN: secrets.mcp } }, { type: 'http', name: 'b', url: 'http://x', headers: { Authorization: secrets.header } },
  ];
  const id = await submit(server, telling('work', { env: { TOKEN: secrets.env }, mcpServers, keepAlive: 600, name: 'secret' }, { abilities: { mcpCapabilities: { http: true } } }));
  const live = await open(t, server, `GET /jobs/${id}/events`);
  const job = await inPhase(server, id, 'waiting', 1);

  await t.test('not in the arguments of any process', () => {
    const lines = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        // It ended meanwhile.
        return '';
      }
    });
    assert.ok(lines.some((line) => line.includes('telling-agent.mjs')));
    for (const secret of Object.values(secrets)) assert.ok(lines.every((line) => !line.includes(secret)), secret);
  });

  await t.test('in files that only their owner may read', () => {
    const directory = join(server.stateDir, 'jobs', id);
    assert.equal(statSync(join(directory, 'agent-order.json')).mode & 0o777, 0o600);
    for (const name of readdirSync(directory).filter((one) => !statSync(join(directory, one)).isDirectory())) {
      const { mode } = statSync(join(directory, name));
      assert.equal(mode & 0o077, 0, `${name}: ${(mode & 0o777).toString(8)}`);
    }
  });

  await t.test('not in answers, events or the log', async () => {
    await ask(server, `POST /jobs/${id}/cancel`);
    const { jobId: again } = (await ask(server, `POST /jobs/${id}/rerun`)).json<{ jobId: string }>();
    await inPhase(server, again, 'waiting', 1);
    const texts = [JSON.stringify(job), await live.end(), server.logged()];
    for (const path of [`/jobs/${id}`, '/jobs', '/jobs?output=1', `/jobs/${id}/events`, `/jobs/${id}/stdout`, `/jobs/${id}/stderr`, `/jobs/${again}`, '/health', '/metrics']) {
      texts.push((await ask(server, `GET ${path}`)).text);
    }
    texts.push((await ask(server, 'POST /exec', { body: telling('x', { env: { TOKEN: secrets.env, 'A=B': secrets.env }, mcpServers }) })).text);
    for (const secret of Object.values(secrets)) for (const text of texts) assert.ok(!text.includes(secret), text);
    assert.equal(((await show(server, again)) as Job).status, 'running');
    await ask(server, `POST /jobs/${again}/cancel`);
  });
});
