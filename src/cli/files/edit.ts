/**
 * `sidecar edit`: replaces text in a file of the machine.
 * @module
 */
import { ProblemError } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { exitCodes, UsageError } from '../failure.ts';
import { escapeText } from '../../base/text/escape.ts';
import { printJson, printMessage } from '../io/print.ts';
import { write } from '../io/streams.ts';

const options = {
  'replace': {
    type: 'string', multiple: true, description: 'OLD: exact text, and behind it NEW; once for each edit',
  },
  'all': { type: 'boolean', description: 'Replace OLD everywhere; otherwise it must be there once' },
  'dry-run': { type: 'boolean', short: 'n', description: 'Print the diff, and write nothing' },
  'etag': { type: 'string', description: 'Only where the file still has this ETag, which an answer of --json names' },
  'json': { type: 'boolean', description: 'The answer as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'edit',
  summary: 'Replace text in a file of the machine',
  usage: ['edit [flags] PATH --replace OLD NEW [--replace OLD NEW…]'],
  about: `Prints the diff. All edits are checked before one byte changes, and the file is replaced in one step. Line
endings and a missing last newline stay as they are. Where an edit does not fit, the exit code is 1, and what the file
has at the nearest place is shown.`,
  options,
  settings: connectionSettings,
  arity: { min: 2, max: Infinity },
  examples: [
    { line: "sidecar edit app.ini --replace 'port = 80' 'port = 8080'", what: 'one place' },
    { line: 'sidecar edit -n --all main.c --replace foo bar', what: 'what would change, everywhere' },
  ],
  run,
});

async function run({ values, args, config }: Invocation<Values<typeof options>>): Promise<number> {
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
    else await write(process.stdout.isTTY ? escapeText(edited.diff) : edited.diff);
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof ProblemError) showNearest(error);
    throw error;
  }
}

/** The lines that the server shows with a failure. */
function showNearest({ extensions: { lines } }: ProblemError): void {
  if (!Array.isArray(lines)) return;
  for (const { number, text } of lines as readonly { number: unknown; text: unknown }[]) {
    printMessage(`${String(number).padStart(6)}  ${String(text)}`);
  }
}
