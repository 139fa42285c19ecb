/**
 * The program of a job that installs an agent: `install-main DIRECTORY`, with an {@link InstallOrder} as JSON on stdin.
 * It reports its progress on stdout. It runs nothing of the agent but what the package manager runs to install it.
 * @module
 */
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  chmodSync, closeSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, statSync, writeSync,
} from 'node:fs';
import { basename, delimiter, dirname, join, sep } from 'node:path';
import { text } from 'node:stream/consumers';
import { type InstallOrder, installSeconds, installer, recordFile, recordIn } from '../agents/server/installs.ts';
import { packageNameOf } from '../agents/registry.ts';
import { fieldsOf, textOf } from '../base/loose.ts';
import { replaceFile } from '../base/files/atomic-file.ts';
import { openToAppend, readRegular } from '../base/files/untrusted-file.ts';
import { ownEnvironment, ownProxies } from '../config/environment.ts';
import { findProgram, isExecutable } from '../process/find-program.ts';
import { hostOf, isLoopback } from '../proxy/bypass-list.ts';
import { throughProxy } from '../proxy/through-proxy.ts';
import { chunks } from '../update/fetch/chunks.ts';
import { request } from '../update/fetch/request.ts';
import { createStallGuard } from '../update/fetch/stall-timeout.ts';
import { printLine } from './io/print.ts';
import { writeStderr } from './io/streams.ts';

interface Installed {
  /** Path of the program. */
  readonly path: string;
  readonly version?: string | undefined;
}

const [, , directory = '.'] = process.argv;
const order = JSON.parse(await text(process.stdin)) as InstallOrder;
const target = join(directory, `${order.name}-${randomUUID().slice(0, 8)}`);
/** Limit for the size of an archive. */
const maxArchiveBytes = 4 * 2 ** 30;
/** Milliseconds that a download may pass without a byte. */
const stalledMs = 60_000;
const progressBytes = 16 * 2 ** 20;
const maxPackageBytes = 4 * 2 ** 20;
const environment = ownEnvironment();
const path = `${environment['PATH'] ?? ''}${delimiter}${dirname(process.execPath)}`;
let isDone = false;

process.on('exit', () => { if (!isDone) rmSync(target, { recursive: true, force: true }); });
for (const [signal, code] of Object.entries({ SIGTERM: 143, SIGINT: 130, SIGHUP: 129 })) {
  process.on(signal, () => process.exit(code));
}

try {
  mkdirSync(target, { mode: 0o700 });
  removeLeftovers();
  const ways = { npx: byNpm, uvx: byUv, binary: byArchive };
  const { path: program, version = order.version } = await ways[order.kind]();
  const inside = program.slice(target.length + 1);
  if (!isExecutable(program)) throw new Error(`there is no program ${inside} in ${order.source}`);
  keep(program, version);
  await printLine(`installed ${order.title}${version === undefined ? '' : ` ${version}`} as ${order.name}`);
} catch (error) {
  writeStderr(`Cannot install ${order.name}: ${(error as Error).message}\n`);
  process.exitCode = 1;
}

/** Keeps the previous installation, and removes the one before it. */
function keep(program: string, version: string | undefined): void {
  const { title, source, args, env, name } = order;
  const before = recordIn(directory, name);
  const previous = textOf(before['directory']) ?? null;
  const oldest = textOf(before['previous']);
  const record = { title, source, version, argv: [program, ...args], env, directory: basename(target), previous };
  replaceFile(recordFile(directory, name), JSON.stringify(record));
  isDone = true;
  if (oldest?.startsWith(`${name}-`) !== true || basename(oldest) !== oldest) return;
  rmSync(join(directory, oldest), { recursive: true, force: true });
}

/** Removes what killed installations of this agent left: it is in no record, and too old to be still in progress. */
function removeLeftovers(): void {
  const { directory: current, previous } = recordIn(directory, order.name);
  for (const name of readdirSync(directory)) {
    const [, agent] = /^(.+)-[0-9a-f]{8}$/.exec(name) ?? [];
    if (agent !== order.name || name === current || name === previous) continue;
    const path = join(directory, name);
    const ageMs = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity);
    if (ageMs > 2 * installSeconds * 1000) rmSync(path, { recursive: true, force: true });
  }
}

async function byNpm(): Promise<Installed> {
  const { source, cmd } = order;
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier'];
  await run(installer('npx', path), ['install', '--prefix', target, ...quiet, '--', source]);
  const name = packageNameOf(source);
  const file = join(target, 'node_modules', name, 'package.json');
  const about = fieldsOf(JSON.parse(readRegular(file, maxPackageBytes).toString()));
  return { path: join(target, 'node_modules', '.bin', cmd ?? binOf(about, name)), version: textOf(about['version']) };
}

/** Chooses as npx does: the program named like the package, or the only one. @throws Error */
function binOf({ bin }: { readonly [field: string]: unknown }, packageName: string): string {
  const own = basename(packageName);
  const names = Object.keys(fieldsOf(bin));
  const [first] = names;
  if (typeof bin === 'string' || names.includes(own)) return own;
  if (first !== undefined && names.length === 1) return first;
  throw new Error(`${packageName} has ${names.length} programs: the entry must name one as cmd`);
}

async function byUv(): Promise<Installed> {
  const { source, cmd } = order;
  const env = { UV_TOOL_DIR: join(target, 'tools'), UV_TOOL_BIN_DIR: join(target, 'bin') };
  await run(installer('uvx', path), ['tool', 'install', source], env);
  return { path: join(target, 'bin', cmd ?? packageNameOf(source).replace(/\[.*$/, '')) };
}

async function byArchive(): Promise<Installed> {
  const { source, sha256, cmd = '' } = order;
  const archive = join(target, 'archive');
  const files = join(target, 'files');
  const found = await download(source, archive);
  const expected = `where ${String(sha256)} was expected: it is not unpacked`;
  if (found !== sha256) throw new Error(`the SHA-256 of ${source} is ${found}, ${expected}`);
  await printLine('its SHA-256 is right');
  mkdirSync(files, { mode: 0o700 });
  await unpack(new URL(source).pathname.toLowerCase(), { archive, files, cmd });
  const program = realpathSync(join(files, cmd));
  if (!program.startsWith(`${realpathSync(files)}${sep}`)) throw new Error(`${cmd} is not in the archive`);
  chmodSync(program, 0o755);
  return { path: program };
}

interface Unpacking {
  readonly archive: string;
  readonly files: string;
  readonly cmd: string;
}

async function unpack(name: string, { archive, files, cmd }: Unpacking): Promise<void> {
  if (/\.(?:tar\.gz|tgz|tar\.bz2|tbz2|tar\.xz|tar)$/.test(name)) {
    await run(installer('binary', path), ['-x', '-f', archive, '-C', files, '--no-same-owner']);
  } else if (name.endsWith('.zip')) {
    await run(findProgram('unzip', path), ['-q', archive, '-d', files], {}, 'unzip');
  } else {
    return renameSync(archive, join(files, basename(cmd)));
  }
  rmSync(archive);
}

/** @returns The SHA-256 of the file. @throws Error */
async function download(source: string, file: string): Promise<string> {
  const url = new URL(source);
  if (url.protocol !== 'https:' && !isLoopback(hostOf(url))) throw new Error(`${source} is not https`);
  await printLine(`downloading ${source}`);
  const what = `download ${source}`;
  const bounds = createStallGuard({ stalledMs });
  const { fetch } = throughProxy(ownProxies());
  const hash = createHash('sha256');
  const fd = openToAppend(file);
  let sizeBytes = 0;
  try {
    for await (const chunk of chunks(await request({ url, what, stallGuard: bounds, fetch }), what, bounds)) {
      hash.update(chunk);
      for (let written = 0; written < chunk.length;) written += writeSync(fd, chunk, written);
      const before = sizeBytes;
      sizeBytes += chunk.length;
      const isStep = Math.floor(before / progressBytes) !== Math.floor(sizeBytes / progressBytes);
      if (isStep) await printLine(`${Math.floor(sizeBytes / 2 ** 20)} MiB`);
      if (sizeBytes > maxArchiveBytes) throw new Error(`${source} is longer than ${maxArchiveBytes} bytes`);
    }
  } finally {
    bounds.close();
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** Runs a program; its output becomes the output of the job. @throws Error when it fails or is missing. */
async function run(
  program: string | undefined, args: readonly string[], env: { readonly [name: string]: string } = {},
  name: string = 'it',
): Promise<void> {
  if (program === undefined) throw new Error(`${name} is not installed on this machine`);
  await printLine(`${basename(program)} ${args.join(' ')}`);
  const all = { ...environment, PATH: path, ...env };
  const child = spawn(program, args, { cwd: target, env: all, stdio: ['ignore', 'inherit', 'inherit'] });
  const why = await new Promise<string | undefined>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code === 0 ? undefined : `code ${code ?? signal ?? ''}`));
  });
  if (why !== undefined) throw new Error(`${basename(program)} has ended with ${why}; what it wrote says why`);
}
