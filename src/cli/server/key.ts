/**
 * `sidecar key`: shows or rotates the key of the local server, and manages the keys that it trusts for updates.
 * @module
 */
import { openKeys, rotateKey } from '../../http/auth/keys.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { CommandError, UsageError, exitCodes } from '../failure.ts';
import { printJson, printLine, printMessage } from '../io/print.ts';
import { distrust, trust, listTrusted } from './trust.ts';
import { seconds } from '../values.ts';

const options = {
  grace: {
    type: 'string', short: 'g', value: 'TIME',
    description: 'rotate: how long the old key still holds: 1h, 0. Default: 1h',
  },
  json: { type: 'boolean', description: 'As JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'key',
  summary: 'Show or replace the key of the server on this machine, and choose whose updates it trusts',
  usage: [
    'key show [flags]', 'key rotate [--grace TIME] [flags]',
    'key trust KEY|FILE|- [flags]', 'key trusted [flags]', 'key distrust NAME [flags]',
  ],
  about: `The key stands in the file api-key of the state directory, unless SIDECAR_API_KEY gives one. A new version is
installed only if it is signed by a trusted key: one of npm's registry, which come with this program, or one in the
file update-keys.json of the state directory. Their KEY is "ed25519:BASE64" of who signs releases; or that of a
registry: "SHA256:ID BASE64", its JSON, or what it serves at /-/npm/v1/keys. All commands work with or without a
running server; a running one takes note at once.`,
  options,
  settings: { 'state-dir': connectionSettings['state-dir']! },
  arity: { min: 0, max: 2 },
  examples: [
    { line: 'curl -H "X-API-Key: $(sidecar key show)" http://127.0.0.1:8585/health', what: 'use it' },
    { line: 'sidecar key rotate --grace 10m', what: 'a new key; the old one holds ten minutes more' },
    { line: 'sidecar key trust release-key.pub', what: 'updates that this key signed are installed from now on' },
    {
      line: 'curl -s https://npm.example.org/-/npm/v1/keys | sidecar key trust -',
      what: 'those of a registry of your own',
    },
    { line: 'sidecar key trusted', what: 'whose updates are installed' },
  ],
  run,
});

type KeyInvocation = Invocation<Values<typeof options>>;

const actions: {
  readonly [name: string]: {
    readonly takes?: string; readonly run: (given: KeyInvocation, argument: string) => Promise<number>
  }
} = {
  show: { run: show },
  rotate: { run: rotate },
  trust: {
    takes: 'KEY, FILE or -',
    run: ({ values, config }, key) => trust(config.stateDir, key, values.json === true),
  },
  trusted: { run: ({ values, config }) => listTrusted(config, values.json === true) },
  distrust: { takes: 'NAME', run: ({ values, config }, name) => distrust(config.stateDir, name, values.json === true) },
};

async function run(given: KeyInvocation): Promise<number> {
  const [name, argument] = given.args;
  const known = 'show, rotate, trust, trusted or distrust';
  if (name === undefined) throw new UsageError(`Say what to do with the key: ${known}`, 'key');
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (!action) throw new UsageError(`Unknown action "${name}": expected ${known}`, 'key');
  if (action.takes === undefined && argument !== undefined) {
    throw new UsageError(`Unexpected argument "${argument}"`, 'key');
  }
  if (action.takes !== undefined && argument === undefined) {
    throw new UsageError(`key ${name} needs a ${action.takes}`, 'key');
  }
  if (given.values.grace !== undefined && name !== 'rotate') {
    throw new UsageError('--grace belongs to key rotate', 'key');
  }
  return action.run(given, argument ?? '');
}

async function show({ values, config }: KeyInvocation): Promise<number> {
  const keys = await openKeys({
    stateDir: config.stateDir, environmentKey: config.apiKey, isWeakAllowed: config.allowWeakKey,
  });
  await (values.json === true ? printJson({ key: keys.current, origin: keys.origin }) : printLine(keys.current));
  return exitCodes.ok;
}

async function rotate({ values, config }: KeyInvocation): Promise<number> {
  if (config.apiKey !== undefined) {
    throw new CommandError('Cannot rotate the key: SIDECAR_API_KEY gives it, not the state directory', {
      hint: 'Give another value there, or unset it to use the file',
    });
  }
  const graceMs = seconds(values.grace ?? '1h', 'grace') * 1000;
  const { key, previousUntil } = await rotateKey({ stateDir: config.stateDir, graceMs });
  const until = previousUntil === undefined ? undefined : new Date(previousUntil).toISOString();
  await (values.json === true ? printJson({ key, previousUntil: until ?? null }) : printLine(key));
  printMessage(until === undefined ? 'the old key no longer holds' : `the old key holds until ${until}`);
  return exitCodes.ok;
}
