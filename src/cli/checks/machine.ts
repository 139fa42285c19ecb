/**
 * Checks what the machine offers: programs, limits, the kernel's interfaces.
 * @module
 */
import { readFileSync, watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toolEnvironment } from '../../process/environment/shell-variables.ts';
import { identify } from '../../process/identity.ts';
import { JobShells } from '../../process/launcher/job-shells.ts';
import { findBash } from '../../process/launcher/pool.ts';
import type { Config } from '../../config/config.ts';
import { type Check, type Finding, codeOf, fail, ok, outputOf, warn } from './check.ts';

const isWindows = process.platform === 'win32';
const isLinux = process.platform === 'linux';

export const machineChecks: readonly Check[] = [
  { name: 'Node.js', run: nodeVersion },
  { name: 'bash', run: bash },
  { name: 'default shell', run: defaultShell },
  { name: 'mkfifo', run: mkfifo },
  { name: 'process identity', run: processIdentity },
  { name: 'file watching', run: fileWatching },
  { name: 'open files', run: openFiles },
  { name: 'script', run: () => optional('script', 'terminals', 'apt install bsdutils, or util-linux') },
  { name: 'setsid', run: () => optional('setsid', 'jobs that leave their session', 'apt install util-linux') },
  { name: 'ssh', run: () => optional('ssh', 'tunnels and "npm run bench"', 'apt install openssh-client') },
];

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 11)) return ok(process.version);
  return fail(`${process.version} is too old`, 'Install Node.js 20.11 or later: https://nodejs.org');
}

/** The launchers need a bash with job control. */
async function bash(): Promise<Finding> {
  const loss = 'jobs do not survive a restart of the server';
  if (isWindows) return warn(`not used on Windows: ${loss}`, 'Run the server on Linux or macOS, or in WSL');
  const path = await findBash();
  if (path === undefined) return warn(`not found: ${loss}`, 'apt install bash, apk add bash, or the like');
  const script = 'set -m; sh -c "exit 7" & wait $!; case "$?$-" in 7*m*) echo "$BASH_VERSION";; esac';
  // As the server starts it: no variable of the user keeps it from running.
  const version = await outputOf(path, ['--norc', '-p', '-c', script], toolEnvironment({}));
  if (version === undefined || version === '') {
    return fail(`${path} has no job control, so jobs cannot start`, 'Install a bash with job control');
  }
  return ok(`${version} at ${path}`);
}

/** The default shell runs the commands of requests that name no shell. */
function defaultShell({ shell, jobEnvironment }: Config): Finding {
  const shells = new JobShells({ preferred: shell, path: jobEnvironment['PATH'] ?? '' });
  try {
    shells.checkDefault();
  } catch (error) {
    return fail((error as Error).message, 'Install it, or name another one with --shell or SIDECAR_SHELL');
  }
  const { defaultShell: name, defaultProgram: path } = shells;
  if (shell === undefined && name === 'sh') {
    return warn(
      `sh at ${path}: commands that are written for bash may fail`, 'apt install bash, apk add bash, or the like',
    );
  }
  return ok(name === path ? name : `${name} at ${path}`);
}

async function mkfifo(): Promise<Finding> {
  if (isWindows) {
    return warn(
      'there are no FIFOs on Windows: running jobs end with the server', 'Run the server on Linux or macOS, or in WSL',
    );
  }
  return inTemporaryFolder(async (folder) => {
    const made = await outputOf('mkfifo', [join(folder, 'fifo')]);
    if (made !== undefined) return ok('makes FIFOs');
    return fail(
      'not found, or it cannot make a FIFO: jobs get no stdin',
      `Install coreutils; see whether "mkfifo ${join(tmpdir(), 'x')}" works`,
    );
  });
}

async function processIdentity(): Promise<Finding> {
  const identity = await identify(process.pid).catch(() => undefined);
  const elsewhere = isWindows ? 'PowerShell' : 'ps';
  const source = isLinux ? '/proc' : elsewhere;
  if (identity) return ok(`pid and start time by ${source}`);
  return fail(`${source} does not tell the start time of a process`, isLinux ? 'Mount /proc' : 'Install ps (procps)');
}

/** A server needs a watch for each job that is followed. */
async function fileWatching(): Promise<Finding> {
  const failure = await inTemporaryFolder(async (folder) => tryWatch(folder));
  const fix = 'sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288';
  if (failure !== undefined) {
    return fail(`cannot watch files: ${failure}`, isLinux ? fix : 'Close programs that watch many files');
  }
  if (!isLinux) return ok('works');
  const watches = limit('/proc/sys/fs/inotify/max_user_watches');
  const instances = limit('/proc/sys/fs/inotify/max_user_instances');
  const text = `${watches} watches, ${instances} instances of inotify`;
  return watches < 8192 || instances < 64 ? warn(`only ${text}`, fix) : ok(text);
}

async function openFiles(): Promise<Finding> {
  if (isWindows) return ok('no limit');
  const text = await outputOf('sh', ['-c', 'ulimit -n']);
  const files = text === 'unlimited' ? Infinity : Number(text);
  if (files >= 4096) return ok(`${text} at once`);
  return warn(
    `only ${text} at once: few jobs can be followed together`,
    'ulimit -n 65536 before the server starts, or LimitNOFILE= in its unit',
  );
}

async function optional(program: string, purpose: string, fix: string): Promise<Finding> {
  const path = isWindows ? undefined : await outputOf('sh', ['-c', `command -v ${program}`]);
  return path === undefined || path === '' ? warn(`not found; only needed for ${purpose}`, fix) : ok(path);
}

function tryWatch(folder: string): string | undefined {
  try {
    watch(folder).close();
    return undefined;
  } catch (error) {
    // ENOSPC: no more watches. EMFILE: no more instances.
    return codeOf(error);
  }
}

function limit(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    // Some containers hide the limit: then only the attempt to watch counts.
    return Infinity;
  }
}

async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  // TMPDIR may name a folder that is not there.
  const folder = await mkdtemp(join(tmpdir(), 'sidecar-doctor-')).catch(() => mkdtemp('/tmp/sidecar-doctor-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
