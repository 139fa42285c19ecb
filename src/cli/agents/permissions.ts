/**
 * `sidecar permissions`: lists what agents ask, and answers.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Job,
  type JobId,
  type PendingElicitation,
  type PendingPermission,
  type PermissionRequest,
  type Sidecar,
  isFinished,
  optionFor,
} from '../../client/client.ts';
import { exposeText } from '../../base/escape.ts';
import { fieldsOf } from '../../base/loose.ts';
import { shortId } from './follow.ts';
import { optionInWords, subjectOf } from './question.ts';
import { whatOf } from './view.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, UsageError, exitCodes } from '../failure.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import {
  type Cell, ago, duration, fields, painter, printJson, printJsonLine, say, table, terminalWidth,
} from '../print.ts';
import { write } from '../streams.ts';

const options = {
  remember: {
    type: 'string', value: 'SCOPE',
    description: 'With approve or deny: the same again until the end of the "turn" or "job"',
  },
  field: {
    type: 'string', multiple: true, value: 'NAME=VALUE',
    description: 'With accept: what the form of a question asks for; may be repeated',
  },
  watch: { type: 'boolean', short: 'w', description: 'Continue, and print what is asked as it comes' },
  json: { type: 'boolean', description: 'As JSON; with --watch one a line' },
} as const;

export const command: Command = defineCommand({
  name: 'permissions',
  summary: 'List what agents ask, and answer',
  usage: [
    'permissions [flags]',
    'permissions JOB [ID]',
    'permissions JOB [ID] approve|deny|OPTION [--remember turn|job]',
    'permissions JOB [ID] accept|decline|cancel [--field NAME=VALUE]…',
  ],
  about: `${aboutJob}
ID is that of a permission or a question, or its beginning; it may be left out where only one is pending. "approve"
allows once, "deny" rejects once, unless --remember says for how long; OPTION is the id of any other option that the
agent offers, which "permissions JOB" shows. accept, decline and cancel answer a question.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 3 },
  examples: [
    { line: 'sidecar permissions', what: 'what is asked at the moment' },
    { line: 'sidecar permissions last approve', what: 'the only one that the newest job asks for' },
    { line: 'sidecar permissions 0d3c 5f1e deny', what: 'one of several' },
    { line: 'sidecar permissions last approve --remember job', what: 'the same is not asked again' },
    { line: 'sidecar permissions 0d3c accept --field name=demo', what: 'the answer to a question' },
  ],
  run,
});

type Given = Values<typeof options>;

/** A pending permission or question of an agent. */
type Asked = { readonly jobId: JobId } & (
  | { readonly is: 'permission'; readonly id: string; readonly permission: PendingPermission }
  | { readonly is: 'question'; readonly id: string; readonly question: PendingElicitation }
);

/** Milliseconds between two polls. */
const watchMs = 500;

async function run({ values, args: [reference, ...words], config }: Invocation<Given>): Promise<number> {
  const { sidecar } = await connect(config);
  if (reference === undefined) {
    if (values.watch === true) return watch(sidecar, values.json === true);
    const all = await askedAnywhere(sidecar);
    if (values.json === true) await printJson(all.map(shown));
    else await write(table(['JOB', 'ID', 'ASKED', 'LEFT', 'WHAT'], all.map(row), {
      paint: painter(config.isColour(process.stdout)), width: terminalWidth(), isLastWhole: true,
    }));
    return exitCodes.ok;
  }
  const id = await resolveJob(sidecar, reference);
  const all = askedBy(await sidecar.jobs.get(id, { maxBytes: 0 }));
  const [asked, answer] = meant(all, id, words);
  if (answer !== undefined) return give(sidecar, asked, answer, values);
  if (values.json === true) await printJson((asked === undefined ? all : [asked]).map(shown));
  else for (const one of asked === undefined ? all : [asked]) await write(detailsOf(one));
  return exitCodes.ok;
}

async function askedAnywhere(sidecar: Sidecar): Promise<readonly Asked[]> {
  const { permissions, elicitations } = await sidecar.agents.pending();
  return [
    ...permissions.map(({ jobId, ...one }) => permissionOf(jobId, one)),
    ...elicitations.map(({ jobId, ...one }) => questionOf(jobId, one)),
  ];
}

function askedBy(job: Job): readonly Asked[] {
  const { jobId, pendingPermissions = [], pendingElicitations = [] } = job;
  if (isFinished(job)) return [];
  return [
    ...pendingPermissions.map((one) => permissionOf(jobId, one)),
    ...pendingElicitations.map((one) => questionOf(jobId, one)),
  ];
}

function permissionOf(jobId: JobId, permission: PendingPermission): Asked {
  return { jobId, is: 'permission', id: permission.permissionId, permission };
}

function questionOf(jobId: JobId, question: PendingElicitation): Asked {
  return { jobId, is: 'question', id: question.elicitationId, question };
}

/** Reads `[ID] [ANSWER]`: the request that is meant, and the answer to it. @throws CommandError */
function meant(
  all: readonly Asked[], job: JobId, words: readonly string[],
): readonly [asked: Asked | undefined, answer: string | undefined] {
  const [first, second] = words;
  if (first === undefined) return [undefined, undefined];
  const begins = all.filter(({ id }) => id.startsWith(first.toLowerCase()));
  if (second === undefined && begins.length === 0) {
    if (all.length > 1) throw new CommandError(`Cannot tell which one is meant: job ${job} asks ${all.length} things`, {
      hint: `Give an id: sidecar permissions ${job}`,
    });
    return [all[0] ?? nothing(job), first];
  }
  const [asked, ...others] = begins;
  if (asked === undefined) throw new CommandError(`Cannot find "${first}": nothing that job ${job} asks begins so`, {
    hint: `See: sidecar permissions ${job}`,
  });
  if (others.length > 0) throw new CommandError(`Cannot tell which one "${first}" is: ${begins.length} ids begin so`);
  return [asked, second];
}

function nothing(job: JobId): never {
  throw new CommandError(`Cannot answer job ${job}: it asks nothing at the moment`, {
    hint: 'See: sidecar permissions',
  });
}

async function give(sidecar: Sidecar, asked: Asked | undefined, answer: string, values: Given): Promise<number> {
  const show = async (one: Asked): Promise<void> => { await write(detailsOf(one, process.stderr), process.stderr); };
  if (asked?.is === 'permission') {
    const { jobId, id, permission } = asked;
    if (values.field !== undefined) throw new UsageError(
      '--field is for questions, and this is a permission', 'permissions',
    );
    const remember = scopeOf(values.remember, answer);
    const option = permission.options.find(({ optionId }) => optionId === optionFor(permission, answer));
    if (!option) {
      const offered = permission.options.map(({ optionId }) => optionId).join(', ');
      throw new CommandError(
        `Cannot answer with "${answer}": the agent offers ${offered === '' ? 'nothing' : offered}`,
        { hint: `See: sidecar permissions ${jobId}` },
      );
    }
    // Everything is shown before it is answered: a person who sees something unexpected can still interrupt.
    await show(asked);
    const taken = await sidecar.agents.permit(jobId, id, remember ?? option.optionId);
    if (values.json === true) await printJson(taken);
    else say(`${optionInWords(option)}: ${whatOf(permission)}`);
  } else if (asked?.is === 'question') {
    const { jobId, id, question } = asked;
    if (values.remember !== undefined) throw new UsageError(
      '--remember is for permissions, and this is a question', 'permissions',
    );
    if (answer !== 'accept' && answer !== 'decline' && answer !== 'cancel') throw new UsageError(
      `Cannot answer a question with "${answer}": expected accept, decline or cancel`, 'permissions',
    );
    if (question.url !== undefined && values.field !== undefined) {
      throw new UsageError('--field is for forms, and this is answered at its URL', 'permissions');
    }
    const hasForm = answer === 'accept' && question.url === undefined;
    const content = hasForm ? { content: contentOf(values.field ?? [], question.requestedSchema) } : {};
    await show(asked);
    const taken = await sidecar.agents.answer(jobId, id, { action: answer, ...content });
    if (values.json === true) await printJson(taken);
    else say(`${answer}: ${question.message}`);
  }
  return exitCodes.ok;
}

/** @returns The decision and its scope; `undefined`: it is not to be remembered. @throws UsageError */
function scopeOf(
  scope: string | undefined, answer: string,
): Extract<PermissionRequest, { readonly decision: unknown }> | undefined {
  if (scope === undefined) return undefined;
  if (answer !== 'approve' && answer !== 'deny') throw new UsageError(
    '--remember goes with approve and deny only', 'permissions',
  );
  if (scope !== 'turn' && scope !== 'job') throw new UsageError(
    `Cannot read --remember: expected turn or job, received "${scope}"`, 'permissions',
  );
  return { decision: answer, remember: scope };
}

/** Converts numbers and booleans where the schema wants them. @throws UsageError */
function contentOf(fields: readonly string[], schema: unknown): { readonly [name: string]: string | number | boolean } {
  const properties = fieldsOf(fieldsOf(schema)['properties']);
  return Object.fromEntries(fields.map((field) => {
    const equals = field.indexOf('=');
    if (equals < 1) throw new UsageError(
      `Cannot read --field: expected NAME=VALUE, received "${field}"`, 'permissions',
    );
    const [name, value] = [field.slice(0, equals), field.slice(equals + 1)];
    const { type } = fieldsOf(properties[name]);
    if (type === 'boolean' && (value === 'true' || value === 'false')) return [name, value === 'true'];
    if (
      (type === 'number' || type === 'integer') && value.trim() !== '' && Number.isFinite(Number(value))
    ) return [name, Number(value)];
    return [name, value];
  }));
}

/** Runs until the process is ended. */
async function watch(sidecar: Sidecar, isJson: boolean): Promise<number> {
  const known = new Set<string>();
  for (;;) {
    for (const asked of await askedAnywhere(sidecar)) {
      if (known.has(asked.id)) continue;
      known.add(asked.id);
      await (isJson ? printJsonLine(shown(asked)) : write(detailsOf(asked)));
    }
    await delay(watchMs);
  }
}

function shown(asked: Asked): object {
  return asked.is === 'permission'
    ? { jobId: asked.jobId, ...asked.permission }
    : { jobId: asked.jobId, ...asked.question };
}

function row(asked: Asked): (Cell | string)[] {
  const { askedAt, expiresAt } = timesOf(asked);
  return [
    asked.jobId,
    shortId(asked.id),
    ago(askedAt),
    duration(Math.max(0, expiresAt * 1000 - Date.now())),
    asked.is === 'permission' ? whatOf(asked.permission) : asked.question.message,
  ];
}

function timesOf(asked: Asked): { readonly askedAt: number; readonly expiresAt: number } {
  return asked.is === 'permission' ? asked.permission : asked.question;
}

/** Describes one request, and the possible answers. */
function detailsOf(asked: Asked, stream: NodeJS.WriteStream = process.stdout): string {
  const head = `job ${asked.jobId}  id ${shortId(asked.id)}  asked ${ago(timesOf(asked).askedAt)}`;
  const lines = asked.is === 'permission' ? permissionLines(asked.permission) : questionLines(asked.question);
  return `${[head, ...fields(lines, { indent: '  ', width: terminalWidth(stream) })].join('\n')}\n`;
}

type Line = readonly [name: string, text: string];

function permissionLines({ kind, tools, commands, paths, options: offered }: PendingPermission): readonly Line[] {
  return [
    ['wants', `${kind}  ${exposeText(tools.at(-1) ?? '')}`.trimEnd()],
    ...subjectOf({ commands, paths }),
    ...offered.map((option) => [option.optionId, optionInWords(option)] as const),
  ];
}

function questionLines({ message, requestedSchema, url }: PendingElicitation): readonly Line[] {
  if (url !== undefined) return [['asks', message], ['open', exposeText(url)]];
  const fields = Object.entries(fieldsOf(fieldsOf(requestedSchema)['properties']))
    .map(([name, property]) => `${name} (${String(fieldsOf(property)['type'] ?? 'any')})`);
  return [['asks', message], ...(fields.length === 0 ? [] : [['fields', fields.join(', ')] as const])];
}
