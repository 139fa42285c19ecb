/**
 * `--help`, generated from the data of a command.
 * @module
 */
import { type Command, type Options, allOptions } from './command.ts';
import type { Paint } from './io/print.ts';

export function commandHelp(command: Command, paint: Paint): string {
  const usage = command.usage.map((line, index) => `${index === 0 ? 'Usage:' : '      '} sidecar ${line}`);
  const examples = command.examples.map(({ line, what }) => `  ${paint('dim', `# ${what}`)}\n  ${line}`);
  return [
    `${command.summary}.`,
    usage.join('\n'),
    ...(command.about === undefined ? [] : [command.about.trim()]),
    `${paint('bold', 'Flags')}\n${optionLines(listedOptions(command))}`,
    ...(examples.length === 0 ? [] : [`${paint('bold', 'Examples')}\n${examples.join('\n')}`]),
  ].join('\n\n') + '\n';
}

export interface CommandGroup {
  readonly title: string;
  readonly commands: readonly Pick<Command, 'name' | 'summary'>[];
}

export function programHelp(groups: readonly CommandGroup[], paint: Paint): string {
  const width = Math.max(...groups.flatMap(({ commands }) => commands.map(({ name }) => name.length)));
  return [
    'Runs jobs on the machine it stands on, and survives anything.',
    'Usage: sidecar [--url URL] [--key-file FILE] [--state-dir DIR] COMMAND [flags] …',
    ...groups.map(({ title, commands }) =>
      `${paint('bold', title)}\n${
        commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')
      }`),
    `${
      paint('bold', 'Flags')
    }\n  -h, --help     This text; after a command, its own\n  -v, --version  The version of this program`,
    `${paint('bold', 'Exit codes')}\n  that of the job for exec, shell and rerun -f, of the program for terminal and `
      + 'attach; for prompt see\n  there; 2 usage; 69 no server answers; 77 the server refuses; 1 anything else',
    `${paint('bold', 'Examples')}\n  sidecar serve\n  sidecar exec -- make test\n  sidecar logs -f last`,
  ].join('\n\n') + '\n';
}

/** Leaves out the settings that the command does not list, and `--no-x` beside `--x`. */
function listedOptions(command: Command): Options {
  const options = allOptions(command);
  const hidden = Object.keys(command.settings ?? {}).filter((name) => command.listedSettings?.includes(name) === false);
  return Object.fromEntries(Object.entries(options).filter(([name]) =>
    !hidden.includes(name) && !(name.startsWith('no-') && Object.hasOwn(options, name.slice(3)))));
}

function optionLines(options: Options): string {
  const rows = Object.entries(options).map(([name, { short, value, description }]) => {
    const flag = `--${name}${value === undefined ? '' : ` ${value}`}`;
    return [`  ${short === undefined ? '   ' : `-${short},`} ${flag}`, description] as const;
  });
  const width = Math.min(34, Math.max(...rows.map(([flag]) => flag.length)));
  return rows.map(([flag, description]) => {
    const indent = `\n${' '.repeat(width + 2)}`;
    const gap = flag.length > width ? indent : ' '.repeat(width + 2 - flag.length);
    return `${flag}${gap}${wrapped(description, 100 - width).join(indent)}`;
  }).join('\n');
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
