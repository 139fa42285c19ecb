/**
 * The Task Scheduler of Windows.
 * @module
 */
import { win32 } from 'node:path';
import {
  type Change, type Owner, type Service, type ServiceState, type StepResult, type Supervisor, type SupervisorStep,
  serviceName,
} from './service.ts';
import { escapeXml, unescapeXml } from './xml.ts';

export const schtasks: Supervisor = {
  name: 'Task Scheduler',
  // As the declaration of the XML says, and as `schtasks /Query /XML` writes it.
  encoding: 'utf16le',
  file: ({ home }) => win32.join(home, 'AppData', 'Local', serviceName, 'service.xml'),
  describe: scheduledTask,
  words: wordsOf,
  start,
  stop: () => [
    step(['/End', '/TN', serviceName], { otherwise: 'It did not run' }),
    step(['/Delete', '/F', '/TN', serviceName], { otherwise: 'It was not there, or belongs to an administrator' }),
  ],
  afterRemoval: () => [],
  query: () => step(['/Query', '/TN', serviceName, '/XML']),
  state: stateOf,
  logs: () => undefined,
};

/**
 * The task (https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema). ExecutionTimeLimit: PT0S is no
 * limit; the default is 72 hours. RestartOnFailure: at least a minute apart, at most 255 times; it is rarely needed, as
 * the wrapper restarts its server. Priority: the default, 7, is below normal, and jobs inherit it. S-1-5-18 is
 * LocalSystem. A task has no environment of its own: it gets that of its user.
 */
export function scheduledTask({ words }: Service, { scope, user, home }: Owner): string {
  const [program = '', ...args] = words;
  const isSystem = scope === 'system';
  return [
    '<?xml version="1.0" encoding="UTF-16"?>',
    '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">',
    '  <RegistrationInfo><Description>machine-sidecar: runs jobs on this machine</Description></RegistrationInfo>',
    `  <Triggers>${
      isSystem ? '<BootTrigger/>' : `<LogonTrigger><UserId>${escapeXml(user)}</UserId></LogonTrigger>`
    }</Triggers>`,
    '  <Principals>',
    '    <Principal id="Author">',
    ...(isSystem
      ? ['      <UserId>S-1-5-18</UserId>', '      <RunLevel>HighestAvailable</RunLevel>']
      : [
        `      <UserId>${escapeXml(user)}</UserId>`,
        '      <LogonType>InteractiveToken</LogonType>',
        '      <RunLevel>LeastPrivilege</RunLevel>',
      ]),
    '    </Principal>',
    '  </Principals>',
    '  <Settings>',
    '    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>',
    '    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>',
    '    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>',
    '    <StartWhenAvailable>true</StartWhenAvailable>',
    '    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>',
    '    <Priority>5</Priority>',
    '    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>',
    '  </Settings>',
    '  <Actions Context="Author">',
    '    <Exec>',
    `      <Command>${escapeXml(program)}</Command>`,
    `      <Arguments>${escapeXml(args.map(windowsArgument).join(' '))}</Arguments>`,
    `      <WorkingDirectory>${escapeXml(home)}</WorkingDirectory>`,
    '    </Exec>',
    '  </Actions>',
    '</Task>',
    '',
  ].join('\r\n');
}

/**
 * Quotes an argument so that programs read it back: backslashes count double before a quote
 * (https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments).
 */
export function windowsArgument(word: string): string {
  if (/^[^\s"]+$/.test(word)) return word;
  return `"${word.replaceAll(/(\\*)"/g, '$1$1\\"').replace(/\\+$/, '$&$&')}"`;
}

function wordsOf(content: string): string[] {
  const program = unescapeXml(/<Command>([^<]*)<\/Command>/.exec(content)?.[1] ?? '');
  const line = unescapeXml(/<Arguments>([^<]*)<\/Arguments>/.exec(content)?.[1] ?? '');
  const args = [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain = '']) =>
    quoted?.replaceAll(
      /(\\+)("|$)/g, (_, slashes: string, quote: string) => slashes.slice(0, slashes.length / 2) + quote,
    ) ?? plain);
  return [program, ...args];
}

function start(_owner: Owner, change: Change, file: string): SupervisorStep[] {
  const run = step(['/Run', '/TN', serviceName]);
  if (change === 'same') return [run];
  return [
    ...(change === 'changed' ? [step(['/End', '/TN', serviceName], { otherwise: 'It did not run' })] : []),
    step(['/Create', '/F', '/TN', serviceName, '/XML', file], {
      hint: 'If access is denied: run this in a terminal of an administrator',
    }),
    run,
  ];
}

function step(args: readonly string[], more: Partial<SupervisorStep> = {}): SupervisorStep {
  return { program: 'schtasks', args, ...more };
}

/** `isRunning` stays unknown: schtasks reports it only in the language of the machine. */
function stateOf({ exitCode }: StepResult): ServiceState {
  return exitCode === 0
    ? { detail: 'registered', isRunning: undefined }
    : { detail: 'not registered', isRunning: false };
}
