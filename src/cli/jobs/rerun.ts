/**
 * `sidecar rerun`: runs the request of a job again.
 * @module
 */
import { attach, reconnectTimeoutMs, withJobHint } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { withInterrupts } from '../follow/interrupts.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { printJson, printLine, printMessage } from '../io/print.ts';

const options = {
  follow: {
    type: 'boolean', short: 'f',
    description: 'Stream its output and exit as it does, as exec; stdin is not forwarded',
  },
  json: { type: 'boolean', description: 'The answer as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'rerun',
  summary: 'Run a job again: the same request, a job of its own',
  usage: ['rerun [flags] JOB'],
  about: aboutJob,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: 1 },
  examples: [
    { line: 'sidecar rerun last', what: 'prints the new id' },
    { line: 'sidecar rerun -f 0d3c', what: 'and stands for it until it ends' },
  ],
  run,
});

async function run({ values, args: [reference = ''], config }: Invocation<Values<typeof options>>): Promise<number> {
  const { sidecar } = await connect(config, { reconnectMs: reconnectTimeoutMs });
  const id = await resolveJob(sidecar, reference);
  const mode = values.follow === true ? (await sidecar.jobs.get(id, { maxBytes: 0 })).mode : 'shell';
  const accepted = await sidecar.jobs.rerun(id);
  if (values.follow !== true) {
    await withJobHint(accepted.jobId, () => (values.json === true ? printJson(accepted) : printLine(accepted.jobId)));
    return 0;
  }
  return withInterrupts((interrupts) => {
    printMessage(`job ${accepted.jobId}`);
    return attach(sidecar, accepted.jobId, { interrupts, isStdinForwarded: false, mode });
  });
}
