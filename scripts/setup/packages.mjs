/** Checks whether the development packages are those of the lock file, and installs them. @module */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { run, SetupError } from './tool.mjs';

/**
 * Compares the lock file with npm's own record of what it installed, which npm writes last. So a plain `npm ci` by hand
 * counts; an interrupted one, `npm prune` or a copy from another platform does not.
 */
export function areInstalled(root) {
  const wanted = readPackages(join(root, 'package-lock.json'));
  const present = readPackages(installedRecord(root));
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || !fitsThisMachine(entry) || isSame(entry, present[path]),
  );
}

function readPackages(file) {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch (error) {
    // A torn or conflicted file: npm reports it, or writes it again.
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

function installedRecord(root) {
  return join(root, 'node_modules', '.package-lock.json');
}

function fitsThisMachine(entry) {
  return (
    (entry.os === undefined || entry.os.includes(process.platform)) &&
    (entry.cpu === undefined || entry.cpu.includes(process.arch))
  );
}

function isSame(wanted, present) {
  return present?.version === wanted.version && present.integrity === wanted.integrity;
}

/**
 * Flags that override the environment: NODE_ENV=production, and the settings that an outer npm passes down, such as
 * `npm install --global FOLDER` or `npm pack --dry-run`.
 * No scripts run: none of these packages needs its own, and this package's would start this set-up again.
 */
const arguments_ = [
  'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--ignore-scripts',
  '--location=project', '--no-global', '--no-dry-run', '--package-lock', '--loglevel=error',
];

/** Runs `npm ci`, and a second time with its own cache if the usual one cannot be written. */
export async function install(root, held) {
  // An interrupted npm must not leave the old record beside half the packages.
  rmSync(installedRecord(root), { force: true });
  let outcome = await npm(root, held, {});
  if (!outcome.ok && /\b(EACCES|EPERM|EROFS|ENOTDIR|ENOENT|ENOSPC|EDQUOT)\b/.test(outcome.output)) {
    outcome = await installWithOwnCache(root, held);
  }
  if (!outcome.ok) throw new SetupError(explain(outcome));
  if (!areInstalled(root)) {
    throw new SetupError(
      `${outcome.output}setup: npm ci ended well, but node_modules is not what package-lock.json ` +
        'says. Delete node_modules and run the same command again.',
    );
  }
}

async function installWithOwnCache(root, held) {
  const cache = join(root, '.setup', 'npm-cache');
  try {
    return await npm(root, held, { npm_config_cache: cache });
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

function npm(root, held, env) {
  const [command, ...first] = npmCommand();
  return run(command, [...first, ...arguments_], { root, held, env });
}

/** Prefers the npm that started this program, then the one that came with this Node (Windows), then PATH. */
function npmCommand() {
  const started = process.env.npm_execpath ?? '';
  const beside = join(dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js');
  const isNpm = (file) => basename(file) === 'npm-cli.js' && existsSync(file);
  const script = [started, beside].find(isNpm);
  return script === undefined ? ['npm'] : [process.execPath, script];
}

function explain({ output, ended }) {
  if (ended === 'ENOENT') {
    return (
      'setup: npm was not found. It comes with Node from https://nodejs.org; on Debian and Ubuntu\n' +
      'it is a package of its own: `apt-get install npm`. Then run the same command again.'
    );
  }
  return (
    `${output}setup: npm ci failed (${ended}). It needs the npm registry, or an npm cache that ` +
    'holds the packages: see\nwhat npm says above, check the network and `npm config get registry`, ' +
    'and run the same command again.'
  );
}
