/**
 * Measures the built server against yardsticks that run in turns with it, and prints a table.
 *
 *     node --import tsx scripts/bench/main.ts [--only name,name] [--runs 3] [--json]
 *         [--server "node dist/cli/main.js serve"]
 *
 * Every value is the median of the runs, every ratio the median of the runs' ratios (value by
 * yardstick). MB are 10^6 bytes. Nothing else should run on the machine. Exit code 0, even where a
 * target is missed; 1 where something could not be measured.
 * @module
 */
import { existsSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Bench, type Measurement, type Row } from './bench.ts';
import * as agents from './measurements/agents.ts';
import * as besidePeers from './measurements/beside-peers.ts';
import * as coldStart from './measurements/cold-start.ts';
import * as follow from './measurements/follow.ts';
import * as idle from './measurements/idle.ts';
import * as output from './measurements/output.ts';
import * as persistentShell from './measurements/persistent-shell.ts';
import * as polls from './measurements/polls.ts';
import * as roundTrip from './measurements/round-trip.ts';
import * as sleeps from './measurements/sleeps.ts';
import * as submit from './measurements/submit.ts';
import * as tenThousand from './measurements/ten-thousand.ts';
import * as terminals from './measurements/terminals.ts';
import * as throughput from './measurements/throughput.ts';
import * as update from './measurements/update.ts';
import { formatTable, isMet } from './table.ts';

/** In this order; what fills the disk comes last. */
const MEASUREMENTS: readonly Measurement[] = [
  coldStart,
  idle,
  submit,
  roundTrip,
  persistentShell,
  terminals,
  agents,
  throughput,
  polls,
  follow,
  sleeps,
  update,
  tenThousand,
  output,
  besidePeers,
];
const BUILT_SERVER = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    server: { type: 'string' },
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  const wanted = options.only?.split(',');
  const unknown = wanted?.find(
    (name) => !MEASUREMENTS.some((measurement) => measurement.name === name),
  );
  const runs = Number(options.runs);
  if (unknown !== undefined) {
    return refuse(
      `Cannot measure ${unknown}: there are ${MEASUREMENTS.map(({ name }) => name).join(' ')}`,
    );
  }
  if (!Number.isInteger(runs) || runs < 1) {
    return refuse(`Cannot read --runs: expected a whole number from 1, received ${options.runs}`);
  }
  if (process.platform !== 'linux') {
    return refuse('Cannot measure here: CPU time and memory are read from /proc, which Linux has');
  }
  if (options.server === undefined && !existsSync(BUILT_SERVER)) {
    return refuse(`Cannot start ${BUILT_SERVER}: build it first (npm run build)`);
  }

  const serverCommand = options.server?.split(/\s+/) ?? [process.execPath, BUILT_SERVER, 'serve'];
  const bench = new Bench({ serverCommand, runs });
  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      // What is being waited for ends with it, and the loop below comes to its end.
      isInterrupted = true;
      void bench.endMeasurement();
    });
  }

  const rows: Row[] = [];
  say(`${describeMachine()}, ${runs} run${runs === 1 ? '' : 's'}\n`);
  try {
    for (const measurement of MEASUREMENTS) {
      if (isInterrupted || wanted?.includes(measurement.name) === false) continue;
      say(`measuring ${measurement.name} …`);
      const startedAt = performance.now();
      rows.push(...(await measured(bench, measurement)));
      say(` ${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);
    }
  } finally {
    await bench.close();
  }
  if (isInterrupted) return 130;
  const result = { machine: describeMachine(), runs, rows: rows.map(withVerdict) };
  process.stdout.write(
    options.json ? `${JSON.stringify(result, null, 2)}\n` : `\n${formatTable(rows)}\n`,
  );
  return rows.some(({ kind }) => kind === 'failed') ? 1 : 0;
}

/** The rows of a measurement; where it fails, a row that says why, so that the others still run. */
async function measured(bench: Bench, { name, measure }: Measurement): Promise<Row[]> {
  try {
    return await measure(bench);
  } catch (error) {
    return [
      { kind: 'failed', name, reason: error instanceof Error ? error.message : String(error) },
    ];
  } finally {
    await bench.endMeasurement();
  }
}

function withVerdict(row: Row): Row & { isMet?: boolean } {
  const verdict = isMet(row);
  return { ...row, ...(verdict !== undefined && { isMet: verdict }) };
}

function describeMachine(): string {
  const processors = `${cpus().length} × ${cpus()[0]?.model}`;
  const memory = `${(totalmem() / 1e9).toFixed(0)} GB`;
  return `Node ${process.versions.node}, ${processors}, ${memory}, load ${loadavg()[0]?.toFixed(2)}`;
}

/** Progress is not part of the result. */
function say(text: string): void {
  process.stderr.write(text);
}

function refuse(message: string): number {
  say(`${message}\n`);
  return 2;
}
