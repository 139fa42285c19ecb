/**
 * launchd: an agent of a user, or a daemon of the machine.
 * @module
 */
import { posix } from 'node:path';
import {
  type Change, type Owner, type Service, type ServiceState, type StepResult, type Supervisor, type SupervisorStep,
  serviceName,
} from './service.ts';
import { escapeXml, unescapeXml } from './xml.ts';

export const launchd: Supervisor = {
  name: 'launchd',
  encoding: 'utf8',
  file: (owner) => posix.join(
    library(owner), owner.scope === 'system' ? 'LaunchDaemons' : 'LaunchAgents', `${serviceName}.plist`,
  ),
  describe: launchdPlist,
  words: wordsOf,
  start,
  stop: (owner) => [bootout(owner)],
  afterRemoval: () => [],
  query: (owner) => launchctl('print', target(owner)),
  state: stateOf,
  logs: (owner) => `tail -F '${logFile(owner)}'`,
};

/**
 * The property list. All keys are those of launchd.plist(5):
 * AbandonProcessGroup: when the program ends, launchd does not kill the rest of its process group, so that jobs outlive
 * it. ProcessType: with any value but `Interactive`, launchd throttles CPU and I/O of the program and of its jobs.
 * ExitTimeOut: seconds between SIGTERM and SIGKILL. Umask: 63 is 077; a property list has no octal numbers.
 */
export function launchdPlist({ words, environment }: Service, owner: Owner): string {
  const log = `<string>${escapeXml(logFile(owner))}</string>`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<!-- Written by "sidecar install", which overwrites it. -->',
    '<plist version="1.0">',
    '<dict>',
    `  <key>Label</key><string>${serviceName}</string>`,
    '  <key>ProgramArguments</key>',
    '  <array>',
    ...words.map((word) => `    <string>${escapeXml(word)}</string>`),
    '  </array>',
    '  <key>EnvironmentVariables</key>',
    '  <dict>',
    ...Object.entries(environment)
      .map(([name, value]) => `    <key>${escapeXml(name)}</key><string>${escapeXml(value)}</string>`),
    '  </dict>',
    `  <key>WorkingDirectory</key><string>${escapeXml(owner.home)}</string>`,
    '  <key>RunAtLoad</key><true/>',
    '  <key>KeepAlive</key><true/>',
    '  <!-- Stop and restart end the server, not its jobs. -->',
    '  <key>AbandonProcessGroup</key><true/>',
    '  <key>ProcessType</key><string>Interactive</string>',
    '  <key>ExitTimeOut</key><integer>30</integer>',
    '  <key>Umask</key><integer>63</integer>',
    `  <key>StandardOutPath</key>${log}`,
    `  <key>StandardErrorPath</key>${log}`,
    '</dict>',
    '</plist>',
    '',
  ].join('\n');
}

function wordsOf(content: string): string[] {
  const array = /<key>ProgramArguments<\/key>\s*<array>([^]*?)<\/array>/.exec(content)?.[1] ?? '';
  return [...array.matchAll(/<string>([^<]*)<\/string>/g)].map(([, word = '']) => unescapeXml(word));
}

/** launchctl(1): `bootstrap` takes a domain and a file, `bootout` and `print` a service in a domain. */
function start(owner: Owner, change: Change, file: string): SupervisorStep[] {
  // The service that was just booted out may still be ending, for up to ExitTimeOut seconds.
  const attempts = change === 'changed' ? 35 : 1;
  if (change === 'same') {
    return [
      { ...launchctl('kickstart', target(owner)), otherwise: 'Run: sidecar uninstall; sidecar install' },
    ];
  }
  return [
    ...(change === 'changed' ? [bootout(owner)] : []),
    {
      ...launchctl('enable', target(owner)),
      otherwise: 'It may have been disabled by hand: see launchctl print-disabled',
    },
    {
      ...launchctl('bootstrap', domain(owner), file), attempts,
      hint: `Log in on the screen of this Mac as ${owner.user}: agents belong to that session`,
    },
  ];
}

function bootout(owner: Owner): SupervisorStep {
  return { ...launchctl('bootout', target(owner)), otherwise: 'It was not loaded, or ends only now' };
}

function launchctl(...args: readonly string[]): SupervisorStep {
  return { program: 'launchctl', args };
}

function domain({ scope, uid }: Owner): string {
  return scope === 'system' ? 'system' : `gui/${uid}`;
}

function target(owner: Owner): string {
  return `${domain(owner)}/${serviceName}`;
}

function library({ scope, home }: Owner): string {
  return scope === 'system' ? '/Library' : posix.join(home, 'Library');
}

function logFile(owner: Owner): string {
  return posix.join(library(owner), 'Logs', `${serviceName}.log`);
}

function stateOf({ exitCode, stdout }: StepResult): ServiceState {
  if (exitCode !== 0) return { detail: 'not loaded', isRunning: false };
  const detail = /^\tstate = (.+)$/m.exec(stdout)?.[1] ?? 'unknown';
  const pid = Number(/^\tpid = (\d+)$/m.exec(stdout)?.[1] ?? 0);
  return { detail, isRunning: detail === 'running', pid: pid > 0 ? pid : undefined };
}
