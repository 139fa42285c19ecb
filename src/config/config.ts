/**
 * Reads the configuration from flags, then `SIDECAR_*` in the environment, then the config file, then defaults.
 * @module
 */
import { join, resolve } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { readUserFile } from '../base/files/user-file.ts';
import { ParseError, object, optional } from '../base/parse.ts';
import { jobEnvironment } from '../process/environment/job-environment.ts';
import type { Environment } from '../process/environment/secrets.ts';
import { type ProxyReport, reportProxies } from '../proxy/report.ts';
import { type NpmProxySettings, type ProxyRules, proxyRules, proxySettings } from '../proxy/rules.ts';
import { configuredProxies, configuredRegistry } from '../update/sources/npm-config.ts';
import type { Registry } from '../update/sources/npmrc.ts';
import { parseSource } from '../update/sources/spec.ts';
import { type Definition, flagsOf, variablesOf } from './definition.ts';
import { configHome } from './directories.ts';
import { isColour, processEnvironment } from './environment.ts';
import { definitions } from './settings.ts';

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
  /** Absolute; empty: everywhere. */
  readonly filesRoots: readonly string[];
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

/**
 * Loads the configuration.
 *
 * @throws ParseError naming the flag, variable or field of the config file that cannot be read.
 */
export function loadConfig(flags: Flags = {}, environment: Environment = processEnvironment()): Config {
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
  const isNpm = parseSource(values.updateSource).type === 'npm';
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

function readConfigFile(filePath: string): { readonly [name: string]: unknown } {
  let content: string;
  try {
    content = readUserFile(filePath).toString();
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
