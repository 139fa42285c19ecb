/**
 * Compiles the tests, so that they load without a loader, which takes longer to start than most of them to run. What
 * they import from `src` is the build, `dist`, as in production.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';

const options = {
  module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true, inlineSourceMap: true,
};
const specifier = /(\bfrom |\bimport |\bimport\()'(\.\.?\/[^'\n]+)'/g;

/**
 * Compiles each test that has changed since the last time.
 *
 * @returns Where the compiled form of a test is: `test/base/log.test.ts` → its path.
 */
export function compileTests(root) {
  const outDir = join(root, '.setup', 'tests');
  const salt = readFileSync(fileURLToPath(import.meta.url));
  const made = new Set();
  // Some tests are about the scripts.
  for (const file of ['test', 'scripts'].flatMap((folder) => sourcesIn(join(root, folder), '.ts'))) {
    const out = compiled(outDir, relative(root, file));
    made.add(out);
    const source = readFileSync(file, 'utf8');
    const stamp = `\n// ${createHash('sha256').update(salt).update(source).digest('hex')}\n`;
    if (existsSync(out) && readFileSync(out, 'utf8').endsWith(stamp)) continue;
    mkdirSync(dirname(out), { recursive: true });
    // Another run of the tests may be reading it.
    writeFileSync(`${out}.${process.pid}`, compile(root, outDir, file, source) + stamp);
    renameSync(`${out}.${process.pid}`, out);
  }
  for (const old of sourcesIn(outDir, '.js')) if (!made.has(old)) rmSync(old);
  return (test) => compiled(outDir, test);
}

function compile(root, outDir, file, source) {
  const sourceRoot = pathToFileURL(dirname(file)).href;
  const { outputText } = ts.transpileModule(source, { fileName: file, compilerOptions: { ...options, sourceRoot } });
  return outputText
    .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(file).href))
    .replace(specifier, (_, before, path) => `${before}'${addressOf(root, outDir, join(dirname(file), path))}'`);
}

/** The URL by which compiled tests import a module. */
function addressOf(root, outDir, target) {
  if (!target.endsWith('.ts')) return pathToFileURL(target).href;
  const path = relative(root, target);
  const [folder, ...rest] = path.split(sep);
  return pathToFileURL(folder === 'src' ? join(root, 'dist', js(join(...rest))) : compiled(outDir, path)).href;
}

function compiled(outDir, path) {
  return join(outDir, js(path));
}

function js(path) {
  return path.replace(/\.ts$/, '.js');
}

function sourcesIn(folder, ending) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}
