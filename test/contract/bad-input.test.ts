/**
 * Bad input, as a table: each case has its exact status, and a problem that names the fault. After all of them the server is
 * well, and neither its jobs nor its state directory are any different.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { type InProcessServer, startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, finished, type Reached, run, show, submit } from '../support/client.ts';
import { type RawAnswer, requestBytes, talk } from '../support/raw-http.ts';

interface Case {
  readonly name: string;
  readonly bytes: Buffer;
  readonly status: number;
  readonly code: string;
  /** What the detail must say. */
  readonly detail: RegExp;
  /** The statuses of answers to requests before it on the connection. */
  readonly before?: readonly number[];
}

type Row = readonly [name: string, body: string | Buffer | object, detail: RegExp];

test('bad input is answered in words, and changes nothing', async (t) => {
  const server = await startTestServer(t);
  const { jobId: done } = await run(server, { command: 'echo done' });
  const running = await submit(server, { command: 'cat' });
  await until(async () => (await show(server, running)).pid !== null, { what: 'it runs' });
  const before = await stateOf(server);

  const cases = [
    ...fieldCases(server), ...programCases(server), ...bodyCases(server), ...updateCases(server), ...queryCases(server, done), ...callCases(server, running),
    ...headerCases(server), ...pathCases(server, done), ...framingCases(server),
  ];
  assert.ok(cases.length >= 150, `${cases.length} cases`);
  for (const one of cases) {
    await t.test(one.name, async () => {
      const answers = await talk(server, one.bytes);
      assert.deepEqual(answers.map(({ status }) => status), [...one.before ?? [], one.status], JSON.stringify(answers));
      checkProblem(answers.at(-1), one);
    });
  }

  await t.test('after all of them the server is well, its jobs and its state directory are the same', async () => {
    assert.deepEqual(await stateOf(server), before);
    assert.doesNotMatch(server.logged(), /request failed|unexpected/);
    await ask(server, `POST /jobs/${running}/nudge`, { body: { input: 'still here\n' } });
    await ask(server, `POST /jobs/${running}/stdin?eof=1`);
    assert.equal((await finished(server, running)).stdout, 'still here\n');
    assert.equal((await run(server, { command: 'echo hi' })).stdout, 'hi\n');
  });
});

test('slow clients are answered 408, and keep nobody waiting', async (t) => {
  const server = await startTestServer(t, { limits: { headersMs: 100, requestMs: 200, lingerMs: 200 } });
  const whole = requestBytes(server, 'POST /exec', { body: '{"command":"true"}' });
  const slow: [string, Buffer][] = [
    ['half a request line', Buffer.from('POST /ex')],
    ['half a header', whole.subarray(0, 30)],
    ['headers without their end', whole.subarray(0, whole.indexOf('\r\n\r\n') + 2)],
    ['half a body', whole.subarray(0, -5)],
    ['no body', whole.subarray(0, whole.indexOf('\r\n\r\n') + 4)],
    ['half a chunk', Buffer.from('POST /exec HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ' + server.key + '\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}')],
  ];
  for (const [name, bytes] of slow) {
    await t.test(name, async () => {
      const talking = talk(server, bytes);
      assert.equal((await ask(server, 'GET /health')).status, 200);
      checkProblem((await talking).at(-1), { status: 408, code: 'request_timeout', detail: /did not arrive in time/ });
    });
  }
  await t.test('many of them at once', async () => {
    const talking = Array.from({ length: 100 }, () => talk(server, whole.subarray(0, 40)));
    assert.equal((await ask(server, 'GET /health')).status, 200);
    assert.deepEqual(new Set((await Promise.all(talking)).map((answers) => answers.at(-1)?.status)), new Set([408]));
  });
  assert.deepEqual((await ask(server, 'GET /jobs')).json(), []);
});

test('an Idempotency-Key, a name or a workdir that holds control characters comes back escaped, in answers and in the log', async (t) => {
  const server = await startTestServer(t, { flags: { 'log-level': 'debug' } });
  const evil = 'a\r\nX-Evil: yes\r\n\u001b[31m';
  const answer = await ask(server, 'POST /exec', { body: { command: 'true', workdir: evil } });
  assert.equal(answer.headers['x-evil'], undefined);
  assert.ok(answer.problem.detail.includes('\\r\\nX-Evil'));
  const job = await run(server, { command: 'true', name: evil, labels: { x: evil } });
  assert.deepEqual([job.name, job.labels], [evil, { x: evil }]);
  await ask(server, `GET /jobs?name=${encodeURIComponent(evil)}&limit=1`);
  await ask(server, `GET /jobs/${encodeURIComponent(evil)}`);
  assert.ok(!server.logged().includes('\u001b'));
  assert.ok(server.logged().trimEnd().split('\n').every((line) => typeof JSON.parse(line) === 'object'));
});

const wrong = {
  null: null, number: 1, boolean: true, array: [], object: {}, text: 'x',
} as const;
type Kind = keyof typeof wrong;

/** Every field of POST /exec with every type that it does not take. */
function fieldCases(server: Reached): Case[] {
  const fields: { readonly [field: string]: readonly Kind[] } = {
    mode: ['text'], command: ['text'], shell: ['text'], workdir: ['text'], env: ['object'], timeout: ['number', 'null'], killGrace: ['number'],
    stdin: ['text', 'null'], tty: ['boolean', 'object'], maxOutputBytes: ['number'], name: ['text'], labels: ['object'], argv: ['array'],
    sessionKey: [], bootstrapCommand: [], bootstrapCurrentCommand: [], agent: [], prompt: [], acp_session_id: [], model: [], effort: [],
    persistent_session_key: [], persistent_shell: [],
  };
  return Object.entries(fields).flatMap(([field, taken]) =>
    (Object.keys(wrong) as Kind[]).filter((kind) => !taken.includes(kind) && !isLeftOut(field, kind)).map((kind) => {
      const program = field === 'argv' ? { mode: 'argv' } : { command: 'true' };
      return refused(server, `${field} as ${kind}`, 'POST /exec', { ...program, [field]: wrong[kind] },
        new RegExp(`^Cannot read body\\.${field}: expected .*(received|nothing)`));
    }));
}

/** `null` stands for an absent field, where that may be absent. */
function isLeftOut(field: string, kind: Kind): boolean {
  return kind === 'null' && !['command', 'argv'].includes(field);
}

/** Bounds, encodings and combinations of the fields of POST /exec. */
function programCases(server: Reached): Case[] {
  const many = (count: number, value: unknown): object => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]));
  const rows: Row[] = [
    ['no field at all', {}, /body\.command: expected a string that is not empty, received nothing/],
    ['an empty command', { command: '' }, /body\.command: expected a string that is not empty/],
    ['a command with NUL', { command: 'a\0b' }, /body\.command: .* without NUL/],
    ['a command with half a surrogate pair', '{"command":"a\\ud83d"}', /body\.command: .*lone surrogate/],
    ['a command with the other half', '{"command":"\\ude00a"}', /body\.command: .*lone surrogate/],
    ['a mode that is none', { mode: 'Shell', command: 'true' }, /body\.mode: expected "shell" or "argv".*received "Shell"/],
    ['a mode that every object has', { mode: 'constructor', command: 'true' }, /body\.mode/],
    ['argv in mode shell', { argv: ['true'] }, /body\.argv: .*mode is "shell"/],
    ['argv beside command', { command: 'true', argv: ['true'] }, /body\.argv/],
    ['mode argv without argv', { mode: 'argv' }, /body\.argv: expected an array of strings/],
    ['mode argv with command', { mode: 'argv', argv: ['true'], command: 'true' }, /body\.command: expected nothing/],
    ['mode argv with shell', { mode: 'argv', argv: ['true'], shell: 'bash' }, /body\.shell: expected nothing/],
    ['an empty argv', { mode: 'argv', argv: [] }, /body\.argv: expected 1 to/],
    ['an argv without a program', { mode: 'argv', argv: ['', 'x'] }, /body\.argv\[0\]/],
    ['a number in argv', { mode: 'argv', argv: ['true', 1] }, /body\.argv\[1\]: expected a string, received 1/],
    ['null in argv', { mode: 'argv', argv: ['true', 'x', null] }, /body\.argv\[2\]: expected a string, received null/],
    ['an array in argv', { mode: 'argv', argv: [['true']] }, /body\.argv\[0\]: expected a string, received an array/],
    ['NUL in argv', { mode: 'argv', argv: ['true', 'a\0'] }, /body\.argv\[1\]: .*NUL/],
    ['a lone surrogate in argv', '{"mode":"argv","argv":["\\udfff"]}', /body\.argv\[0\]: .*surrogate/],
    ['65,537 arguments', { mode: 'argv', argv: Array.from({ length: 65_537 }, () => 'x') }, /body\.argv: expected 1 to 65536 items, received 65537/],
    ['a shell with NUL', { command: 'true', shell: 'ba\0sh' }, /body\.shell: .*NUL/],
    ['a shell of 4,097 characters', { command: 'true', shell: 'x'.repeat(4097) }, /body\.shell: expected at most 4096 characters, received 4097/],
    ['a workdir that does not exist', { command: 'true', workdir: '/no/such/folder' }, /body\.workdir: expected an existing directory, received "\/no\/such\/folder"/],
    ['a workdir that is a file', { command: 'true', workdir: '/etc/passwd' }, /body\.workdir: expected an existing directory/],
    ['a workdir below a file', { command: 'true', workdir: '/etc/passwd/x' }, /body\.workdir: expected an existing directory/],
    ['a workdir with NUL', { command: 'true', workdir: '/\0' }, /body\.workdir: .*NUL/],
    ['a workdir of 4,097 characters', { command: 'true', workdir: `/${'x'.repeat(4096)}` }, /body\.workdir: expected at most 4096/],
    ['a workdir whose name is longer than any', { command: 'true', workdir: `/tmp/${'x'.repeat(300)}` }, /body\.workdir: expected an existing directory/],
    ['a workdir in a foreign home', { command: 'true', workdir: '~root' }, /body\.workdir: expected an existing directory, received "~root"/],
    ['a number in env', { command: 'true', env: { A: 1 } }, /body\.env\.A: expected a string, received 1/],
    ['null in env', { command: 'true', env: { A: null } }, /body\.env\.A: expected a string, received null/],
    ['true in env', { command: 'true', env: { A: true } }, /body\.env\.A: expected a string, received true/],
    ['an object in env', { command: 'true', env: { A: {} } }, /body\.env\.A: expected a string, received an object/],
    ['an empty name in env', { command: 'true', env: { '': 'x' } }, /body\.env key "": expected a name/],
    ['"=" in a name of env', { command: 'true', env: { 'A=B': 'x' } }, /body\.env key "A=B": .*"="/],
    ['NUL in a name of env', { command: 'true', env: { 'A\0': 'x' } }, /body\.env key "A\\u0000": .*NUL/],
    ['NUL in a value of env', { command: 'true', env: { A: '\0' } }, /body\.env\.A: .*NUL/],
    ['a lone surrogate in a name of env', '{"command":"true","env":{"\\ud800":"x"}}', /body\.env key .*surrogate/],
    ['a lone surrogate in a value of env', '{"command":"true","env":{"A":"\\ud800"}}', /body\.env\.A: .*surrogate/],
    ['a variable that no system takes', { command: 'true', env: { A: 'é'.repeat(65_536) } }, /body\.env\.A: expected at most 131071 bytes/],
    ['an argument that no system takes', { mode: 'argv', argv: ['true', 'x'.repeat(131_072)] }, /body\.argv\[1\]: expected at most 131071 bytes/],
    ['4,097 variables', { command: 'true', env: many(4097, 'x') }, /body\.env: expected at most 4096 entries, received 4097/],
    ['a timeout of 0', { command: 'true', timeout: 0 }, /body\.timeout: expected a number of seconds above 0 to 31536000, received 0/],
    ['a negative timeout', { command: 'true', timeout: -1 }, /body\.timeout: .*received -1/],
    ['a timeout above a year', { command: 'true', timeout: 31_536_000.5 }, /body\.timeout: .*to 31536000/],
    ['a timeout beyond every number', '{"command":"true","timeout":1e999}', /body\.timeout/],
    ['a timeout below every number', '{"command":"true","timeout":-1e999}', /body\.timeout/],
    ['a timeout of minus zero', '{"command":"true","timeout":-0}', /body\.timeout/],
    ['a timeout as text', { command: 'true', timeout: '5' }, /body\.timeout: expected a number of seconds above 0 to 31536000, received "5"/],
    ['a negative killGrace', { command: 'true', killGrace: -0.1 }, /body\.killGrace: .*from 0 to 3600/],
    ['a killGrace above an hour', { command: 'true', killGrace: 3601 }, /body\.killGrace: .*from 0 to 3600/],
    ['a lone surrogate in stdin', '{"command":"true","stdin":"\\ud800x"}', /body\.stdin: .*surrogate/],
    ['maxOutputBytes 0', { command: 'true', maxOutputBytes: 0 }, /body\.maxOutputBytes: expected a whole number from 1/],
    ['a negative maxOutputBytes', { command: 'true', maxOutputBytes: -5 }, /body\.maxOutputBytes/],
    ['half a maxOutputBytes', { command: 'true', maxOutputBytes: 1.5 }, /body\.maxOutputBytes: expected a whole number/],
    ['a maxOutputBytes that no number holds', '{"command":"true","maxOutputBytes":9007199254740993}', /body\.maxOutputBytes/],
    ['a name of 257 characters', { command: 'true', name: 'x'.repeat(257) }, /body\.name: expected at most 256 characters, received 257/],
    ['a name with NUL', { command: 'true', name: '\0' }, /body\.name: .*NUL/],
    ['a number in labels', { command: 'true', labels: { a: 1 } }, /body\.labels\.a: expected a string, received 1/],
    ['an empty label name', { command: 'true', labels: { '': 'x' } }, /body\.labels key ""/],
    ['":" in a label name', { command: 'true', labels: { 'a:b': 'x' } }, /body\.labels key "a:b": .*":"/],
    ['a label name of 64 characters', { command: 'true', labels: { ['x'.repeat(64)]: 'x' } }, /body\.labels key .*at most 63/],
    ['a label of 257 characters', { command: 'true', labels: { a: 'x'.repeat(257) } }, /body\.labels\.a: expected at most 256/],
    ['65 labels', { command: 'true', labels: many(65, 'x') }, /body\.labels: expected at most 64 entries, received 65/],
    ['a field of another mode', { command: 'true', sessionKey: 'main' }, /body\.sessionKey: expected nothing, as mode is "shell"/],
    ['the bootstrap of another mode', { command: 'true', bootstrapCommand: 'true' }, /body\.bootstrapCommand: expected nothing, as mode is "shell"/],
    ['a session without a key', { mode: 'persistent_shell', command: 'true' }, /body\.sessionKey: expected a string that is not empty \(mode is/],
    ['a session with an empty key', { mode: 'persistent_shell', command: 'true', sessionKey: '' }, /body\.sessionKey: expected a string that is not empty/],
    ['a session with a key of 257 characters', { mode: 'persistent_shell', command: 'true', sessionKey: 'x'.repeat(257) }, /body\.sessionKey: expected at most 256/],
    ['a session without a command', { mode: 'persistent_shell', sessionKey: 'main' }, /body\.command: expected a string that is not empty/],
    ['a session with argv', { mode: 'persistent_shell', sessionKey: 'main', command: 'true', argv: ['true'] }, /body\.argv: expected nothing, as mode is "persistent_shell"/],
    ['a session of a shell that nobody knows', { mode: 'persistent_shell', sessionKey: 'main', command: 'true', shell: 'fish' }, /body\.shell: expected one of bash, zsh, sh, pwsh/],
    ['a session of a shell by its path', { mode: 'persistent_shell', sessionKey: 'main', command: 'true', shell: '/bin/bash' }, /body\.shell: expected one of bash/],
    ['a session of a shell with the name of a method', { mode: 'persistent_shell', sessionKey: 'main', command: 'true', shell: 'toString' }, /body\.shell: expected one of bash/],
    ['a bootstrapCurrentCommand in words', { mode: 'persistent_shell', sessionKey: 'main', command: 'true', bootstrapCurrentCommand: 'yes' }, /body\.bootstrapCurrentCommand: expected true or false, received "yes"/],
    ['persistent_shell in mode shell', { command: 'true', persistent_shell: true }, /body\.persistent_shell: expected nothing/],
    ['an unknown field', { command: 'true', comand: 'true' }, /body\.comand: unknown field, expected one of mode, command/],
    ['a field in the wrong case', { command: 'true', TIMEOUT: 5 }, /body\.TIMEOUT: unknown field, did you mean "timeout"/],
    ['a field in the style of others', { command: 'true', max_output_bytes: 5 }, /body\.max_output_bytes: unknown field, did you mean "maxOutputBytes"/],
    ['an unknown field of 200 characters', { command: 'true', ['x'.repeat(200)]: 1 }, /body\.x{57}\.\.\.: unknown field/],
    ['a field without a name', { command: 'true', '': 1 }, /body\.: unknown field/],
    ['__proto__', '{"command":"true","__proto__":{"mode":"argv"}}', /body\.__proto__: unknown field/],
    ['constructor', '{"command":"true","constructor":{"prototype":{}}}', /body\.constructor: unknown field/],
    ['toString', { command: 'true', toString: 'x' }, /body\.toString: unknown field/],
    ['a command that only __proto__ has', '{"__proto__":{"command":"true"}}', /body\.__proto__: unknown field/],
  ];
  return rows.map(([name, body, detail]) => refused(server, name, 'POST /exec', body, detail));
}

/** What is no JSON, or none of ours. */
function bodyCases(server: Reached): Case[] {
  const rows: Row[] = [
    ['a body that is null', 'null', /body: expected an object, received null/],
    ['a body that is an array', '[{"command":"true"}]', /body: expected an object, received an array/],
    ['a body that is text', '"true"', /body: expected an object, received "true"/],
    ['a body that is a number', '1', /body: expected an object, received 1/],
    ['only spaces', '  \n', /body: expected JSON/],
    ['JSON without its end', '{"command":"true"', /body: expected JSON/],
    ['JSON with more behind it', '{"command":"true"} {"command":"true"}', /body: expected JSON/],
    ['a trailing comma', '{"command":"true",}', /body: expected JSON/],
    ['single quotes', "{'command':'true'}", /body: expected JSON/],
    ['names without quotes', '{command:"true"}', /body: expected JSON/],
    ['a comment', '{"command":"true"/* x */}', /body: expected JSON/],
    ['NaN', '{"command":"true","timeout":NaN}', /body: expected JSON/],
    ['a number in hex', '{"command":"true","timeout":0x10}', /body: expected JSON/],
    ['a number with a leading zero', '{"command":"true","timeout":010}', /body: expected JSON/],
    ['a line end inside text', '{"command":"a\nb"}', /body: expected JSON/],
    ['NUL bytes', '\0\0\0\0', /body: expected JSON/],
    ['an escape that is none', '{"command":"\\x41"}', /body: expected JSON/],
    ['form data', 'command=true', /body: expected JSON/],
    ['XML', '<command>true</command>', /body: expected JSON/],
    ['a byte that is no UTF-8', Buffer.from('{"command":"a\xff"}', 'latin1'), /body: expected UTF-8/],
    ['Latin-1', Buffer.from('{"command":"\xe9"}', 'latin1'), /body: expected UTF-8/],
    ['an overlong form', Buffer.from('{"command":"\xc0\xaf"}', 'latin1'), /body: expected UTF-8/],
    ['a surrogate in UTF-8', Buffer.from('{"command":"\xed\xa0\x80"}', 'latin1'), /body: expected UTF-8/],
    ['a character beyond Unicode', Buffer.from('{"command":"\xf4\x90\x80\x80"}', 'latin1'), /body: expected UTF-8/],
    ['UTF-16', Buffer.from('\ufeff{"command":"true"}', 'utf16le'), /body: expected UTF-8/],
    ['gzip', Buffer.from('\x1f\x8b\x08\x00\x00\x00\x00\x00', 'latin1'), /body: expected UTF-8/],
    ['65 levels of arrays', `{"command":${'['.repeat(64)}${']'.repeat(64)}}`, /body: expected at most 64 levels of nesting/],
    ['65 levels of objects', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`, /body: expected at most 64 levels/],
    ['500,000 levels', '['.repeat(500_000), /body: expected at most 64 levels/],
    ['levels behind a text with brackets and quotes', `{"command":"]]]\\"\\\\","x":${'['.repeat(64)}`, /body: expected at most 64 levels/],
  ];
  const tooLong = /^Cannot read body: it is longer than 1048576 bytes$/;
  const chunk = `${(2 ** 18).toString(16)}\r\n${' '.repeat(2 ** 18)}\r\n`;
  return [
    ...rows.map(([name, body, detail]) => refused(server, name, 'POST /exec', body, detail)),
    { ...refused(server, 'a body of 1 MiB and a byte', 'POST /exec', ' '.repeat(2 ** 20 + 1), tooLong), status: 413, code: 'payload_too_large' },
    {
      name: 'a body that says it will be too long', status: 413, code: 'payload_too_large', detail: tooLong,
      bytes: requestBytes(server, 'POST /exec', { headers: ['Content-Length: 1048577'] }),
    },
    {
      name: 'a body that says it will be without end', status: 413, code: 'payload_too_large', detail: tooLong,
      bytes: requestBytes(server, 'POST /exec', { headers: ['Content-Length: 9007199254740991'] }),
    },
    {
      name: 'chunks that become too long', status: 413, code: 'payload_too_large', detail: tooLong,
      bytes: Buffer.concat([requestBytes(server, 'POST /exec', { headers: ['Transfer-Encoding: chunked'] }), Buffer.from(`${chunk.repeat(5)}0\r\n\r\n`)]),
    },
    {
      name: 'chunks without a length at all that hold nothing', status: 400, code: 'invalid_request', detail: /body\.command/,
      bytes: Buffer.concat([requestBytes(server, 'POST /exec', { headers: ['Transfer-Encoding: chunked'] }), Buffer.from('0\r\n\r\n')]),
    },
    {
      name: 'chunks that hold what is no JSON', status: 400, code: 'invalid_request', detail: /body: expected JSON/,
      bytes: Buffer.concat([requestBytes(server, 'POST /exec', { headers: ['Transfer-Encoding: chunked'] }), Buffer.from('1\r\n{\r\n2\r\n"c\r\n0\r\n\r\n')]),
    },
    {
      name: 'no body and no length', status: 400, code: 'invalid_request', detail: /body\.command: .*received nothing/,
      bytes: requestBytes(server, 'POST /exec'),
    },
  ];
}

/** The fields of POST /update: none of this may come as far as asking who carries it out. */
function updateCases(server: Reached): Case[] {
  const version = /^Cannot read body\.version: expected a version such as 1\.2\.3, received/;
  const rows: Row[] = [
    ...['latest', '1', '1.2', 'v1.2.3', '^1.2.3', '1.2.3 ', '1.2.3\n', '../1.2.3', '1.2.3/x', 'npm:x@1.2.3'].map((text): Row =>
      [`the version ${JSON.stringify(text)}`, { version: text }, version]),
    ...Object.entries(wrong).filter(([kind]) => !['text', 'null'].includes(kind)).map(([kind, value]): Row => [`version as ${kind}`, { version: value }, version]),
    ...Object.entries(wrong).filter(([kind]) => !['boolean', 'null'].includes(kind)).flatMap(([kind, value]) => ['ifIdle', 'allowDowngrade'].map((field): Row =>
      [`${field} as ${kind}`, { [field]: value }, new RegExp(`^Cannot read body\\.${field}: expected true or false, received`)])),
    ['a version of 129 characters', { version: `1.2.3-${'x'.repeat(123)}` }, /body\.version: expected at most 128 characters, received 129/],
    ['a version with NUL', { version: '1.2.3\0' }, /body\.version: .*NUL/],
    ['allowDowngrade without version', { allowDowngrade: true }, /body\.allowDowngrade: expected it together with version/],
    ['allowDowngrade with an empty version', { version: '', allowDowngrade: true }, /body\.allowDowngrade: expected it together with version/],
    ['an update of something unknown', { target: '1.2.3' }, /body\.target: unknown field, expected one of version, ifIdle, allowDowngrade/],
    ['an update as a list', [], /body: expected an object, received an array/],
    ['an update that is no JSON', 'version=1.2.3', /body: expected JSON/],
  ];
  return rows.map(([name, body, detail]) => refused(server, `update: ${name}`, 'POST /update', body, detail));
}

function queryCases(server: Reached, id: string): Case[] {
  const rows: (readonly [line: string, detail: RegExp])[] = [
    ...['x', '-1', '61', '60.1', 'NaN', '1e1', '0x1', '1,5', '%201', '', 'null'].map((wait) => [`POST /exec?wait=${wait}`, /query\.wait: expected a number of seconds from 0 to 60/] as const),
    ['POST /exec?wait=1&wait=2', /query\.wait: .*received an array/],
    ['POST /exec?Wait=1', /query\.Wait: unknown field, did you mean "wait"/],
    ['POST /exec?command=true', /query\.command: unknown field, expected one of wait/],
    ...['0', '1001', '-1', '1.5', '', 'x', '99999999999999999999', '1e2', '+1'].map((limit) => [`GET /jobs?limit=${limit}`, /query\.limit: expected a whole number from 1 to 1000/] as const),
    ['GET /jobs?limit=1&limit=1', /query\.limit/],
    ['GET /jobs?status=done', /query\.status: expected "pending" or "running" or "completed" or "failed" or "timeout", received "done"/],
    ['GET /jobs?status=Running', /query\.status/],
    ['GET /jobs?status=running&status=failed', /query\.status: .*received an array/],
    ['GET /jobs?label=a', /query\.label\[0\]: expected name:value, received "a"/],
    ['GET /jobs?label=:b', /query\.label\[0\]/],
    ['GET /jobs?label=a:b&label=c', /query\.label\[1\]/],
    [`GET /jobs?${Array.from({ length: 65 }, (_, index) => `label=a:${index}`).join('&')}`, /query\.label: expected 0 to 64 items, received 65/],
    [`GET /jobs?name=${'x'.repeat(257)}`, /query\.name: expected at most 256/],
    ['GET /jobs?name=%00', /query\.name: .*NUL/],
    ['GET /jobs?before=x', /query\.before: expected a job id, received "x"/],
    [`GET /jobs?before=${id.toUpperCase()}`, /query\.before/],
    ['GET /jobs?before=', /query\.before/],
    ['GET /jobs?output=yes', /query\.output: expected 1 or 0, received "yes"/],
    ['GET /jobs?output=2', /query\.output/],
    ['GET /jobs?sort=asc', /query\.sort: unknown field, expected one of limit, status/],
    ['GET /jobs?__proto__=1', /query\.__proto__: unknown field/],
    ['GET /jobs?=1', /query\.: unknown field/],
    ['GET /jobs?limit=%zz', /query: expected percent-encoded UTF-8/],
    ['GET /jobs?name=%ff', /query: expected percent-encoded UTF-8/],
    ['GET /jobs?name=%ed%a0%80', /query: expected percent-encoded UTF-8/],
    [`GET /jobs?${'a&'.repeat(1001)}`, /query: expected at most 1000 parameters/],
    [`GET /jobs/${id}?wait=x`, /query\.wait/],
    [`GET /jobs/${id}?wait=61`, /query\.wait/],
    [`GET /jobs/${id}?tailLines=-1`, /query\.tailLines: expected a whole number from 0/],
    [`GET /jobs/${id}?tailLines=1000001`, /query\.tailLines/],
    [`GET /jobs/${id}?tailLines=all`, /query\.tailLines/],
    [`GET /jobs/${id}?maxBytes=-1`, /query\.maxBytes/],
    [`GET /jobs/${id}?maxBytes=16777217`, /query\.maxBytes: expected a whole number from 0 to 16777216/],
    [`GET /jobs/${id}?x=1`, /query\.x: unknown field/],
    [`GET /jobs/${id}/stdout?offset=-1`, /query\.offset: expected a whole number from 0/],
    [`GET /jobs/${id}/stdout?offset=x`, /query\.offset/],
    [`GET /jobs/${id}/stdout?offset=9007199254740992`, /query\.offset/],
    [`GET /jobs/${id}/stdout?limit=1.5`, /query\.limit/],
    [`GET /jobs/${id}/stderr?tailLines=x`, /query\.tailLines/],
    [`GET /jobs/${id}/stdout?follow=maybe`, /query\.follow: expected 1 or 0/],
    [`GET /jobs/${id}/stdout?from=1`, /query\.from: unknown field/],
    [`GET /jobs/${id}/events?after=1`, /query\.after: expected an event id such as "0-0", received "1"/],
    [`GET /jobs/${id}/events?after=-1--1`, /query\.after/],
    [`GET /jobs/${id}/events?after=${'1'.repeat(65)}`, /query\.after/],
    [`POST /jobs/${id}/stdin?eof=perhaps`, /query\.eof: expected 1 or 0/],
    [`POST /jobs/${id}/nudge?input=x`, /query\.input: unknown field, expected none/],
    [`POST /jobs/${id}/rerun?waits=1`, /query\.waits: unknown field/],
    [`DELETE /jobs/${id}?force=1`, /query\.force: unknown field/],
    ['GET /update?check=maybe', /query\.check: expected 1 or 0, received "maybe"/],
    ['GET /update?check=1&check=1', /query\.check: .*received an array/],
    ['GET /update?version=1.0.0', /query\.version: unknown field, expected one of check/],
    ['POST /update?version=1.0.0', /query\.version: unknown field, expected none/],
    ['GET /health?verbose', /query\.verbose: unknown field/],
    ['GET /metrics?x=1', /query\.x/],
    ['GET /openapi.json?x=1', /query\.x/],
  ];
  return rows.map(([line, detail]) => ({
    name: line.replace(id, '{id}').slice(0, 80), bytes: requestBytes(server, line), status: 400, code: 'invalid_request', detail,
  }));
}

/** The bodies of the calls on a job, here one that runs: nothing of this may reach it. */
function callCases(server: Reached, id: string): Case[] {
  const rows: (readonly [call: string, body: string | object, detail: RegExp])[] = [
    ...[1, true, [], {}].map((input) => ['nudge', { input }, /body\.input: expected a string/] as const),
    ['nudge', '{"input":"\\ud800"}', /body\.input: .*surrogate/],
    ['nudge', { text: 'x' }, /body\.text: unknown field, expected one of input/],
    ['nudge', [], /body: expected an object, received an array/],
    ['nudge', '"x"', /body: expected an object/],
    ['nudge', 'yes', /body: expected JSON/],
    ...[15, true, [], {}, '', 'TERM', 'sigterm', 'SIGFOO', 'SIGSEGV', 'SIGTERM '].map((signal) =>
      ['cancel', { signal }, /body\.signal: expected "SIGHUP" or .*received/] as const),
    ...['5', true, [], {}, -1, 3601].map((graceSeconds) =>
      ['cancel', { graceSeconds }, /body\.graceSeconds: expected a number of seconds from 0 to 3600/] as const),
    ['cancel', { force: true }, /body\.force: unknown field/],
    ['cancel', 'null', /body: expected an object, received null/],
    ['signal', {}, /body\.signal: expected .*received nothing/],
    ...[null, 9, true, [], {}, '', 'KILL', 'SIGNOTHING', '__proto__'].map((signal) => ['signal', { signal }, /body\.signal: expected/] as const),
    ['signal', { signal: 'SIGTERM', pid: 1 }, /body\.pid: unknown field/],
  ];
  return [
    ...rows.map(([call, body, detail]) => refused(server, `${call} ${JSON.stringify(body)}`, `POST /jobs/${id}/${call}`, body, detail)),
    {
      name: 'signal without a body', bytes: requestBytes(server, `POST /jobs/${id}/signal`), status: 400, code: 'invalid_request', detail: /body\.signal/,
    },
    {
      name: 'stdin of 1 MiB and a byte', bytes: requestBytes(server, `POST /jobs/${id}/stdin`, { body: 'x'.repeat(2 ** 20 + 1) }),
      status: 413, code: 'payload_too_large', detail: /longer than 1048576 bytes/,
    },
    {
      name: 'DELETE while it runs', bytes: requestBytes(server, `DELETE /jobs/${id}`), status: 409, code: 'job_running', detail: new RegExp(id),
    },
  ];
}

function headerCases(server: Reached): Case[] {
  const body = '{"command":"true"}';
  const rows: (readonly [header: string, status: number, code: string, detail: RegExp])[] = [
    ['X-API-Key: wrong', 401, 'unauthorized', /the key is wrong/],
    ['X-API-Key:', 401, 'unauthorized', /without the key/],
    ['Content-Type: text/plain', 415, 'unsupported_media_type', /received text\/plain/],
    ['Content-Type: application/x-www-form-urlencoded', 415, 'unsupported_media_type', /add -H 'Content-Type: application\/json'/],
    ['Content-Type: application/json; charset=utf-16', 415, 'unsupported_media_type', /charset=utf-16/],
    ['Content-Type: multipart/form-data; boundary=x', 415, 'unsupported_media_type', /multipart/],
    ['Content-Encoding: gzip', 415, 'unsupported_media_type', /Content-Encoding is gzip/],
    ['Content-Encoding: identity, gzip', 415, 'unsupported_media_type', /Content-Encoding/],
    ['Idempotency-Key:', 400, 'invalid_request', /header Idempotency-Key: expected 1 to 255 characters/],
    [`Idempotency-Key: ${'x'.repeat(256)}`, 400, 'invalid_request', /header Idempotency-Key/],
    ['Expect: 200-ok', 417, 'expectation_failed', /expectation "200-ok"/],
    ['Origin: https://evil.example', 403, 'origin_not_allowed', /https:\/\/evil\.example/],
    ['Origin: null', 403, 'origin_not_allowed', /"null"/],
    ['Host: evil.example', 403, 'host_not_allowed', /evil\.example/],
    ['Host:', 403, 'host_not_allowed', /the host ""/],
    ['Host: a b', 400, 'invalid_request', /header Host/],
    ['Host: user@localhost', 400, 'invalid_request', /header Host/],
    ['Host: localhost:port', 400, 'invalid_request', /header Host/],
  ];
  return rows.map(([header, status, code, detail]) => ({
    name: header.slice(0, 60), bytes: requestBytes(server, 'POST /exec', { headers: [header], body }), status, code, detail,
  }));
}

function pathCases(server: Reached, id: string): Case[] {
  const rows: (readonly [line: string, status: number, code: string, detail: RegExp])[] = [
    ['GET /nothing', 404, 'not_found', /Cannot GET \/nothing: there is nothing/],
    ['GET /Jobs', 404, 'not_found', /\/Jobs/],
    ['GET /jobs/', 404, 'not_found', /\/jobs\//],
    ['GET //jobs', 404, 'not_found', /\/\/jobs/],
    [`GET /jobs/${id}/`, 404, 'not_found', /nothing at this address/],
    [`GET /jobs/${id}/stdout/x`, 404, 'not_found', /nothing at this address/],
    [`GET /jobs/${id}/command`, 404, 'not_found', /nothing at this address/],
    [`GET /jobs/${id}/job.json`, 404, 'not_found', /nothing at this address/],
    ['GET /jobs/../../etc/passwd', 404, 'not_found', /nothing at this address/],
    ['GET /jobs/..', 404, 'not_found', /nothing at this address/],
    ['GET /jobs/%2e%2e/stdout', 404, 'not_found', /nothing at this address/],
    ['GET /jobs/..%2F..%2Fapi-key', 404, 'job_not_found', /this is not a job id/],
    ['GET /jobs/x', 404, 'job_not_found', /Cannot find job "x": this is not a job id/],
    ['GET /jobs/0000000000000000', 404, 'job_not_found', /it never existed, or was deleted/],
    ['GET /jobs/__proto__', 404, 'job_not_found', /__proto__/],
    [`GET /jobs/${id.toUpperCase()}`, 404, 'job_not_found', /not a job id/],
    [`GET /jobs/${id}%00`, 404, 'job_not_found', /\\u0000/],
    [`GET /jobs/${'x'.repeat(1000)}`, 404, 'job_not_found', /"x{64}"/],
    ['GET /jobs/%zz', 400, 'invalid_request', /path: expected percent-encoded UTF-8/],
    ['GET /jobs/%ff', 400, 'invalid_request', /path: expected percent-encoded UTF-8/],
    ['GET /exec', 405, 'method_not_allowed', /Cannot GET \/exec: this address has POST, OPTIONS/],
    ['PUT /exec', 405, 'method_not_allowed', /Cannot PUT/],
    ['POST /jobs', 405, 'method_not_allowed', /GET, HEAD, OPTIONS/],
    ['DELETE /jobs', 405, 'method_not_allowed', /Cannot DELETE/],
    [`PUT /jobs/${id}`, 405, 'method_not_allowed', /GET, HEAD, DELETE, PATCH, OPTIONS/],
    [`GET /jobs/${id}/nudge`, 405, 'method_not_allowed', /POST, OPTIONS/],
    [`DELETE /jobs/${id}/stdout`, 405, 'method_not_allowed', /GET, HEAD, OPTIONS/],
    ['TRACE /jobs', 405, 'method_not_allowed', /Cannot TRACE/],
    ['PROPFIND /jobs', 405, 'method_not_allowed', /Cannot PROPFIND/],
    ['BREW /jobs', 405, 'method_not_allowed', /no path has this method/],
    ['CONNECT example.org:443', 405, 'method_not_allowed', /not a proxy/],
  ];
  return rows.map(([line, status, code, detail]) => ({
    name: line.replace(id, '{id}').slice(0, 60), bytes: requestBytes(server, line), status, code, detail,
  }));
}

/** Requests that cannot be told apart from what follows them, and others that are none. */
function framingCases(server: Reached): Case[] {
  const key = `X-API-Key: ${server.key}\r\n`;
  const host = 'Host: localhost\r\n';
  const post = `POST /exec HTTP/1.1\r\n${host}${key}`;
  const job = '{"command":"touch /tmp/sidecar-test-smuggled"}';
  const hidden = `POST /exec HTTP/1.1\r\n${host}${key}Connection: close\r\nContent-Length: ${job.length}\r\n\r\n${job}`;
  const length = `Content-Length: ${hidden.length}\r\n`;
  const health = `GET /health HTTP/1.1\r\n${host}\r\n`;
  const rows: (readonly [name: string, sent: string | Buffer, detail?: RegExp, more?: Partial<Case>])[] = [
    ['a length and chunks, with a request hidden behind', `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunks and a length, with a request hidden behind', `${post}Transfer-Encoding: chunked\r\n${length}\r\n0\r\n\r\n${hidden}`],
    ['two lengths that differ', `${post}Content-Length: 0\r\n${length}\r\n${hidden}`],
    ['two lengths that are the same', `${post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`],
    ['a list of lengths', `${post}Content-Length: 2, 2\r\n\r\n{}`],
    ['a negative length', `${post}Content-Length: -1\r\n\r\n${hidden}`],
    ['a length with a sign', `${post}Content-Length: +0\r\n\r\n${hidden}`],
    ['a length in hex', `${post}Content-Length: 0x0\r\n\r\n${hidden}`],
    ['a length with a letter behind it', `${post}Content-Length: 2a\r\n\r\n{}`],
    ['a length beyond 64 bits', `${post}Content-Length: 18446744073709551617\r\n\r\n${hidden}`],
    ['an empty length', `${post}Content-Length:\r\n\r\n${hidden}`],
    ['a coding that is not chunked', `${post}Transfer-Encoding: gzip\r\n\r\n${hidden}`],
    ['chunked, and then another coding', `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`],
    ['another coding, and then chunked', `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunked twice', `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunked misspelled', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunked with a tab before the colon', `${post}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunks in HTTP/1.0', `POST /exec HTTP/1.0\r\n${host}${key}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['a chunk size that is none', `${post}Transfer-Encoding: chunked\r\n\r\nx\r\n${hidden}`],
    ['a chunk size in another notation', `${post}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n${hidden}`],
    ['a chunk size with a sign', `${post}Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n${hidden}`],
    ['a chunk size beyond 64 bits', `${post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n${hidden}`],
    ['a chunk without its line end', `${post}Transfer-Encoding: chunked\r\n\r\n1\r\naXX\r\n0\r\n\r\n${hidden}`],
    ['chunks with bare line feeds', `${post}Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n${hidden}`],
    ['a folded header', `${post}X-A: b\r\n c: d\r\n\r\n`],
    ['a folded length', `${post}Content-Length:\r\n 0\r\n\r\n${hidden}`],
    ['bare line feeds', `POST /exec HTTP/1.1\nHost: localhost\n\n${hidden}`],
    ['a bare carriage return in a header', `${post}X-A: b\rContent-Length: 0\r\n\r\n${hidden}`],
    ['a space before a colon', `${post}Content-Length : 0\r\n\r\n${hidden}`],
    ['a header without a name', `${post}: x\r\n\r\n`],
    ['a header without a colon', `${post}nonsense\r\n\r\n`],
    ['NUL in a header', `${post}X-A: a\0b\r\n\r\n`],
    ['NUL in the path', `GET /jobs\0 HTTP/1.1\r\n${host}\r\n`],
    ['a space in the path', `GET /jobs x HTTP/1.1\r\n${host}\r\n`],
    ['no version', `GET /jobs\r\n${host}\r\n`],
    ['HTTP/0.9', `GET /jobs HTTP/0.9\r\n${host}\r\n`],
    ['HTTP/2 in plain text', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['HTTP/1.2', `GET /jobs HTTP/1.2\r\n${host}Connection: close\r\n\r\n`],
    ['a method in lower case', `get /jobs HTTP/1.1\r\n${host}${key}\r\n`, /Cannot/, { status: 405, code: 'method_not_allowed' }],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['TLS', Buffer.from('16030100f8010000f40303', 'hex'), /TLS/],
    ['noise', Buffer.from(Array.from({ length: 256 }, (_, index) => 255 - index))],
    ['no Host', `POST /exec HTTP/1.1\r\n${key}Connection: close\r\nContent-Length: ${job.length}\r\n\r\n${job}`, /Host/],
    ['two Hosts', `POST /exec HTTP/1.1\r\n${host}${host}${key}Connection: close\r\nContent-Length: ${job.length}\r\n\r\n${job}`, /Host/],
    ['a path without a slash', `GET jobs HTTP/1.1\r\n${host}${key}Connection: close\r\n\r\n`],
    ['another scheme', `GET file:///etc/passwd HTTP/1.1\r\n${host}${key}Connection: close\r\n\r\n`, /path/],
    ['a foreign host in the address', `POST http://evil.example/exec HTTP/1.1\r\n${host}${key}Connection: close\r\nContent-Length: ${job.length}\r\n\r\n${job}`,
      /evil\.example/, { status: 403, code: 'host_not_allowed' }],
    ['an address over 16 KiB', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${host}\r\n`, /address is too long/, { status: 414, code: 'uri_too_long' }],
    ['a header over 16 KiB', `${post}X-A: ${'x'.repeat(20_000)}\r\n\r\n`, /headers are too large/, { status: 431, code: 'headers_too_large' }],
    ['300 headers', `${post}Connection: close\r\n${'a: b\r\n'.repeat(300)}\r\n`, /more than 256 headers/, { status: 431, code: 'headers_too_large' }],
    ['5,000 headers', `${post}Connection: close\r\n${'a: b\r\n'.repeat(5000)}\r\n`, /headers/, { status: 431, code: 'headers_too_large' }],
    ['chunk extensions without end', `${post}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}\r\na\r\n0\r\n\r\n`, /chunk extensions/, { status: 413, code: 'payload_too_large' }],
    ['more than the length says', `${post}Content-Length: 2\r\n\r\n{}${job}`, /does not begin with a method|Cannot read the request/, { before: [400] }],
    ['a good request and then noise', `${health}\x01\x02\x03\r\n\r\n`, /Cannot read the request/, { before: [200] }],
    ['three good requests and then a bad one', `${health.repeat(3)}GET /jobs HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\n\r\n`, /Cannot read the request/, { before: [200, 200, 200] }],
    ['a bad request and then good ones', `${post}X-A : b\r\n\r\n${hidden}${health}`],
    ['a good request and then one without the key', `${health}POST /exec HTTP/1.1\r\n${host}Connection: close\r\nContent-Length: ${job.length}\r\n\r\n${job}`,
      /without the key/, { before: [200], status: 401, code: 'unauthorized' }],
  ];
  return rows.map(([name, sent, detail = /^Cannot read /, more = {}]) => ({
    name, bytes: typeof sent === 'string' ? Buffer.from(sent, 'latin1') : sent, status: 400, code: 'invalid_request', detail, ...more,
  }));
}

function refused(server: Reached, name: string, line: string, body: string | Buffer | object, detail: RegExp): Case {
  const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return { name, bytes: requestBytes(server, line, { body: bytes }), status: 400, code: 'invalid_request', detail };
}

function checkProblem(answer: RawAnswer | undefined, expected: Pick<Case, 'status' | 'code' | 'detail'>): void {
  const { status, headers, problem } = answer ?? {};
  assert.equal(status, expected.status);
  assert.ok(problem, `a problem: ${JSON.stringify(answer)}`);
  assert.deepEqual([problem.code, problem.status, problem.error], [expected.code, expected.status, problem.detail]);
  assert.match(problem.detail, expected.detail);
  assert.match(headers?.['x-request-id'] ?? '', /./);
}

/** The jobs as listed and as shown, and every file of the state directory but what is made ahead. */
async function stateOf(server: InProcessServer): Promise<unknown> {
  const list = await ask(server, 'GET /jobs?output=1&limit=1000');
  const files = readdirSync(server.stateDir, { recursive: true, encoding: 'utf8' }).filter((name) => !/^(fifos|spares)/.test(name)).sort();
  return { jobs: list.json(), files: files.map((name) => [name, contentOf(join(server.stateDir, name))]) };
}

function contentOf(path: string): string {
  const stat = lstatSync(path);
  return stat.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : String(stat.mode);
}
