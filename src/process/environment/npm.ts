/**
 * Removes what `npm start` and similar commands add to the environment of the server: it is meant for npm's script, not
 * for jobs.
 *
 * npm-run-script(1) and @npmcli/config, set-envs: `npm_*`, `INIT_CWD`, `NODE`, `COLOR`, `EDITOR`, and folders in front
 * of `PATH`.
 * @module
 */
import { readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { parseStat } from '../identity.ts';
import type { Environment } from './secrets.ts';

/** npm, pnpm and yarn set it for each script that they run. */
const scriptName = 'npm_lifecycle_event';
/** Variables that they may set, replacing an earlier value. */
const touched = /^(npm_.*|PNPM_SCRIPT_SRC_DIR|BERRY_BIN_FOLDER|PROJECT_CWD|INIT_CWD|NODE|COLOR|EDITOR)$/i;
/**
 * Limit on the processes between a script and what started npm: shells, and npm itself, several times if a script runs
 * npm.
 */
const longestLine = 16;

/**
 * @param before The environment that npm itself was started with; `undefined`: unknown, and all that npm may have set
 *   is left out.
 */
export function withoutNpm(environment: Environment, before: Environment | undefined): Environment {
  if (environment[scriptName] === undefined) return environment;
  const kept = Object.entries(environment).flatMap(([name, value]): [string, string | undefined][] => {
    if (name.toUpperCase() === 'PATH') return [[name, withoutFolders(value ?? '', environment, before?.[name])]];
    if (!touched.test(name)) return [[name, value]];
    if (before) return [[name, before[name]]];
    return isSetByNpm(name, value, environment) ? [] : [[name, value]];
  });
  return Object.fromEntries(kept);
}

/**
 * The environment of the process that started npm, which npm itself began with; `undefined` where npm has ended, or
 * there is no `/proc`.
 */
export function environmentBeforeNpm(pid: number = process.ppid): Environment | undefined {
  let parent = pid;
  try {
    for (let steps = 0; steps < longestLine && parent > 1; steps += 1) {
      const environment = environmentOf(parent);
      if (environment[scriptName] === undefined) return environment;
      parent = parseStat(readFileSync(`/proc/${parent}/stat`, 'latin1'))?.parentPid ?? 0;
    }
  } catch {
    // It ended meanwhile, or belongs to another user.
  }
  return undefined;
}

/** The environment that the process was started with (proc(5), environ). */
function environmentOf(pid: number): Environment {
  const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter((entry) => entry.includes('='));
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}

function isSetByNpm(name: string, value: string | undefined, environment: Environment): boolean {
  switch (name) {
    case 'NODE': return value === environment['npm_node_execpath'];
    case 'COLOR': return value === '0' || value === '1';
    case 'EDITOR': return false;
    default: return true;
  }
}

/** npm prepends `node_modules/.bin` of the package and of each folder above it, and the folder of its own node-gyp. */
function withoutFolders(path: string, environment: Environment, before: string | undefined): string {
  const ownFolders = foldersAbove(dirname(environment['npm_package_json'] ?? ''))
    .map((folder) => join(folder, 'node_modules', '.bin'));
  const isNpms = (folder: string): boolean => ownFolders.includes(folder) || /[\\/]node-gyp-bin$/.test(folder)
    || (before !== undefined && /[\\/]node_modules[\\/]\.bin$/.test(folder));
  const earlier = before?.split(delimiter) ?? [];
  const all = path.split(delimiter);
  // A folder that npm added and that was there before occurs twice: its last occurrences stay.
  return all.filter((folder, index) => {
    if (!isNpms(folder)) return true;
    const later = all.slice(index + 1).filter((other) => other === folder).length;
    return later < earlier.filter((other) => other === folder).length;
  }).join(delimiter);
}

function foldersAbove(folder: string): readonly string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...foldersAbove(parent)];
}
