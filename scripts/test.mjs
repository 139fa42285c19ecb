/**
 * Runs the tests: all, or those in the files and folders named.
 *
 *     npm test
 *     npm test -- test/jobs test/setup.test.ts --test-name-pattern=fifo
 *     npm run test:soak                          the long tests, with all their repetitions
 *
 * Prints a line for each file that ends, and the whole output of a file that fails; of each file where some are named,
 * or with `--verbose`. `--concurrency=N` is the number of files at a time. Other options are those of Node.
 *
 * Neither Node 20 nor cmd.exe expands globs, so the list is made here. `node --test` would sort the files and print
 * nothing of a file before all that precede it have ended, so each file is started here, too.
 *
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, constants, freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { leftovers } from './leftovers.mjs';
import { compileTests } from './test/compile-tests.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));
const words = process.argv.slice(2);
const paths = words.filter((word) => !word.startsWith('-'));
const isSoak = words.includes('--soak');
const isVerbose = words.includes('--verbose') || paths.length > 0;
// Tests wait for processes more than they compute. With more than this, one that computes delays others past bounds.
const usualConcurrency = Math.ceil((isSoak ? 1.5 : 2) * availableParallelism());
const concurrency = Number(valueOf('concurrency') ?? valueOf('test-concurrency') ?? usualConcurrency);
const ours = /^--(soak|verbose|(test-)?concurrency=.*)$/;
const options = words.filter((word) => word.startsWith('-') && !ours.test(word));
const hasReporter = options.some((word) => word.startsWith('--test-reporter'));
if (!hasReporter) options.push('--test-reporter=spec');
/**
 * One thread that helps V8: there are as many files at a time as processors, and more. Code is optimized once it has
 * run fifteen times as long as usual: few functions of a test run long enough to give back what that takes.
 */
const nodeOptions = ['--enable-source-maps', '--v8-pool-size=1', '--interrupt-budget=1000000'];
/** Far longer than any file takes: so a hanging test is reported by name, not ended by the CI's own limit. */
const timeoutMs = 900_000;
/** Without a line for so long, the files that run are named. */
const silenceMs = 30_000;

const found = (paths.length > 0 ? paths : ['test']).flatMap((path) => testsAt(path));
const files = inOrder(found.filter((file) => !isSoak || hasSoak(file)));
const isLive = files.length === 1;

// Everything that the run makes is in this folder, so that what it leaves behind can be found.
const folder = mkdtempSync(join(isSoak ? tmpdir() : quickFolder() ?? tmpdir(), 'sidecar-run-'));
// Servers that run as other users need to reach their own folders in it.
chmodSync(folder, 0o711);
const elsewhere = join(root, '.setup', `elsewhere-${process.pid}`);
const compiledForms = compileTests(root, files, elsewhere);

const beganAt = performance.now();
const running = new Map();
const results = [];
let stoppedBy;
let lastLineAt = beganAt;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    stoppedBy ??= signal;
    for (const child of running.values()) child.kill(signal);
  });
}
const heartbeat = setInterval(() => {
  if (isLive || performance.now() - lastLineAt < silenceMs) return;
  print(`${progress()} still running: ${[...running.keys()].join(' ')}`);
}, 1000);
const waiting = [...files];
await Promise.all(Array.from({ length: Math.min(concurrency, files.length) }, async () => {
  for (let file = waiting.shift(); file !== undefined && stoppedBy === undefined; file = waiting.shift()) {
    const result = await run(file);
    results.push(result);
    tell(result);
  }
}));
clearInterval(heartbeat);
const left = await leftovers(folder);
summarize();
if (words.length === 0) noteRun({ seconds: (performance.now() - beganAt) / 1000, exitCode: process.exitCode ?? 0 });
for (const made of [folder, elsewhere]) rmSync(made, { recursive: true, force: true });

/**
 * A folder in memory. Much of what the tests do is to create and remove files, which takes a disk as much of the
 * processor's time as all the rest. The long tests stay on the disk, so that both are tested.
 *
 * @returns `undefined`: TMPDIR names another, or there is none, or it is too small, or no program can run in it.
 */
function quickFolder() {
  const base = '/dev/shm';
  const neededBytes = 4 * 2 ** 30;
  if (process.env.TMPDIR !== undefined || process.platform !== 'linux' || !existsSync(base)) return undefined;
  const { bavail, bsize } = statfsSync(base);
  if (Math.min(bavail * bsize, freemem()) < neededBytes) return undefined;
  try {
    const trial = mkdtempSync(join(base, 'sidecar-trial-'));
    const program = join(trial, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o700 });
    const { status } = spawnSync(program);
    rmSync(trial, { recursive: true });
    return status === 0 ? base : undefined;
  } catch {
    return undefined;
  }
}

/** For `npm run figures`. */
function noteRun(outcome) {
  mkdirSync(join(root, '.setup'), { recursive: true });
  writeFileSync(join(root, '.setup', 'last-test.json'), JSON.stringify(outcome));
}

/** Runs one file in a process of its own. */
async function run(file) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...nodeOptions, ...options, compiledForms.get(file)], {
    cwd: root, env: { ...process.env, TMPDIR: folder, ...(isSoak ? { SIDECAR_TEST_SOAK: '1' } : {}) },
  });
  running.set(file, child);
  const pieces = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      if (isLive) process.stdout.write(piece);
      pieces.push(piece);
    });
  }
  let isOverdue = false;
  const overdue = setTimeout(() => {
    isOverdue = true;
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 10_000).unref();
  }, timeoutMs);
  const exitCode = await new Promise((resolve) => {
    child.once('error', (error) => {
      pieces.push(Buffer.from(`${error.message}\n`));
      resolve(null);
    });
    // What a test leaves behind may keep the pipes open: then this process ends, and "close" does not come.
    child.once('exit', (code) => setTimeout(resolve, 2_000, code));
    child.once('close', resolve);
  });
  child.stdout.destroy();
  child.stderr.destroy();
  clearTimeout(overdue);
  running.delete(file);
  if (isOverdue) pieces.push(Buffer.from(`The file did not end within ${timeoutMs / 1000} s.\n`));
  const output = stripVTControlCharacters(Buffer.concat(pieces).toString());
  const counts = countsIn(output);
  // A file that ends before its tests have ended prints no counts, and may still exit with 0.
  const isGood = exitCode === 0 && !isOverdue && (hasReporter || counts !== undefined);
  return { file, isGood, counts: counts ?? {}, output, seconds: (performance.now() - startedAt) / 1000 };
}

/** @returns the counts at the end of the output, such as `{ tests: 9, pass: 8, fail: 1 }`. */
function countsIn(output) {
  const found = [...output.matchAll(/^ℹ (tests|pass|fail|cancelled|skipped|todo) (\d+)$/gm)];
  return found.length === 0 ? undefined : Object.fromEntries(found.map(([, name, count]) => [name, Number(count)]));
}

function tell({ file, isGood, counts, output, seconds }) {
  const { tests = 0, skipped = 0 } = counts;
  const much = `${seconds.toFixed(1).padStart(6)} s ${String(tests).padStart(4)} tests`;
  const less = skipped > 0 ? ` (${skipped} skipped)` : '';
  const line = `${progress()} ${isGood ? 'ok    ' : 'FAILED'} ${much}  ${file}${less}`;
  if (!isLive && (isVerbose || (!isGood && stoppedBy === undefined))) print(`\n${output.trimEnd()}`);
  print(line);
}

/** Prints what failed once more, all of it together, and sets the exit code. */
function summarize() {
  const failed = results.filter(({ isGood }) => !isGood);
  if (!isLive && stoppedBy === undefined) {
    // The reporter repeats the failures of a file at its end.
    for (const { file, output } of failed) {
      const at = Math.max(0, output.lastIndexOf('✖ failing tests:'));
      print(`\nFAILED ${file}\n${output.slice(at).trimEnd()}`);
    }
  }
  const sum = (name) => results.reduce((total, { counts }) => total + (counts[name] ?? 0), 0);
  print(`\n${results.length} of ${files.length} files, ${sum('tests')} tests, ${sum('skipped')} skipped, ` +
    `${((performance.now() - beganAt) / 1000).toFixed(0)} s: ${failed.length === 0 ? 'no file failed' : 'failed:'}`);
  for (const { file } of failed) print(`  ${file}`);
  for (const line of left) console.error(`left behind: ${line}`);
  if (failed.length > 0 || left.length > 0) process.exitCode = 1;
  if (stoppedBy !== undefined) process.exitCode = 128 + constants.signals[stoppedBy];
}

function progress() {
  const width = String(files.length).length;
  return `[${String(results.length).padStart(width)}/${files.length}]`;
}

function print(text) {
  lastLineAt = performance.now();
  console.log(text);
}

function valueOf(name) {
  return words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
}

/** What takes longest begins first, so that none of it is left over at the end. */
function inOrder(names) {
  const longest = ['system', 'contract', 'setup.test.ts', 'scripts', 'readme.test.ts', 'cli'];
  const rank = (name) => longest.indexOf(name.split(/[\\/]/)[1]) >>> 0;
  return [...new Set(names)].sort((a, b) => rank(a) - rank(b));
}

/** Whether some of its tests have a long form, see test/support/soak.ts. */
function hasSoak(file) {
  return readFileSync(join(root, file), 'utf8').includes("support/soak.ts'");
}

function testsAt(path) {
  if (!existsSync(join(root, path))) {
    console.error(`There is no test file or folder ${path}. Options take their value after "=".`);
    process.exit(2);
  }
  if (!statSync(join(root, path)).isDirectory()) return [path];
  return readdirSync(join(root, path), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const inner = join(path, entry.name);
      if (entry.isDirectory()) return testsAt(inner);
      return entry.name.endsWith('.test.ts') ? [inner] : [];
    });
}
