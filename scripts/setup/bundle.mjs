/**
 * Puts a program into one file. Node takes half a millisecond to load a module, and a server has a hundred and fifty
 * of them: most of the time of its start.
 *
 * Each module becomes a function, by the compiler's own translation to CommonJS, which runs when the module is first
 * loaded. So `import()` works as before, and modules that a command does not need are not run.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The TypeScript compiler that the checkout has installed. */
export async function compilerOf(root) {
  const address = pathToFileURL(join(root, 'node_modules', 'typescript', 'lib', 'typescript.js'));
  return (await import(address.href)).default;
}

/** The module of the command, whose compiled code is kept. */
const command = 'cli/main.js';
/** Of the modules that were replaced, which stay beside their programs. */
const ending = '.module';
/** The file with the modules of several programs. */
const shared = 'shared.cjs';

/**
 * The files with the modules of each program. The programs that run an agent or hold a terminal are started often, and
 * keep running while others are updated: each reads little, and all of it at its start.
 *
 * @param more.runner Modules that are entries of the runner's file, too.
 * @param more.program Those of the command's.
 */
export function programStores({ runner = [], program = [] } = {}) {
  return [
    { file: 'runner.cjs', entries: ['agents/runner/main.js', ...runner], isRunWhole: true },
    { file: 'holder.cjs', entries: ['terminals/holder/main.js'], isRunWhole: true },
    { file: 'searcher.cjs', entries: ['files/find/searcher-main.js'], isRunWhole: true },
    { file: 'program.cjs', entries: [command, ...program], isRunWhole: false },
  ];
}

/**
 * Replaces these programs in a build by ones whose modules are in a few files. The other files stay: the library is
 * imported from them, other programs are started from them, and a package is made of them.
 *
 * @param outDir Where the build is.
 */
export async function bundle(root, outDir) {
  for (const entry of entriesIn(outDir)) copyFileSync(entry, entry + ending);
  await writePrograms(root, outDir, { outDir, stores: programStores(), libraries: [] });
}

/** Puts back the modules that {@link bundle} has replaced in a build. */
export function restoreModules(outDir) {
  for (const entry of entriesIn(outDir)) renameSync(entry + ending, entry);
}

function entriesIn(outDir) {
  return programStores().flatMap(({ entries }) => entries.map((entry) => join(outDir, ...entry.split('/'))));
}

/**
 * The imports that are loaded at their first use, not with their importer: what a server or a short command seldom
 * needs at its start. `modules` and `folders` match names in the build, `builtins` those of Node. An import within one
 * domain is not lazy. Two of our modules have regular expressions with classes of Unicode, which V8 takes 1 ms to read.
 */
const lazy = {
  folders: /^(?:agents|files|terminals|update|proxy|websocket|wrapper)\/|^http\/docs\//,
  modules: /^(?:base\/text\/escape|cli\/io\/columns)\.js$/,
  builtins: /^node:(?:child_process|https|module|readline|stream\/promises|tls|tty|zlib)$/,
};

/**
 * Writes programs that share their modules. Each store is a file with the modules that only its own entries import;
 * modules that the entries of several stores import are in one more file, which they all load. An entry is a short file
 * that runs its module and exports what the module exports. `start.cjs` loads the stores.
 *
 * @param outDir Where the build is.
 * @param options.outDir Where the files go.
 * @param options.stores `{ file, entries, isRunWhole }`: entries are modules in the build, with slashes. The modules of
 * a store that is run whole are compiled together with the file; others when they are first loaded, which reads them
 * twice.
 * @param options.libraries The entries that are imported, not run; import() of one below a folder loads its own file.
 * @returns the names of the files that were written.
 */
export async function writePrograms(root, outDir, { outDir: to, stores, libraries }) {
  const ts = await compilerOf(root);
  const entries = stores.flatMap((store) => store.entries);
  const programs = entries.filter((name) => !libraries.includes(name));
  const beside = libraries.filter((name) => name.includes('/'));
  const { sources, storesOf } = collectStores(ts, outDir, stores, beside);
  const codes = new Map([...sources].map(([name, source]) => {
    const code = shorten(translate(ts, name, source, { noEmitHelpers: true }));
    return [name, importsOfFiles(importBeside(code, beside))];
  }));
  const texts = new Map([shared, ...stores.map(({ file }) => file)].map((file) => [file, '']));
  for (const { name, key, code } of numberModules(lazily(shortenExports(codes, entries)), entries)) {
    const users = storesOf.get(name);
    const file = users.length === 1 ? users[0].file : shared;
    const isEager = users.length === 1 ? users[0].isRunWhole : users.length === stores.length;
    const made = moduleFunction(code, programs.includes(name), isEager);
    texts.set(file, `${texts.get(file)}${JSON.stringify(key)}: ${made},\n`);
  }
  for (const [file, modules] of texts) writeFileSync(join(to, file), store(modules));
  const start = readFileSync(new URL('start.cjs', import.meta.url), 'utf8');
  const build = createHash('sha256').update([...texts.values()].join('\0')).digest('hex').slice(0, 16);
  const { file: commandFile } = stores.find((one) => one.entries.includes(command));
  const filled = start
    .replace("'BUILD'", JSON.stringify(build))
    .replace("'COMMAND'", JSON.stringify([command, shared, commandFile]));
  writeFileSync(join(to, 'start.cjs'), filled);
  for (const { file, entries: own } of stores) {
    for (const entry of own) {
      const names = [shared, file].map((name) => `'${name}'`).join(', ');
      const call = entry === command ? 'main()' : `start('${entry}', ${names})`;
      const made = programs.includes(entry) ? programEntry(entry, call) : await libraryEntry(outDir, entry, names);
      writeFileSync(join(to, ...entry.split('/')), made);
    }
  }
  return ['start.cjs', ...texts.keys(), ...entries];
}

/** @returns the sources of all modules by name, and for each module the stores whose entries import it. */
function collectStores(ts, outDir, stores, beside) {
  const sources = new Map();
  const storesOf = new Map();
  for (const store of stores) {
    const found = new Map(beside.map((name) => [name, '']));
    for (const name of store.entries) found.delete(name);
    for (const entry of store.entries) collect(ts, outDir, entry, found);
    for (const [name, source] of found) {
      if (source === '') continue;
      sources.set(name, source);
      storesOf.set(name, [...storesOf.get(name) ?? [], store]);
    }
  }
  return { sources, storesOf };
}

/** V8 compiles a function in parentheses at once, but not an arrow function. */
function moduleFunction(code, isAsync, isEager) {
  const before = isAsync ? 'async ' : '';
  return isEager ? `(${before}function (exports) {\n${code}\n})` : `${before}(exports) => {\n${code}\n}`;
}

function importBeside(code, names) {
  let imported = code;
  for (const name of names) {
    const loaded = `load(${JSON.stringify(name)})`;
    imported = imported.replaceAll(
      `Promise.resolve().then(() => __importStar(${loaded}))`, `import(${JSON.stringify(`./${name}`)})`,
    );
    if (imported.includes(loaded)) throw new Error(`${name} is a file of its own: only import() can load it`);
  }
  return imported;
}

/**
 * Removes what CommonJS needs and modules within one file do not: strictness, marks, and calls that hide their module
 * as `this`.
 */
function shorten(code) {
  return code
    .replace(/^"use strict";\n/, '')
    .replace('Object.defineProperty(exports, "__esModule", { value: true });\n', '')
    .replace(/^exports\.\w+ = (exports\.\w+ = )*void 0;\n/m, '')
    .replaceAll(/\(0, (\w+\.\w+)\)\(/g, '$1(');
}

const binding = /\bconst (\w+) = load\("([^"]+)"\);/g;

/**
 * Gives the exports of modules short names. A module that is loaded in any other way than into a constant (import(), a
 * namespace, a re-export of all) keeps its names, as do the entries.
 *
 * @param codes The code of each module, by its name.
 */
function shortenExports(codes, entries) {
  const kept = new Set(entries);
  for (const [name, code] of codes) {
    for (const [, other] of code.replaceAll(binding, '').matchAll(/\bload\("([^"]+)"\)/g)) kept.add(other);
    if (code.includes('__exportStar(')) kept.add(name);
  }
  const short = new Map([...codes].map(([name, code]) => [name, kept.has(name) ? new Map() : shortNames(code)]));
  return new Map([...codes].map(([name, code]) => {
    const own = short.get(name);
    const bound = new Map([...code.matchAll(binding)].map(([, alias, other]) => [alias, short.get(other)]));
    return [name, code
      .replaceAll(/\bexports\.(\w+)/g, (all, word) => (own.has(word) ? `exports.${own.get(word)}` : all))
      .replaceAll(/\bdefineProperty\(exports, "(\w+)"/g, (all, word) =>
        (own.has(word) ? `defineProperty(exports, "${own.get(word)}"` : all))
      .replaceAll(/\b(\w+)\.(\w+)/g, (all, alias, word) =>
        (bound.get(alias)?.has(word) ? `${alias}.${bound.get(alias).get(word)}` : all))];
  }));
}

/** Loads lazy imports at their first use. The name of an imported module is always followed by a point. */
function lazily(codes) {
  return new Map([...codes].map(([name, code]) => {
    const made = [...code.matchAll(/\bconst (\w+) = ((?:load|builtin)\("([^"]+)"\));/g)]
      .filter(([, , , other]) => lazy.modules.test(other) || lazy.builtins.test(other)
        || (lazy.folders.test(other) && other.split('/')[0] !== name.split('/')[0]));
    return [name, made.reduce((text, [all, alias, call]) => text
      .replace(all, '')
      .replaceAll(new RegExp(`\\b${alias}\\.`, 'g'), `(${alias} ??= ${call}).`)
      .replace(/^/, `let ${alias};\n`), code)];
  }));
}

function shortNames(code) {
  const words = new Set(
    [...code.matchAll(/\bexports\.(\w+)|\bdefineProperty\(exports, "(\w+)"/g)]
      .map(([, word, defined]) => word ?? defined),
  );
  return new Map([...words].map((word, index) => [word, index.toString(36).replace(/^\d/, '$$$&')]));
}

/**
 * Modules other than the entries are loaded by a number, since their names take 20 KB. A module that needs its own
 * address gets it by its name.
 *
 * @returns `{ name, key, code }` of each module; the key is its number or, for an entry, its name.
 */
function numberModules(codes, entries) {
  const keys = new Map([...codes.keys()].map((name, index) => [name, entries.includes(name) ? name : index]));
  return [...codes].map(([name, code]) => {
    const address = /\bmoduleUrl\b/.test(code) ? `const moduleUrl = addressOf(${JSON.stringify(name)});\n` : '';
    const numbered = code.replaceAll(
      /\bload\("([^"]+)"\)/g, (_call, other) => `load(${JSON.stringify(keys.get(other))})`,
    );
    return { name, key: keys.get(name), code: address + numbered };
  });
}

function programEntry(entry, call) {
  return `#!/usr/bin/env node\n${startOf(entry)}\nawait program.${call};\n`;
}

async function libraryEntry(outDir, entry, files) {
  const names = Object.keys(await import(pathToFileURL(join(outDir, entry)).href));
  return `${startOf(entry)}\nexport const { ${names.join(', ')} } = program.open(${files})('${entry}');\n`;
}

function startOf(entry) {
  return `import { createRequire } from 'node:module';\nconst program = createRequire(import.meta.url)('${
    wayTo('start.cjs', entry)
  }');`;
}

function wayTo(file, entry) {
  const way = posix.relative(posix.dirname(entry), file);
  return way.startsWith('.') ? way : `./${way}`;
}

/**
 * A script whose value is a function that returns the modules, see `start.cjs`.
 *
 * @param modules Entries of an object: each module's name and function.
 */
function store(modules) {
  const helpers = 'importStar: __importStar, importDefault: __importDefault, exportStar: __exportStar';
  const text = `'use strict';\n({ load, builtin, addressOf, importFile, ${helpers} }) => ({\n${modules}});\n`;
  // ASCII text takes V8 half the memory, and no time to decode.
  return text.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A script cannot import(): `start.cjs`, which loads it, does that. */
function importsOfFiles(code) {
  return code.replaceAll(/\bimport\((?!\))/g, 'importFile(').replaceAll('import.meta.resolve(', 'builtin.resolve(');
}

/** Adds to `sources` the module and all modules that it imports, directly or not. */
function collect(ts, outDir, name, sources) {
  if (sources.has(name)) return;
  const path = join(outDir, ...name.split('/'));
  const source = withPrograms(readFileSync(path, 'utf8'), dirname(path));
  sources.set(name, source);
  for (const { fileName } of ts.preProcessFile(source, true, true).importedFiles) {
    if (fileName.startsWith('.')) collect(ts, outDir, resolve(name, fileName), sources);
  }
}

/** Puts the shell programs that a module reads from beside it into the module, without the lines that are comments. */
function withPrograms(source, folder) {
  return source.replaceAll(
    /\breadFileSync\(new URL\('([\w-]+\.(?:bash|sh|ps1))', import\.meta\.url\), 'utf8'\)/g,
    (_call, name) => JSON.stringify(readFileSync(join(folder, name), 'utf8').replaceAll(/^[ \t]*#.*\n/gm, '')),
  );
}

function resolve(from, specifier) {
  return posix.join(posix.dirname(from), specifier);
}

function translate(ts, name, source, options = {}) {
  const { outputText } = ts.transpileModule(source.replace(/^#!.*/, ''), {
    compilerOptions: {
      module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true, removeComments: true,
      ...options,
    },
  });
  return outputText
    .replaceAll(/^\/\/# sourceMappingURL=.*$/gm, '')
    .replaceAll('import.meta.url', 'moduleUrl')
    // Keeps an import() whose address is known only when it runs.
    .replaceAll(/\b__importStar\(require\((\w+)\)\)/g, 'import($1)')
    // The compiler keeps the quotes of an import() that it does not translate.
    .replaceAll(/\brequire\(["']([^"']+)["']\)/g, (_call, specifier) =>
      specifier.startsWith('.')
        ? `load(${JSON.stringify(resolve(name, specifier))})`
        : `builtin(${JSON.stringify(specifier)})`,
    )
    .trim();
}
