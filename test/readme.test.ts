/** The README is true: its commands run, its tables are complete. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeSettings } from '../src/config.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from './support/server.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const run = promisify(execFile);
const separator = '\u001e';

interface Block {
  readonly language: string;
  readonly text: string;
}

test('every command of the tour prints what the README says', { skip: process.platform === 'win32' && 'it is written for bash' }, async (t) => {
  const { home, server } = await start(t);
  const blocks = blocksIn(section('A tour with curl'));
  const steps = blocks.flatMap(({ language, text }, index) => {
    if (language !== 'sh') return [];
    const next = blocks[index + 1];
    return [{ text, expected: next && next.language !== 'sh' ? next.text : '' }];
  });
  assert.ok(steps.length > 10);
  const script = steps.map(({ text }) => `${text.replaceAll('http://127.0.0.1:8585', server.url)}\nprintf '${separator}'`).join('\n');
  const { stdout, stderr } = await run('bash', ['--norc', '-euo', 'pipefail', '-c', script], { env: { PATH: process.env['PATH'] ?? '', HOME: home } });
  assert.equal(stderr, '');
  const printed = stdout.split(separator);
  assert.equal(printed.length, steps.length + 1);
  for (const [index, { text, expected }] of steps.entries()) assert.match(printed[index]?.trim() ?? '', patternOf(expected.trim()), text);
});

test('the example of the client library runs', async (t) => {
  const { home, server } = await start(t);
  const [example] = blocksIn(section('Client library'));
  assert.equal(example?.language, 'js');
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', (example?.text ?? '').replaceAll('http://127.0.0.1:8585', server.url)], {
    cwd: root, env: { PATH: process.env['PATH'] ?? '', HOME: home, SIDECAR_API_KEY: server.key },
  });
  assert.equal(stdout, 'failed 3 hello\n\na line\nthe last one\n');
});

test('the table of settings is what the program knows', () => {
  const rows = describeSettings().map(({ variable, description, fallback, flags: [flag] }) => {
    const isNone = fallback === undefined || (Array.isArray(fallback) && fallback.length === 0);
    return `| ${flag === undefined ? '(no flag)' : `\`--${flag}\``} | \`${variable}\` | ${isNone ? 'none' : `\`${String(fallback)}\``} | ${description} |`;
  });
  assert.deepEqual(tableIn(section('Configuration')), rows);
});

test('the table of calls has every route and no other', async (t) => {
  const { server } = await start(t);
  const { paths } = await (await fetch(`${server.url}/openapi.json`)).json() as { paths: { [path: string]: object } };
  const routes = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  const named = tableIn(section('API')).map((row) => /^\| `([^`]+)`/.exec(row)?.[1] ?? '');
  assert.deepEqual(named.sort(), routes.sort());
});

test('the table of commands has every command and no other', () => {
  const commands = readdirSync(join(root, 'src', 'cli', 'commands')).map((file) => `sidecar ${file.replace('.ts', '')}`);
  const named = tableIn(section('Command line')).map((row) => /^\| `([^`]+)`/.exec(row)?.[1] ?? '');
  assert.deepEqual(named.sort(), commands.sort());
});

/** A server that found its home as the README tells it. */
async function start(t: TestContext): Promise<{ home: string; server: InProcessServer }> {
  const home = temporaryFolder(t);
  const stateDir = join(home, '.local', 'state', 'machine-sidecar');
  mkdirSync(dirname(stateDir), { recursive: true });
  return { home, server: await startTestServer(t, { stateDir, environment: { SIDECAR_API_KEY: undefined } }) };
}

function section(title: string): string {
  const [, text] = readme.split(`\n## ${title}\n`);
  assert.ok(text !== undefined, title);
  return text.split('\n## ')[0] ?? '';
}

function blocksIn(text: string): Block[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', content = '']) => ({ language, text: content }));
}

/** The rows of the first table, without its head. */
function tableIn(text: string): string[] {
  return text.split('\n').filter((line) => line.startsWith('|')).slice(2);
}

/** `…` stands for anything. */
function patternOf(expected: string): RegExp {
  const parts = expected.split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^]*?')}$`);
}
