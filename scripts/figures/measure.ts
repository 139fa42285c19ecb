/**
 * Measures the sources: lengths, language, imports, and what is written more than once.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';
import { unwantedWordsIn } from './language.ts';

/** One figure, with what is aimed for. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly aim: string;
}

interface Source {
  /** Below the checkout, with slashes. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly tree: ts.SourceFile;
  /** The files of `src` that it imports. */
  readonly imports: readonly string[];
}

/** @param root The checkout. */
export function measure(root: string): Figure[] {
  const sources = readSources(root);
  return [
    ...sizes(sources), ...columns(root, sources), ...language(root), ...folders(sources), ...graph(sources),
    ...repetitions(sources), ...comments(sources), ...tests(root),
  ];
}

function sizes(sources: readonly Source[]): Figure[] {
  const lengths = sources.map(({ lines }) => lines.length);
  const functions = sources.flatMap((source) => functionLengths(source));
  const short = functions.filter((length) => length <= 20).length;
  return [
    figure('files in src', sources.length, 'as few as there are ideas'),
    figure('lines in src', sum(lengths), 'fewer'),
    figure('median length of a file', median(lengths), '60 to 150 lines'),
    figure('files over 400 lines', lengths.filter((length) => length > 400).length, '0'),
    figure('functions of at most 20 lines', percent(short, functions.length), '96 % or more'),
    figure('longest function', `${Math.max(0, ...functions)} lines`, '80 lines or fewer'),
  ];
}

function columns(root: string, sources: readonly Source[]): Figure[] {
  const all = [...sources.flatMap(({ lines }) => lines), ...otherTexts(root).flatMap(({ lines }) => lines)];
  const over = (limit: number): number => all.filter((line) => line.length > limit).length;
  return [
    figure('lines over 100 columns', percent(over(100), all.length), '20 % or less'),
    figure('lines over 120 columns', over(120), '0'),
  ];
}

function language(root: string): Figure[] {
  const lines = texts(root).flatMap((text) => text.lines);
  const unwanted = sum(lines.map((line) => unwantedWordsIn(line).length));
  return [figure('unwanted words', unwanted, 'those that the test lists')];
}

function folders(sources: readonly Source[]): Figure[] {
  const counts = countBy(sources.map(({ path }) => posix.dirname(path)));
  const [path, count] = greatest(counts);
  return [figure('fullest folder', `${count} files (${path})`, '20 files or fewer')];
}

function graph(sources: readonly Source[]): Figure[] {
  const fanOut = new Map(sources.map(({ path, imports }) => [path, imports.length]));
  const [path, count] = greatest(fanOut);
  return [
    figure('imports of ours per file', (sum([...fanOut.values()]) / sources.length).toFixed(1), '5 or fewer'),
    figure('greatest number of imports', `${count} (${path})`, '20 or fewer'),
    figure('import cycles', cycles(sources), '0'),
  ];
}

function repetitions(sources: readonly Source[]): Figure[] {
  const names = countBy(sources.map(({ path }) => posix.basename(path)));
  const shared = [...names].filter(([name, count]) => count > 1 && name !== 'routes.ts').length;
  const casts = count(sources, (node) =>
    ts.isAsExpression(node) && node.type.getText() === 'NodeJS.ErrnoException');
  const nested = count(sources, (node) => ts.isConditionalExpression(node) && isWithinTernary(node));
  return [
    figure('file names in several folders', shared, '10 or fewer, beside routes.ts'),
    figure('casts to NodeJS.ErrnoException', casts, '1 (errorCode)'),
    figure('ternaries in ternaries', nested, '0'),
    figure('tags of unions', unionTags(sources), 'type'),
  ];
}

function comments(sources: readonly Source[]): Figure[] {
  const lines = sources.flatMap((source) => source.lines);
  const commented = lines.filter((line) => /^\s*(\/\/|\/\*|\*)/.test(line)).length;
  return [figure('lines of comment', percent(commented, lines.length), '10 to 20 %')];
}

function tests(root: string): Figure[] {
  const found = filesIn(root, 'test').filter((path) => path.endsWith('.test.ts'));
  const declared = sum(found.map((path) => {
    let calls = 0;
    visit(parse(path, readFileSync(join(root, path), 'utf8')), (node) => {
      if (ts.isCallExpression(node) && /^(test|it)(\.\w+)?$/.test(node.expression.getText())) calls++;
    });
    return calls;
  }));
  return [
    figure('files of tests', found.length, 'one for each idea'),
    figure('tests that they declare', declared, 'more'),
    figure('last npm test', lastRun(root), '5 minutes or less'),
  ];
}

/** What `npm test` noted about its last run of all tests. */
function lastRun(root: string): string {
  const file = join(root, '.setup', 'last-test.json');
  if (!existsSync(file)) return 'not recorded';
  const { seconds, exitCode }: { seconds: number; exitCode: number } = JSON.parse(readFileSync(file, 'utf8'));
  return `${Math.round(seconds)} s${exitCode === 0 ? '' : `, exit code ${exitCode}`}`;
}

function functionLengths({ tree }: Source): number[] {
  const lengths: number[] = [];
  visit(tree, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
    const [start, end] = [node.getStart(tree), node.getEnd()].map((at) => tree.getLineAndCharacterOfPosition(at).line);
    lengths.push((end ?? 0) - (start ?? 0) + 1);
  });
  return lengths;
}

function isWithinTernary(node: ts.Node): boolean {
  let outer = node.parent;
  while (ts.isParenthesizedExpression(outer)) outer = outer.parent;
  return ts.isConditionalExpression(outer);
}

/** How often each name is the tag of a union: a property whose type is a literal, in each of its members. */
function unionTags(sources: readonly Source[]): string {
  const tags: string[] = [];
  for (const { tree } of sources) {
    visit(tree, (node) => {
      if (!ts.isUnionTypeNode(node)) return;
      const [first = [], ...others] = node.types.map((type) => literalProperties(membersOf(type, tree)));
      const tag = first.find((name) => others.every((names) => names.includes(name)));
      if (tag !== undefined && others.length > 0) tags.push(tag);
    });
  }
  return [...countBy(tags)].sort(([, a], [, b]) => b - a).map(([name, times]) => `${name} ${times}`).join(', ');
}

/** The members of an object type that is written out or is an interface of the same file. */
function membersOf(type: ts.TypeNode, tree: ts.SourceFile): readonly ts.TypeElement[] {
  if (ts.isTypeLiteralNode(type)) return type.members;
  if (!ts.isTypeReferenceNode(type)) return [];
  const name = type.typeName.getText();
  const declared = tree.statements.filter((statement) => ts.isInterfaceDeclaration(statement))
    .find((statement) => statement.name.text === name);
  return declared?.members ?? [];
}

function literalProperties(members: readonly ts.TypeElement[]): string[] {
  return members.flatMap((member) =>
    ts.isPropertySignature(member) && member.type !== undefined && ts.isLiteralTypeNode(member.type)
      ? [member.name.getText()]
      : []);
}

/** Imports that close a circle, counted once each. */
function cycles(sources: readonly Source[]): number {
  const imports = new Map(sources.map((source) => [source.path, source.imports]));
  const state = new Map<string, 'open' | 'done'>();
  let found = 0;
  const enter = (path: string): void => {
    state.set(path, 'open');
    for (const next of imports.get(path) ?? []) {
      if (state.get(next) === 'open') found++;
      else if (!state.has(next)) enter(next);
    }
    state.set(path, 'done');
  };
  for (const path of imports.keys()) if (!state.has(path)) enter(path);
  return found;
}

function readSources(root: string): Source[] {
  return filesIn(root, 'src').filter((path) => path.endsWith('.ts')).map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    const tree = parse(path, text);
    return { path, lines: linesOf(text), tree, imports: importsOf(path, tree) };
  });
}

function importsOf(path: string, tree: ts.SourceFile): string[] {
  const found = new Set<string>();
  for (const statement of tree.statements) {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) continue;
    const { moduleSpecifier: specifier } = statement;
    if (specifier === undefined || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) continue;
    found.add(posix.join(posix.dirname(path), specifier.text));
  }
  return [...found];
}

export interface Text {
  readonly path: string;
  readonly lines: readonly string[];
}

/** All that people read: sources, scripts and pages. */
export function texts(root: string): Text[] {
  const sources = filesIn(root, 'src').filter((path) => path.endsWith('.ts'));
  return [...sources.map((path) => read(root, path)), ...otherTexts(root)];
}

function otherTexts(root: string): Text[] {
  const scripts = filesIn(root, 'scripts').filter((path) => !path.endsWith('.json'));
  const pages = [...filesIn(root, 'src').filter((path) => !path.endsWith('.ts')), ...filesIn(root, '.github')];
  return ['README.md', ...scripts, ...pages].filter((path) => !isBinary(path)).map((path) => read(root, path));
}

function read(root: string, path: string): Text {
  return { path, lines: linesOf(readFileSync(join(root, path), 'utf8')) };
}

function isBinary(path: string): boolean {
  return /\.(png|ico|woff2?|gz|tgz)$/.test(path);
}

/** Files below a folder of the checkout, with slashes; without installed packages. */
export function filesIn(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name);
      if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesIn(root, path);
      return entry.isFile() ? [path] : [];
    });
}

function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

function count(sources: readonly Source[], fits: (node: ts.Node) => boolean): number {
  let found = 0;
  for (const { tree } of sources) visit(tree, (node) => { if (fits(node)) found++; });
  return found;
}

function countBy(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function greatest(counts: ReadonlyMap<string, number>): readonly [string, number] {
  return [...counts].reduce((most, one) => (one[1] > most[1] ? one : most), ['none', 0]);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function median(numbers: readonly number[]): string {
  return `${numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0} lines`;
}

function percent(part: number, whole: number): string {
  return `${(100 * part / Math.max(1, whole)).toFixed(1)} %`;
}

function figure(name: string, value: number | string, aim: string): Figure {
  return { name, value: String(value), aim };
}
