/** What is published of jobs and of /exec in /openapi.json is what they are: no field of an answer, and none of a request, is missing there. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { ExecRequest } from '../../src/client/client.ts';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer } from '../support/server.ts';
import { eventsOf, fake, reaches, telling } from '../support/agent.ts';
import { type Reached, ask, eventsIn, finished, show, submit } from '../support/client.ts';
import { complaints } from '../support/schema.ts';

interface Document {
  readonly paths: { readonly [path: string]: { readonly [method: string]: {
    readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: { readonly properties: { readonly [field: string]: { readonly enum?: unknown } } } } } };
    readonly responses: { readonly [status: string]: { readonly content?: { readonly 'application/json'?: { readonly schema?: { readonly [keyword: string]: unknown } } } } };
  } } };
}

/** The fields of all members of a union. */
type FieldsOf<T> = T extends unknown ? keyof T : never;

/** The fields of a request, as clients in TypeScript know them: this does not compile where one is missing, or too many. */
const requestFields: { readonly [F in FieldsOf<ExecRequest>]: true } = {
  mode: true, command: true, argv: true, shell: true, sessionKey: true, bootstrapCommand: true, bootstrapCurrentCommand: true, requireShell: true,
  workdir: true, env: true, timeout: true, killGrace: true, stdin: true, tty: true, output: true, maxOutputBytes: true, name: true, labels: true, agent: true, prompt: true, acp_session_id: true,
  model: true, effort: true, agentMode: true, strictConfig: true, permissions: true, askTimeout: true, askDefault: true, onDenied: true, trustAgent: true, keepAlive: true, lifetime: true, mcpServers: true,
  additionalDirectories: true, authMethod: true, elicitation: true, sessionAction: true, acpVersion: true, persistent_session_key: true, persistent_shell: true,
};

const lively = [
  'say hello', 'plan completed=one|pending=two', 'tool t1 edit in_progress Do it', 'diff t1 a old|new', 'tool t1 edit completed', 'ask edit a', 'ask execute ls',
].join('\n');

/** Requests of all modes, and of all ways to end. */
const requests: { readonly [what: string]: object } = {
  shell: { command: 'echo out; echo err >&2', name: 'n', labels: { a: 'b' }, shell: 'sh' },
  'shell that fails': { command: 'exit 3' },
  'shell with a signal': { command: 'kill -9 $$' },
  'shell that takes too long': { command: 'sleep 100', timeout: 0.2 },
  'too much output': { command: 'while :; do echo x; done', maxOutputBytes: 1000 },
  argv: { mode: 'argv', argv: ['echo', 'hi'], timeout: null },
  'argv that is not there': { mode: 'argv', argv: ['/does/not/exist'] },
  tty: { command: 'echo hi', tty: { cols: 90, rows: 20 } },
  pipe: { command: 'echo hi', output: 'pipe' },
  'output that it truncates': { command: 'echo one >&2; sleep 3; : > /dev/stderr; sleep 3', output: 'file' },
  persistent_shell: { mode: 'persistent_shell', sessionKey: 'k', command: 'echo hi', shell: 'bash', bootstrapCommand: 'x=1', bootstrapCurrentCommand: true },
  'persistent_shell that is lost': { mode: 'persistent_shell', sessionKey: 'k', command: 'exit 4', requireShell: true },
  'persistent_shell after that': { mode: 'persistent_shell', sessionKey: 'k', command: 'echo hi' },
  acp: fake(lively),
  'acp by a command line': { mode: 'acp', agent: `${process.execPath} ${(fake() as { argv: string[] }).argv[1] ?? ''}`, prompt: [{ type: 'text', text: 'say x' }] },
  'acp without a prompt': fake(),
  'acp that dies': fake('say x\ndie'),
  'acp that is not there': { mode: 'acp', argv: ['/does/not/exist'], prompt: 'x' },
  'acp that is told how much it used': telling('work'),
  'acp that lists sessions': fake(undefined, { sessionAction: 'list', env: { FAKE_SESSIONS: '1' } }),
};

test('the schemas of jobs', async (t) => {
  const server = await startTestServer(t);
  const { paths } = (await ask(server, 'GET /openapi.json')).json<Document>();
  const schemaOf = (method: string, path: string, status: number): { readonly [keyword: string]: unknown } => {
    const schema = paths[path]?.[method]?.responses[status]?.content?.['application/json']?.schema;
    assert.ok(schema, `${method} ${path} ${status}`);
    return schema;
  };
  const jobSchema = schemaOf('get', '/jobs/{id}', 200);
  const holds = (what: string, schema: { readonly [keyword: string]: unknown }, value: unknown): void => assert.deepEqual(complaints(schema, value), [], what);

  for (const [what, request] of Object.entries(requests)) {
    await t.test(`name all that an answer has: ${what}`, async () => {
      const answer = await ask(server, 'POST /exec?wait=60', { body: request });
      assert.equal(answer.status, 200, answer.text);
      holds('POST /exec', schemaOf('post', '/exec', 200), answer.json());
      await holdsEverywhere(server, answer.json<Job>().jobId);
    });
  }

  await t.test('name all that an agent asks', async () => {
    const asking = await submit(server, fake('ask edit a', { permissions: 'ask' }));
    await reaches(server, asking, 'it asks', (job) => job.pendingPermissions?.length === 1);
    const questioning = await submit(server, telling('elicit', { elicitation: true }));
    await reaches(server, questioning, 'it asks', (job) => job.pendingElicitations?.length === 1);
    for (const id of [asking, questioning]) {
      await holdsInLists(server, id);
      const cancelled = await ask(server, `POST /jobs/${id}/cancel`);
      holds('cancel', schemaOf('post', '/jobs/{id}/cancel', 200), cancelled.json());
    }
  });

  await t.test('name all that the answer to a job that goes on has', async () => {
    const { status, json } = await ask(server, 'POST /exec?wait=0.1', { body: { command: 'read x' } });
    assert.equal(status, 202);
    holds('POST /exec', schemaOf('post', '/exec', 202), json());
    const { jobId } = json<{ jobId: string }>();
    await holdsInLists(server, jobId);
    const nudged = await ask(server, `POST /jobs/${jobId}/nudge`);
    holds('nudge', schemaOf('post', '/jobs/{id}/nudge', 200), nudged.json());
    await finished(server, jobId);
    const again = await ask(server, `POST /jobs/${jobId}/rerun`);
    holds('rerun', schemaOf('post', '/jobs/{id}/rerun', 202), again.json());
    const rerun = again.json<{ jobId: string }>().jobId;
    holds('the job run again', jobSchema, await show(server, rerun));
    await ask(server, `POST /jobs/${rerun}/cancel`);
    holds('nudge of what has ended', schemaOf('post', '/jobs/{id}/nudge', 200), (await ask(server, `POST /jobs/${rerun}/nudge`)).json());
  });

  await t.test('know every field that POST /exec takes, and no other, in the client\'s types too', async () => {
    const fields = paths['/exec']?.['post']?.requestBody?.content['application/json'].schema.properties ?? {};
    const { problem } = await ask(server, 'POST /exec', { body: { noSuchField: 1 } });
    const taken = /expected one of (.*)$/.exec(problem.detail)?.[1]?.split(', ') ?? [];
    assert.deepEqual(Object.keys(fields).sort(), taken.sort());
    assert.deepEqual(Object.keys(fields).sort(), Object.keys(requestFields).sort());
    assert.deepEqual(fields['mode']?.enum, ['shell', 'argv', 'persistent_shell', 'acp']);
  });

  await t.test('are met by what these requests made: every field of an agent was there', async () => {
    const agents = (await ask(server, 'GET /jobs?limit=1000&output=1')).json<Job[]>().filter(({ mode }) => mode === 'acp');
    for (const field of ['acpError', 'agentInfo', 'plan', 'usage', 'turnUsage', 'sessions', 'prompt', 'agent', 'argv'] as const) {
      assert.ok(agents.some((job) => job[field] !== undefined && job[field] !== null), field);
    }
    for (const field of ['toolCalls', 'events'] as const) assert.ok(agents.some((job) => (job[field]?.length ?? 0) > 0), field);
  });

  async function holdsEverywhere(on: Reached, id: string): Promise<void> {
    await holdsInLists(on, id);
    const events = eventsIn((await ask(on, `GET /jobs/${id}/events`)).text);
    for (const { event, data } of events) if (event === 'status' || event === 'end') holds(event, jobSchema, data['job']);
    const shown = eventsOf(await show(on, id));
    assert.deepEqual(events.filter(({ event }) => event === 'agent').map(({ data }) => data['event']).slice(-shown.length || Infinity), shown);
  }

  async function holdsInLists(on: Reached, id: string): Promise<void> {
    holds('GET /jobs/{id}', jobSchema, await show(on, id));
    for (const query of ['', '?output=1']) holds(`GET /jobs${query}`, schemaOf('get', '/jobs', 200), (await ask(on, `GET /jobs${query}`)).json());
  }
});

test('complaints() finds what a schema does not allow', () => {
  const schema = { type: 'object', properties: { a: { type: ['string', 'null'] }, b: { type: 'array', items: { anyOf: [{ enum: ['x'] }, { type: 'integer' }] } } }, required: ['a'] };
  assert.deepEqual(complaints(schema, { a: null, b: ['x', 1] }), []);
  assert.deepEqual(complaints(schema, { b: ['y'], c: 1 }).length, 3);
  assert.throws(() => complaints({ format: 'date' }, ''), /format/);
});
