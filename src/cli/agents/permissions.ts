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
import { exposeText } from '../../base/text/escape.ts';
import { fieldsOf } from '../../base/loose.ts';
import { shortId } from './follow.ts';
import { optionInWords, subjectOf } from './question.ts';
import { whatOf } from './view.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, UsageError, exitCodes } from '../failure.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import {
  type Cell, ago, duration, fields, printJson, printJsonLine, printMessage, printTable, terminalWidth,
} from '../io/print.ts';
import { write } from '../io/streams.ts';

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

type PermissionsOptions = Values<typeof options>;

/** A pending permission or question of an agent. */
type PendingRequest = { readonly jobId: JobId } & (
  | { readonly type: 'permission'; readonly id: string; readonly permission: PendingPermission }
  | { readonly type: 'question'; readonly id: string; readonly question: PendingElicitation }
);

/** Milliseconds between two polls. */
const watchMs = 500;

async function run({ values, args: [reference, ...words], config }: Invocation<PermissionsOptions>): Promise<number> {
  const { sidecar } = await connect(config);
  if (reference === undefined) {
    if (values.watch === true) return watch(sidecar, values.json === true);
    const all = await allPending(sidecar);
    if (values.json === true) await printJson(all.map(toJson));
    else await printTable(['JOB', 'ID', 'ASKED', 'LEFT', 'WHAT'], all.map(row), config, { isLastWhole: true });
    return exitCodes.ok;
  }
  const id = await resolveJob(sidecar, reference);
  const all = pendingOf(await sidecar.jobs.get(id, { maxBytes: 0 }));
  const [request, answer] = selectRequest(all, id, words);
  if (answer !== undefined) return answerRequest(sidecar, request, answer, values);
  if (values.json === true) await printJson((request === undefined ? all : [request]).map(toJson));
  else for (const one of request === undefined ? all : [request]) await write(detailsOf(one));
  return exitCodes.ok;
}

async function allPending(sidecar: Sidecar): Promise<readonly PendingRequest[]> {
  const { permissions, elicitations } = await sidecar.agents.pending();
  return [
    ...permissions.map(({ jobId, ...one }) => permissionRequest(jobId, one)),
    ...elicitations.map(({ jobId, ...one }) => questionRequest(jobId, one)),
  ];
}

function pendingOf(job: Job): readonly PendingRequest[] {
  const { jobId, pendingPermissions = [], pendingElicitations = [] } = job;
  if (isFinished(job)) return [];
  return [
    ...pendingPermissions.map((one) => permissionRequest(jobId, one)),
    ...pendingElicitations.map((one) => questionRequest(jobId, one)),
  ];
}

function permissionRequest(jobId: JobId, permission: PendingPermission): PendingRequest {
  return { jobId, type: 'permission', id: permission.permissionId, permission };
}

function questionRequest(jobId: JobId, question: PendingElicitation): PendingRequest {
  return { jobId, type: 'question', id: question.elicitationId, question };
}

/** Reads `[ID] [ANSWER]`: the request that is meant, and the answer to it. @throws CommandError */
function selectRequest(
  all: readonly PendingRequest[], job: JobId, words: readonly string[],
): readonly [request: PendingRequest | undefined, answer: string | undefined] {
  const [first, second] = words;
  if (first === undefined) return [undefined, undefined];
  const begins = all.filter(({ id }) => id.startsWith(first.toLowerCase()));
  if (second === undefined && begins.length === 0) {
    if (all.length > 1) {
      throw new CommandError(`Cannot tell which one is meant: job ${job} asks ${all.length} things`, {
        hint: `Give an id: sidecar permissions ${job}`,
      });
    }
    return [all[0] ?? nothingPending(job), first];
  }
  const [request, ...others] = begins;
  if (request === undefined) {
    throw new CommandError(`Cannot find "${first}": nothing that job ${job} asks has an id that begins with that`, {
      hint: `See: sidecar permissions ${job}`,
    });
  }
  if (others.length > 0) {
    throw new CommandError(`Cannot tell which one "${first}" is: ${begins.length} ids begin with that`);
  }
  return [request, second];
}

function nothingPending(job: JobId): never {
  throw new CommandError(`Cannot answer job ${job}: it asks nothing at the moment`, {
    hint: 'See: sidecar permissions',
  });
}

async function answerRequest(
  sidecar: Sidecar, request: PendingRequest | undefined, answer: string, values: PermissionsOptions,
): Promise<number> {
  if (request?.type === 'permission') await answerPermission(sidecar, request, answer, values);
  else if (request?.type === 'question') await answerQuestion(sidecar, request, answer, values);
  return exitCodes.ok;
}

/** Shows everything before it is answered: a person who sees something unexpected can still interrupt. */
async function showBeforeAnswer(request: PendingRequest): Promise<void> {
  await write(detailsOf(request, process.stderr), process.stderr);
}

/** @throws UsageError, CommandError */
async function answerPermission(
  sidecar: Sidecar,
  request: PendingRequest & { readonly type: 'permission' },
  answer: string,
  values: PermissionsOptions,
): Promise<void> {
  const { jobId, id, permission } = request;
  if (values.field !== undefined) {
    throw new UsageError('--field is for questions, and this is a permission', 'permissions');
  }
  const remember = scopeOf(values.remember, answer);
  const option = permission.options.find(({ optionId }) => optionId === optionFor(permission, answer));
  if (!option) {
    const offered = permission.options.map(({ optionId }) => optionId).join(', ');
    throw new CommandError(`Cannot answer with "${answer}": the agent offers ${offered === '' ? 'nothing' : offered}`, {
      hint: `See: sidecar permissions ${jobId}`,
    });
  }
  await showBeforeAnswer(request);
  const result = await sidecar.agents.permit(jobId, id, remember ?? option.optionId);
  if (values.json === true) await printJson(result);
  else printMessage(`${optionInWords(option)}: ${whatOf(permission)}`);
}

/** @throws UsageError */
async function answerQuestion(
  sidecar: Sidecar, request: PendingRequest & { readonly type: 'question' }, answer: string, values: PermissionsOptions,
): Promise<void> {
  const { jobId, id, question } = request;
  if (values.remember !== undefined) {
    throw new UsageError('--remember is for permissions, and this is a question', 'permissions');
  }
  if (answer !== 'accept' && answer !== 'decline' && answer !== 'cancel') {
    throw new UsageError(
      `Cannot answer a question with "${answer}": expected accept, decline or cancel`, 'permissions',
    );
  }
  if (question.url !== undefined && values.field !== undefined) {
    throw new UsageError('--field is for forms, and this is answered at its URL', 'permissions');
  }
  const hasForm = answer === 'accept' && question.url === undefined;
  const content = hasForm ? { content: contentOf(values.field ?? [], question.requestedSchema) } : {};
  await showBeforeAnswer(request);
  const result = await sidecar.agents.answer(jobId, id, { action: answer, ...content });
  if (values.json === true) await printJson(result);
  else printMessage(`${answer}: ${question.message}`);
}

/** @returns The decision and its scope; `undefined`: it is not to be remembered. @throws UsageError */
function scopeOf(
  scope: string | undefined, answer: string,
): Extract<PermissionRequest, { readonly decision: unknown }> | undefined {
  if (scope === undefined) return undefined;
  if (answer !== 'approve' && answer !== 'deny') {
    throw new UsageError('--remember goes with approve and deny only', 'permissions');
  }
  if (scope !== 'turn' && scope !== 'job') {
    throw new UsageError(`Cannot read --remember: expected turn or job, received "${scope}"`, 'permissions');
  }
  return { decision: answer, remember: scope };
}

/** Converts numbers and booleans where the schema wants them. @throws UsageError */
function contentOf(fields: readonly string[], schema: unknown): { readonly [name: string]: string | number | boolean } {
  const properties = fieldsOf(fieldsOf(schema)['properties']);
  return Object.fromEntries(fields.map((field) => {
    const equals = field.indexOf('=');
    if (equals < 1) {
      throw new UsageError(`Cannot read --field: expected NAME=VALUE, received "${field}"`, 'permissions');
    }
    const [name, value] = [field.slice(0, equals), field.slice(equals + 1)];
    const { type } = fieldsOf(properties[name]);
    if (type === 'boolean' && (value === 'true' || value === 'false')) return [name, value === 'true'];
    if (
      (type === 'number' || type === 'integer') && value.trim() !== '' && Number.isFinite(Number(value))
    ) {
      return [name, Number(value)];
    }
    return [name, value];
  }));
}

/** Runs until the process is ended. */
async function watch(sidecar: Sidecar, isJson: boolean): Promise<number> {
  const known = new Set<string>();
  for (;;) {
    for (const request of await allPending(sidecar)) {
      if (known.has(request.id)) continue;
      known.add(request.id);
      await (isJson ? printJsonLine(toJson(request)) : write(detailsOf(request)));
    }
    await delay(watchMs);
  }
}

function toJson(request: PendingRequest): object {
  return request.type === 'permission'
    ? { jobId: request.jobId, ...request.permission }
    : { jobId: request.jobId, ...request.question };
}

function row(request: PendingRequest): (Cell | string)[] {
  const { askedAt, expiresAt } = requestTimes(request);
  return [
    request.jobId,
    shortId(request.id),
    ago(askedAt),
    duration(Math.max(0, expiresAt * 1000 - Date.now())),
    request.type === 'permission' ? whatOf(request.permission) : request.question.message,
  ];
}

function requestTimes(request: PendingRequest): { readonly askedAt: number; readonly expiresAt: number } {
  return request.type === 'permission' ? request.permission : request.question;
}

/** Describes one request, and the possible answers. */
function detailsOf(request: PendingRequest, stream: NodeJS.WriteStream = process.stdout): string {
  const head = `job ${request.jobId}  id ${shortId(request.id)}  asked ${ago(requestTimes(request).askedAt)}`;
  const lines = request.type === 'permission' ? permissionLines(request.permission) : questionLines(request.question);
  return `${[head, ...fields(lines, { indent: '  ', width: terminalWidth(stream) })].join('\n')}\n`;
}

type DetailRow = readonly [name: string, text: string];

function permissionLines({ kind, tools, commands, paths, options: offered }: PendingPermission): readonly DetailRow[] {
  return [
    ['wants', `${kind}  ${exposeText(tools.at(-1) ?? '')}`.trimEnd()],
    ...subjectOf({ commands, paths }),
    ...offered.map((option) => [option.optionId, optionInWords(option)] as const),
  ];
}

function questionLines({ message, requestedSchema, url }: PendingElicitation): readonly DetailRow[] {
  if (url !== undefined) return [['asks', message], ['open', exposeText(url)]];
  const fields = Object.entries(fieldsOf(fieldsOf(requestedSchema)['properties']))
    .map(([name, property]) => `${name} (${String(fieldsOf(property)['type'] ?? 'any')})`);
  return [['asks', message], ...(fields.length === 0 ? [] : [['fields', fields.join(', ')] as const])];
}
