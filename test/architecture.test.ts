/**
 * Holds the code to its architecture: which folder may know which, and what no file may do.
 * The sources are read with the TypeScript parser, so words in comments and strings do not count.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Each line may import only lines above it; names on one line never import each other. */
const layers = [
  ['base'],
  ['protocol'],
  ['process', 'proxy', 'websocket', 'jsonrpc'],
  ['http'],
  ['jobs'],
  ['shells', 'terminals', 'agents', 'files', 'fleet', 'update', 'metrics', 'client'],
  ['mcp', 'console'],
  ['config'],
  ['server'],
  ['wrapper'],
  ['cli', 'index.ts'],
];

/** Those that may import less than their line would allow. */
const onlyFrom: { readonly [layer: string]: readonly string[] } = {
  client: ['base', 'protocol', 'websocket'],
  wrapper: ['base', 'process', 'update'],
};

/** These reach `http` through their `routes.ts` alone. */
const presenters = [...(layers[4] ?? []), ...(layers[5] ?? []), ...(layers[6] ?? [])];

/** What shells and agents, which are kinds of jobs, may know of jobs: the interface, and the states of a job. */
const jobInterface = ['jobs/kind.ts', 'jobs/job.ts'];

/** Modules that open files themselves, and why no job can make them wait. Of the state directory they open nothing but what is said here. */
const mayOpen: { readonly [name: string]: string } = {
  'base/files/untrusted-file.ts': 'this is the one',
  'base/line-writer.ts': 'a descriptor of this process once more, without waiting',
  'base/files/roots.ts': 'directories as such: O_PATH opens nothing (open(2))',
  'base/files/user-file.ts': 'configurations of the user and the machine, which may be links, with O_NONBLOCK and a check',
  'server/listeners.ts': 'the certificate and the key that the user names',
  'process/identity.ts': '/proc',
  'process/proc-file.ts': '/proc',
  'process/priority.ts': '/proc',
  'process/open-files.ts': '/proc',
  'process/groups.ts': '/proc and files of the system',
  'process/environment/locale.ts': 'the locale archive of the system',
  'process/environment/npm.ts': '/proc',
  'process/own-version.ts': 'the package that this program is part of',
  'process/launcher/launch-script.ts': 'the program of the launchers, which stands beside it',
  'shells/dialects/powershell.ts': 'the loop of PowerShell, which stands beside it',
  'http/auth/key-files.ts': 'the keys, with the same flags; it tells a link, an owner and a mode apart',
  'agents/services/files.ts': 'files of the workspace, which may be links, with O_NONBLOCK and a check',
  'files/copy.ts': 'as files/read.ts',
  'files/hash.ts': 'as files/read.ts',
  'files/find/walk.ts': 'as files/read.ts, in a thread that may wait',
  'files/read.ts': 'files that a client names, below held directories, with O_NONBLOCK and a check',
  'files/write.ts': 'the same, and what it makes itself, exclusively',
  'terminals/socket-path.ts': 'a socket as such: O_PATH opens nothing (open(2))',
  'terminals/holder/pty.ts': 'in the process of the holder: the terminal, and the FIFO that it has just made and holds open',
  'terminals/holder/main.ts': 'its stdin',
  'update/trust/trusted-keys.ts': 'the keys that updates are trusted by, with the same flags; it tells a link and an owner apart',
  'update/fetch/download.ts': 'what it makes itself, exclusively',
  'update/archive/write-entries.ts': 'what it makes itself, exclusively, and folders, to sync them',
  'update/archive/tarball.ts': 'the tarball, in the thread pool, once its hash was found right; it may be a link',
  'update/sources/local.ts': 'what the user names, which may be a link, in the thread pool',
  'cli/connect.ts': 'the key file that the user names, which may be a pipe',
  'cli/files/edit.ts': 'the patch that the user names, which may be a pipe',
  'cli/server/trust.ts': 'the key file that the user names',
  'cli/files/sync/tree.ts': 'files below a directory that the user names, with O_NONBLOCK and without links',
  'cli/files/local-file.ts': 'the files that the user names, which may be pipes',
  'cli/agents/request.ts': 'the prompt file that the user names',
  'cli/agents/mcp-config.ts': 'the file that the user names',
  'cli/agents/registry.ts': 'the file that the user names',
  'cli/checks/machine.ts': 'files of the system',
  'cli/server/serve.ts': '/proc',
  'cli/service/install.ts': 'the files of the service manager',
};

const topLevel = [
  'package.json', 'package-lock.json', 'tsconfig.json', 'src', 'scripts', 'test', 'LICENSE', 'README.md',
];
/** Made by the set-up, ignored by git. */
const made = ['dist', 'node_modules'];

interface Import {
  readonly specifier: string;
  readonly line: number;
  /** The imported file, where it is one of ours. */
  readonly target: string | undefined;
  /** `import('…')`: loaded when it is asked for. */
  readonly isLazy: boolean;
}

interface Source {
  /** Below `src`, with slashes. */
  readonly name: string;
  readonly layer: string;
  readonly tree: ts.SourceFile;
  readonly imports: readonly Import[];
}

const root = fileURLToPath(new URL('../', import.meta.url));
const sources = readSources();

test('every file of src has its place in the layers', () => {
  const known = layers.flat();
  report(sources.filter(({ layer }) => !known.includes(layer)).map(({ name }) =>
    `src/${name}: give it a place in ARCHITECTURE's layers and in test/architecture.test.ts`));
});

test('a layer imports only layers above it', () => {
  report(eachImport(({ layer }, { target }) => {
    const other = target === undefined ? layer : layerOf(target);
    if (other === layer || rank(other) < rank(layer)) return undefined;
    return `${layer} must not import ${other}: ${rank(other) === rank(layer) ? 'they stand side by side' : 'it is below'}`;
  }));
});

test('kinds of jobs import of jobs only the interface of a kind', () => {
  report(eachImport(({ layer }, { target }) => {
    if (target === undefined || layerOf(target) !== 'jobs' || rank(layer) !== rank('jobs') + 1) return undefined;
    return jobInterface.includes(target) ? undefined : `${layer} may import ${jobInterface.join(', ')} of jobs, not ${target}`;
  }));
  const below = sources.filter(({ name }) => jobInterface.includes(name)).flatMap(({ imports }) => imports.flatMap(({ target }) => target ?? []));
  assert.deepEqual(below.filter((name) => layerOf(name) === 'jobs' && !jobInterface.includes(name)), [], 'the interface needs nothing else of jobs');
});

test('client and wrapper import only the few layers that they are meant to know', () => {
  report(eachImport(({ layer }, { target }) => {
    const allowed = onlyFrom[layer];
    const other = target === undefined ? layer : layerOf(target);
    if (allowed === undefined || other === layer || allowed.includes(other)) return undefined;
    return `${layer} may import ${allowed.join(', ')}, not ${other}`;
  }));
});

test('only the routes.ts of a domain imports http', () => {
  report(eachImport(({ name, layer }, { target }) => {
    if (target === undefined || layerOf(target) !== 'http' || !presenters.includes(layer)) return undefined;
    return posix.basename(name) === 'routes.ts' ? undefined : `only ${layer}/routes.ts may import http`;
  }));
});

test('files import each other without a cycle', () => {
  const graph = new Map(sources.map(({ name, imports }) =>
    [name, imports.flatMap(({ target }) => target ?? [])] as const));
  const settled = new Set<string>();
  const cycles: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    const start = path.indexOf(name);
    if (start >= 0) cycles.push([...path.slice(start), name].map((file) => `src/${file}`).join(' -> '));
    if (start >= 0 || settled.has(name)) return;
    for (const next of graph.get(name) ?? []) visit(next, [...path, name]);
    settled.add(name);
  };
  for (const name of graph.keys()) visit(name, []);
  report(cycles);
});

test('an import names a file of ours with .ts, or a part of Node with node:', () => {
  report(eachImport((_, { specifier, target }) => {
    if (specifier.startsWith('node:')) return undefined;
    if (!/^\.\.?\//.test(specifier)) return `'${specifier}' is neither node: nor one of our files`;
    if (!specifier.endsWith('.ts')) return `'${specifier}' must end in .ts`;
    return target === undefined ? `'${specifier}' is not a file in src` : undefined;
  }));
});

test('the client runs in a browser: nothing that it loads needs Node, but one file that only Node loads', () => {
  const forNode = 'client/socket/socket-node.ts';
  const lazy = sources.filter(({ layer }) => layer === 'client').flatMap(({ imports }) => imports.filter(({ isLazy }) => isLazy));
  assert.deepEqual(lazy.map(({ target }) => target), [forNode]);
  const browser = { [`./dist/${forNode.replace('.ts', '.js')}`]: false };
  assert.deepEqual(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).browser, browser, 'bundlers for browsers leave it out');
  const reached = reach(sources.filter(({ name, layer }) => layer === 'client' && name !== forNode).map(({ name }) => name));
  const closure = sources.filter(({ name }) => reached.has(name));
  const needs = closure.flatMap((source) => [
    ...source.imports.flatMap(({ specifier, line }) =>
      specifier.startsWith('node:') ? [`src/${source.name}:${line} imports ${specifier}`] : []),
    ...eachNode(source, (node) => (isNodeGlobal(node) ? `uses ${node.getText()}, which browsers lack` : undefined)),
  ]);
  report(needs);
});

test('config/environment.ts is the only reader of process.env', () => {
  const readers = sources.filter(({ name }) => name !== 'config/environment.ts').flatMap((source) => [
    ...eachNode(source, (node) => (isEnvironment(node) ? 'reads process.env: take it from config/environment.ts' : undefined)),
    ...source.imports.flatMap(({ specifier, line }) =>
      specifier === 'node:process' ? [`src/${source.name}:${line} imports node:process: write process, so that env shows`] : []),
  ]);
  report(readers);
});

test('the command line writes to stdout and stderr through cli/io/streams.ts, which reports what cannot be written', () => {
  // local-terminal.ts writes when the process exits, where nothing can be awaited.
  const writers = ['cli/io/streams.ts', 'cli/terminals/local-terminal.ts'];
  report(sources.filter(({ name, layer }) => layer === 'cli' && !writers.includes(name)).flatMap((source) =>
    eachNode(source, (node) => {
      if (!ts.isPropertyAccessExpression(node)) return undefined;
      return /^(process\.std(out|err)\.write|console\.\w+)$/.test(node.getText()) ? 'use write(), tell() or say()' : undefined;
    })));
});

test('files are opened by the module that suspects them, and by few others', () => {
  const openers = new Set([
    'open', 'openSync', 'openAsBlob', 'readFile', 'readFileSync', 'writeFile', 'writeFileSync', 'appendFile', 'appendFileSync', 'createReadStream',
    'createWriteStream', 'ReadStream', 'WriteStream', 'copyFile', 'copyFileSync', 'cp', 'cpSync', 'truncate', 'truncateSync', 'promises', 'default',
  ]);
  const importsOpener = (node: ts.Node): string | undefined => {
    if (!ts.isImportDeclaration(node) || !['node:fs', 'node:fs/promises', 'fs', 'fs/promises'].includes(textOf(node.moduleSpecifier) ?? '')) return undefined;
    const { importClause } = node;
    if (importClause === undefined || importClause.isTypeOnly) return undefined;
    const { namedBindings } = importClause;
    if (namedBindings === undefined || ts.isNamespaceImport(namedBindings)) return 'imports all of node:fs: name what you need';
    const opener = namedBindings.elements.find((element) => !element.isTypeOnly && openers.has((element.propertyName ?? element.name).text));
    return opener && `imports ${opener.getText()}: open by base/files/untrusted-file.ts, as a job can put a FIFO, a link or a device there`;
  };
  report(sources.filter(({ name }) => mayOpen[name] === undefined).flatMap((source) => eachNode(source, importsOpener)));
  const idle = Object.keys(mayOpen).filter((name) => !sources.some((source) => source.name === name && eachNode(source, importsOpener).length > 0));
  report(idle.map((name) => `src/${name} opens no file any more: take it off the list`));
});

test('the syntax is erasable, so that Node runs the sources as they are', () => {
  report(sources.flatMap((source) => eachNode(source, (node) => {
    if (ts.isEnumDeclaration(node)) return 'enum: use a union of strings';
    if (ts.isModuleDeclaration(node) && !isDeclared(node)) return 'namespace: use a file';
    if (ts.isImportEqualsDeclaration(node)) return 'import =: use import … from';
    if (ts.isParameter(node) && ts.isParameterPropertyDeclaration(node, node.parent)) {
      return 'parameter property: declare the field and assign it';
    }
    return undefined;
  })));
});

test('a shell program is a file that the shell and shellcheck can read', { skip: process.platform === 'win32' }, () => {
  const programs = listFiles('src').filter((file) => /\.(bash|sh)$/.test(file));
  assert.ok(programs.length > 0);
  const hasShellcheck = spawnSync('shellcheck', ['--version']).status === 0;
  report(programs.flatMap((file) => {
    const checks = [['bash', '-n', file], ...hasShellcheck ? [['shellcheck', file]] : []];
    return checks.flatMap(([program = '', ...args]) => {
      const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
      return status === 0 ? [] : [`${file}: ${program}: ${stdout}${stderr}`];
    });
  }));
});

test('nothing is exported as default', () => {
  report(sources.flatMap((source) => eachNode(source, (node) => {
    if (ts.isExportAssignment(node)) return 'default export: give it a name';
    if (node.kind === ts.SyntaxKind.DefaultKeyword && ts.canHaveModifiers(node.parent)) {
      return 'default export: give it a name';
    }
    return ts.isExportSpecifier(node) && node.name.text === 'default' ? 'default export: give it a name' : undefined;
  })));
});

test('every file opens by saying what it is for', () => {
  report(sources.flatMap(({ name, tree }) =>
    /^(#!.*\n)?\/\*\*(?:(?!\*\/)[^])*@module\s*\*\//.test(tree.text)
      ? []
      : [`src/${name}:1 must open with /** What it is for. @module */`]));
});

test('a path stands in the endpoint that declares it, and nowhere else', () => {
  const declared = sources.flatMap((source) => endpointPaths(source).map((path) => ({ source, path })));
  assert.ok(declared.length > 40, 'Few endpoints were recognised: is endpoint() called otherwise now?');
  const isDeclaring = (name: string): boolean => name.startsWith('protocol/endpoints/');
  const astray = declared.filter(({ source }) => !isDeclaring(source.name));
  const firstSegments = new Set(declared.map(({ path }) => path.split('/')[1] ?? ''));
  const outsiders = sources.filter(({ name }) => !isDeclaring(name));
  const named = outsiders.flatMap((source) => eachNode(source, (node) => {
    const text = literalStart(node);
    const segment = text === undefined ? undefined : /^\/([^/?#:]+)/.exec(text)?.[1];
    return segment !== undefined && firstSegments.has(segment) ? `names the path '${text}'` : undefined;
  }));
  report([
    ...astray.map(({ source, path }) => `src/${source.name}: declares ${path}, which belongs in protocol/endpoints`),
    ...named,
  ]);
});

test('package.json has no dependencies and exactly three for development', () => {
  const manifest: { readonly [field: string]: object | undefined } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const field of ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies', 'bundledDependencies']) {
    assert.deepEqual(Object.keys(manifest[field] ?? {}), [], `package.json: ${field} must stay empty`);
  }
  assert.deepEqual(Object.keys(manifest['devDependencies'] ?? {}).sort(), ['@types/node', 'tsx', 'typescript']);
});

test('the lock file names no registry', () => {
  report(readFileSync(join(root, 'package-lock.json'), 'utf8').split('\n').flatMap((line, index) =>
    line.includes('"resolved"') ? [`package-lock.json:${index + 1} ${line.trim()}`] : []));
});

test('the top level holds only what everybody expects there', () => {
  report(readdirSync(root)
    .filter((name) => !name.startsWith('.') && !name.endsWith('.tgz') && !topLevel.includes(name) && !made.includes(name))
    .map((name) => `${name}: the top level is for ${topLevel.join(', ')} and dotfiles`));
});

test('folders are made with those above them by base/files/make-folder.ts alone', () => {
  // Node's own way never returns where the file system takes no folder, as in /proc.
  report(listFiles('src').flatMap((file) => readFileSync(join(root, file), 'utf8').split('\n').flatMap((line, index) =>
    /\bmkdir(Sync)?\(.*recursive: true/.test(line) ? [`${file}:${index + 1} ${line.trim()}`] : [])));
});

test('folders are removed with what is in them by process/state/trash.ts alone', () => {
  // A job can have put any number of files there: Node's own ways hold up the loop. The command line holds up nobody.
  report(listFiles('src').filter((file) => !file.startsWith('src/cli/') && file !== 'src/process/state/trash.ts').flatMap((file) =>
    readFileSync(join(root, file), 'utf8').split('\n').flatMap((line, index) =>
      /\brm(dir)?(Sync)?\(.*recursive: true/.test(line) ? [`${file}:${index + 1} ${line.trim()}`] : [])));
});

test('a test lies where the source that it tests lies', () => {
  // These test the whole, or what is beside src.
  const apart = ['contract', 'system', 'scripts'];
  const folders = new Set(sources.map(({ name }) => posix.dirname(name)));
  report(listFiles('test').filter((file) => file.endsWith('.test.ts')).flatMap((file) => {
    const folder = posix.dirname(posix.relative('test', file));
    return folder === '.' || apart.includes(folder) || folders.has(folder) ? [] : [`${file}: there is no folder src/${folder}`];
  }));
});

test('what tests share lies in test/support, what they start in test/fixtures, each with a comment that says what it is', () => {
  report(listFiles('test').filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).flatMap((file) => {
    if (!/^test\/(support|fixtures)\/[^/]+$/.test(file)) return [`${file}: move it to test/support`];
    const opens = /^\/\*\*(?:(?!\*\/)[^])*@module\s*\*\//.test(readFileSync(join(root, file), 'utf8'));
    return opens ? [] : [`${file}:1 must open with /** What it is for. @module */`];
  }));
});

test('no file refers to what lies beside the repository', () => {
  // Put together here, so that this line is not a hit itself.
  const outside = ['..', 'shared'].join('/');
  report(listFiles('').filter((file) => !/\.(png|ico|woff2?|gz)$/.test(file)).flatMap((file) =>
    readFileSync(join(root, file), 'utf8').split('\n').flatMap((line, index) =>
      line.includes(outside) ? [`${file}:${index + 1} ${line.trim()}`] : [])));
});

function readSources(): readonly Source[] {
  const files = listFiles('src').filter((file) => file.endsWith('.ts'));
  const names = new Set(files.map((file) => file.slice('src/'.length)));
  return [...names].map((name) => {
    const text = readFileSync(join(root, 'src', name), 'utf8');
    const tree = ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true);
    return { name, layer: layerOf(name), tree, imports: readImports(name, tree, names) };
  });
}

/** Files below a folder of the repository, with slashes, less what git does not keep. */
function listFiles(folder: string): string[] {
  const ignored = /^(\.git|\.setup|\.dist-.*|dist|node_modules)$/;
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return ignored.test(entry.name) ? [] : listFiles(path);
    return entry.isFile() && entry.name !== '.git' ? [path] : [];
  });
}

function layerOf(name: string): string {
  return name.split('/')[0] ?? name;
}

function rank(layer: string): number {
  return layers.findIndex((line) => line.includes(layer));
}

function readImports(name: string, tree: ts.SourceFile, names: ReadonlySet<string>): Import[] {
  const imports: Import[] = [];
  visitAll(tree, (node) => {
    const specifier = importedFrom(node);
    if (specifier === undefined) return;
    const path = posix.join(posix.dirname(name), specifier);
    const target = specifier.startsWith('.') && names.has(path) ? path : undefined;
    imports.push({ specifier, line: lineOf(tree, node), target, isLazy: ts.isCallExpression(node) });
  });
  return imports;
}

/** `import … from`, `export … from`, `import('…')`, also as a type. */
function importedFrom(node: ts.Node): string | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return textOf(node.moduleSpecifier);
  if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? textOf(node.argument.literal) : undefined;
  const isCall = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
  return isCall ? textOf(node.arguments[0]) : undefined;
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

function isEnvironment(node: ts.Node): boolean {
  const isEnv = ts.isPropertyAccessExpression(node)
    ? node.name.text === 'env'
    : ts.isElementAccessExpression(node) && textOf(node.argumentExpression) === 'env';
  if (isEnv) return /^(globalThis\.)?process$/.test((node as ts.PropertyAccessExpression).expression.getText());
  // const { env } = process
  return ts.isVariableDeclaration(node) && ts.isObjectBindingPattern(node.name) && node.initializer?.getText() === 'process' &&
    node.name.elements.some((element) => (element.propertyName ?? element.name).getText() === 'env');
}

function isNodeGlobal(node: ts.Node): boolean {
  if (!ts.isIdentifier(node) || !['Buffer', 'process', 'setImmediate'].includes(node.text)) return false;
  const { parent } = node;
  const isMember = (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
    ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent);
  return !isMember;
}

function isDeclared(node: ts.ModuleDeclaration): boolean {
  return node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword) ?? false;
}

/** The paths of `route('GET', '/jobs/:id', …)` and `webSocket('/terminal', …)`. */
function endpointPaths(source: Source): string[] {
  const paths: string[] = [];
  visitAll(source.tree, (node) => {
    if (!ts.isCallExpression(node)) return;
    const position = { endpoint: 1, webSocketEndpoint: 0 }[node.expression.getText()];
    const argument = position === undefined ? undefined : node.arguments[position];
    const path = argument === undefined ? undefined : literalStart(argument);
    if (path !== undefined) paths.push(path);
  });
  return paths;
}

/** A string, or what a template begins with. */
function literalStart(node: ts.Node): string | undefined {
  return ts.isTemplateExpression(node) ? node.head.text : textOf(node);
}

/** All that is loaded with the files, directly or not, and they themselves. */
function reach(names: readonly string[]): ReadonlySet<string> {
  const reached = new Set(names);
  for (const name of reached) {
    for (const { target, isLazy } of sources.find((source) => source.name === name)?.imports ?? []) {
      if (target !== undefined && !isLazy) reached.add(target);
    }
  }
  return reached;
}

function eachImport(judge: (source: Source, found: Import) => string | undefined): string[] {
  return sources.flatMap((source) => source.imports.flatMap((found) => {
    const fault = judge(source, found);
    return fault === undefined ? [] : [`src/${source.name}:${found.line} ${fault}`];
  }));
}

function eachNode(source: Source, judge: (node: ts.Node) => string | undefined): string[] {
  const faults: string[] = [];
  visitAll(source.tree, (node) => {
    const fault = judge(node);
    if (fault !== undefined) faults.push(`src/${source.name}:${lineOf(source.tree, node)} ${fault}`);
  });
  return faults;
}

function visitAll(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visitAll(child, see));
}

function lineOf(tree: ts.SourceFile, node: ts.Node): number {
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
}

function report(faults: readonly string[]): void {
  assert.ok(faults.length === 0, `\n  ${faults.join('\n  ')}`);
}
