/**
 * `sidecar find`: finds files of the machine by name and by content.
 * @module
 */
import { type FindEnd, type FindRecord, ProblemError } from '../../client/client.ts';
import { defined } from '../../base/defined.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, exitCodes, explain, UsageError } from '../failure.ts';
import { oneLine, type Paint, painter, printJsonLine, printMessage } from '../io/print.ts';
import { write } from '../io/streams.ts';
import { optional, seconds, wholeNumber } from '../values.ts';

const types = {
  f: 'file', d: 'directory', l: 'symlink', file: 'file', directory: 'directory', symlink: 'symlink',
} as const;

const options = {
  'name': {
    type: 'string', short: 'n', multiple: true, value: 'GLOB',
    description: 'Only what has such a name; may be repeated. !GLOB: not that, nor what is in it',
  },
  'text': { type: 'string', short: 't', value: 'TEXT', description: 'Lines that contain this text' },
  'regex': { type: 'string', short: 'e', value: 'RE', description: 'Lines in which this regular expression matches' },
  'ignore-case': { type: 'boolean', short: 'i', description: 'Large and small letters are the same' },
  'context': { type: 'string', short: 'C', value: 'N', description: 'Show N lines around a match' },
  'before': { type: 'string', short: 'B', value: 'N', description: 'Show N lines before a match' },
  'after': { type: 'string', short: 'A', value: 'N', description: 'Show N lines behind a match' },
  'type': { type: 'string', value: 'TYPE', description: 'By name: only file, directory or symlink; f, d or l' },
  'ignored': { type: 'boolean', description: 'Also what .gitignore leaves out, and what is in .git' },
  'skip-hidden': { type: 'boolean', description: 'Not what has a name that begins with a dot' },
  'limit': { type: 'string', value: 'N', description: 'The most matches. Default 1000' },
  'timeout': { type: 'string', value: 'TIME', description: 'How long it may take: 90, 2m. Default 20' },
  'json': { type: 'boolean', description: 'A line of JSON for each thing found, and for the end' },
} as const;

export const command: Command = defineCommand({
  name: 'find',
  summary: 'Find files of the machine by name and by content',
  usage: ['find [flags] [PATH]'],
  about: `PATH is a directory or a file, absolute or relative to the working directory of the server, which is the
default. Without --text and --regex it prints names, with one of them PATH:LINE:TEXT (PATH-LINE-TEXT around a match).

A GLOB without a slash is a name anywhere, one with a slash a path below PATH: *.ts, src/**/*.{js,ts}, !dist. RE is
JavaScript's with the flag u, without lookaround and backreferences. What .gitignore leaves out is left out; hidden
files are not. Binary files are left out, and links are not followed.

The exit code is 0 where something was found, 1 where nothing was, 2 where it failed.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 1 },
  examples: [
    { line: "sidecar find src -n '*.test.ts'", what: 'by name' },
    { line: "sidecar find -e 'TODO|FIXME' -n '*.ts' -n '!dist' -C 2", what: 'by content, with the lines around it' },
    { line: 'sidecar find /etc -t 127.0.0.1 --json', what: 'for a program' },
  ],
  run,
});

async function run({ values, args: [path = '.'], config }: Invocation<Values<typeof options>>): Promise<number> {
  const { type, timeout } = values;
  const fileType = type === undefined ? undefined : types[type as keyof typeof types];
  if (type !== undefined && fileType === undefined) {
    throw new UsageError(`Cannot read --type: expected file, directory or symlink, received "${type}"`);
  }
  const count = (value: string | undefined, flag: string, min = 0): number | undefined =>
    optional((given, name) => wholeNumber(given, name, min), value, flag);
  const { sidecar } = await connect(config);
  const found = sidecar.files.find({
    path,
    ...defined({
      glob: values.name, text: values.text, regex: values.regex, type: fileType,
      caseSensitive: values['ignore-case'] === true ? false : undefined,
      ignored: values.ignored, hidden: values['skip-hidden'] === true ? false : undefined,
      context: count(values.context, 'context'), before: count(values.before, 'before'),
      after: count(values.after, 'after'), limit: count(values.limit, 'limit', 1),
      timeLimitMs: timeout === undefined ? undefined : Math.ceil(seconds(timeout, 'timeout') * 1000),
    }),
  });
  const printer = new Printer(path, painter(config.isColour(process.stdout)));
  let end: FindEnd | undefined;
  try {
    for await (const record of found) {
      if (values.json !== true) await write(printer.lineOf(record));
      else if (record.type !== 'begin') await printJsonLine(record);
      if (record.type === 'end') end = record;
    }
  } catch (error) {
    throw notNothing(error);
  }
  tell(end);
  return (end?.matches ?? 0) > 0 ? exitCodes.ok : exitCodes.failure;
}

/** A failure must not look as if nothing was found. */
function notNothing(error: unknown): unknown {
  if (!(error instanceof ProblemError) || explain(error).exitCode !== exitCodes.failure) return error;
  return new CommandError(error.message, { cause: error, exitCode: exitCodes.usage });
}

function tell(end: FindEnd | undefined): void {
  const { stoppedBy, matches = 0, unreadable = 0, longLines = 0 } = end ?? {};
  if (stoppedBy === 'limit') printMessage(`There is more than the ${matches} matches that --limit allows`);
  if (stoppedBy === 'time') printMessage('There may be more: the time was up, see --timeout');
  if (unreadable > 0) printMessage(`${unreadable} files or directories cannot be read`);
  if (longLines > 0) printMessage(`${longLines} lines are left out: they are longer than 1 MiB`);
}

class Printer {
  readonly #above: string;
  readonly #paint: Paint;
  /** The path and the number of the last line. */
  #last: { readonly path: string; readonly line: number } | undefined;

  /** @param above What paths continue. */
  constructor(above: string, paint: Paint) {
    this.#above = above === '.' ? '' : `${above.replace(/\/+$/, '')}/`;
    this.#paint = paint;
  }

  lineOf(record: FindRecord): string {
    if (record.type === 'begin' || record.type === 'end') return '';
    const path = this.#paint('cyan', oneLine(`${this.#above}${record.path}`));
    if (record.type === 'file') return `${path}${record.fileType === 'directory' ? '/' : ''}\n`;
    const { type, line, text, isCut, textOffset } = record;
    const mark = type === 'match' ? ':' : '-';
    const shown = type === 'match' ? this.#highlighted(text, record.ranges) : oneLine(text);
    const whole = `${textOffset === undefined ? '' : '…'}${shown}${isCut === true ? '…' : ''}`;
    return `${this.#gap(record.path, line)}${path}${mark}${this.#paint('green', String(line))}${mark}${whole}\n`;
  }

  /** Between lines with context that do not follow each other. */
  #gap(path: string, line: number): string {
    const last = this.#last;
    this.#last = { path, line };
    return last?.path === path && last.line + 1 < line ? '--\n' : '';
  }

  #highlighted(text: string, ranges: readonly (readonly [number, number])[]): string {
    let shown = '';
    let done = 0;
    for (const [begin, end] of ranges) {
      shown += oneLine(text.slice(done, begin)) + this.#paint('red', oneLine(text.slice(begin, end)));
      done = end;
    }
    return shown + oneLine(text.slice(done));
  }
}
