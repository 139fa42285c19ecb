/**
 * Reads the configuration from flags, then `SIDECAR_*` in the environment, then the config file, then defaults.
 * The only reader of `process.env`.
 * @module
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { secondsIn } from './base/duration.ts';
import { errorCode } from './base/error-code.ts';
import {
  type Parser, ParseError, array, boolean, flag, fromText, integer, number, object, oneOf, optional, parser, refuse,
  text,
} from './base/parse.ts';
import { parseHost, parseOrigin } from './http/auth/origin.ts';
import { jobEnvironment } from './process/environment/job-environment.ts';
import { type Environment, withoutSecrets } from './process/environment/secrets.ts';
import { type ProxyReport, reportProxies } from './proxy/report.ts';
import { type NpmProxySettings, type ProxyRules, proxyRules, proxySettings } from './proxy/rules.ts';
import { parseWindow } from './update/schedule.ts';
import { configuredProxies, configuredRegistry } from './update/sources/npm-config.ts';
import type { Registry } from './update/sources/npmrc.ts';
import { parseSource } from './update/sources/spec.ts';

export type Flags = { readonly [name: string]: string | boolean | readonly (string | boolean)[] | undefined };
export type { Environment };
export type Source = 'flag' | 'environment' | 'file' | 'default';

/** One setting with its effective value, for `sidecar config`. */
export interface Setting {
  /** The name of its flag: `max-running`. */
  readonly name: string;
  readonly value: unknown;
  readonly source: Source;
  /** The flag, variable or file that sets it; empty for a default. */
  readonly where: string;
  /** Whether its value must not be shown: a key, or an address with a user, a password or a query. */
  readonly isSecret: boolean;
  readonly description: string;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly stateDir: string;
  readonly url: string | undefined;
  readonly apiKey: string | undefined;
  readonly keyFile: string | undefined;
  readonly allowWeakKey: boolean;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly allowHosts: readonly string[];
  /** Addresses of reverse proxies. */
  readonly trustProxies: readonly string[];
  readonly allowOrigins: readonly string[];
  /** The shell, by name or path, for jobs of mode `shell` that name none. `undefined`: see `JobShells`. */
  readonly shell: string | undefined;
  readonly maxRunning: number;
  readonly maxQueued: number;
  readonly maxSessions: number;
  readonly sessionIdleSeconds: number;
  readonly maxTerminals: number;
  /** The port of a second listener that serves only terminals; `undefined`: no second listener. */
  readonly terminalPort: number | undefined;
  readonly terminalScrollbackBytes: number;
  /** `undefined`: never. */
  readonly terminalIdleSeconds: number | undefined;
  readonly terminalLifetimeSeconds: number | undefined;
  readonly keepJobs: number;
  readonly keepDays: number;
  readonly keepBytes: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly logFormat: 'auto' | 'pretty' | 'json';
  /** Text for `parseSource`. It may be an address with a password: do not log it as it is. */
  readonly updateSource: string;
  readonly autoUpdate: boolean;
  readonly updateIntervalSeconds: number;
  /** `HH:MM-HH:MM`; `undefined`: any time of day. */
  readonly updateWindow: string | undefined;
  readonly updateProbationSeconds: number;
  /**
   * The npm registry to ask and the token for it. Reads npm's files at each call.
   *
   * @throws SourceError if they cannot be read, or name no registry.
   */
  readonly updateRegistry: () => Registry;
  /**
   * The proxies for updates: those of npm's settings, if updates come from npm, before those of the environment.
   * Reads npm's files at each call.
   *
   * @throws SourceError if they cannot be read.
   */
  readonly updateProxies: () => ProxyRules;
  /** The proxies for all other requests, from the environment. */
  readonly proxies: ProxyRules;
  /**
   * The proxies as text for people, without user and password.
   *
   * @throws SourceError as `updateProxies` does, if `use` is `updates`.
   */
  readonly proxyReport: (use?: 'updates') => readonly ProxyReport[];
  /** Whether text for people may be coloured: by `NO_COLOR` and `FORCE_COLOR`, else whether it goes to a terminal. */
  readonly isColour: (stream: { readonly isTTY?: boolean }) => boolean;
  /** The environment that jobs inherit, see {@link jobEnvironment}. */
  readonly jobEnvironment: { readonly [name: string]: string };
  readonly settings: () => readonly Setting[];
}

/** The fields of {@link Config} that are not settings. */
type Computed =
  'updateRegistry' | 'updateProxies' | 'proxies' | 'proxyReport' | 'isColour' | 'jobEnvironment' | 'settings';

interface Definition {
  readonly key: string;
  readonly parse: Parser<unknown>;
  /** Parses the value of a flag or a variable. */
  readonly parseText: Parser<unknown>;
  /** A switch has two flags, neither with a value: `--name` and `--no-name`. */
  readonly kind: 'one' | 'many' | 'switch';
  readonly fallback: (context: { environment: Environment }) => unknown;
  /** The fallback as the documentation shows it, if that is not its value. */
  readonly fallbackText?: string;
  readonly description: string;
  readonly variables?: readonly string[];
  readonly isSecret?: boolean;
  /** An address: it is secret if it holds a user, a password or a query. */
  readonly isAddress?: boolean;
  readonly isPath?: boolean;
  /** It has no flag, because `ps` shows flags to all users. */
  readonly hasNoFlag?: boolean;
}

const definitions: { readonly [name: string]: Definition } = {
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

/**
 * Loads the configuration.
 *
 * @throws ParseError naming the flag, variable or field of the config file that cannot be read.
 */
export function loadConfig(flags: Flags = {}, environment: Environment = process.env): Config {
  const filePath = join(configHome(environment), 'machine-sidecar', 'config.json');
  const file = readConfigFile(filePath);
  const settings = Object.entries(definitions).map(([name, definition]): Setting & { key: string } => {
    const found = find(name, definition, { flags, environment, file, filePath });
    const { key, description, isPath } = definition;
    const value = isPath === true && typeof found.value === 'string' ? resolve(found.value) : found.value;
    const isSecret = definition.isSecret === true || (definition.isAddress === true && holdsSecret(value));
    return { ...found, key, name, value, description, isSecret };
  });
  // Each value comes from the definition that holds its key.
  const { updateRegistryUrl, ...values } = Object.fromEntries(
    settings.map(({ key, value }) => [key, value]),
  ) as unknown as Omit<Config, Computed> & { readonly updateRegistryUrl: string | undefined };
  const isNpm = parseSource(values.updateSource).kind === 'npm';
  const npmProxies = (): NpmProxySettings => (isNpm ? configuredProxies(environment) : {});
  return {
    ...values,
    updateRegistry: () => configuredRegistry(environment, {
      source: values.updateSource, registry: updateRegistryUrl,
    }),
    updateProxies: () => proxyRules(environment, npmProxies()),
    proxies: proxyRules(environment),
    proxyReport: (use) => reportProxies(proxySettings(environment, use === 'updates' ? npmProxies() : {})),
    isColour: (stream) => isColour(environment, stream),
    jobEnvironment: jobEnvironment(environment),
    settings: () => settings.map(({ key: _, ...setting }) => setting),
  };
}

/** The proxies that the environment of this program names. */
export function ownProxies(): ProxyRules {
  return proxyRules(process.env);
}

/** The environment of this program without what {@link withoutSecrets} removes. */
export function ownEnvironment(): { readonly [name: string]: string } {
  return withoutSecrets(process.env);
}

function find(
  name: string,
  definition: Definition,
  from: { flags: Flags; environment: Environment; file: { readonly [name: string]: unknown }; filePath: string },
): { value: unknown; source: Source; where: string } {
  const flagged = flagsOf(name, definition.kind).filter((flagName) => from.flags[flagName] !== undefined);
  const [given, second] = definition.hasNoFlag === true ? [] : flagged;
  if (second !== undefined) throw new ParseError(`--${second}`, `expected it without --${given}`);
  if (given !== undefined) {
    const value = definition.parseText(from.flags[given], `--${given}`);
    return { value: given === name ? value : value !== true, source: 'flag', where: `--${given}` };
  }
  for (const variable of variablesOf(name, definition)) {
    const value = from.environment[variable];
    if (value === undefined || value === '') continue;
    const parts = definition.kind === 'many' ? value.split(',').map((part) => part.trim()) : value;
    return { value: definition.parseText(parts, variable), source: 'environment', where: variable };
  }
  const written = from.file[name];
  if (written !== undefined) return { value: written, source: 'file', where: from.filePath };
  return { value: definition.fallback(from), source: 'default', where: '' };
}

function holdsSecret(address: unknown): boolean {
  if (typeof address !== 'string' || !URL.canParse(address)) return false;
  const { username, password, search } = new URL(address);
  return username + password + search !== '';
}

function flagsOf(name: string, kind: Definition['kind']): readonly string[] {
  return kind === 'switch' ? [name, `no-${name}`] : [name];
}

function variablesOf(name: string, definition: Definition): readonly string[] {
  return definition.variables ?? [`SIDECAR_${name.toUpperCase().replaceAll('-', '_')}`];
}

function readConfigFile(filePath: string): { readonly [name: string]: unknown } {
  let content: string;
  try {
    content = readFileSync(filePath, 'utf8');
  } catch (error) {
    // There is no config file.
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error))) return {};
    throw new ParseError(filePath, (error as Error).message);
  }
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new ParseError(filePath, `it is not JSON: ${(error as Error).message}`);
  }
  return object(
    Object.fromEntries(Object.entries(definitions).map(([name, { parse }]) => [name, optional(parse)])),
  )(value, filePath);
}

function configHome(environment: Environment): string {
  return baseDirectory(environment, 'XDG_CONFIG_HOME', 'APPDATA', '.config');
}

function defaultStateDir({ environment }: { environment: Environment }): string {
  return join(baseDirectory(environment, 'XDG_STATE_HOME', 'LOCALAPPDATA', join('.local', 'state')), 'machine-sidecar');
}

/** XDG Base Directory Specification: a relative path is invalid and ignored. */
function baseDirectory(environment: Environment, variable: string, windowsVariable: string, inHome: string): string {
  const given = environment[process.platform === 'win32' ? windowsVariable : variable];
  if (given !== undefined && isAbsolute(given)) return given;
  return join(environment['HOME'] || homedir(), inHome);
}

/** https://no-color.org and https://force-color.org: set and not empty. */
function isColour(environment: Environment, stream: { readonly isTTY?: boolean }): boolean {
  if (environment['NO_COLOR']) return false;
  if (environment['FORCE_COLOR']) return environment['FORCE_COLOR'] !== '0';
  return stream.isTTY === true && environment['TERM'] !== 'dumb';
}

function word(key: string, description: string, fallback?: string): Definition {
  const parse = text({ min: 1 });
  return { key, description, parse, parseText: parse, kind: 'one', fallback: () => fallback };
}

function path(key: string, description: string): Definition {
  return { ...word(key, description), isPath: true };
}

function parseAddress(value: string, path: string): string {
  if (isIP(value) === 0) throw new ParseError(path, 'expected an IP address such as 127.0.0.1');
  return value;
}

/** A list of words, each parsed by `read`. */
function checkedWords(
  key: string, description: string, read: (value: string, path: string) => string,
): Definition {
  const inner = array(text({ min: 1, max: 2048 }), { max: 100 });
  const parse = parser(inner.schema, (value, path) =>
    inner(value, path).map((one, index) => read(one, `${path}[${index}]`)));
  return { key, description, parse, parseText: parse, kind: 'many', fallback: () => [] };
}

function whole(key: string, description: string, fallback: number, bounds: { min: number; max: number }): Definition {
  const parse = integer(bounds);
  return { key, description, parse, parseText: fromText(parse), kind: 'one', fallback: () => fallback };
}

function amount(key: string, description: string, fallback: number, max: number): Definition {
  const parse = number({ min: 0, max });
  return { key, description, parse, parseText: fromText(parse), kind: 'one', fallback: () => fallback };
}

function choice(key: string, description: string, fallback: string, ...choices: string[]): Definition {
  const parse = oneOf(...choices);
  return {
    key, description: `${description} One of ${choices.join(', ')}.`,
    parse, parseText: parse, kind: 'one', fallback: () => fallback,
  };
}

/** Text that `read` parses. */
function checked(key: string, description: string, read: (value: string, path: string) => string): Definition {
  const inner = text({ min: 1, max: 2048 });
  const parse = parser(inner.schema, (value, path) => read(inner(value, path), path));
  return { key, description, parse, parseText: parse, kind: 'one', fallback: () => undefined };
}

/** Makes a path absolute, because a service runs in another directory. */
function readSource(value: string, path: string): string {
  const spec = parseSource(value, path);
  if (spec.kind !== 'local') return value;
  return process.platform === 'win32' ? pathToFileURL(spec.path).href : spec.path;
}

function readRegistry(value: string, path: string): string {
  if (/^https?:/i.test(value) && URL.canParse(value)) return value;
  // The message does not repeat the value, which may hold a password.
  throw new ParseError(path, 'expected the http or https address of a registry');
}

/** A switch. Its flags take no value; its variable is 1, 0, true or false. */
function onOff(key: string, description: string, fallback: boolean): Definition {
  const parseText = parser(boolean.schema, (value, path) => (typeof value === 'boolean' ? value : flag(value, path)));
  return { key, description, parse: boolean, parseText, kind: 'switch', fallback: () => fallback };
}

/** Seconds as a number, or a time with its unit. */
function duration(
  key: string, description: string, fallback: string, { min, max }: { min: number; max: number },
): Definition {
  const parse = parser({ type: ['number', 'string'], minimum: min, maximum: max }, (value, path) => {
    const seconds = typeof value === 'string' ? secondsIn(value) : value;
    const isWithin = typeof seconds === 'number' && seconds >= min && seconds <= max;
    return isWithin ? seconds : refuse(path, `a time such as 90, 5m or 6h, from ${min} to ${max} seconds`, value);
  });
  return {
    key, description, parse, parseText: parse, kind: 'one',
    fallback: () => secondsIn(fallback), fallbackText: fallback,
  };
}

/** A {@link duration} that is unlimited by default. */
function unlimited(key: string, description: string): Definition {
  const { fallbackText: _, ...definition } = duration(key, description, '1', { min: 1, max: 31_536_000 });
  return { ...definition, fallback: () => undefined };
}
