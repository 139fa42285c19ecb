/**
 * Tests our Agent Client Protocol client, over HTTP, against real agents from npm with our own model on loopback: it
 * needs no account and no other network.
 *
 *     node --import tsx scripts/interop/agents/main.mjs --help
 */
import { appendFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Trial, bareChecks, checks, quickChecks, slowChecks } from './checks.mjs';
import { endInstall, install, seconds } from './install.mjs';
import { startModel } from './model/server.mjs';
import { killAll, processesWith } from './processes.mjs';
import { recipes } from './recipes.mjs';
import { Sidecar } from './sidecar.mjs';

const help = `Usage: node --import tsx scripts/interop/agents/main.mjs [OPTION]...

Installs agents from npm, has each do a task with a model of ours, and checks what our client makes of it. Linux only.

  --only NAME,…    These agents alone: ${recipes.map(({ name }) => name).join(', ')}
  --check NAME/…   These checks alone: ${Object.keys(checks).join(' / ')};
                   default: all but ${slowChecks.join(' / ')}
  --parallel       The agents side by side
  --acp VERSION    The highest version of the protocol to agree on, 1 or 2; default: that of the server
  --ci             Only the agents that are installed quickly, side by side, and the checks that tell most
  --cache DIR      Keep the agents there (or AGENTS_CACHE); default: a temporary directory that is removed
  --dist           Run the server that was built into dist, instead of the sources
  --keep           Keep what the agents were given and what the model was asked, and say where
  --help           This text

Exit code: 0 where all is well, 1 where a check failed, 2 for a wrong option.`;

const options = read();
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'sidecar-agents-')));
const cache = options.cache ?? join(scratch, 'agents');
const sidecars = [];
let model;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(
  signal, () => void end().finally(() => process.exit(1)),
);
try {
  model = await startModel({
    onRequest: (what) => appendFileSync(join(scratch, 'model.ndjson'), `${JSON.stringify(what)}\n`),
  });
  if (options.isParallel) printTable(await Promise.all(options.recipes.map(tryAgent)));
  else printTable(await inTurn(options.recipes, tryAgent));
} catch (error) {
  process.exitCode = 1;
  console.error(error);
} finally {
  await end();
}

async function inTurn(all, run) {
  const results = [];
  for (const one of all) results.push(await run(one));
  return results;
}

/** Runs the checks of one agent with a server of its own, which may be killed. @returns the name and the results. */
async function tryAgent(recipe) {
  const { name } = recipe;
  const sidecar = new Sidecar({ folder: join(scratch, name, 'server'), isBuilt: options.dist });
  sidecars.push(sidecar);
  try {
    const installed = await install(recipe, cache);
    await sidecar.start();
    const results = await inTurn(options.checks, (check) => tryOne({ recipe, check, installed, sidecar }));
    await sidecar.close();
    return { name, results };
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL ${name}: ${error.message}`);
    return { name, results: options.checks.map(() => ({ cell: 'FAILED' })) };
  }
}

async function tryOne({ recipe, check, installed, sidecar }) {
  const from = performance.now();
  const title = `${recipe.name}: ${check}`;
  let trial;
  try {
    trial = trialOf({ recipe, check, installed, sidecar });
    const remark = await checks[check](trial);
    await trial.expectNoneLeft();
    const { limit } = remark ?? {};
    console.log(`${limit ? 'own ' : 'ok  '} ${title}, ${seconds(from)}${remark ? `, ${limit ?? remark}` : ''}`);
    return { cell: 'ok', limit };
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL ${title}, ${seconds(from)}: ${error.stack}\n${await trial?.outline()}`);
    return { cell: 'FAILED' };
  } finally {
    await trial?.clean();
  }
}

/** Makes a new home and a new working directory. */
function trialOf({ recipe, check, installed: { argv, node }, sidecar }) {
  const root = join(scratch, recipe.name, check.replaceAll(' ', '-'));
  const [home, workdir, temporary] = ['home', 'work', 'tmp'].map((folder) => join(root, folder));
  for (const folder of [home, workdir, temporary]) mkdirSync(folder, { recursive: true });
  const isBare = bareChecks.includes(check);
  const place = { url: model.url, home, isBare };
  for (const [file, text] of Object.entries(recipe.files(place))) {
    mkdirSync(dirname(join(home, file)), { recursive: true });
    writeFileSync(join(home, file), text);
  }
  const env = {
    PATH: [dirname(node), '/usr/local/bin', '/usr/bin', '/bin'].join(':'), HOME: home, TMPDIR: temporary,
    LANG: 'C.UTF-8', NO_COLOR: '1', NO_PROXY: '127.0.0.1',
    XDG_CONFIG_HOME: join(home, '.config'), XDG_DATA_HOME: join(home, '.local/share'),
    XDG_CACHE_HOME: join(home, '.cache'), XDG_STATE_HOME: join(home, '.local/state'),
    ...recipe.env(place),
  };
  return new Trial({ recipe, sidecar, model, argv, env, home, workdir, asked: options.asked, isBare });
}

/** Prints a line for each check; a number stands for what the agent itself cannot do. */
function printTable(agents) {
  const limits = [...new Set(agents.flatMap(({ results }) => results.flatMap(({ limit }) => limit ?? [])))];
  const cellOf = ({ cell, limit }) => (limit ? `(${limits.indexOf(limit) + 1})` : cell);
  const rows = [
    ['', ...agents.map(({ name }) => name)],
    ...options.checks.map((check, index) => [check, ...agents.map(({ results }) => cellOf(results[index]))]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)) + 2);
  console.log();
  for (const row of rows) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join('').trimEnd());
  for (const [index, limit] of limits.entries()) console.log(`${index === 0 ? '\n' : ''}(${index + 1}) ${limit}`);
}

async function end() {
  endInstall();
  await Promise.all(sidecars.map((sidecar) => sidecar.close()));
  await model?.close();
  // All processes that were started here have a home in this folder.
  killAll(processesWith(`HOME=${scratch}/`));
  if (options.keep) console.log(`\nKept in ${scratch}`);
  else rmSync(scratch, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

function read() {
  let values;
  try {
    ({ values } = parseArgs({ options: {
      ...Object.fromEntries(['only', 'check', 'acp', 'cache'].map((name) => [name, { type: 'string' }])),
      ...Object.fromEntries(['ci', 'parallel', 'dist', 'keep', 'help'].map((name) => [name, { type: 'boolean' }])),
    } }));
    if (values.help) {
      console.log(help);
      process.exit(0);
    }
    if (process.platform !== 'linux') throw new Error('It looks for processes in /proc, which only Linux has.');
    const cacheDirectory = values.cache ?? process.env.AGENTS_CACHE;
    const quick = values.ci ? recipes.filter(({ isQuick }) => isQuick) : recipes;
    return {
      recipes: values.only
        ? some(values.only, recipes.map(({ name }) => name))
          .map((name) => recipes.find((recipe) => recipe.name === name))
        : quick,
      isParallel: values.ci === true || values.parallel === true,
      asked: values.acp ? { acpVersion: Number(values.acp) } : {},
      checks: checksOf(values),
      cache: cacheDirectory && resolve(cacheDirectory), dist: values.dist === true, keep: values.keep === true,
    };
  } catch (error) {
    console.error(`${error.message}\nTry --help.`);
    process.exit(2);
  }
}

function checksOf({ check, ci }) {
  const names = Object.keys(checks);
  if (check) return some(check, names, '/');
  return ci ? quickChecks : names.filter((name) => !slowChecks.includes(name));
}

function some(list, known, separator = ',') {
  const names = list.split(separator).map((name) => name.trim());
  const strange = names.find((name) => !known.includes(name));
  if (strange !== undefined) throw new Error(`There is no ${strange}; there are ${known.join(', ')}.`);
  return names;
}
