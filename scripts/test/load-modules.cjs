/**
 * Loads the modules of the build for a test, from the file that `modules.mjs` has written.
 *
 * Compiling them is most of what it takes, so V8's code of them is kept beside the file: by the first test that ends
 * well and has started a server, which needs most of them.
 *
 * @module
 */
'use strict';
const { existsSync, readFileSync, renameSync, writeFileSync } = require('fs');
const { SourceMap, findSourceMap } = require('module');
const { join } = require('path');
const { fileURLToPath, pathToFileURL } = require('url');
const { Script } = require('vm');

const root = join(__dirname, '..', '..');
const dist = join(root, 'dist');
const filename = join(root, '.setup', 'tests', 'modules.cjs');
const source = readFileSync(filename, 'latin1');
/** Of the file, which is its last line. */
const hash = source.slice(source.lastIndexOf(' ') + 1).trim();
const kept = join(root, '.setup', 'tests', `code-${hash}-${process.version}-${process.arch}`);
const widest = 'server/server.js';

const script = new Script(source, { filename, cachedData: existsSync(kept) ? readFileSync(kept) : undefined });
const modules = script.runInThisContext()({
  $load: load,
  $builtin: require,
  $import: (address) => import(address),
  $url: (name) => pathToFileURL(join(dist, name)).href,
});
const loaded = new Map();

/** @returns what a module exports. @param name Its name in the build: `base/log.js`. */
function load(name) {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const exported = modules[name]();
  loaded.set(name, exported);
  return exported;
}
exports.load = load;

if (script.cachedDataRejected !== false) process.once('exit', keepCode);

function keepCode(exitCode) {
  if (exitCode !== 0 || !loaded.has(widest) || existsSync(kept)) return;
  try {
    writeFileSync(`${kept}.${process.pid}`, script.createCachedData());
    renameSync(`${kept}.${process.pid}`, kept);
  } catch {
    // The disk is full: the next test compiles them as well.
  }
}

/** As Node does with `--enable-source-maps`, which does not know the maps of the modules. */
Error.prepareStackTrace = (error, frames) => {
  const isCoded = /^ERR_/.test(error.code) && !`${error.name}`.includes('[');
  const head = isCoded ? `${error.name} [${error.code}]: ${error.message}` : Error.prototype.toString.call(error);
  return [head, ...frames.map((frame) => `    at ${described(frame)}`)].join('\n');
};

function described(frame) {
  const text = String(frame);
  const [file, line, column] = [frame.getFileName(), frame.getLineNumber(), frame.getColumnNumber()];
  if (typeof file !== 'string' || line === null || file.startsWith('node:')) return text;
  const { originalSource, originalLine, originalColumn } = originOf(file, line - 1, column - 1) ?? {};
  if (originalSource === undefined) return text;
  const path = originalSource.startsWith('file:') ? fileURLToPath(originalSource) : originalSource;
  return text.replace(`${file}:${line}:${column}`, () => `${path}:${originalLine + 1}:${originalColumn + 1}`);
}

function originOf(file, line, column) {
  if (file !== filename) return findSourceMap(file)?.findEntry(line, column);
  const { name, firstLine } = moduleAt(line);
  const mapFile = join(dist, `${name}.map`);
  if (name === '' || !existsSync(mapFile)) return undefined;
  const map = new SourceMap(JSON.parse(readFileSync(mapFile, 'utf8')));
  const entry = map.findEntry(line - firstLine, column);
  if (entry.originalSource === undefined) return undefined;
  return { ...entry, originalSource: new URL(entry.originalSource, pathToFileURL(mapFile)).href };
}

let lines;

/** @returns the module that has a line of the file, and its first line. */
function moduleAt(line) {
  lines ??= source.split('\n');
  for (let at = line; at >= 0; at -= 1) {
    const [, name] = /^'([^']+\.js)'\(\) \{$/.exec(lines[at]) ?? [];
    if (name !== undefined) return { name, firstLine: at + 1 };
  }
  return { name: '', firstLine: 0 };
}
