/**
 * `sidecar nudge`: writes to the stdin of a job.
 * @module
 */
import type { Nudged } from '../../protocol/jobs/job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { exitCodes } from '../failure.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { printJson, printMessage } from '../io/print.ts';

const options = {
  'no-newline': { type: 'boolean', short: 'n', description: 'Do not end the text with a newline' },
  json: { type: 'boolean', description: 'The answer as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'nudge',
  summary: 'Write a line to the stdin of a job, or just press Enter',
  usage: ['nudge [flags] JOB [TEXT]'],
  about: `${aboutJob}\nExit code 1 when the job does not take it.`,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: 2 },
  examples: [
    { line: 'sidecar nudge last', what: 'a newline' },
    { line: 'sidecar nudge 0d3c yes', what: 'the line "yes"' },
  ],
  run,
});

async function run(
  { values, args: [reference = '', text], config }: Invocation<Values<typeof options>>,
): Promise<number> {
  const { sidecar } = await connect(config);
  const id = await resolveJob(sidecar, reference);
  const input = text === undefined || values['no-newline'] === true ? text : `${text}\n`;
  const answer = await sidecar.jobs.nudge(id, input);
  if (values.json === true) await printJson(answer);
  else printMessage(describe(id, answer));
  return answer.nudged ? exitCodes.ok : exitCodes.failure;
}

function describe(id: string, answer: Nudged): string {
  if (answer.nudged) return `nudged job ${id}`;
  return `job ${id} ${
    answer.unknown === true ? 'may or may not have been nudged' : 'was not nudged'
  }: ${answer.reason}`;
}
