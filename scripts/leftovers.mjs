/**
 * Looks for what a run of the tests left behind: processes, FIFOs, temporary folders.
 *
 *     node scripts/leftovers.mjs FOLDER
 *
 * FOLDER is the TMPDIR of the whole run, so its path identifies everything that the run made: it holds the folders and
 * FIFOs, and processes have it in their environment, arguments, working directory or open files. Exits with 1 and a
 * list if anything is left.
 *
 * @module
 */
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** How long processes may take to end. */
const patienceMs = 10_000;

/** @param folder The TMPDIR of the run. @returns one line for each thing left. */
export async function leftovers(folder) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const found = [...processesOf(folder), ...filesIn(folder)];
    if (found.length === 0 || performance.now() >= deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Finds processes only on Linux, which has /proc. */
function processesOf(folder) {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && !isOurselves(Number(name))).flatMap((pid) => {
    const place = traces(pid).find(([, text]) => text.includes(folder))?.[0];
    if (place === undefined) return [];
    const command = read(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim().slice(0, 160);
    return [`process ${pid}, by its ${place}: ${command}`];
  });
}

/** Whether it is this process or its parent, which both have the same folder. */
function isOurselves(pid) {
  return pid === process.pid || pid === process.ppid;
}

function traces(pid) {
  const files = readList(() => readdirSync(`/proc/${pid}/fd`))
    .map((fd) => read(() => readlinkSync(`/proc/${pid}/fd/${fd}`)));
  return [
    ['environment', read(() => readFileSync(`/proc/${pid}/environ`, 'latin1'))],
    ['arguments', read(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1'))],
    ['working directory', read(() => readlinkSync(`/proc/${pid}/cwd`))],
    ['open files', files.join('\n')],
  ];
}

function filesIn(folder, inside = '') {
  return readList(() => readdirSync(join(folder, inside))).flatMap((name) => {
    const path = join(inside, name);
    // These are caches of the tools that run the tests.
    if (inside === '' && /^(tsx-|node-compile-cache)/.test(name)) return [];
    const stat = read(() => lstatSync(join(folder, path)), undefined);
    if (stat === undefined) return [];
    if (stat.isFIFO()) return [`FIFO ${join(folder, path)}`];
    const more = stat.isDirectory() ? filesIn(folder, path).filter((line) => line.startsWith('FIFO')) : [];
    if (inside !== '') return more;
    return [`${stat.isDirectory() ? 'folder' : 'file'} ${join(folder, path)}`, ...more];
  });
}

/** Reads what may be gone, or belong to another user. */
function read(look, otherwise = '') {
  try {
    return look();
  } catch {
    return otherwise;
  }
}

function readList(look) {
  return read(look, []);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) {
    console.error('Usage: node scripts/leftovers.mjs FOLDER');
    process.exit(2);
  }
  const found = await leftovers(folder);
  for (const line of found) console.error(`left behind: ${line}`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
