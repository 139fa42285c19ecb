/**
 * `sidecar watch`: prints what changes below a directory of the machine.
 * @module
 */
import type { WatchEvent } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, exitCodes } from '../failure.ts';
import { oneLine, printJsonLine, printLine, printMessage } from '../io/print.ts';

const options = {
  all: { type: 'boolean', short: 'a', description: 'Also what is in .git and node_modules' },
  json: { type: 'boolean', description: 'A line of JSON for each event' },
} as const;

export const command: Command = defineCommand({
  name: 'watch',
  summary: 'Print what changes below a directory of the machine',
  usage: ['watch [flags] [PATH]'],
  about: `PATH is a directory with all that is below it, or a file; absolute, or relative to the working directory of
the server, which is the default. It prints "created", "changed" or "deleted" and a path, until Ctrl-C. Of a directory
that is deleted only itself is told, of a new one also what is in it; links are not followed. A server that restarts
is found again: what it may have missed meanwhile is told as "lost".`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: 1 },
  examples: [
    { line: 'sidecar watch /srv/app', what: 'a line for each change' },
    { line: "sidecar watch --json logs | jq -r 'select(.type == \"created\").path'", what: 'for a program' },
  ],
  run,
});

async function run({ values, args: [path = '.'], config }: Invocation<Values<typeof options>>): Promise<number> {
  const { sidecar } = await connect(config);
  for await (const event of sidecar.files.watch(path, { all: values.all === true })) {
    if (event.type === 'gone') throw new CommandError(`Cannot watch ${path} any longer: it has been deleted`);
    if (values.json === true) await printJsonLine(event);
    else await print(event);
  }
  return exitCodes.ok;
}

async function print(event: WatchEvent): Promise<void> {
  if (event.type === 'ready') {
    const polled = event.isPolled ? ', some of it every 2 s: the system has no more watches' : '';
    printMessage(`Watching ${event.path}${polled}`);
  } else if (event.type === 'lost') printMessage(`Changes have been lost: ${event.reason}`);
  else if (event.type !== 'gone') {
    const slash = event.fileType === 'directory' ? '/' : '';
    await printLine(`${event.type} ${oneLine(event.path)}${slash}`);
  }
}
