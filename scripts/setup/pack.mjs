/**
 * Turns `dist` into what is published: a file or two for each program, and the types of the exports. A checkout keeps
 * every module, which is good for tests and for reading; an installed package only needs to be small and to start fast.
 *
 *     node scripts/setup/pack.mjs begin    before npm packs: `dist` is replaced, and kept in .setup
 *     node scripts/setup/pack.mjs end      afterwards: `dist` is as it was
 *
 * If it is interrupted in between, `dist` has no stamp, and the next command builds it again.
 *
 * @module
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { compilerOf, programStores, restoreModules, writePrograms } from './bundle.mjs';
import { prepare } from './prepare.mjs';
import { neededTypes } from './types.mjs';

/** The modules that the package exports, whose types it contains. */
const exported = ['index', 'client/client'];
const parserMakers = new Set([
  'anything', 'array', 'boolean', 'defining', 'described', 'either', 'eitherTextOr', 'emptyIsAbsent', 'endpoint',
  'fieldsOf', 'fromText', 'integer', 'list', 'mapOf', 'maybe', 'notEmpty', 'nullable', 'number', 'object', 'ofType',
  'oneOf', 'only', 'optional', 'optionalText', 'orNull', 'parser', 'record', 'repeated', 'resource', 'shape',
  'shapeOrNull', 'switchOrEmpty', 'switchOrShell', 'switchOrSize', 'text', 'union', 'webSocketEndpoint', 'word',
  'wordOf',
]);
/** Members of an endpoint that only a server needs. */
const serverMembers = new Set([
  'access', 'body', 'description', 'example', 'headers', 'isIdempotent', 'isVital', 'problems', 'protocols', 'query',
  'summary', 'type',
]);
/** The command and the library share nearly all modules, and run only those that are needed. */
const stores = programStores({
  runner: ['agents/runner/run-agent.js'],
  program: ['index.js', 'cli/install-main.js', 'process/launcher/carrier-main.js'],
});
const libraries = ['index.js', 'agents/runner/run-agent.js'];
const licence = { legalComments: 'none', lineLimit: 2000 };

/** @returns {Promise<boolean>} Whether `dist` is ready to be packed; if not, stderr says why. */
export async function beginPack(root) {
  if (!(await prepare(pathToFileURL(join(root, '/'))))) return false;
  const made = join(root, '.setup', 'package');
  rmSync(made, { recursive: true, force: true });
  mkdirSync(dirname(made), { recursive: true });
  await makePackage(root, made);
  rmSync(keptIn(root), { recursive: true, force: true });
  renameSync(join(root, 'dist'), keptIn(root));
  renameSync(made, join(root, 'dist'));
  return true;
}

export function endPack(root) {
  if (!existsSync(keptIn(root))) return;
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  renameSync(keptIn(root), join(root, 'dist'));
}

function keptIn(root) {
  return join(root, '.setup', 'dist');
}

/** Makes the files of the package. @param to Where the files of `dist` go. */
export async function makePackage(root, to) {
  const from = join(root, '.setup', 'modules');
  try {
    cpSync(join(root, 'dist'), from, { recursive: true });
    restoreModules(from);
    await reduce(root, from, to);
  } finally {
    rmSync(from, { recursive: true, force: true });
  }
}

async function reduce(root, from, to) {
  // esbuild comes with tsx, in the version that package-lock.json names.
  const esbuild = await import(pathToFileURL(join(root, 'node_modules', 'esbuild', 'lib', 'main.js')).href);
  const folders = stores.flatMap(({ entries }) => entries.map((entry) => dirname(entry)));
  for (const folder of ['client', ...folders]) mkdirSync(join(to, folder), { recursive: true });
  const written = await writePrograms(root, from, { outDir: to, stores, libraries });
  for (const file of written) await minify(esbuild, join(to, file));
  compress(join(to, 'program.cjs'));
  // Both entries are bundled together, so that they share their error classes; import() of the file that only Node
  // loads stays an import().
  await bundleClient(root, esbuild, from, to);
  const entries = exported.map((name) => `${name}.d.ts`);
  // Editors show the comments of the exports' types; the other comments are for readers of the source.
  const documented = new Set([...entries, ...entries.flatMap((types) => referencesOf(from, types))]);
  for (const [types, text] of await neededTypes(root, from, entries)) {
    mkdirSync(dirname(join(to, types)), { recursive: true });
    const kept = documented.has(types) ? text : text.replaceAll(/^[ \t]*\/\*\*[^]*?\*\/\n/gm, '');
    // The compiler indents by four spaces; a tab is shorter.
    writeFileSync(join(to, types), kept.replaceAll(/^(?: {4})+/gm, (blanks) => '\t'.repeat(blanks.length / 4)));
  }
  chmodSync(join(to, 'cli', 'main.js'), 0o755);
}

const valueOf = (name) => `'use strict';\n${name}({ load,`;

async function minify(esbuild, file) {
  const text = readFileSync(file, 'utf8');
  // The file of a store is an expression whose value would be removed as unused.
  const isValue = text.startsWith(valueOf(''));
  const kept = isValue ? text.replace(valueOf(''), valueOf('kept=')) : text;
  const { code } = await esbuild.transform(kept, { minify: true, target: 'node20', ...licence });
  writeFileSync(file, code.replace(/^("use strict";)kept=/, '$1'));
}

/** Most of the package is this file; `start.cjs` decompresses it when it is first needed. */
function compress(file) {
  const { BROTLI_PARAM_MODE: mode, BROTLI_PARAM_SIZE_HINT: hint, BROTLI_MODE_TEXT: asText } = constants;
  const text = readFileSync(file);
  writeFileSync(`${file}.br`, brotliCompressSync(text, { params: { [mode]: asText, [hint]: text.length } }));
  rmSync(file);
}

async function bundleClient(root, esbuild, from, to) {
  const entries = ['client/client', 'client/socket/socket-node'];
  const ts = await compilerOf(root);
  await esbuild.build({
    entryPoints: entries.map((entry) => join(from, `${entry}.js`)), outdir: to, outbase: from, bundle: true,
    splitting: true, format: 'esm', platform: 'neutral', target: 'node20', minify: true, external: ['node:*'],
    // The chunks are named by the paths below this directory: the same files give the same package.
    absWorkingDir: from, chunkNames: 'client/[name]-[hash]', logLevel: 'error',
    plugins: [clientProtocol(ts)], ...licence,
  });
}

/** The protocol as a client needs it: without documentation, and without the parsers of requests. */
function clientProtocol(ts) {
  return {
    name: 'client-protocol',
    setup({ onLoad }) {
      onLoad({ filter: /[\\/]protocol[\\/]endpoints[\\/][\w-]+\.js$/ }, ({ path }) =>
        ({ contents: withPureCalls(withoutServerMembers(ts, readFileSync(path, 'utf8'))), loader: 'js' }));
      onLoad({ filter: /[\\/](?:protocol[\\/](?:[\w-]+[\\/])?[\w-]+|base[\\/]parse)\.js$/ }, ({ path }) =>
        ({ contents: withPureCalls(withoutDescriptions(ts, readFileSync(path, 'utf8'))), loader: 'js' }));
    },
  };
}

/** Replaces `described('…', parser)` by the parser, and leaves `shape()` the fields that it checks. */
function withoutDescriptions(ts, code) {
  return edited(ts, code, (node) => {
    if (!ts.isCallExpression(node)) return [];
    const [first, second] = node.arguments;
    const name = node.expression.getText();
    if (name === 'described' && second) {
      return [[node.getStart(), second.getStart()], [second.getEnd(), node.getEnd()]];
    }
    if (!['shape', 'shapeOrNull'].includes(name) || !first || !ts.isObjectLiteralExpression(first)) return [];
    const relies = /relies: \[([^\]]*)\]/.exec(second?.getText() ?? '')?.[1] ?? '';
    return first.properties
      .filter((property) => property.name === undefined || !relies.includes(`'${property.name.getText()}'`))
      .map((property) => rangeOf(code, property));
  });
}

/** A member of an object with the comma behind it. */
function rangeOf(code, node) {
  const comma = /^\s*,/.exec(code.slice(node.getEnd()))?.[0].length ?? 0;
  return [node.getFullStart(), node.getEnd() + comma];
}

/** Of an answer the body stays: it is what the client reads. */
function withoutServerMembers(ts, code) {
  const isOfAnswer = (node) => node !== undefined
    && ((ts.isPropertyAssignment(node) && node.name.getText() === 'answers') || isOfAnswer(node.parent));
  return edited(ts, code, (node) => {
    if (!(ts.isPropertyAssignment(node) || ts.isShorthandPropertyAssignment(node))) return [];
    const name = node.name.getText();
    if (!serverMembers.has(name) || (name === 'body' && isOfAnswer(node.parent))) return [];
    return [rangeOf(code, node)];
  });
}

/** The code without the ranges that `cut` names for its nodes; what is in a range is not looked at. */
function edited(ts, code, cut) {
  const ranges = [];
  const visit = (node) => {
    if (ranges.some(([start, end]) => node.getStart() >= start && node.getEnd() <= end)) return;
    ranges.push(...cut(node));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('module.js', code, ts.ScriptTarget.Latest, true));
  return ranges.sort(([a], [b]) => b - a)
    .reduce((text, [start, end]) => text.slice(0, start) + text.slice(end), code);
}

/** Marks the calls that make parsers as free of side effects, so that unused parsers are left out. */
function withPureCalls(code) {
  return code.replaceAll(/(?<![\w$.]|function |new )([a-z]\w*)\(/g, (call, name) =>
    (parserMakers.has(name) ? `/* @__PURE__ */ ${call}` : call));
}

function referencesOf(from, file) {
  return [...readFileSync(join(from, file), 'utf8').matchAll(/(?:from |import\()['"](\.[^'"]+)\.[tj]s['"]/g)]
    .map(([, path]) => posix.join(posix.dirname(file), `${path}.d.ts`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  if (process.argv[2] === 'end') endPack(root);
  else if (!(await beginPack(root))) process.exitCode = 1;
}
