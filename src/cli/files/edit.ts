/**
 * `sidecar edit`: replaces text in a file of the machine.
 * @module
 */
import { createReadStream } from 'node:fs';
import { ProblemError } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, exitCodes, UsageError } from '../failure.ts';
import { escapeText } from '../../base/text/escape.ts';
import { printJson, printMessage } from '../io/print.ts';
import { readAll } from '../io/read-all.ts';
import { write } from '../io/streams.ts';

const options = {
  'replace': {
    type: 'string', multiple: true, description: 'OLD: exact text, and behind it NEW; once for each edit',
  },
  'all': { type: 'boolean', description: 'Replace OLD everywhere; otherwise it must be there once' },
  'patch': {
    type: 'string', description: 'A patch over several files, from this local file, "-": from stdin. Its names are '
      + 'relative to DIR, by default the working directory of the server',
  },
  'dry-run': { type: 'boolean', short: 'n', description: 'Print the diff, and write nothing' },
  'etag': { type: 'string', description: 'Only where the file still has this ETag, which an answer of --json names' },
  'json': { type: 'boolean', description: 'The answer as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'edit',
  summary: 'Replace text in a file of the machine, or apply a patch',
  usage: ['edit [flags] PATH --replace OLD NEW [--replace OLD NEW…]', 'edit [flags] --patch FILE [DIR]'],
  about: `Prints the diff. All edits are checked before one byte changes, and the file is replaced in one step. Line
endings and a missing last newline stay as they are. Where an edit does not fit, the exit code is 1, and what the file
has at the nearest place is shown. A patch is a unified diff, as git or diff -u writes it, or begins with "*** Begin
Patch": all of it is checked against all files before one is written.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  examples: [
    { line: "sidecar edit app.ini --replace 'port = 80' 'port = 8080'", what: 'one place' },
    { line: 'sidecar edit -n --all main.c --replace foo bar', what: 'what would change, everywhere' },
    { line: 'git diff | sidecar edit --patch - /srv/app', what: 'what you have changed here, there' },
  ],
  run,
});

async function run({ values, args, config }: Invocation<Values<typeof options>>): Promise<number> {
  if (values.patch !== undefined) return patch(values, args, config);
  const [path = '', ...news] = args;
  const { replace = [], all, json } = values;
  if (replace.length === 0 || replace.length !== news.length) {
    throw new UsageError('Cannot edit: give PATH, then --replace OLD NEW for each edit', 'edit');
  }
  const edits = replace.map((old, index) => ({ old, new: news[index] ?? '', all }));
  const { sidecar } = await connect(config);
  try {
    const edited = await sidecar.files.edit(path, edits, { dryRun: values['dry-run'], etag: values.etag });
    if (json === true) await printJson(edited);
    else if (edited.diff === '') printMessage(`${path} has all of that already`);
    else await printDiff(edited.diff);
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof ProblemError) showNearest(error);
    throw error;
  }
}

async function patch(
  { patch: file = '-', replace, all, etag, json, 'dry-run': dryRun }: Values<typeof options>, args: readonly string[],
  config: Invocation<Values<typeof options>>['config'],
): Promise<number> {
  const [path, more] = args;
  if (more !== undefined || replace !== undefined || all !== undefined || etag !== undefined) {
    throw new UsageError('Cannot edit: --patch takes only DIR, --dry-run and --json', 'edit');
  }
  const text = await readPatch(file);
  const { sidecar } = await connect(config);
  try {
    const patched = await sidecar.files.patch(text, { path, dryRun });
    if (json === true) await printJson(patched);
    else if (patched.files.length === 0) printMessage('the files have all of that already');
    for (const one of json === true ? [] : patched.files) {
      if (one.diff !== '') await printDiff(one.diff);
      else printMessage(`${one.action}: ${one.from === undefined ? '' : `${one.from} to `}${one.path}`);
    }
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof ProblemError) showNearest(error);
    throw error;
  }
}

/** @throws CommandError for a file that cannot be read. */
async function readPatch(file: string): Promise<string> {
  if (file === '-') return readAll(process.stdin);
  try {
    return await readAll(createReadStream(file));
  } catch (error) {
    throw new CommandError(`Cannot read ${file}: ${(error as Error).message}`);
  }
}

async function printDiff(diff: string): Promise<void> {
  await write(process.stdout.isTTY ? escapeText(diff) : diff);
}

/** The lines that the server shows with a failure. */
function showNearest({ extensions: { lines } }: ProblemError): void {
  if (!Array.isArray(lines)) return;
  for (const { number, text } of lines as readonly { number: unknown; text: unknown }[]) {
    printMessage(`${String(number).padStart(6)}  ${String(text)}`);
  }
}
