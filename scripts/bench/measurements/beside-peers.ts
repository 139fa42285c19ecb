/**
 * Measures jobs beside the installed peers, in three states of the disk: the time until a job is accepted, the time
 * until its result, the jobs a second, and the CPU time of a job, by the server with all processes that it starts (see
 * process-tree.ts). The command is `true` by `sh -c`, which the peers run; further rows show the default shell.
 *
 * Each run makes every state again, and measures each quantity in it of one program after the other. A row's yardstick
 * is the best of the peers in that state; the others are shown in parentheses. For OpenSSH a client is a process, and
 * the user's login shell runs the command.
 * @module
 */
import type { Bench, Row, Target } from '../bench.ts';
import { DISK_STATES, newSpreadFolder, startServerIn } from '../disk-state.ts';
import { startPeers } from '../peers/all.ts';
import { type JobLoad, messageOf, type Peer, sidecar } from '../peers/peer.ts';
import { CpuMeter } from '../process-tree.ts';
import { median, rowOf } from '../statistics.ts';
import { formatNumber } from '../table.ts';

interface Quantity {
  readonly row: string;
  readonly unit: 'ms' | '/s';
  /** The bound of the ratio to the best peer. */
  readonly bound: number;
}

/** Measures some quantities of a peer, or nothing if it does not have them. */
type Step = (peer: Peer, cpu: CpuMeter) => Promise<readonly (readonly [Quantity, number])[]>;

/** The samples of all runs, by the name of the peer. */
type Findings = Map<string, Map<Quantity, number[]>>;

const OURS = 'ours by sh';
const BY_DEFAULT = 'ours by the default shell';
/** The share by which a quantity may be worse than on a fresh disk. */
const WORSE_BY = 0.1;
const SUBMIT: Quantity = { row: 'submit, p50', unit: 'ms', bound: 1 };
const ROUND_TRIP: Quantity = { row: 'round trip, p50', unit: 'ms', bound: 1.2 };
const LOADS: readonly JobLoad[] = [
  { concurrency: 1, warmup: 50, count: 250 },
  { concurrency: 8, warmup: 100, count: 600 },
  { concurrency: 64, warmup: 100, count: 600 },
];
const LEVELS = LOADS.map((load) => {
  const at = `${load.concurrency} at a time`;
  const rate: Quantity = { row: `jobs, ${at}`, unit: '/s', bound: 0.8 };
  const cpu: Quantity = { row: `CPU a job, ${at}`, unit: 'ms', bound: 1.5 };
  return { load, rate, cpu };
});
const QUANTITIES: readonly Quantity[] = [
  SUBMIT,
  ROUND_TRIP,
  ...LEVELS.map(({ rate }) => rate),
  ...LEVELS.map(({ cpu }) => cpu),
];

const STEPS: readonly Step[] = [
  async ({ submit }) => {
    const times = await submit?.({ concurrency: 1, warmup: 20, count: 200 });
    return times === undefined ? [] : [[SUBMIT, times.p50Ms]];
  },
  async ({ run }) => {
    const { p50Ms } = await run({ concurrency: 1, warmup: 10, count: 100 });
    return [[ROUND_TRIP, p50Ms]];
  },
  ...LEVELS.map(({ load, rate, cpu }): Step => async ({ run, tree }, meter) => {
    const { result, cpuMs } = await meter.measure(tree, () => run(load));
    return [[rate, result.perSecond], [cpu, cpuMs / result.jobs]];
  }),
];

export const name = 'beside-peers';
export const summary =
  'jobs on a fresh, an old and a disturbed disk: latency, jobs/s, CPU; against webhook, sandbox-agent, ssh';

export async function measure(bench: Bench): Promise<Row[]> {
  const meter = new CpuMeter(bench);
  const { peers, absent } = await startPeers(bench);
  const lost = new Map(absent.map(({ name, missing }) => [name, missing]));
  const folder = newSpreadFolder(bench);
  const states = DISK_STATES.map((state) => ({ state, found: new Map() as Findings }));
  for (let run = 0; run < bench.runs; run++) {
    for (const { state, found } of states) {
      const server = await startServerIn(bench, folder, state);
      for (const step of STEPS) {
        const take = async (side: Peer): Promise<void> => add(found, side, await step(side, meter));
        await take(sidecar(bench, server, { name: OURS, shell: 'sh' }));
        for (const peer of peers.filter(({ name }) => !lost.has(name))) {
          await take(peer).catch((error: unknown) => lost.set(peer.name, messageOf(error)));
        }
        await take(sidecar(bench, server, { name: BY_DEFAULT }));
      }
      await server.close();
    }
  }
  const fresh: Findings = states[0]?.found ?? new Map();
  for (const name of lost.keys()) states.forEach(({ found }) => found.delete(name));
  return [
    ...states.flatMap(({ state, found }) => rowsOf(state.name, found, fresh)),
    ...[...lost].map(([name, reason]): Row => ({ kind: 'skipped', name: `beside ${name}`, reason })),
  ];
}

function add(found: Findings, { name }: Peer, samples: readonly (readonly [Quantity, number])[]): void {
  const ofSide = found.get(name) ?? new Map<Quantity, number[]>();
  found.set(name, ofSide);
  for (const [quantity, sample] of samples) ofSide.set(quantity, [...(ofSide.get(quantity) ?? []), sample]);
}

function rowsOf(state: string, found: Findings, fresh: Findings): Row[] {
  return QUANTITIES.flatMap((quantity) => {
    const { row, unit, bound } = quantity;
    const ours = found.get(OURS)?.get(quantity) ?? [];
    const best = bestPeer(found, quantity);
    const yardstick = best && { yardstick: best };
    const atFresh = { name: 'fresh', samples: fresh.get(OURS)?.get(quantity) ?? [] };
    const limit = unit === 'ms' ? 1 + WORSE_BY : 1 - WORSE_BY;
    return [
      rowOf(`${state}: ${row}`, unit, ours, yardstick && { ...yardstick, target: targetOf(quantity, bound) }),
      rowOf('  by the default shell', unit, found.get(BY_DEFAULT)?.get(quantity) ?? [], yardstick),
      ...(found === fresh
        ? []
        : [rowOf('  beside a fresh disk', unit, ours, { yardstick: atFresh, target: targetOf(quantity, limit) })]),
    ];
  });
}

/** The best peer's samples; its name includes the values of the others. */
function bestPeer(found: Findings, quantity: Quantity): { name: string; samples: number[] } | undefined {
  const peers = [...found]
    .filter(([side, samples]) => side !== OURS && side !== BY_DEFAULT && samples.has(quantity))
    .map(([name, samples]) => ({ name, samples: samples.get(quantity) ?? [] }))
    .sort((a, b) => median(a.samples) - median(b.samples));
  if (quantity.unit === '/s') peers.reverse();
  const [best, ...others] = peers;
  const rest = others.map(({ name, samples }) => `${name} ${formatNumber(median(samples))}`).join(', ');
  return best && { name: rest === '' ? best.name : `${best.name} (${rest})`, samples: best.samples };
}

/** The target of a quantity: at most the bound for a time, at least the bound for a rate. */
function targetOf({ unit }: Quantity, bound: number): Target {
  return { on: 'ratio', is: unit === 'ms' ? '<=' : '>=', bound };
}
