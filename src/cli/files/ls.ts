/**
 * `sidecar ls`: lists a directory of the machine.
 * @module
 */
import { type FileInfo, ProblemError, type Sidecar } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { exitCodes } from '../failure.ts';
import { type Cell, type Colour, ago, oneLine, printJson, printLine, printTable, size } from '../io/print.ts';

const options = {
  long: { type: 'boolean', short: 'l', description: 'With permissions, size and age' },
  recursive: { type: 'boolean', short: 'R', description: 'Also what is in its directories, by the path from here' },
  json: { type: 'boolean', description: 'An array of files as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'ls',
  summary: 'List a directory of the machine',
  usage: ['ls [flags] [PATH]'],
  about: `PATH is absolute, or relative to the working directory of the server, which is the default. Hidden files are
listed, too; a directory has a slash behind its name. Control characters in a name are shown, "⏎" is a line break: a
program reads names from --json.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 1 },
  examples: [
    { line: 'sidecar ls -l /srv/app', what: 'what there is, how large and how old' },
    { line: 'sidecar ls -R src', what: 'all below a directory' },
    { line: "sidecar ls -R --json | jq -r '.[] | select(.sizeBytes > 1e9).path'", what: 'large files' },
  ],
  run,
});

/** The most that the server follows. */
const allLevels = 100;

interface Listed extends FileInfo {
  /** The path from the directory that is listed. */
  readonly shown: string;
}

async function run({ values, args: [path = '.'], config }: Invocation<Values<typeof options>>): Promise<number> {
  const { sidecar } = await connect(config);
  const isPrinted = values.json !== true && values.long !== true;
  const files: Listed[] = [];
  for await (const file of entriesOf(sidecar, path, values.recursive === true ? allLevels : 1)) {
    if (isPrinted) await printLine(nameOf(file));
    else files.push(file);
  }
  if (values.json === true) await printJson(files.map(({ shown: _, ...file }) => file));
  else if (values.long === true) {
    await printTable(['MODE', 'SIZE', 'CHANGED', 'NAME'], files.map(row), config, { isLastWhole: true });
  }
  return exitCodes.ok;
}

/** What is in the directory; of a file, itself. */
async function* entriesOf(sidecar: Sidecar, path: string, depth: number): AsyncGenerator<Listed, void, undefined> {
  try {
    for (let after: string | null | undefined; after !== null;) {
      const page = await sidecar.files.list(path, { depth, ...(after === undefined ? {} : { after }) });
      const above = page.path.endsWith('/') ? page.path.length : page.path.length + 1;
      for (const file of page.entries) yield { ...file, shown: file.path.slice(above) };
      after = page.next;
    }
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'not_a_file') throw error;
    yield { ...await sidecar.files.stat(path), shown: path };
  }
}

function nameOf({ shown, type }: Listed): string {
  return `${oneLine(shown)}${type === 'directory' ? '/' : ''}`;
}

const letters: { readonly [T in FileInfo['type']]: string } = { file: '-', directory: 'd', symlink: 'l', other: '?' };
const colours: { readonly [T in FileInfo['type']]?: Colour } = { directory: 'cyan', symlink: 'green', other: 'yellow' };

function row(file: Listed): (Cell | string)[] {
  const { type, mode, sizeBytes, modifiedAt, target, unreadable } = file;
  const notes = `${target === undefined ? '' : ` -> ${target}`}${unreadable === true ? ' (may not be read)' : ''}`;
  const colour = colours[type];
  return [
    `${letters[type]}${permissionsOf(mode)}`, type === 'file' ? size(sizeBytes) : '-', ago(modifiedAt),
    { text: `${nameOf(file)}${notes}`, ...(colour === undefined ? {} : { colour }) },
  ];
}

/** `0755` as `rwxr-xr-x`, as ls(1) writes it. */
function permissionsOf(mode: string): string {
  return mode.slice(-3).replaceAll(/[0-7]/g, (digit) =>
    ['r', 'w', 'x'].map((letter, index) => ((Number(digit) << index & 4) === 0 ? '-' : letter)).join(''));
}
