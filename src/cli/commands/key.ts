/**
 * `sidecar key`: shows or replaces the key of the local server.
 * @module
 */
import { openKeys, rotateKey } from '../../http/keys.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { CommandError, UsageError } from '../failure.ts';
import { printJson, printLine, say } from '../print.ts';
import { seconds } from '../values.ts';

const options = {
  grace: { type: 'string', short: 'g', value: 'TIME', description: 'rotate: how long the old key still holds: 1h, 0. Default: 1h' },
  json: { type: 'boolean', description: 'As JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'key',
  summary: 'Show or replace the key of the server on this machine',
  usage: ['key show [flags]', 'key rotate [--grace TIME] [flags]'],
  about: `The key stands in the file api-key of the state directory, unless SIDECAR_API_KEY gives one. Both commands work on that file,
with or without a running server; a running one takes a new key at once.`,
  options,
  settings: { 'state-dir': connectionSettings['state-dir']! },
  arity: { min: 1, max: 1 },
  examples: [
    { line: 'curl -H "X-API-Key: $(sidecar key show)" http://127.0.0.1:8585/health', what: 'use it' },
    { line: 'sidecar key rotate --grace 10m', what: 'a new key; the old one holds ten minutes more' },
  ],
  run,
});

type Given = Invocation<Values<typeof options>>;

function run(invocation: Given): Promise<number> {
  const [action] = invocation.args;
  if (action === 'show') return show(invocation);
  if (action === 'rotate') return rotate(invocation);
  throw new UsageError(`Unknown action "${action}": expected show or rotate`, 'key');
}

async function show({ values, config }: Given): Promise<number> {
  if (values.grace !== undefined) throw new UsageError('--grace belongs to key rotate', 'key');
  const keys = await openKeys({ stateDir: config.stateDir, environmentKey: config.apiKey });
  await (values.json === true ? printJson({ key: keys.current, origin: keys.origin }) : printLine(keys.current));
  return 0;
}

async function rotate({ values, config }: Given): Promise<number> {
  if (config.apiKey !== undefined) {
    throw new CommandError('Cannot rotate the key: SIDECAR_API_KEY gives it, not the state directory', {
      hint: 'Give another value there, or unset it to use the file',
    });
  }
  const graceMs = seconds(values.grace ?? '1h', 'grace') * 1000;
  const { key, previousUntil } = await rotateKey({ stateDir: config.stateDir, graceMs });
  const until = previousUntil === undefined ? undefined : new Date(previousUntil).toISOString();
  await (values.json === true ? printJson({ key, previousUntil: until ?? null }) : printLine(key));
  say(until === undefined ? 'the old key no longer holds' : `the old key holds until ${until}`);
  return 0;
}
