/** Builds `src` into `dist`, which is complete or absent. @module */
import { createHash } from 'node:crypto';
import {
  chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { bundle } from './bundle.mjs';
import { run, SetupError } from './tool.mjs';

const config = join('scripts', 'setup', 'tsconfig.build.json');
const tools = ['bundle.mjs', 'start.cjs'].map((name) => join('scripts', 'setup', name));

/** Whether `dist` was built from these sources. Its stamp is its last file, so the two cannot disagree. */
export function isBuilt(root) {
  const stamp = join(root, 'dist', '.stamp');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hashSources(root);
}

/** A hash of what the output depends on: contents, never dates, which git and copying change. */
function hashSources(root) {
  const hash = createHash('sha256');
  for (const file of ['package-lock.json', 'tsconfig.json', config, ...tools, ...listSources(root)]) {
    const bytes = readFileSync(join(root, file));
    hash.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

function listSources(root, folder = 'src') {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return listSources(root, path);
      // Pages are for readers of the repository.
      return entry.name.endsWith('.md') ? [] : [path];
    });
}

/** Compiles into a folder beside `dist`, at the same depth, so that the source maps hold after the move. */
export async function build(root, held) {
  removeLeftovers(root);
  const hash = hashSources(root);
  const made = join(root, `.dist-new-${process.pid}`);
  try {
    await compile(root, made, held);
    copyAssets(root, made);
    await bundle(root, made);
    makeExecutable(join(made, 'cli', 'main.js'));
    writeFileSync(join(made, '.stamp'), hash);
    replace(join(root, 'dist'), made, join(root, `.dist-old-${process.pid}`));
  } finally {
    remove(made);
  }
}

/** Removes what a killed build left. */
function removeLeftovers(root) {
  for (const name of readdirSync(root)) {
    if (name.startsWith('.dist-')) remove(join(root, name));
  }
}

/** @param held The lock of the set-up, if it is held. */
async function compile(root, outDir, held) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', join(root, config), '--outDir', outDir];
  const outcome = await run(process.execPath, args, { root, held });
  if (!outcome.ok) {
    throw new SetupError(
      `${outcome.output}setup: the build failed (${outcome.ended}). ` +
        'Correct what tsc says above and run the same command again.',
    );
  }
}

/** Copies the files that are not TypeScript, such as the console's pages. */
function copyAssets(root, outDir) {
  for (const file of listSources(root).filter((name) => !name.endsWith('.ts'))) {
    const target = join(outDir, file.slice('src'.length));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(root, file), target);
  }
}

/** npm makes the program executable when it links it; a later build must not undo that. */
function makeExecutable(program) {
  if (existsSync(program)) chmodSync(program, 0o755);
}

/** Without a portable system call that swaps two folders, there is no `dist` between the two renames. */
function replace(folder, made, old) {
  const isReplacing = existsSync(folder);
  if (isReplacing) renameSync(folder, old);
  try {
    renameSync(made, folder);
  } catch (error) {
    if (isReplacing) renameSync(old, folder);
    throw error;
  }
  remove(old);
}

function remove(folder) {
  rmSync(folder, { recursive: true, force: true });
}
