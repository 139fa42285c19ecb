/** ripgrep and the search of the server itself find the same, in a tree with everything that could tell them apart. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Roots } from '../../../src/base/files/roots.ts';
import { Finder } from '../../../src/files/find/finder.ts';
import { findProgram } from '../../../src/process/find-program.ts';
import type { FindEnd, FindRecord, FindRequest } from '../../../src/protocol/files/find.ts';
import { temporaryFolder } from '../../support/server.ts';

const programPath = process.env['PATH'] ?? '';
const skip = findProgram('rg', programPath) === undefined ? 'needs ripgrep' : false;

type Query = Omit<FindRequest, 'path'>;

const files: { readonly [path: string]: string | Buffer } = {
  'a.txt': 'one\ntwo\nthree\nTWO two\n', 'no-end': 'two', 'empty': '', 'crlf.txt': 'one\r\ntwo\r\n\r\nthree two\r\n', 'cr': 'two\rtwo\n',
  'src/main.ts': 'const two = 2;\n\n// TODO: two\n\texport { two };\n', 'src/deep/er/x.ts': 'two\n', 'src/x.js': 'two\n', 'SRC.TS': 'two\n',
  '.hidden': 'two\n', '.config/x': 'two\n', '.git/config': 'two\n', '.git/HEAD': 'ref\n', 'sub/.git': 'gitdir: x\n', 'sub/in.txt': 'two\n',
  '.gitignore': '*.log\n/build/\n!keep.log\n# two\nnode_modules\n\\#odd\ntrailing \n**/gen/*.out\n', 'x.log': 'two\n', 'keep.log': 'two\n',
  'build/x': 'two\n', 'src/build/x': 'two\n', 'node_modules/m/x': 'two\n', '#odd': 'two\n', 'trailing': 'two\n', 'a/gen/x.out': 'two\n', 'a/gen/y.txt': 'two\n',
  'src/.gitignore': '*.js\n!/deep\n', 'src/keep.log': 'two\n', 'sub/.gitignore': 'in.*\n', 'sub/.ignore': '!in.txt\n', 'sub/x.log': 'two\n',
  'ig/.ignore': 'x\n', 'ig/x': 'two\n', 'ig/y': 'two\n', 'ig/.rgignore': '!x\n',
  'binary': Buffer.from('two\0two\n'), 'late-binary': Buffer.concat([Buffer.from('two\n'.repeat(20)), Buffer.from([0]), Buffer.from('two\n')]),
  'bom.txt': Buffer.from('\ufefftwo\nüwo\n'), 'utf16le': Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('one\ntwo ü\n', 'utf16le')]),
  'utf16be': Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from('two\n', 'utf16le').swap16()]),
  'latin1': Buffer.from('tw\xf6 two\ntwo\n', 'latin1'), 'emoji': '🙂 two 🙂\nK K ſ s é e\u0301\n', 'long': `${'x'.repeat(3000)}two${'y'.repeat(3000)}\n${'z'.repeat(700)}\n`,
  'blank lines': '\n\ntwo\n\n', 'tabs\tname': 'two\n', 'nl\nname': 'two\n', '-dash': 'two\n', 'ünï': 'two\n', 'lines': 'a\u2028two\u2029b\u0085two\n',
};

function makeTree(t: TestContext): string {
  const folder = temporaryFolder(t);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  symlinkSync('a.txt', join(folder, 'link'));
  symlinkSync('src', join(folder, 'linked'));
  symlinkSync('/etc', join(folder, 'out'));
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x66])]), 'two\n');
  return folder;
}

async function all(finder: Finder, request: FindRequest): Promise<{ readonly end: FindEnd; readonly found: readonly FindRecord[] }> {
  const records: FindRecord[] = [];
  for await (const batch of finder.find(request, new AbortController().signal)) records.push(...batch);
  const end = records.at(-1);
  assert.ok(end?.type === 'end', JSON.stringify(end));
  return { end, found: records.slice(1, -1) };
}

const texts: readonly Query[] = [
  'two', 'TWO', 't', '\t', ' ', 'ü', 'ö', '🙂', 'é', '.', '(', '[', '*', '\\', '$', '^', '-', '--', '{', '}', 'two;', '\u2028', 'no such text',
].map((text) => ({ text }));

const expressions: readonly Query[] = [
  't.o', '^two', 'two$', '^two$', '^$', '^', '$', '', 'x*', 'tw?o', 't(w|x)o', '(?:one|two)\\b', '\\bt', 'o\\B', '\\w+', '\\W', '\\d', '\\D+', '\\s', '\\S+',
  '[a-c]', '[^a-z]', '[\\w-]+', '[^\\s]', '\\u{1f642}', '\\ud83d\\ude42', '\\x74wo', '\\p{L}+', '\\P{L}', '[\\p{Lu}\\d]', '\\.', '\\/', 'a|b|', '(two|t)(wo)?',
  't{1,2}', '.{5,}', '.$', '[^]', '[]', '\\t', '(?<name>t)wo', 'k', 's', 'ſ', '\\r', 'two\\r?$', '[\\r]', '.*two.*', '[^\\n]o', '\\0',
].map((regex) => ({ regex }));

/** What case may change. */
const folded: readonly Query[] = [
  ...['TWO', 'Ü', 'É', 'T'].map((text) => ({ text })), ...['k', 's', 'ſ', 'K', '[a-c]', '[^a-z]', '\\w+', '\\W', '\\bT', '\\p{Lu}', '\\P{Lu}', '[\\p{Ll}\\d]'].map((regex) => ({ regex })),
].map((query) => ({ ...query, caseSensitive: false }));

const others: readonly Query[] = [
  { text: 'two', ignored: true }, { text: 'two', hidden: false }, { text: 'two', hidden: false, ignored: true },
  { text: 'two', context: 1 }, { text: 'two', before: 3, after: 0 }, { text: 'three', after: 2 }, { text: 'two', lineCharacters: 20 },
  { text: 'two', glob: '*.ts' }, { text: 'two', glob: ['*.txt', '*.ts', '!deep'] }, { text: 'two', glob: 'src/**' }, { text: 'two', glob: 'src/*.{ts,js}' },
  { text: 'two', glob: '*.ts', caseSensitive: false }, { text: 'two', glob: '!*.txt' }, { text: 'two', glob: '[a-c]*' }, { text: 'two', glob: '**/er/*' },
  { text: 'two', glob: '*.log' }, { text: 'two', glob: '*.log', ignored: true }, { text: 'two', glob: 'ü*' }, { text: 'two', glob: '/a.txt' }, { text: 'two', glob: 'no such' },
  { text: 'two', limit: 3 }, { text: 'two', limit: 3, context: 1 }, { text: 'two', type: 'file' },
];

test('both engines find the same in one tree', { skip }, async (t) => {
  const folder = makeTree(t);
  const roots = Roots.everywhere(folder);
  const [byRg, byOwn] = [new Finder({ roots, programPath }), new Finder({ roots, programPath: '' })];
  let matches = 0;
  for (const query of [...texts, ...expressions, ...folded, ...others]) {
    const [rg, own] = [await all(byRg, { path: folder, ...query }), await all(byOwn, { path: folder, ...query })];
    const shown = JSON.stringify(query);
    assert.deepEqual([rg.end.engine, own.end.engine], ['rg', 'own'], shown);
    assert.deepEqual(own.found, rg.found, shown);
    const { elapsedMs: _, engine: __, ...summary } = own.end;
    assert.deepEqual({ ...rg.end, elapsedMs: undefined, engine: undefined }, { ...summary, elapsedMs: undefined, engine: undefined }, shown);
    matches += own.end.matches;
  }
  assert.ok(matches > 1000, `${matches} matches`);
});

test('a regular expression that never ends holds nothing up, and ends with the time', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'f'), `${'x'.repeat(3000)}\n`);
  const finder = new Finder({ roots: Roots.everywhere(folder), programPath: '' });
  let ticks = 0;
  const ticking = setInterval(() => { ticks += 1; }, 5);
  t.after(() => clearInterval(ticking));
  const { end, found } = await all(finder, { path: folder, regex: '(x+x+)+y', timeLimitMs: 500 });
  assert.deepEqual([found, end.truncated, end.stoppedBy], [[], true, 'time']);
  assert.ok(ticks > 10, `${ticks} ticks`);
});

test('by name, and in one file, both find what there is', async (t) => {
  const folder = makeTree(t);
  const finder = new Finder({ roots: Roots.everywhere(folder), programPath });
  const names = async (query: Query, path = folder): Promise<readonly string[]> =>
    [...new Set((await all(finder, { path, ...query })).found.map((record) => ('path' in record ? record.path : '')))];
  assert.deepEqual(await names({ glob: '*.ts' }), ['src/deep/er/x.ts', 'src/main.ts']);
  assert.deepEqual(await names({ glob: '*.ts', caseSensitive: false }), ['SRC.TS', 'src/deep/er/x.ts', 'src/main.ts']);
  assert.deepEqual(await names({ glob: 'link*', type: 'symlink' }), ['link', 'linked']);
  assert.deepEqual(await names({ glob: '{er,build}', type: 'directory', ignored: true }), ['build', 'src/build', 'src/deep/er']);
  assert.deepEqual(await names({ text: 'two' }, join(folder, 'x.log')), ['x.log']);
  assert.deepEqual(await names({ glob: '*' }, join(folder, 'src/deep')), ['er', 'er/x.ts']);
  // The rules of directories above what is searched count, too.
  assert.deepEqual(await names({ text: 'two' }, join(folder, 'src')), ['build/x', 'deep/er/x.ts', 'keep.log', 'main.ts']);
  const [odd] = (await all(finder, { path: folder, glob: '\ufffdf' })).found;
  assert.ok(odd?.type === 'file' && odd.pathBase64 === Buffer.from([0xff, 0x66]).toString('base64'), JSON.stringify(odd));
});
