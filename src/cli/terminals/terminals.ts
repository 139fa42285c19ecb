/**
 * `sidecar terminals`: lists terminals, and closes them.
 * @module
 */
import type { Terminal } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { type Cell, ago, printJson, printTable } from '../io/print.ts';
import { aboutTerminal, resolveTerminal } from './terminal-ref.ts';
import { removeEach } from '../report-failures.ts';

const options = {
  json: { type: 'boolean', description: 'An array of terminals as JSON; of close, the ids of those that are closed' },
} as const;

export const command: Command = defineCommand({
  name: 'terminals',
  summary: 'List terminals, newest first, or close them',
  usage: ['terminals [flags]', 'terminals close [flags] TERMINAL…'],
  about: `${aboutTerminal}
Closing one ends its program and all that it started. Those that have ended are listed for an hour.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  examples: [
    { line: 'sidecar terminals', what: 'what there is' },
    { line: 'sidecar terminals close last', what: 'end one' },
    {
      line: "sidecar terminals --json | jq -r '.[] | select(.attached == 0).terminalId'",
      what: 'those that no viewer shows',
    },
  ],
  run,
});

async function run(
  { values, args: [action, ...references], config }: Invocation<Values<typeof options>>,
): Promise<number> {
  if (action !== undefined && action !== 'close') {
    throw new UsageError(`Unknown action "${action}": expected close, or nothing`, 'terminals');
  }
  if (action !== undefined && references.length === 0) {
    throw new UsageError('terminals close needs a TERMINAL', 'terminals');
  }
  const { sidecar } = await connect(config);
  const isJson = values.json === true;
  if (action === 'close') {
    const found = await Promise.all(references.map((reference) => resolveTerminal(sidecar, reference)));
    return removeEach(found.map(({ terminalId }) => terminalId), (id) => sidecar.terminals.close(id), {
      isJson, sentence: (id) => `terminal ${id} is closed`,
    });
  }
  const terminals = await sidecar.terminals.list();
  if (isJson) await printJson(terminals);
  else {
    await printTable(
      ['ID', 'STATUS', 'EXIT', 'SIZE', 'ATTACHED', 'ACTIVE', 'NAME OR COMMAND'], terminals.map(row), config,
    );
  }
  return 0;
}

function row(
  { terminalId, status, reason, exitCode, cols, rows, attached, lastActivityAt, name, command }: Terminal,
): (Cell | string)[] {
  return [
    terminalId,
    {
      text: status === 'ended' && reason !== null && reason !== 'exit' ? reason : status,
      colour: status === 'running' ? 'green' : 'dim',
    },
    exitCode === undefined ? '-' : String(exitCode),
    `${cols}x${rows}`,
    String(attached),
    ago(lastActivityAt),
    name ?? command ?? '(shell)',
  ];
}
