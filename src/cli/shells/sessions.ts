/**
 * `sidecar sessions`: lists persistent shells, and ends them.
 * @module
 */
import type { Session, SessionStatus } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { type Cell, type Colour, ago, printJson, printTable } from '../io/print.ts';
import { removeEach } from '../report-failures.ts';

const options = {
  json: { type: 'boolean', description: 'An array of sessions as JSON; of delete, the keys of those that are gone' },
} as const;

export const command: Command = defineCommand({
  name: 'sessions',
  summary: 'List persistent shells, or end them',
  usage: ['sessions [flags]', 'sessions delete [flags] KEY…'],
  about: `A session is a shell that outlives the command: "sidecar shell KEY" and "sidecar exec --session KEY" run in
it. Deleting one cancels its jobs and forgets its state. A stopped one starts again with the next command.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  examples: [
    { line: 'sidecar sessions', what: 'what there is' },
    { line: 'sidecar sessions delete build', what: 'end one, with what runs in it' },
    { line: "sidecar sessions --json | jq -r '.[].sessionKey'", what: 'every key' },
  ],
  run,
});

async function run({ values, args: [action, ...keys], config }: Invocation<Values<typeof options>>): Promise<number> {
  if (action !== undefined && action !== 'delete') {
    throw new UsageError(`Unknown action "${action}": expected delete, or nothing`, 'sessions');
  }
  if (action !== undefined && keys.length === 0) throw new UsageError('sessions delete needs a KEY', 'sessions');
  const { sidecar } = await connect(config);
  const isJson = values.json === true;
  if (action === 'delete') {
    return removeEach(keys, (key) => sidecar.shells.delete(key), {
      isJson, sentence: (key) => `session ${key} is deleted`,
    });
  }
  const sessions = await sidecar.shells.list();
  if (isJson) await printJson(sessions);
  else await printTable(['KEY', 'SHELL', 'STATUS', 'USED', 'JOB', 'STARTS IN'], sessions.map(row), config);
  return 0;
}

const colours: { readonly [S in SessionStatus]: Colour } = { running: 'cyan', idle: 'green', stopped: 'dim' };

function row({ sessionKey, shell, status, lastUsedAt, activeJobId, workdir }: Session): (Cell | string)[] {
  return [sessionKey, shell, { text: status, colour: colours[status] }, ago(lastUsedAt), activeJobId ?? '-', workdir];
}
