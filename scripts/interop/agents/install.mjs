/** Installs agents from npm, each in its own directory, so that their dependencies do not mix. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { killAll, processesWith } from './processes.mjs';
import { node22 } from './recipes.mjs';

const installMs = 8 * 60_000;
const markFile = 'interop-installed.json';
const installMark = 'SIDECAR_INTEROP_INSTALL';

/** Ends npm, if it runs, and all processes that it has started. */
export function endInstall() {
  killAll(processesWith(`${installMark}=${process.pid}\0`));
}

/**
 * Installs an agent if it is not installed yet.
 *
 * @param folder The folder of all agents.
 * @returns `argv`, the command that starts the agent, and `node`, the path of the Node that it runs with.
 */
export async function install(recipe, folder) {
  await add(recipe.packages, join(folder, recipe.name));
  if (recipe.needsNode22) await add(node22.packages, join(folder, node22.name));
  const node = recipe.needsNode22 ? join(folder, node22.name, 'node_modules', node22.program) : process.execPath;
  const program = join(folder, recipe.name, 'node_modules', recipe.program);
  if (!existsSync(program)) throw new Error(`${recipe.packages.join(' ')} has no ${recipe.program}`);
  return { argv: [...(recipe.isNative ? [] : [node]), program, ...recipe.args], node };
}

async function add(packages, directory) {
  const mark = join(directory, markFile);
  const wanted = JSON.stringify(packages);
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true }));
  const from = performance.now();
  const npmCache = join(directory, 'npm-cache');
  const child = spawn('npm', [
    'install', '--prefix', directory, '--no-audit', '--no-fund', '--loglevel=error', ...packages,
  ], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, npm_config_cache: npmCache, [installMark]: String(process.pid) },
  });
  const overdue = setTimeout(endInstall, installMs);
  const [code, signal] = await once(child, 'exit');
  clearTimeout(overdue);
  rmSync(npmCache, { recursive: true, force: true });
  if (code !== 0) throw new Error(`npm install ${packages.join(' ')} ended with ${code ?? signal}`);
  writeFileSync(mark, wanted);
  console.log(`installed ${packages.join(' ')} in ${seconds(from)}`);
}

export function seconds(from) {
  return `${((performance.now() - from) / 1000).toFixed(1)} s`;
}
