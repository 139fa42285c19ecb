/**
 * `sidecar logs`: prints the output of a job.
 * @module
 */
import {
  type AgentTurn, type Job, type JobId, type Position, type Sidecar, type StreamName, outputBytes, positionOf,
} from '../../client/client.ts';
import { lostServerNotice, printWarnings, reconnectTimeoutMs } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { JobOutput } from '../follow/job-output.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { printJson, printJsonLine } from '../io/print.ts';
import { readOutput, tailStart } from './output.ts';
import { wholeNumber } from '../values.ts';

const options = {
  follow: { type: 'boolean', short: 'f', description: 'Continue until the job ends' },
  tail: { type: 'string', value: 'N', description: 'Only the last N lines of each stream' },
  turn: { type: 'string', value: 'N', description: 'Only what an agent said in its Nth turn; with --json the turn' },
  stdout: { type: 'boolean', description: 'Only stdout' },
  stderr: { type: 'boolean', description: 'Only stderr, and on stdout, so that it can be piped' },
  json: {
    type: 'boolean',
    description: 'The job with its output as JSON (the last 1 MiB of each stream); with -f one event a line',
  },
} as const;

export const command: Command = defineCommand({
  name: 'logs',
  summary: 'Print the output of a job',
  usage: ['logs [flags] JOB'],
  about: `${aboutJob}
Its stdout comes on stdout and its stderr on stderr, byte for byte: first the one, then the other; what comes while
following in the order in which it was written. Ending the command never touches the job.
On a terminal the text of an agent has its control characters shown; that of a command is passed on as it is.`,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: 1 },
  examples: [
    { line: 'sidecar logs -f last', what: 'what the newest job writes, until it ends' },
    { line: 'sidecar logs --turn 2 last', what: 'what an agent said in its second turn' },
    { line: 'sidecar logs --stderr 0d3c | grep -i error', what: 'search its errors' },
    { line: 'sidecar logs --tail 20 -f 0d3c', what: 'the last lines, and what is still to come' },
  ],
  run,
});

type LogsOptions = Values<typeof options>;

async function run({ values, args, config }: Invocation<LogsOptions>): Promise<number> {
  if (values.stdout === true && values.stderr === true) {
    throw new UsageError('Give --stdout or --stderr, not both', 'logs');
  }
  const tail = values.tail === undefined ? undefined : wholeNumber(values.tail, 'tail', 0);
  const turn = values.turn === undefined ? undefined : wholeNumber(values.turn, 'turn', 1);
  const other = (['follow', 'tail', 'stdout', 'stderr'] as const).find((flag) => values[flag] !== undefined);
  if (turn !== undefined && other !== undefined) throw new UsageError(`Give --turn or --${other}, not both`, 'logs');
  const { sidecar } = await connect(config);
  const id = await resolveJob(sidecar, args[0] ?? '');
  if (turn !== undefined) return printTurn(await sidecar.agents.turn(id, turn), values);
  if (values.json === true && values.follow !== true) {
    await printJson(await sidecar.jobs.get(id, tail === undefined ? {} : { tailLines: tail }));
    return 0;
  }
  const job = await sidecar.jobs.get(id, { maxBytes: 0 });
  const from = await startOf(sidecar, job, tail);
  const output = new JobOutput(job);
  if (values.follow === true) {
    await followFrom(sidecar, id, { from, output }, values);
    return 0;
  }
  const end = positionOf(job);
  for (const stream of streamsOf(values)) {
    for await (const piece of readOutput(sidecar, id, stream, { start: from[stream], end: end[stream] })) {
      await output.write(piece, targetOf(stream, values));
    }
  }
  return 0;
}

async function printTurn(turn: AgentTurn, { json }: LogsOptions): Promise<number> {
  if (json === true) await printJson(turn);
  else await new JobOutput({ mode: 'acp' }).write(Buffer.from(turn.text), process.stdout);
  return 0;
}

async function startOf(sidecar: Sidecar, job: Job, tail: number | undefined): Promise<Position> {
  if (tail === undefined) return { stdout: 0, stderr: 0 };
  const end = positionOf(job);
  const [stdout, stderr] = await Promise.all((['stdout', 'stderr'] as const)
    .map((stream) => tailStart(sidecar, job.jobId, stream, { end: end[stream], lines: tail })));
  return { stdout: stdout ?? 0, stderr: stderr ?? 0 };
}

async function followFrom(
  sidecar: Sidecar, id: JobId, { from, output }: { from: Position; output: JobOutput }, values: LogsOptions,
): Promise<void> {
  const wanted = streamsOf(values);
  const { onLost, onFound } = lostServerNotice('lost the server, looking for it again');
  for await (const event of sidecar.jobs.follow(id, { from, reconnectMs: reconnectTimeoutMs, onLost })) {
    onFound();
    if (event.type === 'output' && !wanted.includes(event.stream)) continue;
    if (event.type === 'end' && values.json !== true) printWarnings(event.job);
    if (values.json === true) await printJsonLine(event);
    else if (event.type === 'output') await output.write(outputBytes(event), targetOf(event.stream, values));
  }
}

function streamsOf(values: LogsOptions): readonly StreamName[] {
  if (values.stdout === true) return ['stdout'];
  return values.stderr === true ? ['stderr'] : ['stdout', 'stderr'];
}

function targetOf(stream: StreamName, values: LogsOptions): NodeJS.WriteStream {
  return stream === 'stderr' && values.stderr !== true ? process.stderr : process.stdout;
}
