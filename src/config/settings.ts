/**
 * The table of all settings, with their flags, variables and defaults.
 * @module
 */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ParseError } from '../base/parse.ts';
import { parseHost, parseOrigin } from '../http/auth/origin.ts';
import { parseWindow } from '../update/schedule.ts';
import { parseSource } from '../update/sources/spec.ts';
import {
  type Definition, amount, checked, checkedWords, choice, duration, flagsOf, onOff, path, unlimited, variablesOf, whole,
  word,
} from './definition.ts';
import { defaultStateDir } from './directories.ts';

export const definitions: { readonly [name: string]: Definition } = {
  host: word('host', 'The address to listen on.', '127.0.0.1'),
  port: whole('port', 'The port to listen on; 0 for any free one.', 8585, { min: 0, max: 65_535 }),
  'state-dir': {
    ...path('stateDir', 'Where jobs, the key and everything else is kept.'),
    fallback: defaultStateDir, fallbackText: '$XDG_STATE_HOME/machine-sidecar',
  },
  url: word('url', 'The server that commands talk to. Default: the local one, found through the state directory.'),
  'api-key': {
    ...word('apiKey', 'The key. Default: the api-key file in the state directory.'),
    variables: ['SIDECAR_API_KEY', 'DEVPILOT_AGENT_API_KEY', 'agent_runtime_API_KEY', 'AGENT_RUNTIME_API_KEY'],
    isSecret: true, hasNoFlag: true,
  },
  'key-file': path('keyFile', 'A file that holds the key that commands present.'),
  'allow-weak-key': onOff('allowWeakKey',
    'Serve with a key of fewer than 16 characters, for tests: it can be guessed.', false),
  'tls-cert': path('tlsCert', 'PEM certificate chain: serve HTTPS.'),
  'tls-key': path('tlsKey', 'PEM private key of the certificate.'),
  'allow-host': checkedWords('allowHosts', 'A further name in the Host header that is ours.', parseHost),
  'allow-origin': checkedWords('allowOrigins',
    'An origin whose pages may call this server, such as https://app.example; * for any. '
      + 'They need the key all the same.',
    parseOrigin),
  'trust-proxy': checkedWords('trustProxies',
    'The address of a reverse proxy: wrong keys count for the client that it names last in X-Forwarded-For.',
    parseAddress),
  'files-root': checkedWords('filesRoots',
    'A directory that the calls of /files stay in, links followed; several flags for several. '
      + 'Default: all that the user of the server reaches.',
    (value) => resolve(value)),
  shell: word('shell',
    'The shell that runs a command whose request names none, by name or path. '
      + 'Default: bash where there is one, else sh.'),
  'max-running': whole('maxRunning', 'How many jobs run at once; further ones wait.', 1024, { min: 1, max: 100_000 }),
  'max-queued': whole('maxQueued', 'How many jobs may wait; further ones are refused.', 10_000,
    { min: 0, max: 1_000_000 }),
  'max-sessions': {
    ...whole('maxSessions', 'How many persistent shells may be open.', 32, { min: 0, max: 10_000 }),
    variables: ['SIDECAR_MAX_SESSIONS', 'DEVPILOT_PERSISTENT_SHELL_MAX_SESSIONS'],
  },
  'session-idle': {
    ...duration('sessionIdleSeconds',
      'A persistent shell that was not used for so long is deleted: seconds, or a time such as 12h. 0: none ever is.',
      '0', { min: 0, max: 365 * 86_400 }),
    variables: ['SIDECAR_SESSION_IDLE', 'DEVPILOT_PERSISTENT_SHELL_IDLE_TIMEOUT_SECONDS'],
  },
  'max-terminals': whole('maxTerminals', 'How many terminals may be open at once; further ones are refused.', 32,
    { min: 0, max: 1000 }),
  'terminal-port': {
    ...whole('terminalPort',
      'A second port that opens a terminal for each WebSocket, for front ends that know nothing else; '
        + '0 for any free one. Default: none.',
      0, { min: 0, max: 65_535 }),
    fallback: () => undefined,
  },
  'terminal-scrollback': whole('terminalScrollbackBytes',
    'How many bytes of its output a terminal keeps for those who attach later.', 256 * 1024,
    { min: 16 * 1024, max: 64 * 2 ** 20 }),
  'terminal-idle': unlimited('terminalIdleSeconds',
    'A terminal is ended after so long without input and output: seconds, or a time such as 30m. Default: never.'),
  'terminal-lifetime': unlimited('terminalLifetimeSeconds',
    'A terminal is ended when it is so old: seconds, or a time such as 12h. Default: never.'),
  'keep-jobs': whole('keepJobs', 'How many finished jobs are kept.', 1000, { min: 0, max: 1_000_000 }),
  'keep-days': amount('keepDays', 'For how many days finished jobs are kept.', 7, 36_500),
  'keep-bytes': whole('keepBytes', 'How many bytes finished jobs may take together.', 10 * 2 ** 30,
    { min: 0, max: Number.MAX_SAFE_INTEGER }),
  'log-level': choice('logLevel', 'What is logged.', 'info', 'debug', 'info', 'warn', 'error'),
  'log-format': choice('logFormat', 'auto: for people on a terminal, JSON lines otherwise.',
    'auto', 'auto', 'pretty', 'json'),
  'update-source': {
    ...checked('updateSource',
      'Where new versions come from: npm:NAME or npm:NAME@TAG, the https address of a manifest, '
        + 'the path of a .tgz or of a directory.',
      readSource),
    fallback: () => 'npm:machine-sidecar', isAddress: true,
  },
  'update-registry': {
    ...checked('updateRegistryUrl',
      'The npm registry to ask. Default: the one that npm is configured for (~/.npmrc, npm_config_registry).',
      readRegistry),
    isAddress: true,
  },
  'auto-update': onOff('autoUpdate',
    'Update to newer versions without being asked; --no-auto-update turns it off.', false),
  'update-interval': duration('updateIntervalSeconds',
    'How often newer versions are looked for with --auto-update: seconds, or a time such as 6h or 1d.',
    '6h', { min: 60, max: 30 * 86_400 }),
  'update-window': checked('updateWindow',
    'The time of day in which --auto-update looks and updates, in local time: 02:00-05:00.',
    (value, path) => parseWindow(value, path).text),
  'update-probation': duration('updateProbationSeconds',
    'How long a new version is watched before it is trusted; if it fails, the one before comes back.',
    '60s', { min: 1, max: 86_400 }),
};

/** The flags of every setting, for `util.parseArgs`. */
export const configOptions: {
  readonly [name: string]: { readonly type: 'string' | 'boolean'; readonly multiple?: true }
} = Object.fromEntries(
  Object.entries(definitions).filter(([, { hasNoFlag }]) => hasNoFlag !== true).flatMap(([name, { kind }]) => {
    const type = kind === 'switch' ? 'boolean' as const : 'string' as const;
    return flagsOf(name, kind).map(
      (flagName) => [flagName, { type, ...(kind === 'many' ? { multiple: true as const } : {}) }],
    );
  }),
);

export interface SettingDescription {
  readonly name: string;
  readonly variable: string;
  readonly description: string;
  readonly fallback: unknown;
  /** Empty if it cannot be given as a flag; two for a switch. */
  readonly flags: readonly string[];
}

/** Describes each setting and its default, for `--help` and the README. */
export function describeSettings(): readonly SettingDescription[] {
  return Object.entries(definitions).map(([name, definition]) => ({
    name,
    variable: variablesOf(name, definition)[0] ?? '',
    description: definition.description,
    fallback: definition.fallbackText ?? definition.fallback({ environment: {} }),
    flags: definition.hasNoFlag === true ? [] : flagsOf(name, definition.kind),
  }));
}

function parseAddress(value: string, path: string): string {
  if (isIP(value) === 0) throw new ParseError(path, 'expected an IP address such as 127.0.0.1');
  return value;
}

/** Makes a path absolute, because a service runs in another directory. */
function readSource(value: string, path: string): string {
  const spec = parseSource(value, path);
  if (spec.type !== 'local') return value;
  return process.platform === 'win32' ? pathToFileURL(spec.path).href : spec.path;
}

function readRegistry(value: string, path: string): string {
  if (/^https?:/i.test(value) && URL.canParse(value)) return value;
  // The message does not repeat the value, which may hold a password.
  throw new ParseError(path, 'expected the http or https address of a registry');
}
