/**
 * The table of the fields of `/exec` that say how a job runs, whatever it runs: what a request may say, what the job
 * keeps of it in memory and in `job.json`, and what answers show. All that reads, keeps or shows such a field takes it
 * from here. The fields of one kind of job are beside its program, see `exec.ts` and `exec-fields.ts` of agents.
 * @module
 */
import { defined } from '../../base/defined.ts';
import {
  described, fieldsOf, integer, nullable, number, object, oneOf, optional, optionalText, type Parsed, type Parser,
  parser, record, refuse, text,
} from '../../base/parse.ts';
import { agentDefaults } from '../agents/exec-fields.ts';
import { type Fields, mapOf, maybe, number as anyNumber, orNull, string, word } from '../answer.ts';
import { type TerminalSize, defaultSize, terminalSize } from '../terminals.ts';

/**
 * `file`: stdout and stderr of the process are the files of the job. `pipe`: they are pipes, which another process
 * copies to the files.
 */
export type OutputWay = 'file' | 'pipe';

export type Labels = { readonly [name: string]: string };

/** The largest `timeout`: a year. */
export const maxTimeoutSeconds = 31_536_000;

/** Defaults of the fields. */
export const defaults: {
  readonly timeoutSeconds: number;
  readonly killGraceSeconds: number;
  readonly maxOutputBytes: number;
} = { timeoutSeconds: 300, killGraceSeconds: 5, maxOutputBytes: 2 ** 30 };

interface Traits<Kept> {
  /** The name on the wire, where it is not the key of the row. */
  readonly name?: string;
  /** The modes that have the field. Default: all. A request in another mode that gives it is refused. */
  readonly modes?: readonly string[];
  /** What answers show, by the name on the wire. Absent: nothing. */
  readonly shown?: Parser<Exclude<Kept, undefined>>;
  /** `false`: only on disk, as it may be large. */
  readonly isInMemory?: false;
}

/** A row of the table; its key is the name of what is kept, with its unit. */
interface Field<Given, Kept> extends Traits<Kept> {
  /** What a request may say. Its description is the documentation of the field. */
  readonly given: Parser<Given>;
  /** What `job.json` may hold. */
  readonly kept: Parser<Kept>;
  /** Makes of what was given what the job keeps, with the default. */
  readonly keep: (given: Given, mode: string) => Kept;
}

function field<Given, Kept, const T extends Traits<Kept>>(
  given: Parser<Given>, kept: Parser<Kept>, rest: { readonly keep: (given: Given, mode: string) => NoInfer<Kept> } & T,
): Field<Given, Kept> & T {
  return { given, kept, ...rest };
}

/** A field that is kept as it was given. */
function plain<Given, const T extends Traits<Given>>(given: Parser<Given>, traits: T): Field<Given, Given> & T {
  return { given, kept: given, keep: (value) => value, ...traits };
}

const key = text({ min: 1, max: 32_768, pattern: /^[^=]+$/, expected: 'a name that is not empty and has no "="' });
const labelName = text({
  min: 1, max: 63, pattern: /^[^:]+$/, expected: 'a label name that is not empty and has no ":"',
});
/** Columns or rows of a job's pseudo-terminal. */
export const ttySide: Parser<number> = integer({ min: 1, max: 1000 });
const partialSize = object({ cols: optional(ttySide), rows: optional(ttySide) });
export const jobName = text({ max: 256 });
export const graceSeconds = number({ min: 0, max: 3600, unit: 'seconds' });

// What a record may hold is less bounded: a later version may allow more, and a person may edit it.
const keptNumber = number({ min: 0, max: Number.MAX_SAFE_INTEGER });
const anyText = text({ allowNul: true });
/** Texts that a server keeps in memory for each job; far longer than any that a request may have. */
const keptText = text({ allowNul: true, max: 16_384 });
const keptWord = text({ allowNul: true, max: 1024 });

const jobFields = {
  workdir: field(
    described(
      'An existing directory; `~` and `~/…` are in the home directory of the server. Default: where the server runs. '
        + 'Mode persistent_shell: where the shell starts, given with the first job of its key.',
      optionalText(text({ max: 4096 })),
    ),
    optional(keptText),
    { keep: (workdir) => workdir, shown: string },
  ),
  env: field(
    described(
      'Laid over the environment of the server. Mode persistent_shell: of the shell, given with the first job of its '
        + 'key.',
      optional(record(key, text({ max: 2 ** 20 }), { max: 4096 })),
    ),
    record(anyText, anyText, { max: 100_000 }),
    { keep: (env) => env ?? {}, isInMemory: false },
  ),
  timeoutSeconds: field(
    described(
      'Seconds until the job is ended; null for none. Mode acp: for each turn, without the time in which '
        + `a person is asked. Default ${defaults.timeoutSeconds}.`,
      optional(nullable(number({ above: 0, max: maxTimeoutSeconds, unit: 'seconds' }))),
    ),
    nullable(keptNumber),
    {
      name: 'timeout',
      keep: (timeout) => (timeout === undefined ? defaults.timeoutSeconds : timeout),
      shown: described('Seconds; of an agent for each turn', orNull(anyNumber)),
    },
  ),
  killGraceSeconds: field(
    described(
      `Seconds between SIGTERM and SIGKILL. Default ${defaults.killGraceSeconds}, for agents ${
        agentDefaults.killGraceSeconds
      }.`,
      optional(graceSeconds),
    ),
    keptNumber,
    {
      name: 'killGrace',
      keep: (killGrace, mode) => killGrace ?? (mode === 'acp' ? agentDefaults : defaults).killGraceSeconds,
    },
  ),
  /** `undefined`: open for nudges; `null`: empty; a text: written, then closed. */
  stdin: field(
    described('Given to the job and then closed, be it empty. Absent: stdin stays open for nudges. null: empty.',
      optional(nullable(text({ allowNul: true })))),
    optional(nullable(anyText)),
    {
      modes: ['shell', 'argv', 'persistent_shell'],
      // The server uses the stdin of an agent's job to talk to the agent's runner.
      keep: (stdin, mode) => (mode === 'acp' ? undefined : stdin),
      isInMemory: false,
    },
  ),
  maxOutputBytes: field(
    described(
      `Beyond it the job is ended with reason output_limit. Default ${defaults.maxOutputBytes}.`,
      optional(integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
    ),
    keptNumber,
    { keep: (maxOutputBytes) => maxOutputBytes ?? defaults.maxOutputBytes },
  ),
  tty: field(
    described(
      'Run under a pseudo-terminal, stdout and stderr in one stream; stdin is typed into it. An object says its size. '
        + `Default false; ${defaultSize.cols} × ${defaultSize.rows}.`,
      optional(switchOrSize()),
    ),
    optional(fieldsOf({ cols: keptNumber, rows: keptNumber })),
    { modes: ['shell', 'argv'], keep: sizeOf, shown: maybe(terminalSize) },
  ),
  output: plain(
    described(
      'pipe: stdout and stderr are pipes, for programs that open /dev/stdout or /dev/stderr again and would truncate a '
        + 'file; Linux only. file: never. Default: pipe where the command, an argument or the script names one of '
        + 'those.',
      optional(oneOf('file', 'pipe')),
    ),
    {
      modes: ['shell', 'argv'],
      shown: maybe(described(
        'How its output reaches the files; absent: decided by what the job names', word('file', 'pipe'),
      )),
    },
  ),
  name: field(
    described('To find it again.', optionalText(jobName)),
    nullable(keptText),
    { keep: (name) => name ?? null, shown: orNull(string) },
  ),
  labels: field(
    described('To find it again.', optional(record(labelName, text({ max: 256 }), { max: 64 }))),
    record(keptWord, keptWord, { max: 256 }),
    { keep: (labels) => labels ?? {}, shown: mapOf(string) },
  ),
} as const;

type Table = typeof jobFields;
type NameOf<K extends keyof Table> = Table[K] extends { readonly name: infer Name extends string } ? Name : K;
/** A field that may be `undefined` is one that may be absent. */
type Absentable<T> =
  & { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] }
  & { readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };
type IfInMode<K extends keyof Table, M extends string, Then> =
  Table[K] extends { readonly modes: readonly (infer Its)[] } ? M extends Its ? Then : OfAnyMode<M, Then> : Then;
type OfAnyMode<M extends string, Then> = string extends M ? Then : never;
type IfShown<K extends keyof Table, Then> = Table[K] extends { readonly shown: Parser<unknown> } ? Then : never;
type IfInMemory<K extends keyof Table, Then> = Table[K] extends { readonly isInMemory: false } ? never : Then;

/** What a client gives in a mode, or, for `string`, in any, by the names on the wire. */
export type GivenFields<M extends string> = Absentable<{
  [K in keyof Table as IfInMode<K, M, NameOf<K>>]: Parsed<Table[K]['given']>
}>;
/** What a job keeps. */
export type KeptFields = Absentable<{ [K in keyof Table]: Parsed<Table[K]['kept']> }>;
/** The part of it that stays in memory. */
export type FieldsInMemory = Absentable<{
  [K in keyof Table as IfInMemory<K, K>]: Parsed<Table[K]['kept']>
}>;
/** What answers show, by the names on the wire. */
export type ShownFields = Absentable<{
  [K in keyof Table as IfShown<K, NameOf<K>>]: Table[K] extends { readonly shown: infer S }
    ? S extends { readonly isOptional: true } ? Parsed<S> | undefined : Parsed<S>
    : never
}>;

type AnyRow = Field<unknown, unknown> & { readonly key: string; readonly name: string };

const rows = Object.entries(jobFields).map(([key, row]) => ({ name: key, ...row, key }) as AnyRow);
const rowsInMemory = rows.filter(({ isInMemory }) => isInMemory !== false);
const limitedRows = rows.filter(({ modes }) => modes !== undefined);
const shownRows = rows.flatMap(({ shown, ...row }) => (shown === undefined ? [] : [{ ...row, shown }]));

/** The parsers of the fields of a request. */
export const givenShape = Object.fromEntries(rows.map(({ name, given }) => [name, given])) as {
  readonly [K in keyof Table as NameOf<K>]: Table[K]['given']
};
/** The parsers of the fields in `job.json`. */
export const keptShape = Object.fromEntries(rows.map(({ key, kept }) => [key, kept])) as {
  readonly [K in keyof Table]: Table[K]['kept']
};
/** The parsers of the fields of an answer. */
export const shownShape = Object.fromEntries(shownRows.map(({ name, shown }) => [name, shown])) as Fields<ShownFields>;

/** The names on the wire of the fields that a mode does not have. */
export function foreignFields(mode: string): readonly (keyof typeof givenShape)[] {
  const known = foreignByMode.get(mode);
  if (known !== undefined) return known;
  const names = limitedRows.filter(({ modes }) => modes?.includes(mode) !== true)
    .map(({ name }) => name as keyof typeof givenShape);
  foreignByMode.set(mode, names);
  return names;
}

const foreignByMode = new Map<string, readonly (keyof typeof givenShape)[]>();

/** The fields of a request, each of which may be absent or `undefined`. */
type AnyGiven = { readonly [K in keyof GivenFields<string>]?: GivenFields<string>[K] | undefined };
interface Values {
  [name: string]: unknown;
}

/** What a job keeps of a request. */
export function keptFields(given: AnyGiven, mode: string): KeptFields {
  const kept: Values = {};
  for (const { key, name, keep } of rows) {
    const value = keep((given as Values)[name], mode);
    if (value !== undefined) kept[key] = value;
  }
  return kept as unknown as KeptFields;
}

/** What stays in memory of what a job keeps. */
export function fieldsInMemory(kept: KeptFields): FieldsInMemory {
  return copied(rowsInMemory, kept, 'key') as unknown as FieldsInMemory;
}

/** What answers show of what stays in memory. */
export function shownFields(kept: FieldsInMemory): ShownFields {
  return copied(shownRows, kept, 'name') as unknown as ShownFields;
}

/** The values of the rows that are not `undefined`. This is done for each job and each answer. */
function copied(of: readonly Pick<AnyRow, 'key' | 'name'>[], from: object, as: 'key' | 'name'): Values {
  const values: Values = {};
  for (const row of of) {
    const value = (from as Values)[row.key];
    if (value !== undefined) values[row[as]] = value;
  }
  return values;
}

function switchOrSize(): Parser<boolean | Partial<TerminalSize>> {
  return parser<boolean | Partial<TerminalSize>>({ anyOf: [{ type: 'boolean' }, partialSize.schema] }, (value, at) => {
    if (typeof value === 'boolean') return value;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      refuse(at, 'true, false or an object with cols and rows', value);
    return defined(partialSize(value, at));
  });
}

function sizeOf(given: boolean | Partial<TerminalSize> | undefined): TerminalSize | undefined {
  if (given === undefined || given === false) return undefined;
  return given === true ? defaultSize : { ...defaultSize, ...given };
}
