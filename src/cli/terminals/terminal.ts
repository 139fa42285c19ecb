/**
 * `sidecar terminal`: opens a terminal and attaches to it.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { workdirOf } from '../workdir.ts';
import { shellWord } from '../../base/shell-word.ts';
import type { TerminalStart } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { type Connection, connect } from '../connect.ts';
import { DetachKeys, defaultDetachKeys } from './detach-keys.ts';
import { printJson, printLine, say } from '../print.ts';
import { hintingAt } from '../streams.ts';
import { variables } from '../values.ts';
import { checkTyped, showTerminal, windowSize } from './window.ts';

const options = {
  name: { type: 'string', value: 'NAME', description: 'To find it again' },
  workdir: {
    type: 'string', short: 'C', value: 'DIR',
    description: 'Where it runs. Default: here for the local server, else where the server runs',
  },
  env: {
    type: 'string', short: 'e', multiple: true, value: 'NAME[=VALUE]',
    description: 'Laid over the environment of the server; without =VALUE that of here is passed on. May be repeated',
  },
  detach: { type: 'boolean', short: 'd', description: 'Print the id of the terminal and leave' },
  json: { type: 'boolean', description: 'With -d: the terminal as JSON' },
  'detach-keys': {
    type: 'string', value: 'KEYS',
    description: `What leaves it: ctrl-a, or several as ctrl-p,ctrl-q. Default: ${defaultDetachKeys}`,
  },
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
  if (values.detach !== true) checkTyped(
    'To leave it running, give -d; to run a command without a terminal there is "sidecar exec"',
  );
  const connection = await connect(config);
  const terminal = await connection.sidecar.terminals.start(requestOf(invocation, connection));
  for (const warning of terminal.warnings ?? []) say(`terminal ${terminal.terminalId}: ${warning}`);
  if (values.detach === true) {
    const hint = `Terminal ${terminal.terminalId} was opened; "sidecar attach ${terminal.terminalId}" shows it`;
    await hintingAt(hint, () => (values.json === true ? printJson(terminal) : printLine(terminal.terminalId)));
    return 0;
  }
  return showTerminal(connection.sidecar, terminal, { isReadonly: false, detachKeys });
}

function requestOf(
  { values, args, config }: Invocation<Values<typeof options>>, { isLocal }: Connection,
): TerminalStart {
  return defined({
    command: args.length > 1 ? args.map(shellWord).join(' ') : args[0],
    workdir: workdirOf(values.workdir, isLocal),
    env: variables(values.env, config.jobEnvironment),
    name: values.name,
    ...windowSize(),
  });
}
