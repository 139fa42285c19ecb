/**
 * Compiles the tests, so that they load without a loader, which takes longer to start than most of them to run. What
 * they import from `src` is the build, `dist`, as in production, and like there from one file: see `modules.mjs`.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { isProgram, writeModules } from './modules.mjs';

const { factory } = ts;
/** What loads the modules of the build, and its name in the compiled tests. */
const loader = pathToFileURL(join(dirname(fileURLToPath(import.meta.url)), 'load-modules.cjs')).href;
const load = 'loadModule';
const options = {
  module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true, inlineSourceMap: true,
};

/**
 * Compiles each test that has changed since the last time.
 *
 * @param files The tests that are asked for, relative to `root`; one that is elsewhere is compiled into `folder`.
 * @returns Where the compiled form of each of them is.
 */
export function compileTests(root, files, folder) {
  const outDir = join(root, '.setup', 'tests');
  writeModules(join(root, 'dist'), outDir);
  const salt = readFileSync(fileURLToPath(import.meta.url));
  const made = new Set();
  // Some tests are about the scripts.
  for (const file of ['test', 'scripts'].flatMap((part) => sourcesIn(join(root, part), '.ts'))) {
    const out = compiled(outDir, relative(root, file));
    made.add(out);
    const source = readFileSync(file, 'utf8');
    const stamp = `\n// ${createHash('sha256').update(salt).update(source).digest('hex')}\n`;
    if (existsSync(out) && readFileSync(out, 'utf8').endsWith(stamp)) continue;
    mkdirSync(dirname(out), { recursive: true });
    // Another run of the tests may be reading it.
    writeFileSync(`${out}.${process.pid}`, compile({ root, outDir, file, source }) + stamp);
    renameSync(`${out}.${process.pid}`, out);
  }
  for (const old of sourcesIn(outDir, '.js')) if (!made.has(old)) rmSync(old);
  return new Map(files.map((file, index) => {
    const out = compiled(outDir, relative(root, resolve(root, file)));
    if (made.has(out)) return [file, out];
    const elsewhere = join(folder, `test-${index}.js`);
    mkdirSync(folder, { recursive: true });
    const source = readFileSync(join(root, file), 'utf8');
    writeFileSync(elsewhere, compile({ root, outDir, file: resolve(root, file), source }));
    return [file, elsewhere];
  }));
}

function compile({ root, outDir, file, source }) {
  const sourceRoot = pathToFileURL(dirname(file)).href;
  const { outputText } = ts.transpileModule(source, {
    fileName: file, compilerOptions: { ...options, sourceRoot },
    transformers: { before: [(context) => (tree) => withAddresses(tree, context, { root, outDir, file })] },
  });
  return outputText;
}

/**
 * The module with the address of each module that it imports, and its own, which are elsewhere once it is compiled.
 * Modules of the build are loaded from their one file, unless the test replaces functions of Node's own modules: only
 * the import of a file notices that.
 */
function withAddresses(tree, context, { root, outDir, file }) {
  let isLoading = false;
  const isPatching = tree.text.includes('syncBuiltinESMExports');
  const addressed = (specifier) => (ts.isStringLiteral(specifier) && /^\.\.?\//.test(specifier.text)
    ? factory.createStringLiteral(addressOf(root, outDir, join(dirname(file), specifier.text)), true)
    : specifier);
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) {
      const name = isPatching ? undefined : nameInBuild(root, join(dirname(file), node.moduleSpecifier.text));
      const isLoaded = name !== undefined && !node.importClause.isTypeOnly;
      isLoading ||= isLoaded;
      if (name !== undefined) return isLoaded ? loadingOf(node.importClause, name) : undefined;
      const { modifiers, importClause, moduleSpecifier, attributes } = node;
      return factory.updateImportDeclaration(node, modifiers, importClause, addressed(moduleSpecifier), attributes);
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      return factory.updateCallExpression(node, node.expression, undefined, node.arguments.map(addressed));
    }
    if (ts.isPropertyAccessExpression(node) && node.getText(tree) === 'import.meta.url') {
      return factory.createStringLiteral(pathToFileURL(file).href, true);
    }
    return ts.visitEachChild(node, visit, context);
  };
  const made = ts.visitNode(tree, visit);
  return isLoading ? factory.updateSourceFile(made, [importOfLoader(), ...made.statements]) : made;
}

/** @returns the name of a module of the build, `base/log.js`; `undefined`: it is of the tests, or a program. */
function nameInBuild(root, target) {
  const path = relative(join(root, 'src'), target).replaceAll('\\', '/');
  return path.startsWith('..') || !path.endsWith('.ts') || isProgram(js(path)) ? undefined : js(path);
}

/** `import { load as loadModule } from …` */
function importOfLoader() {
  const names = factory.createNamedImports([
    factory.createImportSpecifier(false, factory.createIdentifier('load'), factory.createIdentifier(load)),
  ]);
  return factory.createImportDeclaration(
    undefined, factory.createImportClause(false, undefined, names), factory.createStringLiteral(loader, true),
  );
}

/** `const { a, b: c } = loadModule('base/log.js')` for an import of the same names. */
function loadingOf({ namedBindings }, name) {
  const names = ts.isNamespaceImport(namedBindings) ? namedBindings.name : factory.createObjectBindingPattern(
    namedBindings.elements.filter((element) => !element.isTypeOnly)
      .map((element) => factory.createBindingElement(undefined, element.propertyName, element.name)),
  );
  const call = factory.createCallExpression(
    factory.createIdentifier(load), undefined, [factory.createStringLiteral(name, true)],
  );
  const declaration = factory.createVariableDeclaration(names, undefined, undefined, call);
  return factory.createVariableStatement(
    undefined, factory.createVariableDeclarationList([declaration], ts.NodeFlags.Const),
  );
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
