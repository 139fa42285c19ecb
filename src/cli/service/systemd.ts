/**
 * systemd, of the machine or of a user.
 * @module
 */
import { posix } from 'node:path';
import {
  type Change,
  type StepResult,
  type Owner,
  type Service,
  type ServiceState,
  type SupervisorStep,
  type Supervisor,
  assertNoControlCharacter,
  serviceName,
} from './service.ts';

const unit = `${serviceName}.service`;

export const systemd: Supervisor = {
  name: 'systemd',
  encoding: 'utf8',
  file: ({ scope, home }) => (
    scope === 'system' ? `/etc/systemd/system/${unit}` : posix.join(home, '.config/systemd/user', unit)
  ),
  describe: systemdUnit,
  words: wordsOf,
  start,
  stop: (owner) => [
    systemctl(owner, ['disable', '--now', unit], {
      otherwise: `Stop it by hand: systemctl ${flags(owner)}stop ${unit}`,
    }),
  ],
  afterRemoval: (owner) => [
    systemctl(owner, ['daemon-reload'], { otherwise: 'systemd shows the service until it is started again' }),
  ],
  query: (owner) => systemctl(
    owner, ['show', unit, '--property=LoadState,ActiveState,SubState,MainPID,ActiveEnterTimestamp'],
  ),
  state: stateOf,
  logs: (owner) => `journalctl ${flags(owner)}-u ${serviceName}`,
};

/**
 * The unit file.
 *
 * KillMode=process (systemd.kill(5)): a stop sends SIGTERM to the main process only, and after TimeoutStopSec SIGKILL
 * to that process alone; all other processes stay in the control group of the unit, which remains, and the next start
 * leaves them there. StartLimitIntervalSec=0 (systemd.unit(5)): the number of restarts is not limited. OOMPolicy
 * (systemd.service(5)): without `continue`, systemd stops the whole service when a job is killed because memory ran
 * out. TasksMax (systemd.resource-control(5)): the default, 15 % of what the machine allows, would count jobs.
 * User=root (systemd.exec(5)): sets HOME, USER, LOGNAME and SHELL.
 */
export function systemdUnit({ words, environment }: Service, { scope }: Owner): string {
  const isSystem = scope === 'system';
  const [program = '', ...args] = words;
  return [
    `# Written by "sidecar install", which overwrites it. Your own changes: systemctl ${
      isSystem ? '' : '--user '
    }edit ${serviceName}`,
    '[Unit]',
    'Description=machine-sidecar: runs jobs on this machine',
    ...(isSystem ? ['Wants=network-online.target', 'After=network-online.target'] : []),
    '# However often it ends, it is started again.',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${[systemdProgram(program), ...args.map(systemdArgument)].join(' ')}`,
    ...Object.entries(environment).map(([name, value]) => `Environment=${systemdWord(`${name}=${value}`)}`),
    ...(isSystem ? ['User=root', 'WorkingDirectory=~'] : []),
    'Restart=always',
    'RestartSec=5',
    '# Stop and restart end the server, not its jobs: only the main process gets the signal, and the next start finds '
      + 'the jobs.',
    'KillMode=process',
    '# The server takes up to 15 seconds to finish its answers.',
    'TimeoutStopSec=30',
    '# A job that is killed for want of memory does not take the service with it.',
    'OOMPolicy=continue',
    'TasksMax=infinity',
    '# Jobs may do what their user may: no ProtectSystem=, no PrivateTmp=, no other restriction.',
    'NoNewPrivileges=no',
    '',
    '[Install]',
    `WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}`,
    '',
  ].join('\n');
}

/**
 * A word of a setting: in quotes where needed, with quotes and backslashes escaped (systemd.syntax(7), Quoting), and
 * with `%`, which begins a specifier, doubled (systemd.unit(5), Specifiers).
 *
 * @throws RangeError for a control character.
 */
export function systemdWord(word: string): string {
  assertNoControlCharacter(word);
  const escaped = word.replaceAll(/[\\"]/g, '\\$&').replaceAll('%', '%%');
  return /^[\w@:./=,+%-]+$/.test(word) ? escaped : `"${escaped}"`;
}

/** An argument of ExecStart: `$`, which begins a variable, is doubled (systemd.service(5), Command Lines). */
export function systemdArgument(word: string): string {
  return systemdWord(word).replaceAll('$', () => '$$');
}

/**
 * The program of ExecStart. It cannot be a variable (systemd.service(5), Command Lines), so its `$` is not doubled.
 *
 * @throws RangeError when systemd refuses the path: "Executable name contains special characters".
 */
export function systemdProgram(path: string): string {
  if (/["'\\]/.test(path)) {
    throw new RangeError(`systemd runs no program with a quote or a backslash in its path: ${path}`);
  }
  return systemdWord(path);
}

function wordsOf(content: string): string[] {
  const line = /^ExecStart=(.*)$/m.exec(content)?.[1] ?? '';
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain = ''], index) => {
    const word = (quoted ?? plain).replaceAll(/\\(.)/g, '$1').replaceAll('%%', '%');
    return index === 0 ? word : word.replaceAll('$$', () => '$');
  });
}

function start(owner: Owner, change: Change): SupervisorStep[] {
  const { user, scope } = owner;
  const hint =
    `Log in as ${user} (su and sudo do not), or type: sudo loginctl enable-linger ${user}; then run this again`;
  // A systemd that was just started by lingering takes a moment to answer.
  const isReached = scope === 'user' ? { hint, attempts: 3 } : {};
  return [
    ...(scope === 'user' ? [linger(user)] : []),
    systemctl(owner, ['daemon-reload'], isReached),
    systemctl(owner, ['enable', unit]),
    systemctl(owner, [change === 'changed' ? 'restart' : 'start', unit]),
  ];
}

/** loginctl(1): "a user manager is spawned for the user at boot and kept around after logouts". */
function linger(user: string): SupervisorStep {
  return {
    program: 'loginctl',
    args: ['enable-linger', '--no-ask-password', user],
    why: `so that it starts with the machine and keeps running when ${user} logs out`,
    otherwise:
      `It runs only while ${user} is logged in, and jobs end at the logout. Type: sudo loginctl enable-linger ${user}`,
  };
}

function systemctl(owner: Owner, args: readonly string[], more: Partial<SupervisorStep> = {}): SupervisorStep {
  return {
    program: 'systemctl', args: [...(owner.scope === 'user' ? ['--user'] : []), '--no-ask-password', ...args], ...more,
  };
}

function flags({ scope }: Owner): string {
  return scope === 'user' ? '--user ' : '';
}

function stateOf({ exitCode, stdout }: StepResult): ServiceState {
  if (exitCode !== 0) return { detail: 'unknown', isRunning: undefined };
  const properties = new Map(stdout.split('\n').map((line) => [line.replace(/=.*/, ''), line.replace(/^[^=]*=/, '')]));
  const active = properties.get('ActiveState') ?? 'unknown';
  const isRunning = active === 'active' || active === 'reloading';
  const pid = Number(properties.get('MainPID') ?? 0);
  // `Sun 2026-08-23 10:00:00 UTC`, in the time zone that run.ts sets.
  const sinceMs = Date.parse((properties.get('ActiveEnterTimestamp') ?? '').replace(/^\w+ /, ''));
  return {
    detail: `${active} (${properties.get('SubState') ?? 'unknown'})`,
    isRunning,
    pid: isRunning && pid > 0 ? pid : undefined,
    since: isRunning && !Number.isNaN(sinceMs) ? sinceMs / 1000 : undefined,
  };
}
