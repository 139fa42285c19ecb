/**
 * Measures the built server against yardsticks that run in turns with it, and prints a table.
 *
 *     npm run bench -- --help
 *
 * Every value is the median of the runs, every ratio the median of the runs' ratios (value divided by yardstick).
 * MB are 10^6 bytes.
 * @module
 */
import { existsSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { Bench, type Measurement, type Row } from './bench.ts';
import * as agents from './measurements/agents.ts';
import * as backgroundChild from './measurements/background-child.ts';
import * as besidePeers from './measurements/beside-peers.ts';
import * as coldStart from './measurements/cold-start.ts';
import * as execCommand from './measurements/exec-command.ts';
import * as files from './measurements/files.ts';
import * as follow from './measurements/follow.ts';
import * as growth from './measurements/growth.ts';
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
import { BUILT_SERVER, type Options, readOptions, usage, UsageError } from './options.ts';
import { formatTable, isMet } from './table.ts';

/** The measurements in their order; those that fill the disk come last. */
const MEASUREMENTS: readonly Measurement[] = [
  coldStart,
  idle,
  execCommand,
  submit,
  roundTrip,
  persistentShell,
  terminals,
  agents,
  throughput,
  polls,
  follow,
  sleeps,
  backgroundChild,
  update,
  files,
  tenThousand,
  growth,
  output,
  besidePeers,
];

process.exitCode = await main();

async function main(): Promise<number> {
  let options: Options;
  try {
    options = readOptions(process.argv.slice(2), MEASUREMENTS);
  } catch (error) {
    if (error instanceof UsageError) return refuse(`${error.message}. See --help`);
    throw error;
  }
  if (options.isHelp) {
    process.stdout.write(usage(MEASUREMENTS));
    return 0;
  }
  if (process.platform !== 'linux') {
    return refuse('Cannot measure here: CPU time and memory are read from /proc, which Linux has');
  }
  if (options.serverCommand.includes(BUILT_SERVER) && !existsSync(BUILT_SERVER)) {
    return refuse(`Cannot start ${BUILT_SERVER}: build it first (npm run build)`);
  }
  return takeMeasurements(options);
}

async function takeMeasurements(options: Options): Promise<number> {
  const { measurements, runs, isJson } = options;
  const bench = new Bench(options);
  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      // The measurement that is waited for fails, so the loop below ends.
      isInterrupted = true;
      void bench.interrupt();
    });
  }

  const rows: Row[] = [];
  say(`${describeMachine()}, ${runs} run${runs === 1 ? '' : 's'}\n`);
  try {
    for (const measurement of measurements) {
      if (isInterrupted) break;
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
    isJson ? `${JSON.stringify(result, null, 2)}\n` : `\n${formatTable(rows)}\n`,
  );
  return rows.some(({ kind }) => kind === 'failed') ? 1 : 0;
}

/** The rows of a measurement; if it fails, a row with the reason, so that the others still run. */
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

/** Writes progress to stderr, since it is not part of the result. */
function say(text: string): void {
  process.stderr.write(text);
}

function refuse(message: string): number {
  say(`${message}\n`);
  return 2;
}
