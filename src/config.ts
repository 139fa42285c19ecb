/**
 * What was asked for: flags, then `SIDECAR_*` in the environment, then the config file, then defaults.
 * The only reader of `process.env`.
 * @module
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import {
  type Parser, ParseError, array, fromText, integer, number, object, oneOf, optional, text,
} from './base/parse.ts';

export type Flags = { readonly [name: string]: string | boolean | readonly (string | boolean)[] | undefined };
export type Environment = { readonly [name: string]: string | undefined };
export type Source = 'flag' | 'environment' | 'file' | 'default';

/** One setting as it holds, for `sidecar config`. */
export interface Setting {
  /** As a flag: `max-running`. */
  readonly name: string;
  readonly value: unknown;
  readonly source: Source;
  /** The flag, variable or file that said so. */
  readonly where: string;
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
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly allowHosts: readonly string[];
  readonly allowOrigins: readonly string[];
  readonly maxRunning: number;
  readonly maxQueued: number;
  readonly keepJobs: number;
  readonly keepDays: number;
  readonly keepBytes: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly logFormat: 'auto' | 'pretty' | 'json';
  /** Whether text for people may be coloured: `NO_COLOR` and `FORCE_COLOR` decide, else whether it goes to a terminal. */
  readonly isColour: (stream: { readonly isTTY?: boolean }) => boolean;
  /** What jobs inherit: the environment of the server, less everything secret. */
  readonly jobEnvironment: { readonly [name: string]: string };
  readonly settings: () => readonly Setting[];
}

interface Definition {
  readonly key: string;
  readonly parse: Parser<unknown>;
  /** Reads the same from a flag or a variable. */
  readonly parseText: Parser<unknown>;
  readonly kind: 'one' | 'many';
  readonly fallback: (context: { environment: Environment }) => unknown;
  readonly description: string;
  readonly variables?: readonly string[];
  readonly isSecret?: boolean;
  readonly isPath?: boolean;
  /** No flag: `ps` shows flags to everybody. */
  readonly hasNoFlag?: boolean;
}

const definitions: { readonly [name: string]: Definition } = {
  host: word('host', 'The address to listen on.', '127.0.0.1'),
  port: whole('port', 'The port to listen on; 0 for any free one.', 8585, { min: 0, max: 65_535 }),
  'state-dir': { ...path('stateDir', 'Where jobs, the key and everything else is kept.'), fallback: defaultStateDir },
  url: word('url', 'The server that commands talk to. Default: the local one, found through the state directory.'),
  'api-key': {
    ...word('apiKey', 'The key. Default: the api-key file in the state directory.'),
    variables: ['SIDECAR_API_KEY', 'DEVPILOT_AGENT_API_KEY'], isSecret: true, hasNoFlag: true,
  },
  'key-file': path('keyFile', 'A file that holds the key that commands present.'),
  'tls-cert': path('tlsCert', 'PEM certificate chain: serve HTTPS.'),
  'tls-key': path('tlsKey', 'PEM private key of the certificate.'),
  'allow-host': words('allowHosts', 'A further name in the Host header that is ours.'),
  'allow-origin': words('allowOrigins', 'An origin whose pages may call this server.'),
  'max-running': whole('maxRunning', 'How many jobs run at once; further ones wait.', 1024, { min: 1, max: 100_000 }),
  'max-queued': whole('maxQueued', 'How many jobs may wait; further ones are refused.', 10_000, { min: 0, max: 1_000_000 }),
  'keep-jobs': whole('keepJobs', 'How many finished jobs are kept.', 1000, { min: 0, max: 1_000_000 }),
  'keep-days': amount('keepDays', 'For how many days finished jobs are kept.', 7, 36_500),
  'keep-bytes': whole('keepBytes', 'How many bytes finished jobs may take together.', 10 * 2 ** 30,
    { min: 0, max: Number.MAX_SAFE_INTEGER }),
  'log-level': choice('logLevel', 'What is logged.', 'info', 'debug', 'info', 'warn', 'error'),
  'log-format': choice('logFormat', 'auto: for people on a terminal, JSON lines otherwise.', 'auto', 'auto', 'pretty', 'json'),
};

/** The flags of every setting, for `util.parseArgs`. */
export const configOptions: { readonly [name: string]: { readonly type: 'string'; readonly multiple?: true } } =
  Object.fromEntries(Object.entries(definitions).filter(([, { hasNoFlag }]) => hasNoFlag !== true).map(([name, { kind }]) => [
    name, { type: 'string' as const, ...(kind === 'many' ? { multiple: true as const } : {}) },
  ]));

/** Flag → what it does and its default, for `--help` and the README. */
export function describeSettings(): readonly { name: string; variable: string; description: string; fallback: unknown; hasFlag: boolean }[] {
  return Object.entries(definitions).map(([name, definition]) => ({
    name,
    variable: variablesOf(name, definition)[0] ?? '',
    description: definition.description,
    fallback: name === 'state-dir' ? '$XDG_STATE_HOME/machine-sidecar' : definition.fallback({ environment: {} }),
    hasFlag: definition.hasNoFlag !== true,
  }));
}

/**
 * Reads what holds.
 *
 * @throws ParseError naming the flag, variable or field of the config file that cannot be read.
 */
export function loadConfig(flags: Flags = {}, environment: Environment = process.env): Config {
  const filePath = join(configHome(environment), 'machine-sidecar', 'config.json');
  const file = readConfigFile(filePath);
  const settings = Object.entries(definitions).map(([name, definition]): Setting & { key: string } => {
    const found = find(name, definition, { flags, environment, file, filePath });
    const { key, description, isSecret = false, isPath } = definition;
    const value = isPath === true && typeof found.value === 'string' ? resolve(found.value) : found.value;
    return { ...found, key, name, value, description, isSecret };
  });
  const values = Object.fromEntries(settings.map(({ key, value }) => [key, value]));
  return {
    // Each value was made by the parser beside its key in the table above.
    ...(values as unknown as Omit<Config, 'isColour' | 'jobEnvironment' | 'settings'>),
    isColour: (stream) => isColour(environment, stream),
    jobEnvironment: withoutSecrets(environment),
    settings: () => settings.map(({ key: _, ...setting }) => setting),
  };
}

/** The environment less the keys and tokens of this product, under every name that it knows. */
export function withoutSecrets(environment: Environment): { readonly [name: string]: string } {
  const isSecret = (name: string): boolean => /^(SIDECAR|DEVPILOT)_.*(KEY|TOKEN|SECRET|PASSWORD)/i.test(name);
  return Object.fromEntries(Object.entries(environment)
    .flatMap(([name, value]) => (value === undefined || isSecret(name) || name === 'SIDECAR_JOB_ID' ? [] : [[name, value]])));
}

function find(
  name: string,
  definition: Definition,
  from: { flags: Flags; environment: Environment; file: { readonly [name: string]: unknown }; filePath: string },
): { value: unknown; source: Source; where: string } {
  const given = from.flags[name];
  if (given !== undefined && definition.hasNoFlag !== true) {
    return { value: definition.parseText(given, `--${name}`), source: 'flag', where: `--${name}` };
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

function variablesOf(name: string, definition: Definition): readonly string[] {
  return definition.variables ?? [`SIDECAR_${name.toUpperCase().replaceAll('-', '_')}`];
}

function readConfigFile(filePath: string): { readonly [name: string]: unknown } {
  let content: string;
  try {
    content = readFileSync(filePath, 'utf8');
  } catch (error) {
    // No file, or no such folder: nothing was said.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return {};
    throw new ParseError(filePath, (error as Error).message);
  }
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new ParseError(filePath, `it is not JSON: ${(error as Error).message}`);
  }
  return object(Object.fromEntries(Object.entries(definitions).map(([name, { parse }]) => [name, optional(parse)])))(value, filePath);
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

function words(key: string, description: string): Definition {
  const parse = array(text({ min: 1 }), { max: 100 });
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
  return { key, description, parse, parseText: parse, kind: 'one', fallback: () => fallback };
}
