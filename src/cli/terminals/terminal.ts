/**
 * `sidecar terminal`: opens a terminal and attaches to it.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { shellWord } from '../../base/text/shell-word.ts';
import type { TerminalStart } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { DetachKeys, defaultDetachKeys, detachKeysOption } from './detach-keys.ts';
import { sharedOptions } from '../options.ts';
import { printJson, printLine, printMessage } from '../io/print.ts';
import { processFields } from '../process-fields.ts';
import { withHint } from '../io/streams.ts';
import { assertTypedStdin, showTerminal, windowSize } from './terminal-window.ts';

const options = {
  name: sharedOptions.name,
  workdir: sharedOptions.workdir,
  env: sharedOptions.env,
  detach: { type: 'boolean', short: 'd', description: 'Print the id of the terminal and leave' },
  json: { type: 'boolean', description: 'With -d: the terminal as JSON' },
  'detach-keys': detachKeysOption,
} as const;

export const command: Command = defineCommand({
  name: 'terminal',
  summary: 'Open a terminal and attach to it',
  usage: ['terminal [flags] [--] [COMMAND]', 'terminal [flags] [--] PROGRAM ARGUMENT…'],
  about: `Without a command it runs the shell of the user. One argument is a text for /bin/sh; several are a program
and its arguments.
The terminal outlives this command, and restarts and updates of the server: Ctrl-] leaves it, "sidecar attach" comes
back.
Exits as the program does (128+n for signal n), 0 where it was left.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  endsAtArgument: true,
  examples: [
    { line: 'sidecar terminal --name work', what: 'a shell that stays; "sidecar attach work" comes back to it' },
    { line: 'sidecar terminal -- vim notes.txt', what: 'a program of your own' },
    { line: 'sidecar terminal -d --name build "make; exec bash"', what: 'leave it running; prints its id' },
  ],
  run,
});

async function run(invocation: Invocation<Values<typeof options>>): Promise<number> {
  const { values, config } = invocation;
  const detachKeys = new DetachKeys(values['detach-keys'] ?? defaultDetachKeys);
  if (values.detach !== true) assertTypedStdin(
    'To leave it running, give -d; to run a command without a terminal there is "sidecar exec"',
  );
  const connection = await connect(config);
  const terminal = await connection.sidecar.terminals.start(requestOf(invocation, connection));
  for (const warning of terminal.warnings ?? []) printMessage(`terminal ${terminal.terminalId}: ${warning}`);
  if (values.detach === true) {
    const hint = `Terminal ${terminal.terminalId} was opened; "sidecar attach ${terminal.terminalId}" shows it`;
    await withHint(hint, () => (values.json === true ? printJson(terminal) : printLine(terminal.terminalId)));
    return 0;
  }
  return showTerminal(connection.sidecar, terminal, { isReadonly: false, detachKeys });
}

function requestOf(
  { values, args, config }: Invocation<Values<typeof options>>, { isLocal }: Connection,
): TerminalStart {
  const command = args.length > 1 ? args.map(shellWord).join(' ') : args[0];
  return {
    ...defined({ command }),
    ...processFields(values, { isLocal, environment: config.jobEnvironment }),
    ...windowSize(),
  };
}
