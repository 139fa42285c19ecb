/**
 * `sidecar attach`: shows a terminal of the server in the local terminal.
 * @module
 */
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { DetachKeys, defaultDetachKeys, detachKeysOption } from './detach-keys.ts';
import { aboutTerminal, resolveTerminal } from './terminal-ref.ts';
import { assertTypedStdin, showTerminal } from './terminal-window.ts';

const options = {
  readonly: {
    type: 'boolean', short: 'r',
    description: 'Only look: nothing is typed, and the size stays; works in a pipe, too',
  },
  'detach-keys': detachKeysOption,
} as const;

export const command: Command = defineCommand({
  name: 'attach',
  summary: 'Attach to a terminal',
  usage: ['attach [flags] TERMINAL'],
  about: `${aboutTerminal}
First comes what it showed lately, then what comes; it has the size of this window. Ctrl-] leaves, and the terminal
stays. A server that restarts or is updated meanwhile loses nothing. Exits as the program does (128+n for signal n), 0
where it was left.`,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: 1 },
  examples: [
    { line: 'sidecar attach last', what: 'the newest one' },
    { line: 'sidecar attach --readonly build | tee log', what: 'what the one of that name shows' },
  ],
  run,
});

async function run({ values, args: [reference = ''], config }: Invocation<Values<typeof options>>): Promise<number> {
  const isReadonly = values.readonly === true;
  const detachKeys = new DetachKeys(values['detach-keys'] ?? defaultDetachKeys);
  if (!isReadonly) {
    assertTypedStdin('To only look, give --readonly; for commands without a terminal there is "sidecar exec"');
  }
  const { sidecar } = await connect(config);
  return showTerminal(sidecar, await resolveTerminal(sidecar, reference), { isReadonly, detachKeys });
}
