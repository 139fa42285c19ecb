/** `sidecar prompt`, `agents` and `permissions` with a real server and a real process of an agent. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AgentList, Job, PendingPermission } from '../../../src/client/client.ts';
import { startUnreliableProxy } from '../../support/unreliable-proxy.ts';
import { type InProcessServer, spawnServer, startTestServer, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';
import { terminalless } from '../../support/terminal.ts';
import { startConnectProxy } from '../../support/connect-proxy.ts';
import { startRegistry } from '../../support/registry.ts';
import { type Program, programOf, starterOf } from '../../support/cli.ts';
import { openCliTerminal } from '../../support/cli-terminal.ts';
import { startHoldingProxy } from '../../support/holding-proxy.ts';

const skip = process.platform === 'win32' ? 'needs FIFOs' : false;
const fake = `${process.execPath} ${fileURLToPath(new URL('../../fixtures/fake-agent.mjs', import.meta.url))}`;

interface Setting {
  readonly server: InProcessServer;
  readonly run: ReturnType<typeof programOf>;
  readonly start: (args: readonly string[]) => Program;
}

async function setUp(t: TestContext): Promise<Setting> {
  const server = await startTestServer(t);
  return { server, run: programOf(t, server), start: starterOf(t, server) };
}

async function newest(server: Pick<InProcessServer, 'client'>): Promise<Job> {
  return await until(async () => (await server.client.jobs.list({ limit: 1 }))[0], { what: 'there is a job' });
}

async function asked(server: Pick<InProcessServer, 'client'>): Promise<{ readonly job: Job; readonly permission: PendingPermission }> {
  return await until(async () => {
    const job = await newest(server);
    const permission = job.pendingPermissions?.[0];
    return permission && { job, permission };
  }, { what: 'the agent asks' });
}

describe('sidecar prompt', { skip }, () => {
  it('prints the message on stdout, and tools, changes and the plan on stderr', async (t) => {
    const { run } = await setUp(t);
    const prompt = [
      'say hello ', 'say you', 'tool a edit pending Write it', 'diff a x/y.ts one~two~three~four~|one~2~three~four~five~', 'tool a edit in_progress', 'tool a edit completed',
      'diff a x/y.ts one~two~three~four~|one~2~three~four~five~', 'plan completed=Look|in_progress=Write|pending=Test', 'tool b execute failed Run \u001b[31mit', 'diff b new.txt |first~', 'say done',
    ].join('\n');
    const { stdout, stderr, exitCode } = await run(['prompt', '-a', fake, prompt]);
    assert.equal(stdout, 'hello you\ndone\n');
    assert.match(stderr, new RegExp([
      '» edit  Write it', '  x/y.ts', '    one', '  - two', '  \\+ 2', '    three', '    four', '  \\+ five', '✓ edit  Write it', '\\[x\\] Look', '\\[>\\] Write', '\\[ \\] Test',
      '✗ execute  Run \\\\x1b\\[31mit  \\(failed\\)', '  new.txt \\(new\\)', '  \\+ first', 'sidecar: job \\w{16}, session s1', '$',
    ].join('\n').replace(/^/, '^')));
    assert.equal(exitCode, 0);
    assert.deepEqual(await run(['prompt', '-q', '-a', fake, '-'], { stdin: prompt }).then(({ stdout: out, stderr: err }) => [out, err]), ['hello youdone\n', '']);
  });

  it('shows the message as it comes', async (t) => {
    const { start } = await setUp(t);
    const { printed, child, ended } = start(['prompt', '-a', fake, 'say first\nhang']);
    await printed(/^first$/);
    child.kill('SIGINT');
    const { stdout, stderr, exitCode } = await ended;
    assert.equal(stdout, 'first\n');
    assert.match(stderr, /^sidecar: cancelling the turn; once more cancels the job\nsidecar: the turn was cancelled\n/);
    assert.equal(exitCode, 130);
  });

  it('cancels the job at the second Ctrl-C, leaves it alone at the third', async (t) => {
    const { start, server } = await setUp(t);
    const stubborn = start(['prompt', '-a', fake, 'say first\nstall']);
    await stubborn.printed(/first/);
    stubborn.child.kill('SIGINT');
    await stubborn.printed(/cancelling the turn/, 'stderr');
    stubborn.child.kill('SIGINT');
    assert.equal((await stubborn.ended).exitCode, 130);
    assert.match((await stubborn.ended).stderr, /cancelling the job; once more to leave it alone\n.*was cancelled/);
    assert.equal((await newest(server)).reason, 'cancelled');
    const left = start(['prompt', '-a', fake, 'say first\nstall']);
    await left.printed(/first/);
    left.child.kill('SIGINT');
    await left.printed(/cancelling the turn/, 'stderr');
    for (const sign of [/cancelling the job/, /leaving job/]) {
      left.child.kill('SIGINT');
      await left.printed(sign, 'stderr');
    }
    assert.equal((await left.ended).exitCode, 130);
  });

  it('ends the job on SIGTERM, and when the reader of its output has closed it', async (t) => {
    const { start, server } = await setUp(t);
    const told = start(['prompt', '-a', fake, 'say first\nhang']);
    await told.printed(/first/);
    told.child.kill('SIGTERM');
    assert.equal((await told.ended).exitCode, 130);
    assert.equal((await newest(server)).reason, 'cancelled');
    // The agent says more once its reader has gone.
    const unread = start(['prompt', '--ask', '-a', fake, 'say first\nask edit a\nsay more\nhang']);
    await unread.printed(/answer with/, 'stderr');
    unread.child.stdout.destroy();
    await once(unread.child.stdout, 'close');
    const { job, permission } = await asked(server);
    await server.client.agents.permit(job.jobId, permission.permissionId, 'yes');
    assert.equal((await unread.ended).exitCode, 141);
    assert.equal((await newest(server)).reason, 'cancelled');
  });

  it('reports what went wrong and what to do', async (t) => {
    const { run } = await setUp(t);
    const cases: readonly (readonly [args: readonly string[], exitCode: number, stderr: RegExp])[] = [
      [['-e', 'FAKE_AUTH=1', 'say x'], 1, /requires a login[^]*--auth-method oauth {3}In a browser\nsidecar: {3}--auth-method key {3}By a key\nsidecar: or log in with/],
      [['-m', 'nope', 'say x'], 1, /it has a, b\nsidecar: to continue without it: --config-optional/],
      [['die'], 1, /The agent has ended/],
      [['stop refusal'], 1, /refuses to continue/],
      [['stop max_tokens'], 1, /max_tokens/],
      [['--permissions', 'edits', 'ask execute ls'], 0, /! denied: execute ls \(/],
      [['--permissions', 'read', '--on-denied', 'fail', 'write a x'], 1, /not allowed to edit a: the policy read approves no edit\nsidecar: without --on-denied fail/],
      [['--permissions', 'some', 'say x'], 2, /Cannot read --permissions: expected read, edits, all, ask, deny, received "some"/],
      [['--on-denied', 'stop', 'say x'], 2, /Cannot read --on-denied: expected continue, fail/],
      [['--permissions', 'all', '--deny', 'say x'], 2, /--deny and --permissions/],
      [['-t', '1', 'hang'], 124, /ended at its timeout of 1 s for a turn/],
      [['--lifetime', '3', 'hang'], 124, /ended at the end of its lifetime of 3 s/],
      [['--lifetime', 'x', 'say x'], 2, /--lifetime/],
      [['--rule', 'kind=edit', 'say x'], 2, /Cannot read --rule: expected/],
      [['--ask', '--deny', 'say x'], 2, /--ask and --deny/],
      [['--keep-alive', '-1', 'say x'], 2, /--keep-alive/],
      [['--attach', '/none', 'say x'], 2, /Cannot read --attach/],
      [['-i', 'say x'], 2, /stdin is no terminal/],
      [['--on', 'last', '--model', 'x', 'say x'], 2, /Cannot use --(agent|model) with --on/],
      [[' '], 2, /There is no prompt/],
      [[], 2, /There is no prompt/],
    ];
    const results = await Promise.all(cases.map(([args]) => run(['prompt', '-a', fake, ...args])));
    for (const [index, [args, exitCode, stderr]] of cases.entries()) {
      assert.match(results[index]?.stderr ?? '', stderr, args.join(' '));
      assert.equal(results[index]?.exitCode, exitCode, args.join(' '));
    }
    const unknown = await run(['prompt', '-a', 'copliot', 'say x']);
    assert.equal(unknown.exitCode, 2);
    assert.match(unknown.stderr, /Cannot read --agent: expected one of copilot, gemini, [^]*did you mean "copilot"\?/);
    assert.match((await run(['prompt', '-a', '/no/such-agent', 'say x'])).stderr, /no\/such-agent is not there[^]*sidecar agents/);
    assert.equal((await run(['prompt', '-a', fake, '-e', 'FAKE_AUTH=1', '--auth-method', 'key', 'say in'])).stdout, 'in\n');
    assert.match((await run(['prompt', '-a', fake, '-m', 'nope', '--config-optional', 'say x'])).stderr, /! it has no model nope, but a, b\n/);
  });

  it('exits with 69 when no server answers', async (t) => {
    const run = programOf(t, { url: 'http://127.0.0.1:9', key: 'x' });
    for (const args of [['prompt', 'x'], ['agents'], ['permissions']]) assert.equal((await run(args)).exitCode, 69, args[0]);
  });

  it('--json prints the job, -d its id', async (t) => {
    const { run, server } = await setUp(t);
    const { stdout, stderr, exitCode } = await run(['prompt', '--json', '--name', 'n', '-a', fake, 'say hello\ntool a edit completed Write']);
    const job = JSON.parse(stdout) as Job;
    assert.deepEqual([job.stdout, job.stopReason, job.acpSessionId, job.name, job.toolCalls?.[0]?.title, exitCode, stderr], ['hello', 'end_turn', 's1', 'n', 'Write', 0, '']);
    const detached = await run(['prompt', '-d', '-a', fake, 'say later']);
    assert.equal((await server.client.jobs.wait(detached.stdout.trim() as Job['jobId'])).stdout, 'later');
    assert.match((await run(['jobs'])).stdout, new RegExp(`completed .*${fake.slice(-20)}: say later\n`));
  });

  it('is listed with its agent and its prompt, once', async (t) => {
    const { server, run } = await setUp(t);
    const jobId = (await run(['prompt', '-d', '-a', fake, 'say listed'])).stdout.trim();
    assert.equal((await server.client.jobs.get(jobId)).command, '[acp] say listed');
    assert.doesNotMatch((await run(['jobs', '--limit', '1'])).stdout, /\[acp\]/);
    const details = (await run(['show', jobId])).stdout;
    assert.match(details, /^prompt +say listed$/m);
    assert.doesNotMatch(details, /\[acp\]/);
  });

  it('shows the last turn of an agent, and prints the message of each', async (t) => {
    const { run, server } = await setUp(t);
    const jobId = (await run(['prompt', '-d', '--keep-alive', '1h', '--deny', '--lifetime', '2h', '-a', fake, 'say one'])).stdout.trim();
    await until(async () => (await newest(server)).agentPhase === 'waiting', { what: 'it waits' });
    await run(['prompt', '--on', jobId, 'ask edit a\nsay two']);
    await until(async () => (await newest(server)).agentPhase === 'waiting', { what: 'it waits again' });
    const details = (await run(['show', jobId])).stdout;
    assert.match(details, /^turn timeout +none\nlifetime +2h.*$/m);
    assert.match(details, /^turns +2\nlast turn +took \S+, 1 denied; its text: sidecar logs --turn 2$/m);
    assert.equal((await run(['logs', '--turn', '1', jobId])).stdout, 'one');
    assert.match((await run(['logs', '--turn', '2', 'last'])).stdout, /^\{.*"no".*\}two$/);
    assert.deepEqual(JSON.parse((await run(['logs', '--turn', '1', '--json', 'last'])).stdout), await server.client.agents.turn(jobId, 1));
    for (const [args, exitCode, stderr] of [
      [['--turn', '3'], 1, /it has 2, from 1/], [['--turn', '0'], 2, /--turn/], [['--turn', '1', '-f'], 2, /--turn or --follow/],
    ] as const) {
      const refused = await run(['logs', ...args, 'last']);
      assert.deepEqual([refused.exitCode, stderr.test(refused.stderr)], [exitCode, true], refused.stderr);
    }
    await run(['kill', jobId]);
  });

  it('--on continues with an agent that is kept alive, and shows only the new turn', async (t) => {
    const { run, start, server } = await setUp(t);
    const first = await run(['prompt', '--keep-alive', '1h', '-a', fake, 'say one']);
    const { jobId } = await newest(server);
    assert.deepEqual([first.stdout, first.exitCode], ['one\n', 0]);
    assert.match(first.stderr, new RegExp(`job ${jobId} waits for another prompt: sidecar prompt --on ${jobId}`));
    await until(async () => (await newest(server)).agentPhase === 'waiting', { what: 'its job shows that it waits' });
    assert.match((await run(['jobs'])).stdout, / waiting /);
    const second = await run(['prompt', '--on', jobId, 'say two\ntool x edit completed Twice']);
    assert.deepEqual([second.stdout, second.exitCode], ['two\n', 0]);
    assert.equal(JSON.parse((await run(['prompt', '--json', '--on', 'last', 'stop refusal'])).stdout).stopReason, 'refusal');
    const third = start(['prompt', '--on', 'last', 'say three\nhang']);
    await third.printed(/three/);
    third.child.kill('SIGINT');
    assert.equal((await third.ended).exitCode, 130);
    // Whoever goes takes only what was begun for him.
    const fourth = start(['prompt', '--on', 'last', 'say four\nhang']);
    await fourth.printed(/four/);
    fourth.child.kill('SIGHUP');
    assert.equal((await fourth.ended).exitCode, 130);
    assert.equal((await newest(server)).status, 'running');
    await server.client.jobs.cancel(jobId);
    const late = await run(['prompt', '--on', 'last', 'say x']);
    assert.match(late.stderr, /the agent had ended: job \w{16} continues its session[^]*can neither resume nor load one/);
    assert.equal(late.exitCode, 1);
    await run(['exec', 'true']);
    assert.match((await run(['prompt', '--on', 'last', 'say x'])).stderr, /runs no agent/);
  });

  it('--on continues the session of an agent that has ended, as a new job', async (t) => {
    const { run, server } = await setUp(t);
    const telling = fileURLToPath(new URL('../../fixtures/telling-agent.mjs', import.meta.url));
    const agent = `${process.execPath} ${telling} '{"abilities":{"sessionCapabilities":{"resume":{}}}}'`;
    assert.equal((await run(['prompt', '-a', agent, 'choices'])).stdout, '{}\n');
    const first = await newest(server);
    const second = await run(['prompt', '--on', first.jobId, '--keep-alive', '1s', 'x']);
    assert.equal(second.exitCode, 2, 'the new job has the flags of the old one');
    assert.equal((await run(['prompt', '--on', first.jobId, 'choices'])).stdout, '{}\n');
    const { jobId, continues } = await newest(server);
    assert.equal(continues, first.jobId);
    assert.match((await run(['show', jobId])).stdout, new RegExp(`^continues +${first.jobId}$`, 'm'));
    assert.match((await run(['show', first.jobId])).stdout, new RegExp(`^continued by +${jobId}$`, 'm'));
  });

  it('attaches files, and sends what its flags say', async (t) => {
    const { run, server } = await setUp(t);
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'a.txt'), 'text');
    const { exitCode, stderr } = await run(['prompt', '-a', fake, '--deny', '--rule', 'command=git log, *,kind=execute,decide=approve', '--rule', 'path=src/**,decide=ask',
      '--attach', join(folder, 'a.txt'), '--add-dir', folder, '--label', 'a=b', 'say x']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /takes no resource\nsidecar: name the file in the prompt/);
    const [id] = [(await newest(server)).jobId];
    const order = JSON.parse(readFileSync(join(server.stateDir, 'jobs', id, 'agent-order.json'), 'utf8')) as { permissions: unknown; additionalDirectories: unknown; prompt: unknown[] };
    assert.deepEqual(order.permissions, [{ kind: 'execute', command: 'git log, *', decide: 'approve' }, { path: 'src/**', decide: 'ask' }, { decide: 'deny' }]);
    assert.deepEqual(order.additionalDirectories, [folder]);
    assert.deepEqual(order.prompt, [{ type: 'text', text: 'say x' }, { type: 'resource', resource: { uri: `file://${folder}/a.txt`, text: 'text' } }]);
  });

  it('reads MCP servers from a file in the common format', async (t) => {
    const { run, server } = await setUp(t);
    const file = join(temporaryFolder(t), 'mcp.json');
    writeFileSync(file, JSON.stringify({ mcpServers: { one: { command: 'one', env: { A: '1' } }, off: { command: 'x', disabled: true }, two: { url: 'http://127.0.0.1:1/', alwaysAllow: [] } } }));
    assert.match((await run(['prompt', '-a', fake, '--mcp-config', file, 'say x'])).stderr, /takes no MCP server by http/);
    const order = JSON.parse(readFileSync(join(server.stateDir, 'jobs', (await newest(server)).jobId, 'agent-order.json'), 'utf8')) as { mcpServers: unknown };
    assert.deepEqual(order.mcpServers, [{ name: 'one', command: 'one', args: [], env: [{ name: 'A', value: '1' }] }, { type: 'http', name: 'two', url: 'http://127.0.0.1:1/', headers: [] }]);
    writeFileSync(file, JSON.stringify({ mcpServers: { one: { comand: 'one' } } }));
    assert.match((await run(['prompt', '-a', fake, '--mcp-config', file, 'say x'])).stderr, /comand/);
    writeFileSync(file, 'none');
    const { stderr, exitCode } = await run(['prompt', '-a', fake, '--mcp-config', file, 'say x']);
    assert.match(stderr, /Cannot read --mcp-config: .*JSON/);
    assert.equal(exitCode, 2);
  });

  it('loses no word when the connection breaks, and says so once', async (t) => {
    const server = await startTestServer(t);
    const breaker = await startUnreliableProxy(t, server);
    const { printed, ended } = starterOf(t, { url: breaker.url, key: server.key })(['prompt', '--ask', '-a', fake, `${'say 0123456789\n'.repeat(200)}ask edit a\nsay end`]);
    await printed(/answer with/, 'stderr');
    breaker.breakAll();
    await printed(/lost the server/, 'stderr');
    const { job, permission } = await asked(server);
    await server.client.agents.permit(job.jobId, permission.permissionId, 'yes');
    const { stdout, exitCode } = await ended;
    assert.equal(stdout.replace(/\n?\{.*\}/, ''), `${'0123456789'.repeat(200)}end\n`);
    assert.equal(exitCode, 0);
  });

  it('continues when the server restarts', async (t) => {
    const server = await spawnServer(t);
    const breaker = await startUnreliableProxy(t, server);
    const { printed, ended } = starterOf(t, { url: breaker.url, key: server.key })(['prompt', '--ask', '-a', fake, 'say before\nask edit a\nsay after']);
    await printed(/answer with/, 'stderr');
    await server.restart();
    const { job, permission } = await asked(server);
    await server.client.agents.permit(job.jobId, permission.permissionId, 'no');
    assert.match((await ended).stdout, /^before\n?\{.*"no".*\}after\n$/);
  });
});

describe('sidecar permissions', { skip }, () => {
  it('lists what is asked, and answers by word, id and option', async (t) => {
    const { run, start, server } = await setUp(t);
    assert.match((await run(['permissions'])).stdout, /^JOB +ID +ASKED +LEFT +WHAT\n$/);
    const { ended, printed } = start(['prompt', '--ask', '-a', fake, 'ask edit a/b\nask execute ls\nask edit c']);
    await printed(/asks permission: edit a\/b\nsidecar: answer with: sidecar permissions \w{16} [0-9a-f]{8} approve \(or deny\)/, 'stderr');
    const { job, permission } = await asked(server);
    const id = permission.permissionId.slice(0, 8);
    assert.match((await run(['permissions'])).stdout, new RegExp(`\n${job.jobId}  ${id}  \\d+s ago  4m\\d\\ds  edit a/b\n$`));
    assert.match((await run(['jobs'])).stdout, / asking /);
    assert.match((await run(['permissions', 'last'])).stdout, /wants +edit {2}Do it\n {2}path +a\/b\n {2}always +allow always \(always\)\n {2}yes/);
    const [listed] = JSON.parse((await run(['permissions', '--json'])).stdout) as (PendingPermission & { jobId: string })[];
    assert.deepEqual([listed?.jobId, listed?.permissionId], [job.jobId, permission.permissionId]);
    const wrong = await run(['permissions', 'last', 'maybe']);
    assert.match(wrong.stderr, /the agent offers always, yes, no/);
    assert.equal(wrong.exitCode, 1);
    assert.match((await run(['permissions', 'last', 'approve'])).stderr, /allow once \(yes\): edit a\/b/);
    await printed(/asks permission: execute ls/, 'stderr');
    assert.equal((await run(['permissions', 'last', (await asked(server)).permission.permissionId.slice(0, 6), 'deny'])).exitCode, 0);
    await printed(/asks permission: edit c/, 'stderr');
    assert.equal((await run(['permissions', job.jobId, 'always'])).exitCode, 0);
    assert.deepEqual((await ended).stdout.match(/"(yes|no|always)"/g), ['"yes"', '"no"', '"always"']);
    assert.match((await run(['permissions', 'last', 'approve'])).stderr, /it asks nothing at the moment/);
    const twice = start(['prompt', '--ask', '-a', fake, 'ask edit a\nask edit a']);
    await twice.printed(/asks permission/, 'stderr');
    assert.match((await run(['permissions', 'last', 'yes', '--remember', 'job'])).stderr, /--remember goes with approve and deny only/);
    assert.match((await run(['permissions', 'last', 'approve', '--remember', 'day'])).stderr, /Cannot read --remember: expected turn or job/);
    assert.equal((await run(['permissions', 'last', 'approve', '--remember', 'job'])).exitCode, 0);
    assert.equal((await twice.ended).exitCode, 0);
  });

  it('shows all of what it answers, blanks and controls too, before the answer is sent', async (t) => {
    const { server, start } = await setUp(t);
    // It passes an answer on only once the test has seen what is answered.
    const proxy = await startHoldingProxy(t, server, /\/permissions\//);
    const hidden = `ls${' '.repeat(400)}; rm -rf ~\u001b[8m`;
    const prompting = start(['prompt', '--ask', '-a', fake, `ask execute ${hidden}`]);
    const { job } = await asked(server);
    const answering = starterOf(t, proxy)(['permissions', job.jobId, 'deny']);
    await answering.printed(/wants +execute[^]*command +ls[^]*; rm -rf ~\\x1b\[8m[^]*reject/, 'stderr');
    assert.equal((await server.client.jobs.get(job.jobId)).pendingPermissions?.length, 1);
    proxy.passOn();
    assert.equal((await answering.ended).exitCode, 0);
    await prompting.ended;
  });

  it('answers questions', async (t) => {
    const { run, start } = await setUp(t);
    const { ended, printed } = start(['prompt', '--questions', '-a', fake, 'elicit How many?\nelicit Really?']);
    await printed(/the agent asks: How many\?\n.*accept --field/, 'stderr');
    assert.match((await run(['permissions', 'last'])).stdout, /asks +How many\?\n {2}fields +count \(integer\), name \(string\)/);
    assert.equal((await run(['permissions', 'last', 'accept', '--field', 'count=3', '--field', 'name=x=y'])).exitCode, 0);
    await printed(/the agent asks: Really\?/, 'stderr');
    assert.equal((await run(['permissions', 'last', 'perhaps'])).exitCode, 2);
    assert.equal((await run(['permissions', 'last', 'decline'])).exitCode, 0);
    assert.match((await ended).stdout, /\{"action":"accept","content":\{"count":3,"name":"x=y"\}\}\n\{"action":"decline"\}/);
  });

  it('shows the URL of a question, with what cannot be seen, and accepts that it was opened', async (t) => {
    const { run, start } = await setUp(t);
    const question = JSON.stringify({ mode: 'url', message: 'Log in', elicitationId: 'e', url: 'https://example.org/a?b=\u202ec' });
    const { ended, printed } = start(['prompt', '--questions', '-a', fake, `call elicitation/create ${question}`]);
    await printed(/asks: Log in\n.*open: https:\/\/example\.org\/a\?b=%E2%80%AEc\n.* accept \(or decline\)/, 'stderr');
    assert.match((await run(['permissions', 'last'])).stdout, /asks +Log in\n {2}open +https:\/\/example\.org\/a/);
    const wrong = await run(['permissions', 'last', 'accept', '--field', 'a=b']);
    assert.deepEqual([wrong.exitCode, /answered at its URL/.test(wrong.stderr)], [2, true]);
    assert.equal((await run(['permissions', 'last', 'accept'])).exitCode, 0);
    assert.match((await ended).stdout, /\{"action":"accept"\}/);
  });

  it('prints notices and compactions on stderr, beside the answer', async (t) => {
    const { run } = await setUp(t);
    const updates = [
      { sessionUpdate: 'notice', severity: 'warning', title: 'Limit near', description: '90% used' },
      { sessionUpdate: 'notice', severity: 'toString', title: 'Hello\u001b[2J' }, { sessionUpdate: 'notice', severity: 'error', title: 5 },
      { sessionUpdate: 'notice', severity: 'error', title: 'No credit', description: null },
      { sessionUpdate: 'compaction_update', compactionId: 'c', status: 'in_progress' },
      { sessionUpdate: 'compaction_summary_chunk', compactionId: 'c', content: { type: 'text', text: 'the summary' } },
      { sessionUpdate: 'compaction_update', compactionId: 'c', status: 'completed', summary: [{ type: 'text', text: 'all of it' }] },
      { sessionUpdate: 'compaction_update', compactionId: 'c', status: { toString: 5 } },
      { sessionUpdate: 'compaction_update', compactionId: 'd', status: 'failed', error: 'too short' },
    ].map((update) => `raw ${JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's1', update } })}`);
    const prompt = ['say one ', ...updates, 'say two'].join('\n');
    const { stdout, stderr, exitCode } = await run(['prompt', '-a', fake, prompt]);
    assert.deepEqual([stdout, exitCode], ['one \ntwo\n', 0]);
    assert.match(stderr, /! Limit near: 90% used\ni Hello\\x1b\[2J\n✗ No credit\n» compacting the context\n/);
    assert.match(stderr, /✓ the context is compacted\n» compacting the context\n! the context could not be .*: too short\n/);
    assert.doesNotMatch(stderr, /summary|all of it/);
    const quiet = await run(['prompt', '-q', '-a', fake, prompt]);
    assert.equal(quiet.stdout, 'one two\n');
    assert.doesNotMatch(quiet.stderr, /Limit/);
  });

  it('--watch prints what is asked as it comes', async (t) => {
    const { start } = await setUp(t);
    const watching = start(['permissions', '--watch', '--json']);
    start(['prompt', '--ask', '-a', fake, 'ask edit a/b']);
    await watching.printed(/"paths":\["a\/b"\].*\n/);
  });
});

describe('sidecar agents', { skip }, () => {
  it('lists the known agents, and how to install them', async (t) => {
    const { run } = await setUp(t);
    const { stdout } = await run(['agents']);
    assert.match(stdout, /^NAME +TITLE +INSTALLED +COMMAND, OR HOW TO INSTALL IT\ncopilot \(default\) /);
    assert.match(stdout, /\ngemini +Gemini CLI +(yes +gemini --acp|no +sidecar agents install gemini)\n/);
    const list = JSON.parse((await run(['agents', '--json'])).stdout) as AgentList;
    assert.equal(list.defaultAgent, 'copilot');
    assert.equal((await run(['agents', '--delete', 'x'])).exitCode, 2);
    assert.equal((await run(['agents', 'close'])).exitCode, 2);
  });

  it('sessions lists and deletes those of an agent', async (t) => {
    const { run } = await setUp(t);
    const able = `env FAKE_SESSIONS=1 ${fake}`;
    assert.match((await run(['agents', 'sessions', '-a', able])).stdout, /^SESSION +UPDATED +DIRECTORY +TITLE\ns1 +2025-01-02T03:04:05Z +\/.* +First one\n$/);
    assert.equal((JSON.parse((await run(['agents', 'sessions', '--json', '-a', able])).stdout) as { sessionId: string }[])[0]?.sessionId, 's1');
    assert.match((await run(['agents', 'sessions', '--delete', 's1', '-a', able])).stderr, /session s1 is deleted/);
    const unable = await run(['agents', 'sessions', '-a', fake]);
    assert.match(unable.stderr, /Cannot list sessions/);
    assert.equal(unable.exitCode, 1);
  });
});

describe('sidecar agents install and logout', { skip }, () => {
  it('installs an agent of a registry, from a file or an address, and shows the progress', async (t) => {
    const { run, server } = await setUp(t);
    const registry = await startRegistry(t);
    const script = `#!/bin/sh\nexec ${fake}\n`;
    const archive = registry.serve('/fake', script).href;
    const sha256 = createHash('sha256').update(script).digest('hex');
    const platform = `${process.platform}-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`;
    const entry = {
      id: 'fake-agent', name: 'Fake', version: '1.0.0', description: 'x', authors: [],
      distribution: { binary: { [platform]: { archive, sha256, cmd: './fake' } } },
    };
    const all = JSON.stringify({ version: '1.0.0', agents: [{ id: 'other' }, entry] });
    const file = join(server.stateDir, 'registry.json');
    writeFileSync(file, all);
    const installed = await run(['agents', 'install', 'fake-agent', '--registry', file]);
    assert.deepEqual([installed.exitCode, installed.stdout.split('\n').at(-2)], [0, 'installed Fake 1.0.0 as fake-agent'], installed.stderr);
    assert.equal((await run(['prompt', '-a', 'fake-agent', 'say hello'])).stdout, 'hello\n');
    const detached = await run(['agents', 'install', '-d', 'fake-agent', '--registry', registry.serve('/registry.json', all).href]);
    assert.match(detached.stdout, /^\w{16}\n$/);
    const missing = await run(['agents', 'install', 'fake-agnt', '--registry', file]);
    assert.deepEqual([missing.exitCode, /Did you mean fake-agent\?/.test(missing.stderr)], [1, true]);
    writeFileSync(file, JSON.stringify({ ...entry, distribution: { binary: { [platform]: { archive, cmd: 'x' } } } }));
    assert.match((await run(['agents', 'install', 'fake-agent', '--registry', file])).stderr, /expected a sha256/);
    for (const args of [['install'], ['logout'], ['install', 'x', '--kind', 'y'], ['--registry', file]]) {
      assert.equal((await run(['agents', ...args])).exitCode, 2, args.join(' '));
    }
  });

  it('looks up an unknown name in the public registry', async (t) => {
    const { run } = await setUp(t);
    const { port, asked } = await startConnectProxy(t, 1, { status: 502 });
    const env = { https_proxy: `http://127.0.0.1:${port}` };
    const unread = await run(['agents', 'install', 'gemni'], { env });
    assert.deepEqual([unread.exitCode, asked[0]], [1, 'CONNECT cdn.agentclientprotocol.com:443']);
    assert.match(unread.stderr, /^sidecar: Cannot read https:\/\/cdn\.agent.*\/registry\.json: .*502/);
    assert.match(unread.stderr, /\n +Did you mean gemini\?\n/);
    const { length } = asked;
    const none = await run(['agents', 'install', 'zzz', '--registry', '/none'], { env });
    assert.match(none.stderr, /Cannot read \/none: ENOENT.*\n +Another registry: --registry/);
    assert.equal(asked.length, length, 'another registry in its place');
  });

  it('logs out of an agent that supports it', async (t) => {
    const { run } = await setUp(t);
    const { stderr, exitCode } = await run(['agents', 'logout', `env FAKE_SESSIONS=1 ${fake}`]);
    assert.deepEqual([exitCode, /is logged out\n$/.test(stderr)], [0, true]);
    const unable = await run(['agents', 'logout', fake]);
    assert.deepEqual([unable.exitCode, /Cannot log out/.test(unable.stderr)], [1, true]);
  });
});

describe('sidecar agents set', { skip }, () => {
  it('changes a running agent, and its followers see the change', async (t) => {
    const { run, start } = await setUp(t);
    const following = start(['prompt', '-a', fake, '--keep-alive', '10m', 'say one\nhang']);
    await following.printed(/^one$/);
    const { stderr, exitCode } = await run(['agents', 'set', 'last', '--model', 'B', '--ask']);
    assert.match(stderr, /^sidecar: job \w{16}: model b, permissions ask\n$/);
    assert.equal(exitCode, 0);
    const rule = await run(['agents', 'set', 'last', '--json', '--deny', '--rule', 'path=a,decide=approve']);
    assert.deepEqual(JSON.parse(rule.stdout).permissions, [{ path: 'a', decide: 'approve' }, { decide: 'deny' }]);
    following.child.kill('SIGINT');
    assert.match((await following.ended).stderr, /^» model b, permissions ask\n» permissions by rules\n/m);
    assert.match((await run(['agents', 'set', 'last', '--agent-mode', 'plan'])).stderr, /there is no mode plan: it offers none/);
    for (const args of [['set'], ['set', 'last'], ['set', 'last', '-a', 'x'], ['sessions', 'last'], ['sessions', '--model', 'x'], ['--ask']]) {
      assert.equal((await run(['agents', ...args])).exitCode, 2, args.join(' '));
    }
  });
});

describe('sidecar prompt at a terminal', { skip: skip || terminalless }, () => {
  it('asks for permissions: y, n, a number; asks again after an invalid answer', async (t) => {
    const server = await startTestServer(t);
    const { type, shows, ended, before } = await openCliTerminal(t, server, ['prompt', '--ask', '-a', fake, 'say hi\nask edit a/b\nask execute ls\nask edit c\nask edit d\nsay end']);
    await shows(/hi\r\n[^]*asks permission: edit[^]*path +a\/b\r\n {2}1\) allow always \(always\)\r\n {2}2\) allow once \(yes\)\r\n {2}3\) reject \(no\)\r\n[^]*y, n or 1-3: /);
    type('perhaps\r');
    await shows(/y, n or 1-3: /);
    type('y\r');
    await shows(/"optionId":"yes"[^]*asks permission: execute[^]*command +ls[^]*y, n or 1-3: /);
    type('n\r');
    await shows(/"optionId":"no"[^]*y, n or 1-3: /);
    type('1\r');
    await shows(/"optionId":"always"[^]*y, n or 1-3: /);
    const { job, permission } = await asked(server);
    await server.client.agents.permit(job.jobId, permission.permissionId, 'no');
    await shows(/reject \(no\): a client has answered[^]*"optionId":"no"[^]*end\r\n/);
    assert.deepEqual(await ended, { exitCode: 0, after: before() });
  });

  it('Ctrl-C at a question cancels the turn; Ctrl-D leaves the answer to another client', async (t) => {
    const server = await startTestServer(t);
    const cancelled = await openCliTerminal(t, server, ['prompt', '--ask', '-a', fake, 'ask edit a/b\nstop cancelled']);
    await cancelled.shows('y, n or 1-3: ');
    cancelled.type('\x03');
    await cancelled.shows('cancelling the turn');
    assert.deepEqual(await cancelled.ended, { exitCode: 130, after: cancelled.before() });
    const left = await openCliTerminal(t, server, ['prompt', '--ask', '-a', fake, 'ask edit a/b\nsay end']);
    await left.shows('y, n or 1-3: ');
    left.type('\x04');
    await left.shows(/answer with: sidecar permissions/);
    const { job, permission } = await asked(server);
    await server.client.agents.permit(job.jobId, permission.permissionId, 'yes');
    await left.shows('end');
    assert.equal((await left.ended).exitCode, 0);
  });

  it('-i asks for prompt after prompt, cancels a turn at Ctrl-C, and ends the agent at Ctrl-D', async (t) => {
    const server = await startTestServer(t);
    const { type, shows, ended, before } = await openCliTerminal(t, server, ['prompt', '-i', '-a', fake]);
    await shows(/Ctrl-D ends the agent[^]*> /);
    type('say first\r');
    await shows(/\nfirst\r\n[^]*> /);
    type('hang\r');
    // What its job shows may still be the first turn: a Ctrl-C would come before the prompt.
    await until(async () => {
      const { agentPhase, turnCount } = await newest(server);
      return agentPhase === 'turn' && turnCount === 2;
    }, { what: 'it is at the second turn' });
    type('\x03');
    await shows(/cancelling the turn[^]*the turn was cancelled\r\n[^]*> /);
    type('half a line\x03');
    await shows(/\^C\r\n[^]*> /);
    type('say second\r');
    await shows(/\nsecond\r\n[^]*> /);
    await until(async () => (await newest(server)).turnCount === 3, { what: 'its job shows the three turns' });
    type('\x04');
    assert.deepEqual(await ended, { exitCode: 0, after: before() });
    assert.equal((await newest(server)).reason, 'cancelled');
  });

  it('-i cancels the turn of a prompt that is still on its way to the server', async (t) => {
    const server = await startTestServer(t);
    const proxy = await startHoldingProxy(t, server, /\/prompt$/);
    const { type, shows, ended } = await openCliTerminal(t, proxy, ['prompt', '-i', '-a', fake]);
    await shows(/Ctrl-D ends the agent[^]*> /);
    type('hang\r');
    await proxy.holds;
    type('\x03');
    await shows('cancelling the turn');
    proxy.passOn();
    await shows(/the turn was cancelled\r\n[^]*> /);
    type('\x04');
    assert.equal((await ended).exitCode, 0);
  });

  it('-i ends with the agent, and a quoted escape sequence is only shown', async (t) => {
    const server = await startTestServer(t);
    const { type, shows, ended, text } = await openCliTerminal(t, server, ['prompt', '-i', '-a', fake, 'say a\u001b[31mb']);
    await shows(/a\\x1b\[31mb\r\n[^]*> /);
    type('die\r');
    await shows(/The agent has ended/);
    assert.equal((await ended).exitCode, 1);
    assert.ok(!text().includes('a\u001b[31m'));
  });
});

describe('sidecar agents login', { skip: skip || terminalless }, () => {
  it('opens a terminal with the login of the agent, and does nothing when it is logged in', async (t) => {
    const file = join(temporaryFolder(t), 'it is "me"');
    const server = await startTestServer(t, { environment: { FAKE_LOGIN: file } });
    const run = programOf(t, server);
    assert.match((await run(['prompt', '-a', fake, 'say x'])).stderr, /in a terminal: sidecar agents login .* --auth-method tty {3}By name\n/);
    assert.equal((await run(['agents', 'login', fake])).exitCode, 1, 'it is no terminal');
    const typist = await openCliTerminal(t, server, ['agents', 'login', fake]);
    await typist.shows(/logs in by By name: .*--login/);
    await typist.shows('Hello, your name? ');
    typist.type('me\r');
    assert.equal((await typist.ended).exitCode, 0);
    assert.equal(readFileSync(file, 'utf8'), 'me');
    assert.equal((await run(['prompt', '-a', fake, 'say x'])).stdout, 'x\n');
    const again = await openCliTerminal(t, server, ['agents', 'login', fake]);
    await again.shows('is logged in already');
    assert.equal((await again.ended).exitCode, 0);
  });

  it('lists the methods when none of them is a login in a terminal', async (t) => {
    const server = await startTestServer(t, { environment: { FAKE_AUTH: '1' } });
    const typist = await openCliTerminal(t, server, ['agents', 'login', fake]);
    await typist.shows(/--auth-method oauth/);
    assert.equal((await typist.ended).exitCode, 1);
  });
});

describe('what an agent says and asks, at a terminal', { skip: skip || terminalless }, () => {
  it('the whole command is shown before the question, and its blanks are', async (t) => {
    const server = await startTestServer(t);
    const hidden = `ls${' '.repeat(400)}; rm -rf ~`;
    const { shows, type, ended } = await openCliTerminal(t, server, ['prompt', '--ask', '-a', fake, `ask execute ${hidden}\nsay end`]);
    const question = await shows(/asks permission: execute[^]*y, n or 1-3: /);
    const shown = Buffer.from(question, 'latin1').toString().replaceAll(/\r\n +/g, '');
    assert.ok(shown.includes(`ls${'\u2423'.repeat(400)}; rm -rf ~`), shown);
    const listed = await openCliTerminal(t, server, ['permissions']);
    await listed.shows(/; rm -rf ~/);
    const one = await openCliTerminal(t, server, ['permissions', 'last']);
    await one.shows(/command [^]*; rm -rf ~[^]*allow once/);
    type('n\r');
    await ended;
  });

  it('logs and rerun -f show the escape sequences of its text, those of a command they pass on', async (t) => {
    const server = await startTestServer(t);
    const { jobId } = await server.client.agents.start({ agent: fake, prompt: 'say a\u001b[31mb\u009b1mc\u202ed' });
    await server.client.jobs.wait(jobId);
    for (const words of [['logs', jobId], ['logs', '-f', jobId], ['rerun', '-f', jobId]]) {
      const { shows, ended, text } = await openCliTerminal(t, server, words);
      await shows('a\\x1b[31mb\\x9b1mc\\u202ed');
      await ended;
      assert.ok(!/\u001b\[31m/.test(text()), words.join(' '));
    }
    const command = await server.client.run({ command: "printf 'a\\033[31mb'" });
    await (await openCliTerminal(t, server, ['logs', command.jobId])).shows('a\u001b[31mb');
  });

  it('--json shows what is in the names of others as \\uXXXX', async (t) => {
    const server = await startTestServer(t);
    await server.client.run({ command: 'true', name: 'a\u009b31mb\u200fc\u2066d', labels: { 'k': '\u007f\u061c' } });
    const { ended, text } = await openCliTerminal(t, server, ['jobs', '--json']);
    await ended;
    assert.match(text(), /"name": "a\\u009b31mb\\u200fc\\u2066d"[^]*\\u007f\\u061c/);
    assert.ok(/^[\r\n\x20-\x7e]*$/.test(text()), JSON.stringify(text()));
  });
});
