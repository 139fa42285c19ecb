/**
 * `sidecar show`: shows one job in detail.
 * @module
 */
import { shellWord } from '../../base/text/shell-word.ts';
import { type AgentTurn, type Job, isFinished } from '../../client/client.ts';
import { whatOf } from '../agents/view.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { statusWord } from './job-filters.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { ago, duration, fields, printJson, size, terminalWidth } from '../io/print.ts';
import { write } from '../io/streams.ts';

const options = {
  json: { type: 'boolean', description: 'All that the server knows of it, without its output, as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'show',
  summary: 'Show one job in detail: what it is, how it is doing, what it left',
  usage: ['show [flags] JOB…'],
  about: `${aboutJob}\nIts output is shown by "sidecar logs".`,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: Infinity },
  examples: [
    { line: 'sidecar show last', what: 'the newest one' },
    { line: "sidecar show --json 0d3c | jq -r .workdir", what: 'one field' },
  ],
  run,
});

async function run({ values, args, config }: Invocation<Values<typeof options>>): Promise<number> {
  const { sidecar } = await connect(config);
  const jobs: Job[] = [];
  for (const reference of args) {
    jobs.push(await sidecar.jobs.get(await resolveJob(sidecar, reference), { maxBytes: 0 }));
  }
  if (values.json === true) await printJson(jobs.length === 1 ? jobs[0] : jobs);
  else await write(jobs.map(details).join('\n'));
  return 0;
}

type Row = readonly [name: string, text: string | undefined];

function details(job: Job): string {
  const head: readonly Row[] = [['job', job.jobId], ['name', job.name ?? undefined]];
  const rows = [...head, ...programRows(job), ...stateRows(job), ...outputRows(job), ...agentRows(job)];
  const known = rows.flatMap(([name, text]) => (text === undefined || text === '' ? [] : [[name, text] as const]));
  return `${fields(known, { indent: '', width: terminalWidth() }).join('\n')}\n`;
}

function programRows(job: Job): readonly Row[] {
  const { mode, command: line, argv, shell, agent, prompt, sessionKey, workdir, tty, labels } = job;
  const { rerunOf, continues, continuedBy } = job;
  return [
    ['mode', `${mode}${shell === undefined ? '' : ` (${shell})`}`],
    ['session', sessionKey],
    ['shell', shellNote(job)],
    ['agent', agent],
    ['prompt', prompt ?? undefined],
    ['command', (mode === 'acp' ? undefined : line) ?? argv?.map(shellWord).join(' ')],
    ['directory', workdir],
    ['terminal', tty === undefined ? undefined : `${tty.cols}x${tty.rows}`],
    ['labels', Object.entries(labels).map(([name, value]) => `${name}=${value}`).join('  ')],
    ['rerun of', rerunOf],
    ['continues', continues],
    ['continued by', continuedBy],
  ];
}

/** Says what happened to the shell of the session. */
function shellNote({ shellStarted, shellEnded }: Job): string | undefined {
  const code = (exitCode: number | undefined): string => (exitCode === undefined ? '' : `, exit code ${exitCode}`);
  const notes = [
    ...(shellStarted === undefined
      ? []
      : [`start ${shellStarted.start} (${shellStarted.reason}${code(shellStarted.exitCode)})`]),
    ...(shellEnded === undefined ? [] : [`ended with this job (${shellEnded.reason}${code(shellEnded.exitCode)})`]),
  ];
  return notes.length === 0 ? undefined : notes.join('; ').replaceAll('_', ' ');
}

function stateRows(job: Job): readonly Row[] {
  const { submittedAt, startedAt, finishedAt, durationMs, timeout, lifetime, error, pid, lingering } = job;
  const runningMs = startedAt === null ? undefined : Date.now() - startedAt * 1000;
  const tookMs = durationMs ?? (isFinished(job) ? undefined : runningMs);
  return [
    ['status', statusWord(job).replaceAll('_', ' ')],
    ['exit code', exitCodeInWords(job)],
    ['error', error],
    ['submitted', at(submittedAt)],
    ['started', startedAt === null ? undefined : at(startedAt)],
    ['finished', finishedAt === null ? undefined : at(finishedAt)],
    ['took', tookMs === undefined ? undefined : duration(Math.max(0, tookMs))],
    [lifetime === undefined ? 'timeout' : 'turn timeout', timeout === null ? 'none' : duration(timeout * 1000)],
    ['lifetime', lifetime === undefined || lifetime === null ? undefined : duration(lifetime * 1000)],
    ['pid', isFinished(job) || pid === null ? undefined : String(pid)],
    ['left behind', lingering.length === 0 ? undefined : `processes ${lingering.join(', ')}; "sidecar kill" ends them`],
  ];
}

function outputRows({ stdoutBytes, stderrBytes, lastOutputAt }: Job): readonly Row[] {
  return [
    ['stdout', size(stdoutBytes)],
    ['stderr', size(stderrBytes)],
    ['last output', lastOutputAt === null ? undefined : at(lastOutputAt)],
  ];
}

function agentRows(job: Job): readonly Row[] {
  const {
    acpSessionId, stopReason, turnCount, turns = [], acpError,
    pendingPermissions = [], pendingElicitations = [], permissionsDenied = [],
  } = job;
  const asked = pendingPermissions.length + pendingElicitations.length;
  return [
    ['agent session', acpSessionId ?? undefined],
    ['turns', turnCount === undefined ? undefined : String(turnCount)],
    ['last turn', turnInWords(turns.at(-1))],
    ['stopped', stopReason ?? undefined],
    ['agent error', acpError?.message],
    ['asks', questionsInWords(asked)],
    ['denied', permissionsDenied.length === 0 ? undefined : permissionsDenied.map(whatOf).join('; ')],
  ];
}

function exitCodeInWords({ exitCode, signal }: Job): string | undefined {
  if (exitCode === undefined) return undefined;
  return signal === null ? String(exitCode) : `${exitCode} (${signal})`;
}

function questionsInWords(count: number): string | undefined {
  if (count === 0) return undefined;
  return `${count} ${count === 1 ? 'thing' : 'things'}; see "sidecar permissions"`;
}

function turnInWords(turn: AgentTurn | undefined): string | undefined {
  if (!turn) return undefined;
  const { startedAt, finishedAt, denied } = turn;
  const endedAt = finishedAt ?? Date.now() / 1000;
  const took = `${finishedAt === null ? 'runs for' : 'took'} ${duration(Math.max(0, endedAt - startedAt) * 1000)}`;
  return `${took}${denied === 0 ? '' : `, ${denied} denied`}; its text: sidecar logs --turn ${turn.turn}`;
}

/** @param time Unix seconds. */
function at(time: number): string {
  return `${new Date(time * 1000).toISOString()} (${ago(time)})`;
}
