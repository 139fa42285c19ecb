/**
 * Finds how this machine runs services, and what our service is to run.
 * @module
 */
import { existsSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { errorCode } from '../../base/error-code.ts';
import { readUserFile } from '../../base/files/user-file.ts';
import { quote } from '../../base/text/shell-word.ts';
import { type Config } from '../../config/config.ts';
import { configOptions } from '../../config/settings.ts';
import { proxyVariables } from '../../proxy/rules.ts';
import type { Option } from '../command.ts';
import { CommandError, UsageError } from '../failure.ts';
import { launchd } from './launchd.ts';
import { schtasks } from './schtasks.ts';
import { type Owner, type Scope, type Service, type Supervisor, flagIn } from './service.ts';
import { systemd } from './systemd.ts';

/** The flags that choose whose service is meant. */
export const scopeOptions: { readonly [S in Scope]: Option & { readonly type: 'boolean' } } = {
  user: { type: 'boolean', description: 'The service of this user. Default, but for root' },
  system: { type: 'boolean', description: 'The service of the machine, which runs as root. Default for root' },
};

/** A place where a service may be installed, and what is there. */
export interface ServiceLocation {
  readonly supervisor: Supervisor;
  readonly owner: Owner;
  readonly file: string;
  /** Content of the file; `undefined`: nothing is installed. */
  readonly installed: string | undefined;
}

/** @throws CommandError when no supported supervisor exists for this platform. */
export function locateService(
  scope: Scope, config: Config, supervisor: Supervisor = localSupervisor(),
): ServiceLocation {
  const owner = { scope, ...currentUser(config), home: config.jobEnvironment['HOME'] || homedir() };
  const file = supervisor.file(owner);
  const installed = existsSync(file) ? readInstalled(file, supervisor.encoding) : undefined;
  return { supervisor, owner, file, installed };
}

function readInstalled(file: string, encoding: Supervisor['encoding']): string {
  try {
    return readUserFile(file).toString(encoding).replace(/^\ufeff/, '');
  } catch (error) {
    throw new CommandError(`Cannot read the service: ${(error as Error).message}`, { cause: error });
  }
}

/** The scope that the flags choose; without a flag, that of the current user. @throws UsageError for both flags. */
export function scopeOf(values: { user?: boolean | undefined; system?: boolean | undefined }, command: string): Scope {
  if (values.user === true && values.system === true) {
    throw new UsageError('Give --user or --system, not both', command);
  }
  if (values.user === true) return 'user';
  return values.system === true || isRoot() ? 'system' : 'user';
}

/** The place that the flags choose; without a flag, the one where a service is installed, the user's own first. */
export function locateRequestedService(
  values: { user?: boolean | undefined; system?: boolean | undefined }, config: Config, command: string,
): ServiceLocation {
  const scope = scopeOf(values, command);
  const own = locateService(scope, config);
  if (own.installed !== undefined || values.user === true || values.system === true) return own;
  const other = locateService(scope === 'user' ? 'system' : 'user', config);
  return other.installed === undefined ? own : other;
}

/** The state directory that an installed service uses. */
export function stateDirOf({ supervisor, installed }: ServiceLocation): string | undefined {
  return installed === undefined ? undefined : flagIn(supervisor.words(installed), 'state-dir');
}

/** Why no service can run here; `undefined`: one can. */
export function obstacleTo({ supervisor }: ServiceLocation): string | undefined {
  // sd_booted(3): this directory exists when systemd runs the machine.
  const isAbsent = supervisor === systemd && !existsSync('/run/systemd/system');
  return isAbsent ? 'systemd does not run here (as in most containers)' : undefined;
}

/** @throws CommandError when the machine's service is meant and this user is not root; it says what to type. */
export function assertPermitted({ owner }: ServiceLocation, words: readonly string[]): void {
  if (owner.scope === 'user' || process.platform === 'win32' || isRoot()) return;
  // By the program's own path: sudo has a different PATH.
  const again = [process.execPath, builtProgram(), ...words].map(quote).join(' ');
  throw new CommandError('Cannot change the service of the machine: only root may', { hint: `Type: sudo ${again}` });
}

/**
 * `serve --wrapper` with the state directory and the settings of the flags and of the environment. The service reads
 * the config file itself; secrets stay out of files that others may read.
 */
export function serviceOf(config: Config): Service {
  const given = config.settings().filter(({ name, source, isSecret }) =>
    name === 'state-dir'
      || (!isSecret && Object.hasOwn(configOptions, name) && (source === 'flag' || source === 'environment')));
  const flags = given.filter(({ name }) => name !== 'url' && name !== 'key-file').flatMap(({ name, value }) =>
    [value].flat().map((one) => flagOf(name, one)));
  // In `jobEnvironment` the proxies have no user and no password.
  const passedOn = ['PATH', ...proxyVariables];
  const environment = Object.entries(config.jobEnvironment).filter(([name]) => passedOn.includes(name));
  return {
    words: [process.execPath, builtProgram(), 'serve', '--wrapper', ...flags],
    environment: Object.fromEntries(environment),
  };
}

function flagOf(name: string, value: unknown): string {
  if (typeof value !== 'boolean') return `--${name}=${String(value)}`;
  return value ? `--${name}` : `--no-${name}`;
}

/** A warning if the program may not last, because it lies in a folder that another tool cleans up. */
export function fragilityWarning({ words }: Service): string | undefined {
  const [node = '', main = ''] = words;
  const tool = [
    [/[/\\]\.?nvm[/\\]/i, 'nvm'], [/[/\\]\.?fnm(_multishells)?[/\\]/i, 'fnm'], [/[/\\]\.?volta[/\\]/i, 'Volta'],
    [/[/\\]\.?asdf[/\\]/i, 'asdf'], [/[/\\]mise[/\\]/i, 'mise'], [/[/\\]Cellar[/\\]/, 'Homebrew'],
  ].find(([pattern]) => (pattern as RegExp).test(node))?.[1];
  if (tool !== undefined) {
    return `The service runs ${node}, which ${String(tool)} may remove: then run this again with another Node`;
  }
  return /[/\\]_npx[/\\]/.test(main)
    ? `The service runs ${main}, which npx may remove: install machine-sidecar first`
    : undefined;
}

/** The built program: its path relative to this file is the same in `src` and in `dist`. */
function builtProgram(): string {
  return fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
}

function currentUser(config: Config): { readonly user: string; readonly uid: number } {
  try {
    const { username, uid } = userInfo();
    return { user: username, uid };
  } catch (error) {
    // ERR_SYSTEM_ERROR: a container may run under a uid that no user has.
    if (errorCode(error) !== 'ERR_SYSTEM_ERROR') throw error;
    const uid = process.getuid?.() ?? -1;
    return { user: config.jobEnvironment['USER'] ?? String(uid), uid };
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function localSupervisor(): Supervisor {
  switch (process.platform) {
    case 'linux': return systemd;
    case 'darwin': return launchd;
    case 'win32': return schtasks;
    default: throw new CommandError(`Cannot manage a service on ${process.platform}`, {
      hint: 'Let its supervisor run: sidecar serve --wrapper',
    });
  }
}
