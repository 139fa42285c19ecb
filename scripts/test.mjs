/**
 * Runs the tests: all, or those in the files and folders named.
 *
 *     npm test -- test/jobs test/setup.test.ts --test-name-pattern=fifo
 *
 * Neither Node 20 nor cmd.exe expands globs, so the list is made here.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { leftovers } from './leftovers.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));
const words = process.argv.slice(2);
const options = words.filter((word) => word.startsWith('-'));
const paths = words.filter((word) => !word.startsWith('-'));
const files = (paths.length > 0 ? paths : ['test']).flatMap((path) => testsAt(path));

// Most tests wait for processes more than they compute, so at least two run at a time, even on one core.
const concurrency = Math.max(2, availableParallelism() - 1);
// Far longer than any test takes: so a hanging test is reported by name, not ended by the CI's own limit.
const timeoutMs = 1_800_000;

// Everything that the run makes is in this folder, so that what it leaves behind can be found.
const folder = mkdtempSync(join(tmpdir(), 'sidecar-run-'));
// Servers that run as other users need to reach their own folders in it.
chmodSync(folder, 0o711);

const startedAt = Date.now();
const child = spawn(
  process.execPath,
  [
    '--import', 'tsx', '--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`,
    `--test-timeout=${timeoutMs}`, ...options, ...files,
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, TMPDIR: folder } },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.once('exit', async (code) => {
  const left = await leftovers(folder);
  for (const line of left) console.error(`left behind: ${line}`);
  process.exitCode = left.length > 0 ? 1 : code ?? 1;
  if (words.length === 0) noteRun({ seconds: (Date.now() - startedAt) / 1000, exitCode: process.exitCode });
  rmSync(folder, { recursive: true, force: true });
});

/** For `npm run figures`. */
function noteRun(outcome) {
  mkdirSync(join(root, '.setup'), { recursive: true });
  writeFileSync(join(root, '.setup', 'last-test.json'), JSON.stringify(outcome));
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
