/** The command line of the bench. @module */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { errorCode } from '../../src/base/error-code.ts';
import type { BenchOptions, Measurement } from './bench.ts';

/** The server built by `npm run build`. */
export const BUILT_SERVER: string = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const PEER_CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'machine-sidecar-bench');

const OPTIONS = {
  only: { type: 'string' },
  runs: { type: 'string', default: '3' },
  json: { type: 'boolean', default: false },
  server: { type: 'string' },
  'install-peers': { type: 'boolean', default: false },
  'peer-cache': { type: 'string', default: PEER_CACHE },
  'growth-jobs': { type: 'string', default: '100000' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** The measurements, how they run, and how they are printed. */
export interface Options extends BenchOptions {
  readonly measurements: readonly Measurement[];
  readonly isJson: boolean;
  readonly isHelp: boolean;
}

/** The command line cannot be used; the message says why. */
export class UsageError extends Error {}

/** @throws {UsageError} */
export function readOptions(args: readonly string[], measurements: readonly Measurement[]): Options {
  const values = parse(args);
  return {
    measurements: selected(measurements, values.only),
    runs: count('--runs', values.runs),
    isJson: values.json,
    serverCommand: values.server?.split(/\s+/) ?? [process.execPath, BUILT_SERVER, 'serve'],
    installsPeers: values['install-peers'],
    peerCache: values['peer-cache'],
    growthJobs: count('--growth-jobs', values['growth-jobs']),
    isHelp: values.help,
  };
}

/** The text of `--help`. */
export function usage(measurements: readonly Measurement[]): string {
  const width = Math.max(...measurements.map(({ name }) => name.length));
  const list = measurements.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: npm run bench -- [OPTION]...

Measures the built server beside others and prints a table. Linux only; nothing else should run on the machine.

  --only NAME,...       Take these measurements only
  --runs N              Measure everything N times and show medians; default: ${OPTIONS.runs.default}
  --json                Print JSON
  --server "COMMAND"    Start the server with this command, up to and including "serve"; default: that in dist
  --install-peers       Download the peers that npm has, if they are not in the cache
  --peer-cache DIR      Where they are; default: ${PEER_CACHE}
  --growth-jobs N       Jobs over which "growth" watches the memory; default: ${OPTIONS['growth-jobs'].default}
  -h, --help            Print this text

Measurements:
${list.join('\n')}

Examples:
  npm run bench -- --only cold-start,idle
  npm run bench -- --only beside-peers --runs 5 --install-peers
  npm run bench -- --only growth --growth-jobs 5000 --json

Exit code: 0, even where a target is missed; 1 where something could not be measured; 2 for a wrong option.
`;
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    if (!errorCode(error).startsWith('ERR_PARSE_ARGS_')) throw error;
    // Node adds how to pass an argument that looks like an option; this command has no arguments.
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

function selected(all: readonly Measurement[], only: string | undefined): readonly Measurement[] {
  const names = only?.split(',');
  const unknown = names?.find((wanted) => !all.some(({ name }) => name === wanted));
  if (unknown !== undefined) {
    throw new UsageError(`Cannot measure "${unknown}": there are ${all.map(({ name }) => name).join(', ')}`);
  }
  return all.filter(({ name }) => names?.includes(name) !== false);
}

function count(option: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) {
    throw new UsageError(`Cannot read ${option}: expected a whole number from 1, received "${text}"`);
  }
  return number;
}
