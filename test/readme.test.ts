/** The README and its pages are true: their commands run, their lists are complete. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { commandGroups } from '../src/cli/catalog.ts';
import { programHelp } from '../src/cli/help.ts';
import { painter } from '../src/cli/io/print.ts';
import { describeSettings } from '../src/config/settings.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from './support/server.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const run = promisify(execFile);
const separator = '\u001e';

interface Block {
  readonly language: string;
  readonly text: string;
}

const forBash = { skip: process.platform === 'win32' && 'it is written for bash' };

test('every command of the README, the tour and the page on agents prints what they say', forBash, async (t) => {
  const { server, home, PATH } = await start(t);
  const example = stepsIn(section('README.md', 'An example'));
  const tour = stepsIn(section('src/jobs/README.md', 'A tour with curl'));
  const agents = stepsIn(page('src/agents/README.md'));
  assert.ok(example.length === 1 && tour.length > 10 && agents.length > 5);
  const steps = [...example, ...tour, ...agents];
  const script = steps.map(({ text }) => `${atServer(text, server)}\nprintf '${separator}'`).join('\n');
  const options = { env: { PATH, HOME: home } };
  const { stdout, stderr } = await run('bash', ['--norc', '-euo', 'pipefail', '-c', script], options);
  assert.equal(stderr, '');
  const printed = stdout.split(separator);
  assert.equal(printed.length, steps.length + 1);
  for (const [index, { text, expected }] of steps.entries()) {
    assert.match(printed[index]?.trim() ?? '', patternOf(expected.trim()), text);
  }
});

test('the examples of the client library run', async (t) => {
  const { server, home, PATH } = await start(t);
  const examples = blocksIn(page('src/client/README.md')).map(({ text }) => text);
  const print = async (text: string): Promise<string> => {
    const options = { cwd: root, env: { PATH, HOME: home, SIDECAR_API_KEY: server.key } };
    const program = atServer(text, server);
    return (await run(process.execPath, ['--input-type=module', '-e', program], options)).stdout;
  };
  assert.equal(await print(examples[0] ?? ''), 'failed 3 hello\n\na line\nthe last one\n');
  if (process.platform === 'win32') return;
  const opening = (examples[0] ?? '').split('\n\n').slice(0, 2).join('\n');
  const agent = examples.find((text) => text.includes('sidecar.agents'));
  const events = ['agent', 'session', 'prompt', 'update', 'permission', 'permission', 'update', 'update', 'stop'];
  assert.equal(await print(`${opening}\n${agent}`), `${events.join('\n')}\nend_turn a1 Done.\n\n`);
  const [own] = blocksIn(page('src/agents/README.md')).filter(({ language }) => language === 'js');
  assert.equal(await print(own?.text ?? ''), 'end_turn Hello. null 0\n');
});

test('the list of settings is what the program knows', () => {
  const items = describeSettings().map(({ variable, description, fallback, flags: [flag] }) => {
    const isNone = fallback === undefined || (Array.isArray(fallback) && fallback.length === 0);
    const names = [...(flag === undefined ? [] : [`--${flag}`]), variable].map((name) => `\`${name}\``).join(', ');
    return `${names} (default ${isNone ? 'none' : `\`${String(fallback)}\``}): ${description}`;
  });
  assert.deepEqual(itemsIn(page('src/config/README.md')), items);
});

test('the list of calls has every route and no other', async (t) => {
  const { server } = await start(t);
  const { paths } = await (await fetch(`${server.url}/openapi.json`)).json() as { paths: { [path: string]: object } };
  const routes = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  const named = itemsIn(section('src/http/README.md', 'Calls')).map((item) => /^`([^`]+)`: /.exec(item)?.[1] ?? '');
  assert.deepEqual(named.sort(), routes.sort());
});

test('the help lists every command and no other', async () => {
  const groups = await commandGroups();
  const commands = groups.flatMap((group) => group.commands.map(({ name }) => name));
  const files = readdirSync(join(root, 'src', 'cli'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && /^export const command\b/m.test(readFileSync(join(root, 'src', 'cli', file), 'utf8')));
  assert.equal(files.length, commands.length, 'every command is in the catalog');
  const named = programHelp(groups, painter(false)).split('\n').map((line) => /^  ([a-z]{2,}) {2,}\S/.exec(line)?.[1]).filter((name) => name !== undefined);
  assert.deepEqual(named.sort(), commands.sort());
});

interface Started {
  readonly home: string;
  readonly server: InProcessServer;
  /** What stands for an agent is there. */
  readonly PATH: string;
}

/** A server that found its home as the README tells it. */
async function start(t: TestContext): Promise<Started> {
  const home = temporaryFolder(t);
  const stateDir = join(home, '.local', 'state', 'machine-sidecar');
  mkdirSync(dirname(stateDir), { recursive: true });
  const programs = join(home, 'bin');
  mkdirSync(programs);
  symlinkSync(join(root, 'test', 'fixtures', 'readme-agent.mjs'), join(programs, 'gemini'));
  const PATH = `${programs}${delimiter}${process.env['PATH'] ?? ''}`;
  return { home, PATH, server: await startTestServer(t, { stateDir, environment: { SIDECAR_API_KEY: undefined, PATH } }) };
}

interface Step {
  readonly text: string;
  readonly expected: string;
}

/** The commands, each with what it prints. */
function stepsIn(text: string): Step[] {
  const blocks = blocksIn(text);
  return blocks.flatMap(({ language, text: command }, index) => {
    if (language !== 'sh') return [];
    const next = blocks[index + 1];
    return [{ text: command, expected: next && next.language !== 'sh' ? next.text : '' }];
  });
}

function page(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function section(path: string, title: string): string {
  const [, text] = page(path).split(`\n## ${title}\n`);
  assert.ok(text !== undefined, `${path}: ${title}`);
  return text.split('\n## ')[0] ?? '';
}

function atServer(text: string, { url }: InProcessServer): string {
  return text.replaceAll('http://127.0.0.1:8585', url);
}

function blocksIn(text: string): Block[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', content = '']) => ({
    language, text: content,
  }));
}

/** The items of the lists, each in one line. */
function itemsIn(text: string): string[] {
  const items = text.match(/^\* .*(?:\n {2}.*)*/gm) ?? [];
  return items.map((item) => item.slice('* '.length).replaceAll(/\n {2}/g, ' '));
}

/** `…` stands for anything; a line of JSON that begins with blanks continues the one before. */
function patternOf(expected: string): RegExp {
  const parts = expected.replaceAll(/\n +/g, '').split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^]*?')}$`);
}
